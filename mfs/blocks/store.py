"""The embedded block store: data in segment files, everything small in LMDB.

What is put waits in memory, visible at once, until a *batch* of it is written. A batch is taken on the thread that uses
the store and written by a worker thread, because writing waits for the disk::

    batch = store.take_pending()                    # the server's thread
    await to_thread(store.write, batch, record)     # segments synced, then the index, then the commit record

One batch is being written at a time. If that fails, its changes stay visible and are in the next batch.
"""

from __future__ import annotations

import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mfs.blocks.batch import Batch
from mfs.blocks.collector import Collector, Snapshot
from mfs.blocks.errors import BlockNotFound, IndexDamaged
from mfs.blocks.index import EXTENTS, INLINE, WRAPPED, Index
from mfs.blocks.pieces import pack_pieces, unpack_pieces
from mfs.blocks.segments import Segments
from mfs.unixfs.cid import RAW, cid_str, codec_of, identity_data, multihash_of
from mfs.unixfs.nodes import leaf_data

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from mfs.blocks.pieces import Piece
    from mfs.unixfs.cid import CID

__all__ = ["INLINE_LIMIT", "Batch", "EmbeddedStore"]

INLINE_LIMIT = 64 << 10
"""Larger blocks go to a segment when they are put. Tree nodes do not reach it: 1024 links are about 50 KiB."""

_INLINE = bytes([INLINE])
_EXTENTS = bytes([EXTENTS])
_WRAPPED = bytes([WRAPPED])
_COMMIT = b"commit"
# The segment that the shared appender was writing, so that the next process goes on with it.
_SHARED = b"shared-segment"
_NUMBER = struct.Struct("<I")


