"""The log seen from the tree: items as bytes, records played back, and what `fsync` leaves behind."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from mfs.blocks.pieces import zeros
from mfs.file.content import Content
from mfs.file.leaf import Leaf, Pieces
from mfs.journal.items import (
    BytesItem,
    ContentItem,
    DamagedLog,
    GoneItem,
    InodeItem,
    Item,
    NameItem,
    NextItem,
    XattrItem,
    pack_item,
    unpack_items,
)
from mfs.journal.replay import replay
from mfs.log import Log, Replay
from mfs.meta.btree import BTree
from mfs.tests.unixfs_build import Blocks
from mfs.tests.volume_work import (
    CHUNK,
    Worker,
    built,
    content,
    crashed,
    make,
    make_directory,
    opened,
    read,
    root,
    truncate,
    write,
)
from mfs.tree.node import Directory, File, Node
from mfs.tree.record import ROOT_INO
from mfs.tree.tree import Tree
from mfs.unixfs.cid import CID, RAW, cid_v1
from mfs.volume import Volume

U64 = st.integers(0, 2**63 - 1)
PIECES = st.lists(st.tuples(st.integers(0, 2**32 - 1), U64, st.integers(0, 2**21)), max_size=4)
LEAVES = st.lists(
    st.tuples(U64, PIECES.map(lambda pieces: Leaf(tuple(pieces), sum(piece[2] for piece in pieces)))), max_size=4
)
ITEMS: st.SearchStrategy[Item] = st.one_of(
    st.builds(NextItem, U64),
    st.builds(InodeItem, U64, st.binary(max_size=200)),
    st.builds(GoneItem, U64),
    st.builds(NameItem, U64, U64, st.integers(0, 15), st.binary(min_size=1, max_size=255)),
    st.builds(XattrItem, U64, st.binary(min_size=1, max_size=255), st.one_of(st.none(), st.binary(max_size=200))),
    st.builds(BytesItem, st.integers(0, 2**32 - 1), U64, st.binary(max_size=200)),
    st.builds(
        ContentItem,
        U64,
        st.booleans(),
        U64,
        U64,
        st.one_of(st.none(), st.binary(min_size=32, max_size=32).map(lambda digest: cid_v1(RAW, digest))),
        U64,
        U64,
        U64,
        LEAVES,
        st.booleans(),
    ),
)


def packed(items: list[Item]) -> bytes:
    return b"".join(map(pack_item, items))


def plain(item: Item) -> object:
    """Something that compares, for leaves do not."""
    if isinstance(item, ContentItem):
        leaves = [(index, leaf.pieces, leaf.length) for index, leaf in item.leaves]
        return (*item._replace(leaves=[]), leaves)
    return item


@given(st.lists(ITEMS, max_size=6))
def test_items_come_back_as_they_were(items: list[Item]) -> None:
    assert list(map(plain, unpack_items(packed(items)))) == list(map(plain, items))


@given(st.lists(ITEMS, min_size=1, max_size=3), st.data())
def test_a_record_that_ends_early_is_damaged(items: list[Item], data: st.DataObject) -> None:
    record = packed(items)
    ends = {len(packed(items[:count])) for count in range(len(items))}
    cut = data.draw(st.integers(1, len(record) - 1).filter(lambda at: at not in ends))
    with pytest.raises(DamagedLog):
        list(unpack_items(record[:cut]))


@given(st.binary(max_size=300))
def test_anything_else_is_damaged_or_items(record: bytes) -> None:
    try:
        found = list(unpack_items(record))
    except DamagedLog:
        return
    assert all(isinstance(item, tuple) for item in found)


class Nothing:
    """A :class:`mfs.file.content.Medium` where every base is zeros."""

    chunk = CHUNK

    def base_pieces(self, base: CID, start: int, stop: int) -> Pieces:
        return zeros(stop - start)

    placed_pieces = base_pieces

    def base_bytes(self, base: CID, start: int, stop: int) -> bytes:
        return bytes(stop - start)

    def bytes_in(self, pieces: Pieces) -> bytes:
        return bytes(sum(length for _, _, length in pieces))

    def base_data(self, base: CID, start: int, stop: int) -> Iterator[tuple[int, int]]:
        return iter(())

    def leaf_pieces(self, leaf: Leaf) -> Pieces:
        return zeros(leaf.length)

    def filled(self, content: Content, index: int) -> None:
        return


@given(st.one_of(st.lists(ITEMS, max_size=6).map(packed), st.binary(max_size=100)))
def test_a_record_of_nonsense_is_damaged_and_nothing_worse(record: bytes) -> None:
    blocks = Blocks()
    tree = Tree(BTree(blocks.get_block, blocks.put_block, None), Nothing(), 16)
    tree.nodes[ROOT_INO] = Directory(ROOT_INO, 0o40755, 0, 0, 0)
    try:
        replay(tree, record, lambda segment, offset, data: None)
    except DamagedLog:
        return
    assert tree.next_ino >= 16


def records(volume: Volume) -> list[bytes]:
    """Everything in the logs that count."""
    return list(Replay(volume.repo.log, volume.head.log))


def state(volume: Volume) -> tuple[str, list[tuple[str, int, int, tuple[tuple[int, bytes], ...]]]]:
    """The tree as far as it can be compared: the CID of all of it, and every node once for each of its names."""
    nodes: list[tuple[str, int, int, tuple[tuple[int, bytes], ...]]] = []
    waiting: list[Node] = [root(volume)]
    while waiting:
        node = waiting.pop()
        nodes.append((type(node).__name__, node.ino, node.nlink, tuple(sorted(node.references))))
        if isinstance(node, Directory):
            below = [volume.tree.child(node, name) for name in sorted(volume.tree.names(node))]
            waiting += [child for child in below if child is not None]
    return built(volume), nodes


@pytest.mark.parametrize("seed", range(8))
async def test_playing_the_log_gives_what_was_there(tmp_path: Path, seed: int) -> None:
    with opened(tmp_path / "repo") as volume:
        worker = Worker(volume, seed)
        for round in range(12):
            for _ in range(8):
                worker.step()
            if worker.random.random() < 0.2:
                await volume.commit()
            for node in list(volume.tree.nodes.values()):
                await volume.journal.sync(node)
            with crashed(volume, tmp_path / f"copy{round}") as after:
                assert state(after) == state(volume)
                await after.commit()
                assert state(after) == state(volume)


@pytest.mark.parametrize("seed", range(8))
async def test_playing_the_last_records_twice_changes_nothing(tmp_path: Path, seed: int) -> None:
    with opened(tmp_path / "repo") as volume:
        worker = Worker(volume, seed)
        for _ in range(6):
            for _ in range(8):
                worker.step()
            for node in list(volume.tree.nodes.values()):
                await volume.journal.sync(node)
        last = records(volume)[-1]
        want = state(volume)
        with crashed(volume, tmp_path / "copy") as after:
            replay(after.tree, last, after.store.segments.restore)
            assert state(after) == want


async def test_a_record_of_a_commit_under_way_fits_before_and_after_it(tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        file, other = make(volume, "a", b"a" * 3000), make(volume, "b", b"b" * 10)
        await volume.journal.sync(other)
        blocked, go = trio.Event(), trio.Event()
        original = volume.store.write

        def wait(*arguments: object) -> None:
            trio.from_thread.run_sync(blocked.set)
            trio.from_thread.run(go.wait)
            original(*arguments)  # type: ignore[arg-type]

        vars(volume.store)["write"] = wait
        async with trio.open_nursery() as nursery:
            nursery.start_soon(volume.commit)
            await blocked.wait()
            write(volume, file, 2990, b"c" * 100)
            volume.tree.rename(root(volume), b"a", root(volume), b"c")
            await volume.journal.sync(file)
            want = state(volume)
            with crashed(volume, tmp_path / "before") as before:
                assert state(before) == want
            go.set()
        with crashed(volume, tmp_path / "after") as after:
            assert state(after) == want


async def test_a_removed_directory_that_is_still_in_use_stays_removed(tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        directory = make_directory(volume, "d")
        make(volume, "f", b"x", directory)
        other = make(volume, "other", b"y")
        await volume.commit()
        volume.tree.lookups.add(directory.ino)
        volume.tree.unlink(directory, b"f")
        volume.tree.rmdir(root(volume), b"d")
        volume.tree.rename(root(volume), b"other", root(volume), b"d")
        await volume.journal.sync(other)
        want = built(volume)
        with crashed(volume, tmp_path / "copy") as after:
            assert (await after.commit()).root is not None
            assert os.listdir(tmp_path / "copy")
            assert built(after) == want
            assert after.tree.node(1).cid == after.head.root


async def test_a_file_that_only_grew_is_logged(tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        file = make(volume, "a")
        await volume.journal.sync(file)
        truncate(volume, file, 5000)
        await volume.journal.sync(file)
        with crashed(volume, tmp_path / "copy") as after:
            assert read(after, "a") == bytes(5000)


@pytest.mark.parametrize("exchange", [False, True])
async def test_a_copy_renamed_over_another_file_takes_its_bytes_along(tmp_path: Path, exchange: bool) -> None:
    with opened(tmp_path / "repo") as volume:
        source, copy = make(volume, "source", b"s" * 3000), make(volume, "copy", b"old")
        make(volume, "target", b"target")
        await volume.commit()
        copy.content.become(source.content)
        volume.tree.touched(copy)
        if exchange:
            volume.tree.exchange(root(volume), b"copy", root(volume), b"target")
        else:
            volume.tree.rename(root(volume), b"copy", root(volume), b"target")
        await volume.journal.sync(root(volume))
        with crashed(volume, tmp_path / "again") as after:
            assert read(after, "target") == b"s" * 3000


async def test_a_file_that_was_not_asked_for_is_there_without_its_bytes(tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        asked = make(volume, "asked", b"x" * 10)
        make(volume, "other", b"y" * 10)
        await volume.journal.sync(asked)
        with crashed(volume, tmp_path / "copy") as after:
            assert (read(after, "asked"), read(after, "other")) == (b"x" * 10, b"")


async def test_a_failed_record_is_told_and_said_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path / "repo") as volume:
        file = make(volume, "a", b"x" * 10)

        def full(self: Log, *payloads: bytes) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patched:
            patched.setattr(Log, "write", full)
            with pytest.raises(OSError, match="No space left"):
                await volume.journal.sync(file)
        make(volume, "b")
        await volume.journal.sync(file)
        with crashed(volume, tmp_path / "copy") as after:
            assert read(after, "a") == b"x" * 10
            assert sorted(after.tree.names(root(after))) == [b"a", b"b"]


async def test_large_bytes_are_synced_where_they_are(tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        data = os.urandom(300 * CHUNK)
        file = make(volume, "a", data)
        await volume.journal.sync(file)
        assert sum(map(len, records(volume))) < len(data) // 4
        piece = file.content.read(0, 1)[0]
        assert not volume.store.segments.unsynced(piece)
        with crashed(volume, tmp_path / "copy") as after:
            node = after.tree.resolve(b"a")
            assert isinstance(node, File)
            assert content(after, node) == data


async def test_an_fsync_with_nothing_to_say_writes_nothing(tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        file = make(volume, "a", b"x")
        await volume.journal.sync(file)
        before = records(volume)
        await volume.journal.sync(file)
        assert records(volume) == before


async def test_a_record_that_failed_is_not_played_back_onto_a_later_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(fd: int) -> None:
        raise OSError(5, "Input/output error")

    with opened(tmp_path / "repo") as volume:
        make(volume, "a")
        await volume.commit()
        gone = make(volume, "gone")
        with monkeypatch.context() as patched:
            patched.setattr(os, "fdatasync", fail)
            with pytest.raises(OSError, match="Input/output error"):
                await volume.sync(gone)
        volume.tree.unlink(root(volume), b"gone")
        await volume.commit()
        with crashed(volume, tmp_path / "crashed") as after:
            assert list(after.tree.names(root(after))) == [b"a"]
