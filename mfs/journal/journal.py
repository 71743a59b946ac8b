"""Making `fsync` durable: one record, one sync, shared by all who ask at the same time.

A record holds every name and attribute that changed since the record before, so the tree it leads to is whole, and the
bytes of the files that were asked for: as pieces of segments, and small ones themselves, so that no second sync is
needed.  Writing it neither hashes nor waits for another file's bytes.

A commit makes the records before it needless.  It takes effect seconds after its point in time, and until then both
the log from before that point and the one from after it count; see :meth:`Journal.switch`.
"""

from __future__ import annotations

import contextlib
import errno
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import TypeAlias

import trio

from mfs.blocks.pieces import Piece
from mfs.blocks.segments import Segments
from mfs.file.content import Unlogged
from mfs.file.leaf import Leaf
from mfs.journal.items import BytesItem, ContentItem, GoneItem, InodeItem, NameItem, NextItem, XattrItem, pack_item
from mfs.log import MAX_PAYLOAD, Log
from mfs.tree.node import Directory, File, Node
from mfs.tree.record import NO_STATS, pack_content, pack_references
from mfs.tree.tree import Tree
from mfs.tree.xattrs import get_xattr
from mfs.unixfs.cid import CID

INLINE_MAX = 128 << 10
"""Up to so many bytes that are not durable yet are put into the record itself."""


def pack_node(node: Node) -> bytes:
    """The inode as the metadata map would hold it, with the content of the last commit."""
    entries, stats = (node.entries, node.stats) if isinstance(node, Directory) else (0, NO_STATS)
    return b"".join(
        (
            node.attributes(),
            pack_content(node.size, node.tsize, entries, stats, node.cid),
            pack_references(node.references, node.target),
        )
    )


class RecordTooLong(OSError):
    """So much changed since the last record that the log does not take it (64 MiB); a commit does."""

    def __init__(self, length: int) -> None:
        super().__init__(errno.EFBIG, f"a log record of {length} bytes")


_Unlogged: TypeAlias = tuple[dict[int, Node], dict[tuple[int, bytes], None], dict[tuple[int, bytes], None]]


class _Round:
    """Those who wait for the same record."""

    def __init__(self) -> None:
        self.files: dict[int, File] = {}
        self.done = False
        self.error: OSError | None = None


class _Taken:
    """What a record under way says, to be said again should it fail."""

    def __init__(self, tree: Tree) -> None:
        self.nodes, tree.unlogged = tree.unlogged, {}
        self.names, tree.unlogged_names = tree.unlogged_names, {}
        self.xattrs, tree.unlogged_xattrs = tree.unlogged_xattrs, {}
        self.contents: list[tuple[File, Unlogged]] = []
        self.ranges: list[tuple[int, int, int]] = []
        self.segments: set[int] = set()
        self.record = b""

    def __bool__(self) -> bool:
        """Whether there is anything to write, or to sync."""
        return bool(self.segments or self.record)

    def put_back(self, tree: Tree) -> None:
        for ino, node in self.nodes.items():
            tree.unlogged.setdefault(ino, node)
        for name in self.names:
            tree.unlogged_names.setdefault(name)
        for xattr in self.xattrs:
            tree.unlogged_xattrs.setdefault(xattr)
        for file, unlogged in self.contents:
            unlogged.absorb(file.content.unlogged)
            file.content.unlogged = unlogged


class _UnderWay:
    """A record that is written while the tree's thread does other things."""

    def __init__(self, taken: _Taken, done: Future[None]) -> None:
        self.taken = taken
        self.done = done
        self.written = False
        self.error: BaseException | None = None


