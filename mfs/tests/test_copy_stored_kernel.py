"""Copies in a mount of a repository that stores mode and mtime in UnixFS: one message, one new root block."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import trio

from mfs.control.reach import reached
from mfs.operations.blocks import Walk, links_of
from mfs.tests.mounting import mounted
from mfs.tests.recording import Asked, asked
from mfs.unixfs.cid import CID, parse_cid
from mfs.volume import Volume

pytestmark = pytest.mark.kernel("root")

DATA = os.urandom(5 * (1 << 20) + 7)


def blocks(volume: Volume, cid: CID) -> set[CID]:
    """Everything that is made of `cid`."""
    walk = Walk([cid])
    found = set()
    for one in walk:
        found.add(one)
        walk.below(links_of(one, volume.store.get(one)))
    return found


def cid_of(path: Path) -> CID:
    return parse_cid(os.getxattr(path, "ipfs.cid").decode())


def stored(repo: Path) -> int:
    return sum(path.stat().st_blocks for path in (repo / "segments").rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("stores", "source"),
    [("+mode", "tree"), ("+mtime", "tree"), *(("+mode+mtime", source) for source in ("tree", "cid", "key"))],
)
def test_a_copy_is_one_message_and_stores_one_root(tmp_path: Path, stores: str, source: str) -> None:
    repo = tmp_path / "repo"
    with mounted(repo, profile="unixfs-v1-2025" + stores, filesystem="mfs.tests.recording:Recording") as mount:

        async def new_key() -> Any:
            async with reached(os.fspath(repo)) as found:
                return await found.ask("key-new", called="self")

        original, copy = mount.path / "original", mount.path / "copy"
        if source == "key":
            original = mount.path / ".mfs" / "ipns" / trio.run(new_key)["name"] / "original"
        original.write_bytes(DATA)
        original.chmod(0o640)
        os.utime(original, ns=(1, 1_000_000_000_000_000_005))
        before = cid_of(original)
        if source == "cid":
            original = mount.path / ".mfs" / "ipfs" / os.getxattr(original, "ipfs.cid").decode()
        used = stored(repo)
        asked(mount)
        subprocess.run(["cp", original, copy], check=True)
        assert asked(mount) == [Asked("copy_file_range_64", 0, len(DATA))]
        copy.chmod(0o600)
        after = cid_of(copy)
        assert after != before
        assert stored(repo) == used
        assert copy.read_bytes() == DATA
        # The mode and the time of the other one make it the other one.
        copy.chmod(0o640)
        os.utime(copy, ns=(1, 1_000_000_000_000_000_005))
        assert cid_of(copy) == before
    with Volume.open(repo) as volume:
        assert blocks(volume, after) - blocks(volume, before) == {after}
        assert blocks(volume, before) - blocks(volume, after) == {before}
