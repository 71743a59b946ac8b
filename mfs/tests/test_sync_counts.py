"""What reaches the disk for an `fsync`, counted by a file system beneath the repository that records every sync."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from mfs.log import Log
from mfs.tests.volume_work import make, opened, write
from mfs.volume import Volume
from rawfuse.tests.waiting import PATIENCE
from tools.powercut.events import Names, Sync, Write
from tools.powercut.recording import Recording, recording

pytestmark = pytest.mark.kernel("root")

LOG = "00000001.log"
MIB = 1 << 20


class Disk:
    """A recording file system, and what was done on it since `begin`."""

    def __init__(self, recorded: Recording) -> None:
        self.recorded = recorded
        self._start = 0

    def begin(self) -> None:
        self._start = len(self.recorded.events())

    def _names(self) -> dict[int, str]:
        found = {}
        for event in self.recorded.events():
            if isinstance(event, Names):
                found.update({ino: name.decode() for _, name, ino in event.edits if ino})
        return found

    def syncs(self) -> list[str]:
        """What was synced, by name, in order."""
        names = self._names()
        return [names[event.ino] for event in self.recorded.events()[self._start :] if isinstance(event, Sync)]

    def written(self, name: str) -> int:
        """Bytes written to the file of this name."""
        names = self._names()
        events = self.recorded.events()[self._start :]
        return sum(len(event.data) for event in events if isinstance(event, Write) and names[event.ino] == name)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with recording(tmp_path / "recording") as recorded:
        yield Disk(recorded)


@pytest.fixture
def volume(disk: Disk) -> Iterator[Volume]:
    with opened(disk.recorded.path / "repo") as volume:
        yield volume


async def test_an_fsync_is_one_record_and_one_sync(disk: Disk, volume: Volume) -> None:
    file = make(volume, "file", b"x" * 4096)
    disk.begin()
    await volume.sync(file)
    assert disk.syncs() == [LOG]
    assert disk.written(LOG) < 4096 + 1024


async def test_many_callers_share_a_sync(disk: Disk, volume: Volume) -> None:
    files = [make(volume, f"file{n}", b"%d" % n * 100) for n in range(200)]
    disk.begin()
    async with trio.open_nursery() as nursery:
        for file in files:
            nursery.start_soon(volume.sync, file)
    assert disk.syncs() == [LOG]


async def test_who_comes_while_a_sync_runs_shares_the_next_one(
    disk: Disk, volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    came, write_record = threading.Event(), Log.write

    def write_when_all_came(log: Log, record: bytes) -> None:
        assert came.wait(PATIENCE)
        write_record(log, record)

    monkeypatch.setattr(Log, "write", write_when_all_came)
    files = [make(volume, f"file{n}", b"%d" % n * 100) for n in range(50)]
    disk.begin()
    async with trio.open_nursery() as nursery:
        for file in files:
            nursery.start_soon(volume.sync, file)
            await trio.lowlevel.checkpoint()
        came.set()
    assert disk.syncs() == [LOG, LOG]


async def test_an_fsync_does_not_wait_for_what_others_write(disk: Disk, volume: Volume) -> None:
    big, small = make(volume, "big"), make(volume, "small", b"x" * 4096)
    appender = volume.store.segments.appender()
    for at in range(0, 32 * MIB, MIB):
        big.content.write(at, appender.append(bytes([at >> 20]) * MIB))
    volume.tree.touched(big)
    disk.begin()
    await volume.sync(small)
    assert disk.syncs() == [LOG]
    assert disk.written(LOG) < MIB
    disk.begin()
    await volume.sync(big)
    segment = f"{appender.segment:010d}"
    assert disk.syncs() == [segment, "0000000", "segments", LOG]
    disk.begin()
    write(volume, small, 0, b"y" * 100)
    await volume.sync(small)
    assert disk.syncs() == [LOG]