class Journal:
    """The log of one volume, seen from the tree.

    `start_log` makes the next log, given its number and the one before; it waits for the disk and is called
    in a worker thread.  ``lock`` keeps a commit's point in time from falling into the middle of a record.
    """

    def __init__(self, tree: Tree, segments: Segments, log: Log, start_log: Callable[[int, Log], Log]) -> None:
        self.tree = tree
        self.lock = trio.Semaphore(1, max_value=1)  # one task takes it, and another may give it back
        self._segments = segments
        self._start_log = start_log
        self._next: _Round | None = None
        self._under_way: _UnderWay | None = None
        self._inlined: list[dict[int, list[tuple[int, int]]]] = [{}]
        """For each log: by segment, the bytes that are in its records."""
        self._logs: list[Log] = [log]
        self._pieces: list[set[Piece]] = [set()]
        self._bases: list[set[CID]] = [set()]
        self._committing: _Unlogged | None = None

    @property
    def sequence(self) -> int:
        """The number of the log that is written now."""
        return self._logs[-1].seq

    @property
    def fresh(self) -> bool:
        """Whether the log that is written now has no record yet."""
        return self._logs[-1].empty

    async def sync(self, node: Node) -> None:
        """Return when everything done to `node` so far can no longer be lost.

        OSError: the disk did not take it.  :class:`RecordTooLong`: the log does not; a commit is needed.
        """
        if self._next is None:
            self._next = _Round()
        current = self._next
        if isinstance(node, File):
            current.files[node.ino] = node
        with trio.CancelScope(shield=True):
            async with self.lock:
                if not current.done:
                    self._next = None
                    await self._write(current)
        if isinstance(current.error, RecordTooLong):
            raise current.error
        if current.error is not None:
            raise _told(current.error)

    def sync_at_once(self, node: Node) -> Future[None] | None:
        """As :meth:`sync`, begun before this returns and completed by the thread that waits for the disk.

        None where that cannot be, because a record or a commit is under way or the log does not take so much:
        :meth:`sync` then.
        """
        self._settle()
        if self._next is not None:
            return None
        try:
            self.lock.acquire_nowait()
        except trio.WouldBlock:
            return None
        try:
            taken = self._take([node] if isinstance(node, File) else [])
        except RecordTooLong:
            self.lock.release()
            return None
        except BaseException:
            self.lock.release()
            raise
        done: Future[None] = Future()
        if not taken:
            self._persisted(taken)
            self.lock.release()
            done.set_result(None)
            return done
        done.set_running_or_notify_cancel()  # it can no longer be cancelled
        under_way = self._under_way = _UnderWay(taken, done)
        token, log = trio.lowlevel.current_trio_token(), self._logs[-1]

        def persist() -> None:
            try:
                self._persist(log, taken)
            except BaseException as error:  # noqa: BLE001 - told to whoever waits
                under_way.error = error

        def deliver(_: object) -> None:
            under_way.written = True
            with contextlib.suppress(trio.RunFinishedError):
                token.run_sync_soon(self._settle)
            if under_way.error is None:
                done.set_result(None)
            else:
                done.set_exception(_told(under_way.error))

        try:
            trio.lowlevel.start_thread_soon(persist, deliver)
        except BaseException as error:
            # No thread was to be had.
            under_way.error, under_way.written = error, True
            self._settle()
            raise
        return done

    def _settle(self) -> None:
        """What follows from a record that :meth:`sync_at_once` began, once it is written; on the tree's thread."""
        under_way = self._under_way
        if under_way is None or not under_way.written:
            return
        self._under_way = None
        if under_way.error is None:
            self._persisted(under_way.taken)
        else:
            under_way.taken.put_back(self.tree)
        self.lock.release()

    async def _write(self, current: _Round) -> None:
        try:
            taken = self._take(current.files.values())
            try:
                if taken:
                    await trio.to_thread.run_sync(self._persist, self._logs[-1], taken)
            except BaseException:
                taken.put_back(self.tree)
                raise
        except OSError as error:
            current.error = error
        except BaseException as error:
            current.error = _told(error)
            current.done = True
            raise
        else:
            self._persisted(taken)
        current.done = True

    def _take(self, wanted: Iterable[File]) -> _Taken:
        """The next record: all that was not logged yet of names and attributes, and of the bytes of `wanted`.

        Any error, :class:`RecordTooLong` too: everything is to be logged still.
        """
        tree = self.tree
        files = {file.ino: file for file in wanted}
        names, nodes, xattrs = tree.unlogged_names, tree.unlogged, tree.unlogged_xattrs
        if self._committing is not None:
            # A commit that is not durable yet may come to nothing: what it covers is to be said as well.
            nodes = {**self._committing[0], **nodes}
            names = {**self._committing[1], **names}
            xattrs = {**self._committing[2], **xattrs}
            self._committing = ({}, {}, {})
        for node in nodes.values():
            if isinstance(node, File) and node.carried and node.nlink:
                files[node.ino] = node
        taken = _Taken(tree)
        taken.nodes, taken.names, taken.xattrs = nodes, names, xattrs
        parts: list[bytes] = []
        try:
            taken.segments = self._describe(taken, files.values(), parts)
            if parts:
                parts.insert(0, pack_item(NextItem(tree.next_ino)))
            taken.record = b"".join(parts)
            if len(taken.record) > MAX_PAYLOAD:
                raise RecordTooLong(len(taken.record))
        except BaseException:
            taken.put_back(tree)
            raise
        return taken

    def _persist(self, log: Log, taken: _Taken) -> None:
        if taken.segments:
            self._segments.sync(taken.segments)
        if taken.record:
            log.write(taken.record)

    def _persisted(self, taken: _Taken) -> None:
        for number, first, last in taken.ranges:
            held = self._inlined[-1].setdefault(number, [])
            if held and held[-1][1] == first:
                held[-1] = (held[-1][0], last)
            else:
                held.append((first, last))
        for file, _ in taken.contents:
            file.carried = False

    def _describe(self, taken: _Taken, files: Iterable[File], parts: list[bytes]) -> set[int]:
        """Fill `parts` with the items of a record; says which segments have to be synced before."""
        tree = self.tree
        for ino, node in taken.nodes.items():
            parts.append(pack_item(InodeItem(ino, pack_node(node)) if node.nlink else GoneItem(ino)))
        for parent, name in taken.names:
            directory = tree.nodes.get(parent)
            if isinstance(directory, Directory) and directory.nlink:
                entry = tree.entry(directory, name)
                item = NameItem(parent, entry.ino, entry.dtype, name) if entry else NameItem(parent, 0, 0, name)
                parts.append(pack_item(item))
        for ino, name in taken.xattrs:
            holder = tree.nodes.get(ino)
            if holder is not None and holder.nlink:
                parts.append(pack_item(XattrItem(ino, name, get_xattr(tree, holder, name))))
        pieces: list[Piece] = []
        for file in files:
            if file.nlink and (unlogged := file.content.to_log()):
                taken.contents.append((file, unlogged))
                parts.append(pack_item(self._content(file, unlogged, pieces)))
                file.content.logged()
        self._pieces[-1].update(pieces)
        return self._place(taken, pieces, parts)

    def _content(self, file: File, unlogged: Unlogged, pieces: list[Piece]) -> ContentItem:
        content = file.content
        if unlogged.reset and content.base is not None:
            self._bases[-1].add(content.base)
        leaves = []
        for index in sorted(unlogged.leaves):
            leaf = content.leaves.get(index)
            if leaf is not None or index < content.base_leaves:
                held = content.pieces_of(index)
                leaves.append((index, Leaf(held, content.length_of(index))))
                pieces += held
        return ContentItem(
            file.ino,
            unlogged.reset,
            content.size,
            unlogged.cut,
            content.base if unlogged.reset else None,
            content.base_size if unlogged.reset else 0,
            content.base_tsize if unlogged.reset else 0,
            content.base_leaves if unlogged.reset else 0,
            leaves,
            content.foreign and unlogged.reset,
        )

    def _place(self, taken: _Taken, pieces: list[Piece], parts: list[bytes]) -> set[int]:
        """Put the bytes of `pieces` that are not durable into `parts`, or name their segments when they are many."""
        missing: dict[int, list[tuple[int, int]]] = {}
        for number, offset, length in pieces:
            if number and self._segments.unsynced((number, offset, length)):
                first = max(offset, self._segments.synced(number))
                missing.setdefault(number, []).append((first, offset + length))
        ranges = []
        for number, wanted in missing.items():
            left = wanted
            for inlined in self._inlined:
                left = _without(left, inlined.get(number, ()))
            ranges += [(number, first, last) for first, last in left]
        if sum(last - first for _, first, last in ranges) > INLINE_MAX:
            return {number for number, _, _ in ranges}
        for number, first, last in ranges:
            data = self._segments.read(((number, first, last - first),))
            parts.append(pack_item(BytesItem(number, first, data)))
        taken.ranges = ranges
        return set()

    # -- commits --------------------------------------------------------------------------------------------------

    async def prepare(self) -> Log | None:
        """A log for what comes after a commit's point in time; None where the one there is has no record yet."""
        log = self._logs[-1]
        if log.empty:
            return None
        return await trio.to_thread.run_sync(self._start_log, log.seq + 1, log)

    def switch(self, log: Log | None) -> int:
        """A commit's point in time is now; says from which log on the records count when it is durable.

        `log` is what :meth:`prepare` gave.  To be called with :attr:`lock` held.
        """
        if log is not None:
            self._logs.append(log)
            self._pieces.append(set())
            self._bases.append(set())
            self._inlined.append({})
        tree = self.tree
        self._committing = (tree.unlogged, tree.unlogged_names, tree.unlogged_xattrs)
        tree.unlogged, tree.unlogged_names, tree.unlogged_xattrs = {}, {}, {}
        return self.sequence

    def landed(self, sequence: int) -> None:
        """The commit is durable: the logs before `sequence` count no more."""
        self._committing = None
        while self._logs[0].seq < sequence:
            self._logs.pop(0).close()
            self._pieces.pop(0)
            self._bases.pop(0)
            self._inlined.pop(0)

    def failed(self) -> None:
        """The commit came to nothing: what it would have covered is to be logged still."""
        if self._committing is not None:
            nodes, names, xattrs = self._committing
            self.tree.unlogged = {**nodes, **self.tree.unlogged}
            self.tree.unlogged_names = {**names, **self.tree.unlogged_names}
            self.tree.unlogged_xattrs = {**xattrs, **self.tree.unlogged_xattrs}
            self._committing = None

    def pieces(self) -> Iterable[Piece]:
        """All pieces that a record which still counts points to."""
        for pieces in self._pieces:
            yield from pieces

    def bases(self) -> Iterable[CID]:
        """All committed files that a record which still counts begins with."""
        for bases in self._bases:
            yield from bases

    def close(self) -> None:
        """Let go of the log files, when what is being written to them is."""
        if self._under_way is not None:
            self._under_way.done.exception()
        for log in self._logs:
            log.close()


def _told(error: BaseException) -> OSError:
    """What whoever waits for a record is told of an error that may be anything."""
    if isinstance(error, OSError):
        return OSError(error.errno or errno.EIO, error.strerror or str(error))
    return OSError(errno.EIO, f"not logged: {error}")


def _without(wanted: list[tuple[int, int]], held: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The parts of the ranges `wanted` that are in none of the ranges `held`, which rise (bytes are appended)."""
    left = _merged(wanted)
    if not left:
        return left
    for start, stop in held[bisect_right(held, left[0][0], key=lambda one: one[1]) :]:
        if not left or start >= left[-1][1]:
            break
        parts = []
        for first, last in left:
            if stop <= first or last <= start:
                parts.append((first, last))
                continue
            if first < start:
                parts.append((first, start))
            if stop < last:
                parts.append((stop, last))
        left = parts
    return left


def _merged(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged
