"""What things cost does not grow with how large they are: counted in blocks, bytes and nodes, without a kernel."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import pytest

from mfs.tests.volume_work import content, make, make_directory, root, truncate, write
from mfs.tree import tree
from mfs.tree.listing import Listing
from mfs.tree.node import Directory, File
from mfs.unixfs.cid import CID
from mfs.volume import Volume

KIB, MIB, TIB = 1 << 10, 1 << 20, 1 << 40
PROFILES = ["unixfs-v1-2025", "unixfs-v0-2015"]


class Stored:
    """What was stored since: bytes appended to segments, small blocks and their bytes."""

    def __init__(self) -> None:
        self.appended = 0
        self.blocks = 0
        self.block_bytes = 0


@contextmanager
def storing(volume: Volume) -> Iterator[Stored]:
    """Count what is stored inside."""
    stored, store = Stored(), volume.store
    put = store.put

    def counted(cid: CID, data: bytes) -> None:
        stored.blocks += 1
        stored.block_bytes += len(data)
        put(cid, data)

    before = store.segments.tails()
    vars(store)["put"] = counted
    try:
        yield stored
    finally:
        del vars(store)["put"]
        after = store.segments.tails()
        stored.appended = sum(tail - before.get(number, 0) for number, tail in after.items())


@pytest.fixture(params=PROFILES)
def volume(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Volume]:
    with Volume.open(tmp_path / "repo", profile=request.param) as opened:
        yield opened


async def large_file(volume: Volume, leaves: int) -> File:
    """A committed file of `leaves` different leaves, and a bit."""
    file = make(volume, f"large-{leaves}")
    chunk = volume.profile.chunk_size
    for index in range(leaves):
        write(volume, file, index * chunk, index.to_bytes(4, "big") * (chunk // 4))
    write(volume, file, leaves * chunk, b"tail")
    await volume.commit()
    return file


async def filled(volume: Volume, count: int) -> Directory:
    """A committed directory of `count` files."""
    directory = make_directory(volume, f"directory-{count}")
    for number in range(count):
        volume.tree.create(directory, b"entry-number-%d" % number, 0o100644, 0, 0)
    await volume.commit()
    return directory


@pytest.mark.parametrize("size", [TIB, 8 * TIB, 1024 * TIB - 3])
async def test_a_hole_is_a_few_blocks_however_long(volume: Volume, size: int) -> None:
    make(volume, "other")
    await volume.commit()
    file = make(volume, "sparse")
    with storing(volume) as stored:
        truncate(volume, file, size)
        await volume.commit()
    assert stored.appended == 0
    assert stored.blocks < 30
    # Nodes of a thousand equal links: their number is the logarithm of the size, their bytes at most 50 KiB each.
    assert stored.block_bytes < 30 * 64 * KIB


@pytest.mark.parametrize("size", [1, 512 * TIB + 5])
async def test_truncating_a_petabyte_in_either_direction_is_a_few_blocks(volume: Volume, size: int) -> None:
    file = make(volume, "sparse")
    truncate(volume, file, 1024 * TIB)
    write(volume, file, 3 * TIB, b"data")
    await volume.commit()
    for target in (size, 1024 * TIB - 1, size):
        with storing(volume) as stored:
            truncate(volume, file, target)
            assert len(file.content.leaves) <= 2
            await volume.commit()
        assert stored.blocks < 40
        assert stored.appended <= volume.profile.chunk_size


@pytest.mark.parametrize("leaves", [1, 40])
@pytest.mark.parametrize("at", ["in the middle", "at the end"])
async def test_four_kib_store_four_kib_and_a_few_nodes(volume: Volume, leaves: int, at: str) -> None:
    file = await large_file(volume, leaves)
    offset = file.size if at == "at the end" else file.size // 2
    before = content(volume, file)
    data = os.urandom(4 * KIB)
    with storing(volume) as stored:
        write(volume, file, offset, data)
        await volume.commit()
    assert stored.appended == 4 * KIB
    assert stored.blocks <= 8
    assert stored.block_bytes < 32 * KIB
    assert content(volume, file) == before[:offset] + data + before[offset + 4 * KIB :]


async def test_a_new_entry_costs_the_same_in_a_large_directory(volume: Volume) -> None:
    costs = []
    for count in (5000, 30_000):
        directory = await filled(volume, count)
        with storing(volume) as stored:
            volume.tree.create(directory, b"one more", 0o100644, 0, 0)
            await volume.commit()
        costs.append((stored.blocks, stored.block_bytes))
    (blocks, size), (more_blocks, more_size) = costs
    assert more_blocks <= blocks + 3
    assert more_size <= 2 * size


async def test_a_large_directory_opens_and_lists_in_a_stream(tmp_path: Path) -> None:
    with Volume.open(tmp_path / "repo") as volume:
        await filled(volume, 30_000)
    with Volume.open(tmp_path / "repo") as volume:
        assert len(volume.tree.nodes) < 10
        tracemalloc.start()
        directory = volume.tree.resolve(b"directory-30000")
        assert isinstance(directory, Directory)
        listing = Listing(volume.tree, directory)
        offset, seen = 0, 0
        while part := listing.after(offset):
            seen += len(part)
            offset = part[-1].offset
        assert seen == 30_000
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        # The window that is looked at, and the cache of decoded map nodes, which has a bound of its own.
        assert not directory.complete
        assert most < 8 * MIB
        # A lookup reads one path of the map, not the directory.
        assert volume.tree.child(directory, b"entry-number-4711") is not None
        assert len(list(islice(directory.present(), 10))) < 10


async def test_what_was_committed_leaves_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "KEPT_NODES", 5000)
    monkeypatch.setattr(tree, "KEPT_NAMES", 1000)
    with Volume.open(tmp_path / "repo") as volume:
        await filled(volume, 7000)
        assert len(volume.tree.nodes) <= 5000
        directory = volume.tree.resolve(b"directory-7000")
        assert isinstance(directory, Directory)
        assert len(directory.names) <= 1000
        assert not volume.tree.dirty
        assert volume.tree.child(directory, b"entry-number-4711") is not None
        assert root(volume).entries == 1
