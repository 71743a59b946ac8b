from __future__ import annotations

import errno
import hashlib
import os
import random
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import lmdb
import pytest

from mfs.blocks.errors import BlockNotFound, IndexDamaged, SegmentDamaged, SegmentLost
from mfs.blocks.interface import BlockStore
from mfs.blocks.memory import MemoryStore
from mfs.blocks.store import INLINE_LIMIT, EmbeddedStore
from mfs.unixfs.cid import CID, DAG_PB, RAW, cid_v0, cid_v1, multihash_of
from mfs.unixfs.layout import leaf_wrapping
from mfs.unixfs.profile import PROFILES

V0 = PROFILES["unixfs-v0-2015"]
RNG = random.Random(11)


def wrap(length: int) -> tuple[bytes, bytes]:
    return leaf_wrapping(V0, length)


def opened(directory: Path, *, read_only: bool = False) -> EmbeddedStore:
    for place in ("index", "segments"):
        (directory / place).mkdir(exist_ok=True)
    return EmbeddedStore(directory / "index", directory / "segments", wrap, read_only=read_only)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    found = opened(tmp_path)
    yield found
    found.close()


@pytest.fixture(params=["memory", "embedded"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BlockStore]:
    if request.param == "memory":
        yield MemoryStore()
    else:
        store = opened(tmp_path)
        yield store
        store.close()


def raw(block: bytes) -> CID:
    return cid_v1(RAW, hashlib.sha256(block).digest())


def wrapped(data: bytes) -> tuple[CID, bytes]:
    prefix, suffix = wrap(len(data))
    block = prefix + data + suffix
    return cid_v0(hashlib.sha256(block).digest()), block


def identity(data: bytes) -> CID:
    return CID(b"\x01\x55\x00" + bytes([len(data)]) + data)


# What every store does


def test_a_block_is_there_once_put_and_gone_once_deleted(any_store: BlockStore) -> None:
    cid = raw(b"hello")
    with pytest.raises(BlockNotFound) as caught:
        any_store.get(cid)
    assert caught.value.cid == cid
    assert not any_store.has(cid)
    any_store.put(cid, b"hello")
    assert any_store.has(cid) and any_store.get(cid) == b"hello"
    any_store.sync()
    assert any_store.has(cid) and any_store.get(cid) == b"hello"
    any_store.delete(cid)
    assert not any_store.has(cid)
    any_store.sync()
    with pytest.raises(BlockNotFound):
        any_store.get(cid)
    any_store.delete(cid)


def test_a_block_is_known_by_its_multihash(any_store: BlockStore) -> None:
    any_store.put(raw(b"hello"), b"hello")
    digest = hashlib.sha256(b"hello").digest()
    assert any_store.get(cid_v0(digest)) == any_store.get(cid_v1(DAG_PB, digest)) == b"hello"


def test_the_block_of_an_identity_cid_is_always_there(any_store: BlockStore) -> None:
    cid = identity(b"in the name")
    assert any_store.has(cid) and any_store.get(cid) == b"in the name"
    any_store.put(cid, b"in the name")
    assert list(any_store.multihashes()) == []


def test_multihashes_are_those_of_all_blocks(any_store: BlockStore) -> None:
    blocks = [b"%d" % number for number in range(2500)]
    for block in blocks[:2200]:
        any_store.put(raw(block), block)
    any_store.sync()
    for block in blocks[2200:]:
        any_store.put(raw(block), block)
    for block in blocks[::10]:
        any_store.delete(raw(block))
    expected = {multihash_of(raw(block)) for block in blocks} - {multihash_of(raw(block)) for block in blocks[::10]}
    found = list(any_store.multihashes())
    assert len(found) == len(expected) and set(found) == expected


@pytest.mark.parametrize("size", [0, 1, INLINE_LIMIT, INLINE_LIMIT + 1, 3 << 20])
def test_blocks_of_every_size(any_store: BlockStore, size: int) -> None:
    block = RNG.randbytes(size)
    any_store.put(raw(block), block)
    assert any_store.get(raw(block)) == block
    any_store.sync()
    assert any_store.get(raw(block)) == block


# What the embedded store does


def test_everything_written_is_there_after_opening_again(tmp_path: Path) -> None:
    store = opened(tmp_path)
    assert store.commit_record() is None
    small, large = RNG.randbytes(100), RNG.randbytes(100_000)
    leaf = RNG.randbytes(5000)
    store.put(raw(small), small)
    store.put(raw(large), large)
    store.put_leaf(raw(leaf), (store.segments.shared.append(leaf),), wrapped=False)
    store.set_meta(b"name", b"value")
    store.write(store.take_pending(), b"commit 1")
    store.put(raw(b"lost"), b"lost")
    store.close()
    for read_only in (False, True):
        store = opened(tmp_path, read_only=read_only)
        assert [store.get(raw(block)) for block in (small, large, leaf)] == [small, large, leaf]
        assert store.commit_record() == b"commit 1"
        assert store.get_meta(b"name") == b"value"
        assert not store.has(raw(b"lost"))
        store.close()


@pytest.mark.parametrize("size", [0, 1, 5000])
def test_a_wrapped_leaf_is_stored_as_its_data(store: EmbeddedStore, size: int) -> None:
    data = RNG.randbytes(size)
    cid, block = wrapped(data)
    pieces = (store.segments.shared.append(data),) if data else ()
    assert store.put_leaf(cid, pieces, wrapped=True)
    for _ in range(2):
        assert store.get(cid) == block
        assert store.leaf_pieces(cid) == pieces
        assert store.leaf_bytes(cid) == data
        store.sync()


def test_a_leaf_of_several_pieces_and_a_hole(store: EmbeddedStore) -> None:
    head, tail = b"h" * 10, b"t" * 20
    pieces = (store.segments.shared.append(head), (0, 0, 5000), store.segments.appender().append(tail))
    data = head + bytes(5000) + tail
    store.put_leaf(raw(data), pieces, wrapped=False)
    store.sync()
    assert store.leaf_pieces(raw(data)) == pieces
    assert store.get(raw(data)) == data


def test_a_leaf_that_is_stored_already_is_not_kept_twice(store: EmbeddedStore) -> None:
    data = RNG.randbytes(100)
    first = (store.segments.shared.append(data),)
    second = (store.segments.shared.append(data),)
    assert store.put_leaf(raw(data), first, wrapped=False)
    assert not store.put_leaf(raw(data), second, wrapped=False)
    store.sync()
    assert not store.put_leaf(raw(data), second, wrapped=False)
    assert store.leaf_pieces(raw(data)) == first
    store.put(raw(data), data)
    assert store.leaf_pieces(raw(data)) == first
    store.delete(raw(data))
    assert store.put_leaf(raw(data), second, wrapped=False)
    assert store.leaf_pieces(raw(data)) == second


def test_an_inline_leaf_has_bytes_and_no_pieces(store: EmbeddedStore) -> None:
    cid, block = wrapped(b"inline data")
    store.put(cid, block)
    assert store.leaf_pieces(cid) is None
    assert store.leaf_bytes(cid) == b"inline data"
    assert store.leaf_pieces(identity(b"abc")) is None
    assert store.leaf_bytes(identity(b"abc")) == b"abc"
    with pytest.raises(BlockNotFound):
        store.leaf_pieces(raw(b"absent"))


def test_the_same_bytes_as_a_node_and_as_a_raw_leaf_are_told_apart(store: EmbeddedStore) -> None:
    data = RNG.randbytes(100)
    cid, block = wrapped(data)
    pieces = (store.segments.shared.append(data),)
    store.put_leaf(cid, pieces, wrapped=True)
    as_raw = cid_v1(RAW, hashlib.sha256(block).digest())
    assert store.leaf_pieces(as_raw) is None
    assert store.leaf_bytes(as_raw) == store.get(as_raw) == block
    other, other_block = wrapped(b"other")
    as_raw = cid_v1(RAW, hashlib.sha256(other_block).digest())
    store.put_leaf(as_raw, (store.segments.shared.append(other_block),), wrapped=False)
    assert store.leaf_pieces(other) is None
    assert store.leaf_bytes(other) == b"other"


def test_bytes_are_durable_before_the_entries_that_point_to_them(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    sync, write = store.segments.sync, store._index.write

    def synced(numbers: Iterable[int]) -> None:
        order.append(f"sync {list(numbers)}")
        sync(numbers)

    def written(*changes: Any) -> None:
        order.append("write")
        write(*changes)

    monkeypatch.setattr(store.segments, "sync", synced)
    monkeypatch.setattr(store._index, "write", written)
    one, two = store.segments.appender(), store.segments.appender()
    pieces = (one.append(b"a"), two.append(b"b"))
    store.put_leaf(raw(b"ab"), pieces, wrapped=False)
    store.write(store.take_pending(), b"commit")
    assert order == ["sync [1, 2]", "write"]
    assert not any(store.segments.unsynced(piece) for piece in pieces)


def test_a_batch_being_written_stays_visible(store: EmbeddedStore) -> None:
    store.put(raw(b"a"), b"a")
    store.put(raw(b"b"), b"b")
    store.set_meta(b"m", b"1")
    batch = store.take_pending()
    assert store.pending_changes == 0
    assert store.get(raw(b"a")) == b"a" and store.get_meta(b"m") == b"1"
    store.delete(raw(b"b"))
    store.set_meta(b"m", b"2")
    assert not store.has(raw(b"b")) and store.get_meta(b"m") == b"2"
    with pytest.raises(RuntimeError, match="still being written"):
        store.take_pending()
    thread = threading.Thread(target=store.write, args=(batch, b"commit"))
    thread.start()
    thread.join()
    assert store.get(raw(b"a")) == b"a" and not store.has(raw(b"b"))
    assert store.commit_record() == b"commit"
    store.sync()
    assert store.get(raw(b"a")) == b"a" and not store.has(raw(b"b")) and store.get_meta(b"m") == b"2"


def test_a_batch_given_back_is_in_the_next(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.put(raw(b"a"), b"a")
    store.give_back(store.take_pending())
    store.put(raw(b"b"), b"b")
    batch = store.take_pending()
    assert len(batch) == 2
    store.write(batch)
    store.close()
    store = opened(tmp_path)
    assert store.has(raw(b"a")) and store.has(raw(b"b"))
    store.close()


@pytest.mark.parametrize("fault", ["sync", "index"])
def test_a_batch_that_failed_stays_visible_and_is_in_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    store = opened(tmp_path)
    store.write(store.take_pending(), b"commit 1")
    piece = store.segments.shared.append(b"leaf")
    store.put_leaf(raw(b"leaf"), (piece,), wrapped=False)
    store.put(raw(b"a"), b"a")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(
            store.segments if fault == "sync" else store._index, "sync" if fault == "sync" else "write", full
        )
        with pytest.raises(OSError, match="No space") as caught:
            store.write(store.take_pending(), b"commit 2")
        assert caught.value.errno == errno.ENOSPC
    assert store.get(raw(b"a")) == b"a" and store.get(raw(b"leaf")) == b"leaf"
    assert store.commit_record() == b"commit 1"
    store.delete(raw(b"a"))
    store.put(raw(b"b"), b"b")
    store.write(store.take_pending(), b"commit 3")
    store.close()
    store = opened(tmp_path)
    assert store.get(raw(b"leaf")) == b"leaf" and store.get(raw(b"b")) == b"b" and not store.has(raw(b"a"))
    assert store.commit_record() == b"commit 3"
    store.close()


def test_lost_bytes_never_get_an_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened(tmp_path)
    store.put_leaf(raw(b"leaf"), (store.segments.shared.append(b"leaf"),), wrapped=False)

    def fail(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    def forgotten(fd: int, buffers: object, offset: int, flags: int = 0) -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", fail)
        with pytest.raises(SegmentLost):
            store.write(store.take_pending(), b"commit")
    with monkeypatch.context() as patched:
        patched.setattr(os, "preadv", forgotten)
        with pytest.raises(SegmentLost):
            store.write(store.take_pending(), b"commit")
    store.close()
    store = opened(tmp_path)
    assert not store.has(raw(b"leaf")) and store.commit_record() is None
    store.close()


def test_bytes_that_a_sync_lost_are_written_again_before_they_get_an_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(tmp_path)
    piece = store.segments.shared.append(b"leaf")
    store.put_leaf(raw(b"leaf"), (piece,), wrapped=False)
    done: list[str] = []
    pwrite, fdatasync = os.pwrite, os.fdatasync

    def sync(fd: int) -> None:
        done.append("sync")
        if len(done) == 1:
            raise OSError(errno.EIO, "Input/output error")
        fdatasync(fd)

    def write(fd: int, data: bytes, offset: int) -> int:
        done.append(f"write {bytes(data)!r} at {offset}")
        return pwrite(fd, data, offset)

    monkeypatch.setattr(os, "fdatasync", sync)
    monkeypatch.setattr(os, "pwrite", write)
    store.write(store.take_pending(), b"commit")
    assert done == ["sync", f"write b'leaf' at {piece[1]}", "sync"]
    assert not store.segments.unsynced(piece)
    store.close()


def test_an_index_that_gave_up_is_opened_again(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.put(raw(b"a"), b"a")
    store.write(store.take_pending(), b"commit 1")
    store.put(raw(b"b"), b"b")
    store._index.broken = True
    store.write(store.take_pending(), b"commit 2")
    assert store.get(raw(b"a")) == b"a"
    assert store.commit_record() == b"commit 2"
    store.close()


def coded(code: int) -> lmdb.Error:
    error = lmdb.Error("mdb_txn_commit")
    error.code = code  # type: ignore[misc]  # the C module sets it so
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (lmdb.MapFullError("mdb_put"), errno.ENOSPC),
        (coded(errno.EDQUOT), errno.EDQUOT),
        (lmdb.Error("mdb_txn_commit"), errno.EIO),
        (lmdb.CorruptedError("mdb_get"), errno.EIO),
    ],
)
def test_errors_of_lmdb_become_oserrors(store: EmbeddedStore, error: lmdb.Error, code: int) -> None:
    translated = store._index._translated(error)
    assert translated.errno == code
    assert isinstance(translated, IndexDamaged) == isinstance(error, lmdb.CorruptedError)
    assert str(translated.filename).endswith("index")


def test_a_broken_index_file_is_damage(tmp_path: Path) -> None:
    opened(tmp_path).close()
    (tmp_path / "index" / "data.mdb").write_bytes(b"x" * 8192)
    with pytest.raises(IndexDamaged):
        opened(tmp_path)


@pytest.mark.parametrize("value", [b"", b"\x07", b"\x01" + bytes(19), b"\x02" + bytes(21)])
def test_a_broken_entry_is_damage(store: EmbeddedStore, value: bytes) -> None:
    store._index.write({multihash_of(raw(b"a")): value}, {}, {})
    store._index.renew()
    with pytest.raises(IndexDamaged):
        store.get(raw(b"a"))


def test_an_entry_whose_segment_is_gone_is_damage(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.put_leaf(raw(b"leaf"), (store.segments.shared.append(b"leaf"),), wrapped=False)
    store.sync()
    store.close()
    os.unlink(tmp_path / "segments" / "0000000" / "0000000001")
    store = opened(tmp_path)
    with pytest.raises(SegmentDamaged):
        store.get(raw(b"leaf"))
    # Its number is not given to other bytes.
    assert store.segments.shared.append(b"x")[0] == 2
    store.close()


def test_bytes_behind_what_was_written_are_found_and_given_back(tmp_path: Path) -> None:
    store = opened(tmp_path)
    private = store.segments.appender()
    kept = private.append(b"k" * 8192)
    store.put_leaf(raw(b"k" * 8192), (kept,), wrapped=False)
    store.sync()
    private.append(b"g" * 100_000)
    orphan = store.segments.appender()
    orphan.append(b"o" * 50_000)
    store.close()

    store = opened(tmp_path)
    ends = store.segment_ends()
    assert ends == {1: 8192}
    for number in list(store.segments.numbers()):
        for first, last in store.segments.garbage(number, [], ends.get(number, 0)):
            store.segments.punch(number, first, last - first)
    assert list(store.segments.numbers()) == [1]
    assert store.segments.size(1) == 8192
    assert store.segments.stored_bytes() == 8192
    assert store.get(raw(b"k" * 8192)) == b"k" * 8192
    store.close()


def test_live_ranges_are_those_of_all_entries(store: EmbeddedStore) -> None:
    for number in range(20):
        data = b"%020d" % number
        piece = store.segments.shared.append(data)
        if number % 2:
            store.put_leaf(raw(data), (piece,), wrapped=False)
        if number == 10:
            store.sync()
    store.delete(raw(b"%020d" % 3))
    live = store.live_ranges({1, 9})
    assert live[9] == []
    assert sorted(live[1]) == [(n * 20, n * 20 + 20) for n in range(20) if n % 2 and n != 3]
    assert store.segments.garbage(1, live[1])[:2] == [(0, 20), (40, 100)]


def test_writing_known_blocks_again_stores_nothing(store: EmbeddedStore) -> None:
    blocks = [RNG.randbytes(size) for size in (100, 5000, 100_000)]
    for block in blocks:
        store.put(raw(block), block)
    store.sync()
    before = store.stored_bytes()
    for block in blocks:
        store.put(raw(block), block)
    assert store.pending_changes == 0
    store.sync()
    assert store.stored_bytes() == before


def test_the_next_process_goes_on_with_the_shared_segment(tmp_path: Path) -> None:
    for number in range(5):
        store = opened(tmp_path)
        data = b"%d" % number
        store.put_leaf(raw(data), (store.segments.shared.append(data),), wrapped=False)
        store.sync()
        store.close()
    store = opened(tmp_path)
    assert list(store.segments.numbers()) == [1]
    assert [store.get(raw(b"%d" % number)) for number in range(5)] == [b"%d" % number for number in range(5)]
    store.close()