class EmbeddedStore:
    """Blocks in segment files and an LMDB index of one repository. Satisfies `interface.BlockStore`.

    Args:
        index: directory of the LMDB environment; it exists.
        segments: directory of the segment files; it exists.
        wrap: gives, for the data length of a wrapped leaf, the bytes of its block before and behind the data.
        read_only: nothing will be put.

    Threads: everything belongs to one thread, except `write`, which may be in another.
    """

    def __init__(
        self,
        index: str | os.PathLike[str],
        segments: str | os.PathLike[str],
        wrap: Callable[[int], tuple[bytes, bytes]],
        *,
        read_only: bool = False,
    ) -> None:
        self._index = Index(index, read_only=read_only)
        self._wrap = wrap
        self._pending = Batch()
        self._writing: Batch | None = None
        self.collector: Collector | None = None
        """Garbage collection under way."""
        self.holders: list[Callable[[], Iterable[CID]]] = []
        """Give the CIDs that are in use though no tree, no name and no file of the tree leads to them."""
        self.keepers = 0
        """Who is between storing blocks and making something lead to them; see `keeping`."""
        self.fresh: list[Sequence[Piece]] = []
        """Pieces that were given to the index lately; whoever gives bytes back to the disk forgets them."""
        shared = self._index.meta(_SHARED)
        self.segments = Segments(
            segments,
            read_only=read_only,
            minimum=max(self._index.segment_ends(), default=0) + 1,
            resume=_NUMBER.unpack(shared)[0] if shared is not None and len(shared) == _NUMBER.size else 0,
        )

    def close(self) -> None:
        """Let go of all files. What was not written is lost."""
        self.segments.close()
        self._index.close()

    # Blocks

    def get(self, cid: CID) -> bytes:
        """The block. May wait for the disk when it is not in memory; a node in the index takes about 2 us when it is.

        Raises:
            BlockNotFound: it is not here.
            SegmentDamaged, IndexDamaged: OSErrors (EIO) that say where.
        """
        multihash = multihash_of(cid)
        value = self._find(multihash)
        if value is None:
            block = identity_data(cid)
            if block is None:
                raise BlockNotFound(cid)
            return block
        kind = value[0]
        if kind == INLINE:
            return bytes(value[1:])
        data = self.segments.read(self._pieces(cid, value))
        if kind == EXTENTS:
            return data
        prefix, suffix = self._wrap(len(data))
        return prefix + data + suffix

    def has(self, cid: CID) -> bool:
        """Whether the block is here.  Who hears so may count on it: garbage collection takes it for needed."""
        return self._present(cid, multihash_of(cid))

    def put(self, cid: CID, block: bytes) -> None:
        """Keep a block, unless it is here. A large one goes to the shared segment, whose OSErrors it may raise."""
        multihash = multihash_of(cid)
        if self._present(cid, multihash):
            return
        if len(block) > INLINE_LIMIT:
            piece = self.segments.shared.append(block)
            self._put_value(multihash, _EXTENTS + pack_pieces((piece,)), (piece,))
        else:
            self._put_value(multihash, _INLINE + block, ())

    def put_leaf(self, cid: CID, pieces: Sequence[Piece], wrapped: bool) -> bool:
        """Keep a file leaf whose data lie in `pieces` already. The pieces need not be durable yet: `write` sees to it.

        `wrapped`: the block is the data inside a dag-pb node; else it is the data.

        Returns: False when the block is here already: then nothing changes, and the pieces are the caller's to give
            back.
        """
        multihash = multihash_of(cid)
        if self._present(cid, multihash):
            return False
        self._put_value(multihash, (_WRAPPED if wrapped else _EXTENTS) + pack_pieces(pieces), pieces)
        return True

    def hold(self, cid: CID) -> None:
        """`cid` is in use from now on; what keeps it so is a name, or one of the :attr:`holders`."""
        if self.collector is not None:
            self.collector.found(cid)

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """To be held from the first of several blocks put (or the first byte appended for one) until something durable,
        or a node of the tree, leads to all of them: until then garbage collection does not begin, and no space that
        they may lie in is given back.
        """
        self.keepers += 1
        try:
            yield
        finally:
            self.keepers -= 1

    def leaf_pieces(self, cid: CID) -> tuple[Piece, ...] | None:
        """Where the data of a leaf lie; None for a block that is not kept in pieces (`get` has it).

        Raises:
            BlockNotFound: it is not here.
        """
        value = self._find(multihash_of(cid))
        if value is None:
            if identity_data(cid) is None:
                raise BlockNotFound(cid)
            return None
        # The same bytes may be a raw leaf under one CID and a node under another: only as what they are kept do the
        # pieces hold the data.
        kind = value[0]
        if kind == INLINE or (kind == EXTENTS) != (codec_of(cid) == RAW):
            return None
        return self._pieces(cid, value)

    def leaf_bytes(self, cid: CID) -> bytes:
        """The data of a leaf, however it is kept: the block without what UnixFS puts around it.

        Raises:
            MalformedBlock: the block is no leaf; and what `get` raises.
        """
        return leaf_data(cid, self.get(cid))

    def places(self, cid: CID) -> tuple[int, tuple[Piece, ...]]:
        """Where a block is kept: how many bytes of it in the index, and the pieces of segments that hold the rest.

        Raises:
            BlockNotFound: it is not here.
        """
        value = self._find(multihash_of(cid))
        if value is None:
            if identity_data(cid) is None:
                raise BlockNotFound(cid)
            return 0, ()
        return (len(value) - 1, ()) if value[0] == INLINE else (0, self._pieces(cid, value))

    def delete(self, cid: CID) -> None:
        """Forget a block. Once that has been written, its pieces may be given back if they are nobody else's."""
        multihash = multihash_of(cid)
        if self._find(multihash) is not None:
            self._pending.blocks[multihash] = None

    def drop(self, multihash: bytes) -> None:
        """As `delete`, of a multihash that is in the written index.  (For garbage collection.)"""
        self._pending.blocks[multihash] = None

    def snapshot(self) -> Snapshot:
        """The multihashes in the index, as it is written now."""
        self._settle()
        return Snapshot(self._index)

    def entries_behind(self, last: bytes, count: int) -> list[tuple[bytes, int, bytes]]:
        """See `Index.entries_behind`; what is not written yet is not among them."""
        self._settle()
        return self._index.entries_behind(last, count)

    def pending_pieces(self) -> Iterator[Piece]:
        """All pieces that entries point to which are not written yet."""
        for batch in (self._writing, self._pending):
            for value in batch.blocks.values() if batch is not None else ():
                if value is not None and value[0] != INLINE:
                    yield from unpack_pieces(value, 1)

    def multihashes(self) -> Iterator[bytes]:
        """The multihash of every block. Blocks may be put, deleted and written meanwhile; those may be seen or not."""
        self._settle()
        for multihash in self._index.multihashes():
            if self._find(multihash) is not None:
                yield multihash
        waiting = set(self._pending.blocks)
        if self._writing is not None:
            waiting.update(self._writing.blocks)
        for multihash in waiting:
            if self._find(multihash) is not None and self._index.get(multihash) is None:
                yield multihash

    # Small records

    def get_meta(self, name: bytes) -> bytes | None:
        """The small record of this name."""
        self._settle()
        for batch in (self._pending, self._writing):
            if batch is not None and name in batch.meta:
                return batch.meta[name]
        return self._index.meta(name)

    def metas(self, prefix: bytes) -> dict[bytes, bytes]:
        """The small records whose names begin so, by name, in order."""
        self._settle()
        found: dict[bytes, bytes | None] = dict(self._index.metas(prefix))
        for batch in (self._writing, self._pending):
            if batch is not None:
                found.update({name: record for name, record in batch.meta.items() if name.startswith(prefix)})
        return {name: record for name, record in sorted(found.items()) if record is not None}

    def set_meta(self, name: bytes, record: bytes | None) -> None:
        """Change a small record (None deletes it): visible at once, durable with the next batch written."""
        self._pending.meta[name] = record

    def commit_record(self) -> bytes | None:
        """The last commit record that is durable; None in a new store."""
        self._settle()
        return self._index.meta(_COMMIT)

    # Writing

    @property
    def pending_changes(self) -> int:
        """How many blocks wait to be taken."""
        return len(self._pending)

    @property
    def pending_bytes(self) -> int:
        """How many bytes of memory they hold, about (the keys and Python's own not counted)."""
        return self._pending.size

    def take_pending(self) -> Batch:
        """Everything that is not written yet, for `write`. It stays visible.

        Raises:
            RuntimeError: the batch taken before is neither written nor given back.
            OSError: the index is broken by an earlier failure and cannot be opened again; to be tried again.
        """
        self._settle()
        before = self._writing
        if before is not None:
            if not before.failed:
                raise RuntimeError("a batch is still being written; take the next one when that has returned")
            before.absorb(self._pending)
            before.failed = False
            self._pending, self._writing = before, None
        if self._index.broken:
            self._index.reopen()
        batch = self._writing = self._pending
        self._pending = Batch()
        shared = self.segments.shared.segment
        if shared:
            batch.meta[_SHARED] = _NUMBER.pack(shared)
        return batch

    def give_back(self, batch: Batch) -> None:
        """The batch will not be written now: what is in it will be in the next one."""
        batch.failed = True

    def write(self, batch: Batch, commit: bytes | None = None) -> None:
        """Make a batch, and with it the commit record, durable. In a worker thread: it waits for the disk.

        The order is: the segments that it points to, then the block entries, then (with the last of them, in one
        transaction) the records.

        Raises:
            OSError: ENOSPC, EIO, ...; the commit record is not written, the changes are in the next batch.
        """
        try:
            self.segments.sync(batch.ends)
            meta = batch.meta if commit is None else {**batch.meta, _COMMIT: commit}
            self._index.write(batch.blocks, meta, batch.ends)
        except BaseException:
            batch.failed = True
            raise
        batch.written = True

    def sync(self) -> None:
        """Make everything that was put durable, waiting for it here."""
        self.write(self.take_pending())

    # Space

    def segment_ends(self) -> dict[int, int]:
        """For every segment that the written index points (or ever pointed) to, the end of the highest piece.

        Bytes behind that belong to nobody but the log and the files being written: see `Segments.garbage`.
        """
        self._settle()
        return self._index.segment_ends()

    def live_ranges(self, segments: Collection[int]) -> dict[int, list[tuple[int, int]]]:
        """The ranges (first byte, byte behind the last) of these segments that blocks lie in, as input for
        `Segments.garbage`. Walks the whole index; memory is proportional to what lies in the segments asked for.
        """
        found: dict[int, list[tuple[int, int]]] = {number: [] for number in segments}
        for multihash in self.multihashes():
            value = self._find(multihash)
            if value is not None and value[0] != INLINE:
                for number, offset, length in unpack_pieces(value, 1):
                    if number in found:
                        found[number].append((offset, offset + length))
        return found

    def stored_bytes(self) -> int:
        """Bytes of disk taken: allocated blocks of all segments, and pages in use of the index. Looks at every file."""
        self._settle()
        return self.segments.stored_bytes() + self._index.stored_bytes()

    # Inside

    def _find(self, multihash: bytes) -> bytes | memoryview | None:
        blocks = self._pending.blocks
        if multihash in blocks:
            return blocks[multihash]
        writing = self._writing
        if writing is not None:
            if multihash in writing.blocks:
                return writing.blocks[multihash]
            if writing.written:
                self._settle()
        value = self._index.get(multihash)
        if self.collector is not None and value is not None and self.collector.condemned(multihash):
            return None
        return value

    def _present(self, cid: CID, multihash: bytes) -> bool:
        if self._find(multihash) is None:
            return identity_data(cid) is not None
        if self.collector is not None:
            self.collector.found(cid)
        return True

    def _settle(self) -> None:
        # A batch that was written can be forgotten, once the snapshot that is read shows it.
        writing = self._writing
        if writing is not None and writing.written:
            self._index.renew()
            self._writing = None

    def _put_value(self, multihash: bytes, value: bytes, pieces: Sequence[Piece]) -> None:
        if self.collector is not None:
            self.collector.born(multihash)
        if pieces:
            self.fresh.append(pieces)
        pending = self._pending
        pending.blocks[multihash] = value
        pending.size += len(value)
        ends = pending.ends
        for number, offset, length in pieces:
            if number and ends.get(number, 0) < offset + length:
                ends[number] = offset + length

    def _pieces(self, cid: CID, value: bytes | memoryview) -> tuple[Piece, ...]:
        if value[0] not in (EXTENTS, WRAPPED):
            raise IndexDamaged(self._index.path, f"the entry of {cid_str(cid)} is of the unknown kind {value[0]}")
        try:
            return unpack_pieces(value, 1)
        except ValueError as error:
            raise IndexDamaged(self._index.path, f"the entry of {cid_str(cid)}: {error}") from None
