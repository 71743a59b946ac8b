"""Too much that waits for a commit: whoever changes more waits too, and is told when the disk takes none."""

from __future__ import annotations

import errno
from collections.abc import Awaitable
from pathlib import Path

import pytest

from mfs.blocks.store import Batch
from mfs.fuse import MFS
from mfs.tests.volume_work import opened
from mfs.volume import Volume
from rawfuse import wire
from rawfuse.filesystem import Reply

ROOM = 10


@pytest.fixture
def crowded_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mfs.volume.CROWDED", ROOM)
    monkeypatch.setattr("mfs.fuse.base.CROWDED", ROOM)


def making(filesystem: MFS, number: int) -> Reply:
    return filesystem.mkdir(
        wire.MkDir(unique=2 * number, nodeid=1, arg=wire.fuse_mkdir_in(mode=0o755), name=b"%d" % number)
    )


@pytest.mark.usefixtures("crowded_soon")
async def test_changed_nodes_never_are_more_than_there_is_room_for(tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        filesystem = MFS(volume)
        waited = 0
        for number in range(60):
            reply = making(filesystem, number)
            if isinstance(reply, Awaitable):
                waited += 1
                await reply
            assert len(volume.tree.dirty) <= ROOM + 1
        assert waited
        assert volume.tree.directory(1).entries == 60


@pytest.mark.usefixtures("crowded_soon")
async def test_a_change_beyond_it_is_refused_while_the_disk_takes_no_commit(tmp_path: Path) -> None:
    def full(batch: Batch, commit: bytes | None = None) -> None:
        batch.failed = True
        raise OSError(errno.ENOSPC, "no space left")

    def room(volume: Volume) -> None:
        vars(volume.store).pop("write", None)

    with opened(tmp_path / "repo") as volume:
        filesystem = MFS(volume)
        vars(volume.store)["write"] = full
        for number in range(ROOM - 1):  # and the root
            making(filesystem, number)
        refused = making(filesystem, ROOM)
        assert isinstance(refused, Awaitable)
        with pytest.raises(OSError, match="no space left"):
            await refused
        assert volume.tree.entry(volume.tree.directory(1), b"%d" % ROOM) is None
        room(volume)
        again = making(filesystem, ROOM)
        assert isinstance(again, Awaitable)
        await again
        assert volume.tree.entry(volume.tree.directory(1), b"%d" % ROOM) is not None
