"""The index's file looked at page by page: whether LMDB can be trusted with it, and what is in it when not.

LMDB (0.9) has no checksums, and a wrong page number can end the process that follows it.  So the tree of pages is
walked here first.  Layout, little-endian, 64-bit: a page begins with its number (u64), pad (u16), flags (u16), and the
ends of its two parts (u16 each; of an overflow page the number of its pages, u32); pages 0 and 1 hold the two newest
states in turn.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["PAGE_SIZE", "IndexFile", "Unsound"]

PAGE_SIZE = 4096
_PAGE = struct.Struct("<QHHHH")
_OVERFLOW_PAGES = struct.Struct("<I")
_NODE = struct.Struct("<HHHH")
_DB = struct.Struct("<IHHQQQQQ")
_META = struct.Struct("<IIQQ")
_META_END = struct.Struct("<QQ")
_NUMBER = struct.Struct("<Q")

_BRANCH, _LEAF, _OVERFLOW, _IS_META = 1, 2, 4, 8
_KIND = 15
_BIG, _SUB = 1, 2
_MAGIC = 0xBEEFC0DE
_VERSION = 1
_NONE = (1 << 64) - 1
_MAX_KEY = 511
_MAX_DEPTH = 32
_PAGES_MAX = (1 << 40) // PAGE_SIZE
"""As large as an index can be (:mod:`mfs.blocks.index`)."""


class Unsound(Exception):
    """The structure of the file is broken; the message says where."""


class _Database(NamedTuple):
    pad: int
    flags: int
    depth: int
    branches: int
    leaves: int
    overflows: int
    entries: int
    root: int


class _Node(NamedTuple):
    key: bytes
    flags: int
    data: bytes
    big: int
    """The length of a value that lies in overflow pages, whose number is in `data`; else 0."""
    child: int


class IndexFile:
    """The file ``data.mdb`` of an index, for reading; a context manager.

    OSError: it cannot be read.  :class:`Unsound`: it is not even so long as the pages it begins with.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.path = os.path.join(os.fspath(directory), "data.mdb")
        with open(self.path, "rb") as file:
            self.size = os.fstat(file.fileno()).st_size
            if self.size < 2 * PAGE_SIZE:
                raise Unsound(f"{self.path} has {self.size} bytes, less than two pages")
            self._map = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        self.pages = self.size // PAGE_SIZE
        self._last = 0
        self._used = bytearray()

    def __enter__(self) -> IndexFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._map.close()

    # -- is it sound? ---------------------------------------------------------------------------------------------

    def check(self) -> Iterator[None]:
        """Walk the newest state, and the list of free pages.  Raises :class:`Unsound`."""
        states = [self._state(number) for number in (0, 1)]
        (even, *_), (odd, *_) = states
        if (even, odd) != (0, 0) and not (abs(even - odd) == 1 and even % 2 == 0):
            # They are written in turn; where one is not what it was, LMDB would go back to the other.
            raise Unsound(f"its two states are those of changes {even} and {odd}")
        _, databases, self._last = max(states)
        if self._last >= _PAGES_MAX:
            raise Unsound(f"it says that it has {self._last} pages")
        self._used = bytearray(self._last + 1)
        self._used[0] = self._used[1] = 1
        free, main = databases
        named: list[_Database] = []
        for node in self._walk(main, "the list of databases"):
            if node.flags != _SUB or len(node.data) != _DB.size:
                raise Unsound(f"{node.key!r} is not a database")
            named.append(_Database(*_DB.unpack(node.data)))
            if named[-1].flags:
                raise Unsound(f"the database {node.key!r} is of another kind")
            yield
        for database in named:
            for node in self._walk(database, "a database"):
                if node.flags & ~_BIG:
                    raise Unsound(f"the entry {node.key.hex()} is of another kind")
                yield
        for node in self._walk(free, "the list of free pages"):
            data = node.data if not node.big else self._long(node)
            count = len(data) // 8
            numbers = struct.unpack(f"<{count}Q", data[: count * 8])
            if not count or numbers[0] > count - 1:
                raise Unsound("the list of free pages is broken")
            before = self._last + 1
            for number in numbers[1 : numbers[0] + 1]:
                if not 1 < number < before or self._used[number]:
                    raise Unsound(f"page {number} is listed as free and is not, or out of order")
                self._used[number] = 1
                before = number
            yield

    def _state(self, number: int) -> tuple[int, tuple[_Database, _Database], int]:
        at = number * PAGE_SIZE
        own, _, flags, _, _ = _PAGE.unpack_from(self._map, at)
        magic, version, _, _ = _META.unpack_from(self._map, at + _PAGE.size)
        if own != number or flags & _KIND != _IS_META or magic != _MAGIC or version & 0xFFFF != _VERSION:
            raise Unsound(f"page {number} does not begin an LMDB file")
        at += _PAGE.size + _META.size
        free, main = (_Database(*_DB.unpack_from(self._map, at + place * _DB.size)) for place in (0, 1))
        if free.pad != PAGE_SIZE:
            raise Unsound(f"page {number} says pages of {free.pad} bytes")
        last, txn = _META_END.unpack_from(self._map, at + 2 * _DB.size)
        return txn, (free, main), last

    def _walk(self, database: _Database, what: str) -> Iterator[_Node]:
        """The leaves' nodes in order, everything about the pages checked."""
        count = 0
        if database.root != _NONE:
            if not 0 < database.depth <= _MAX_DEPTH:
                raise Unsound(f"{what} is {database.depth} pages deep")
            # The list of free pages is ordered by number.
            integers = bool(database.flags & 8)
            before: bytes | int | None = None
            for node in self._below(database.root, database.depth, what):
                key: bytes | int = int.from_bytes(node.key, "little") if integers else node.key
                if before is not None and not key > before:  # type: ignore[operator]
                    raise Unsound(f"the keys of {what} do not rise")
                before = key
                count += 1
                yield node
        if count != database.entries:
            raise Unsound(f"{what} has {count} entries, and says {database.entries}")

    def _below(self, number: int, depth: int, what: str) -> Iterator[_Node]:
        flags, nodes = self._page(number)
        if flags != (_LEAF if depth == 1 else _BRANCH):
            raise Unsound(f"page {number} of {what} is of another kind")
        for place, node in enumerate(nodes):
            if depth > 1:
                first: bytes | None = None
                for below in self._below(node.child, depth - 1, what):
                    if first is None and place and below.key < node.key and len(below.key) != 8:
                        raise Unsound(f"page {node.child} of {what} has keys that belong before it")
                    first = below.key
                    yield below
            else:
                if node.big:
                    self._big(node)
                yield node

    def _page(self, number: int) -> tuple[int, list[_Node]]:
        if not 1 < number <= self._last or self._used[number]:
            raise Unsound(f"page {number} is used twice, or is none")
        if number >= self.pages:
            # Behind its end there may be free pages that were never written.
            raise Unsound(f"it ends at page {self.pages}, page {number} is in use")
        self._used[number] = 1
        own, _, flags, lower, upper = _PAGE.unpack_from(self._map, number * PAGE_SIZE)
        if own != number or flags not in (_BRANCH, _LEAF):
            raise Unsound(f"page {number} says that it is page {own}, of kind {flags:#x}")
        nodes = list(self._nodes(number, flags, lower, upper))
        return flags, nodes

    def _nodes(self, number: int, flags: int, lower: int, upper: int) -> Iterator[_Node]:
        start = number * PAGE_SIZE
        if not _PAGE.size <= lower <= upper <= PAGE_SIZE or lower % 2:
            raise Unsound(f"page {number} has its parts at {lower} and {upper}")
        pointers = struct.unpack_from(f"<{(lower - _PAGE.size) // 2}H", self._map, start + _PAGE.size)
        if not pointers:
            raise Unsound(f"page {number} is empty")
        for at in pointers:
            if not upper <= at <= PAGE_SIZE - _NODE.size:
                raise Unsound(f"page {number} has an entry at {at}")
            low, high, third, length = _NODE.unpack_from(self._map, start + at)
            data_at = at + _NODE.size + length
            if length > _MAX_KEY or data_at > PAGE_SIZE:
                raise Unsound(f"page {number} has a key of {length} bytes at {at}")
            key = self._map[start + at + _NODE.size : start + data_at]
            size = low | high << 16
            if flags & _BRANCH:
                yield _Node(key, 0, b"", 0, size | third << 32)
                continue
            held = _NUMBER.size if third & _BIG else size
            if data_at + held > PAGE_SIZE:
                raise Unsound(f"page {number} has a value of {size} bytes at {at}")
            data = self._map[start + data_at : start + data_at + held]
            yield _Node(key, third, data, size if third & _BIG else 0, 0)

    def _big(self, node: _Node) -> None:
        """Take down the overflow pages that hold the value."""
        self._long(node)
        (number,) = _NUMBER.unpack(node.data)
        (pages,) = _OVERFLOW_PAGES.unpack_from(self._map, number * PAGE_SIZE + 12)
        for page in range(number, number + pages):
            if page > min(self._last, self.pages - 1) or self._used[page]:
                raise Unsound(f"page {page} is used twice, or is none")
            self._used[page] = 1

    def _long(self, node: _Node) -> bytes:
        """The value in overflow pages."""
        (number,) = _NUMBER.unpack(node.data)
        count = -(-(_PAGE.size + node.big) // PAGE_SIZE)
        if not 1 < number or number + count > min(self._last + 1, self.pages):
            raise Unsound(f"a value of {node.big} bytes lies in page {number}")
        own, _, flags, _, _ = _PAGE.unpack_from(self._map, number * PAGE_SIZE)
        (pages,) = _OVERFLOW_PAGES.unpack_from(self._map, number * PAGE_SIZE + 12)
        if own != number or flags != _OVERFLOW or pages < count:
            raise Unsound(f"page {number} does not hold a long value")
        start = number * PAGE_SIZE + _PAGE.size
        return self._map[start : start + node.big]

    # -- what is in it? -------------------------------------------------------------------------------------------

    def entries(self) -> Iterator[tuple[bytes, bytes] | None]:
        """Whatever looks like an entry, key and value, in whatever page, of any state; None after each page.

        What was removed or changed may be among them in its old form, and what never was.
        """
        self._last = self.pages - 1
        for number in range(2, self.pages):
            _, _, flags, lower, upper = _PAGE.unpack_from(self._map, number * PAGE_SIZE)
            if flags & _KIND == _LEAF:
                nodes = self._nodes(number, flags, lower, upper)
                while True:
                    try:
                        node = next(nodes)
                        if node.flags & _SUB:
                            continue
                        data = self._long(node) if node.big else node.data
                    except StopIteration:
                        break
                    except Unsound:
                        # The rest of a page whose beginning was read may be as good.
                        break
                    yield node.key, data
            yield None
