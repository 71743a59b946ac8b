"""The bytes of one file: a committed tree underneath, changed leaves on top.

``base`` is a committed UnixFS file.  Of its leaves the first ``base_leaves`` still count; ``leaves`` are those that
changed since, by index.  A leaf that is in neither is zeros.  Three rules keep that simple:

1. a leaf of the base that counts is taken whole, with the length it has there: who cuts it, or lets the file grow past
   a short last one, first takes it up into ``leaves``;
2. a leaf in ``leaves`` tells all of its bytes, so what the base has there no longer matters;
3. leaves are never changed in place (:mod:`mfs.file.leaf`), so copying a file is copying one dictionary.

A base that came from elsewhere may be cut and laid out in another way (``foreign``).  As long as nothing changes, it
is the file, block for block.  Here its leaves are stretches of ``chunk`` bytes like any others, whatever blocks hold
them; only the commit looks at the difference, and cuts a changed file anew.

Nothing here is proportional to the file but ``leaves``, and a commit empties that.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from typing import Protocol

from mfs.blocks.pieces import Piece, slice_pieces, total_length, zeros
from mfs.file.leaf import Leaf, Pieces, join
from mfs.unixfs.cid import CID

NO_CUT = 1 << 62
"""A leaf index that no file reaches."""

_RECENT = 8
"""How many leaves of the base a file remembers the pieces of."""


class NotInPieces(Exception):
    """Bytes of a committed file lie in the index or amid a block: they can be read, but no piece has them."""


class Unexamined(OSError):
    """A foreign file has to be looked over before it is changed (:mod:`mfs.file.examine`); nothing was done to it."""

    def __init__(self, content: Content) -> None:
        super().__init__(errno.EIO, "a file of another layout was to be changed without being looked over")
        self.content = content


class Medium(Protocol):
    """What a file needs of the place where bytes lie."""

    chunk: int
    """Bytes of a whole leaf."""

    def base_pieces(self, base: CID, start: int, stop: int) -> Pieces:
        """Where the bytes `start` to `stop` of the committed file `base` lie.  :class:`NotInPieces`."""

    def placed_pieces(self, base: CID, start: int, stop: int) -> Pieces:
        """The same for one who keeps the pieces: bytes that are in none are put into a segment."""

    def base_bytes(self, base: CID, start: int, stop: int) -> bytes:
        """The bytes `start` to `stop` of the committed file `base`."""

    def bytes_in(self, pieces: Pieces) -> bytes:
        """The bytes of pieces."""

    def base_data(self, base: CID, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """The ranges between `start` and `stop` of the committed file `base` that are not holes, in order."""

    def leaf_pieces(self, leaf: Leaf) -> Pieces:
        """Where the bytes of a leaf lie that knows its CID alone."""

    def filled(self, content: Content, index: int) -> None:
        """Leaf `index` of `content` is full: it may be hashed while the file goes on."""


class Unlogged:
    """What the log does not know yet of one file."""

    __slots__ = ("cut", "grown", "leaves", "reset")

    def __init__(self) -> None:
        self.reset = False
        self.grown = False
        self.cut = NO_CUT
        # An empty set takes three times as much, and nearly every file there is has an empty one.
        self.leaves: dict[int, None] = {}

    def __bool__(self) -> bool:
        return self.reset or self.grown or self.cut != NO_CUT or bool(self.leaves)

    def absorb(self, later: Unlogged) -> None:
        """Take up what came `later`."""
        if later.reset:
            self.reset, self.cut, self.leaves = True, NO_CUT, dict(later.leaves)
            return
        self.grown |= later.grown
        self.cut = min(self.cut, later.cut)
        self.leaves |= later.leaves


class Content:
    """The bytes of one regular file, and how long it is (`size`, bytes)."""

    __slots__ = (
        "base",
        "base_leaves",
        "base_size",
        "base_tsize",
        "bound",
        "committing",
        "epoch",
        "examined",
        "foreign",
        "leaves",
        "medium",
        "recent",
        "size",
        "unlogged",
    )

    def __init__(
        self, medium: Medium, base: CID | None = None, size: int = 0, tsize: int = 0, *, foreign: bool = False
    ) -> None:
        self.medium = medium
        self.base = base
        self.foreign = foreign
        """The base may be of another layout than the profile's."""
        self.examined = False
        """Whether it was looked over since, as it has to be before it is changed (:mod:`mfs.file.examine`)."""
        self.base_size = size
        self.base_tsize = tsize
        self.base_leaves = -(-size // medium.chunk)
        self.size = size
        self.leaves: dict[int, Leaf] = {}
        self.recent: dict[int, Pieces] = {}
        self.epoch = 0
        """Goes up when the whole content is exchanged: a commit under way then has nothing to say here any more."""
        self.bound = NO_CUT
        """The least number of leaves the file was cut to while a commit was under way."""
        self.unlogged = Unlogged()
        self.committing: Unlogged | None = None
        """What the log did not know at the point in time of a commit under way."""

    # -- asking ---------------------------------------------------------------------------------------------------

    @property
    def clean(self) -> bool:
        """Whether the base is the file, byte for byte, so that its CID is known."""
        return (
            self.base is not None
            and not self.leaves
            and self.size == self.base_size
            and self.base_leaves == -(-self.size // self.medium.chunk)
        )

    def pieces_of(self, index: int) -> Pieces:
        """Where the bytes of leaf `index` lie, for one who keeps them; what is missing up to its end is zeros."""
        try:
            return self._seen(index)
        except NotInPieces:
            assert self.base is not None
            chunk = self.medium.chunk
            return self.medium.placed_pieces(self.base, index * chunk, min((index + 1) * chunk, self.base_size))

    def _seen(self, index: int) -> Pieces:
        """The same for one who only reads.  :class:`NotInPieces`."""
        leaf = self.leaves.get(index)
        if leaf is not None:
            return leaf.pieces if leaf.pieces is not None else self.medium.leaf_pieces(leaf)
        if index >= self.base_leaves or self.base is None:
            return ()
        pieces = self.recent.get(index)
        if pieces is None:
            chunk = self.medium.chunk
            pieces = self.medium.base_pieces(self.base, index * chunk, min((index + 1) * chunk, self.base_size))
            if len(self.recent) >= _RECENT:
                del self.recent[next(iter(self.recent))]
            self.recent[index] = pieces
        return pieces

    def length_of(self, index: int) -> int:
        """How many bytes of leaf `index` are more than the zeros behind them."""
        leaf = self.leaves.get(index)
        if leaf is not None:
            return leaf.length
        if index >= self.base_leaves:
            return 0
        return min(self.medium.chunk, self.base_size - index * self.medium.chunk)

    def read(self, offset: int, size: int) -> list[Piece]:
        """Where the bytes `offset` to `offset + size` lie, zeros among them; fewer at the end of the file.

        :class:`NotInPieces`: some are in no piece; :meth:`read_bytes` has them, and :meth:`take` gives them a place.
        """
        if self.foreign and self.base is not None and self.clean:
            # Its blocks may be tiny: no more of them are looked at than were asked for.
            end = min(offset + size, self.size)
            return list(self.medium.base_pieces(self.base, offset, end)) if offset < end else []
        return self._read(offset, size, self._seen)

    def take(self, offset: int, size: int) -> list[Piece]:
        """The same for one who keeps the pieces."""
        return self._read(offset, size, self.pieces_of)

    def _read(self, offset: int, size: int, pieces_of: Callable[[int], Pieces]) -> list[Piece]:
        end = min(offset + size, self.size)
        found: list[Piece] = []
        chunk = self.medium.chunk
        while offset < end:
            index, start = divmod(offset, chunk)
            stop = min(chunk, start + end - offset)
            pieces = pieces_of(index)
            if len(pieces) == 1 and stop <= pieces[0][2]:
                segment, at, _ = pieces[0]
                found.append((segment, at + start if segment else 0, stop - start))
            else:
                part = slice_pieces(pieces, start, stop)
                found += part
                missing = stop - start - total_length(part)
                if missing:
                    found += zeros(missing)
            offset += stop - start
        return found

    def read_bytes(self, offset: int, size: int) -> bytes:
        """The bytes `offset` to `offset + size`, fewer at the end of the file, wherever they lie."""
        end = min(offset + size, self.size)
        parts: list[bytes] = []
        chunk = self.medium.chunk
        while offset < end:
            index, start = divmod(offset, chunk)
            stop = min(chunk, start + end - offset)
            leaf = self.leaves.get(index)
            if leaf is None and self.base is not None and index < self.base_leaves:
                part = self.medium.base_bytes(self.base, offset, min(offset - start + stop, self.base_size))
            else:
                part = self.medium.bytes_in(slice_pieces(self._seen(index), start, stop))
            parts += (part, bytes(stop - start - len(part)))
            offset += stop - start
        return b"".join(parts)

    def data_from(self, offset: int) -> Iterator[tuple[int, int]]:
        """The ranges ``(start, stop)`` from `offset` on that some piece holds, in order; between them are holes."""
        chunk = self.medium.chunk
        first = offset // chunk
        base_end = min(self.base_leaves * chunk, self.base_size)
        for index in [*sorted(i for i in self.leaves if i >= first), NO_CUT]:
            stop = min(index * chunk, base_end)
            if self.base is not None and offset < stop:
                yield from self.medium.base_data(self.base, offset, stop)
            if index == NO_CUT:
                return
            at = index * chunk
            for segment, _, length in self._seen(index):
                stop = min(at + length, self.size)
                if segment and stop > offset:
                    yield max(at, offset), stop
                at += length
            offset = max(offset, (index + 1) * chunk)

    # -- changing -------------------------------------------------------------------------------------------------

    def write(self, offset: int, piece: Piece) -> None:
        """The bytes of `piece` are now at `offset`.  :class:`Unexamined`, here and where the file is cut."""
        if self.foreign and not self.examined:
            raise Unexamined(self)
        segment, at, length = piece
        end = offset + length
        if end > self.size:
            self._grow(end)
        chunk = self.medium.chunk
        while offset < end:
            index, start = divmod(offset, chunk)
            take = min(chunk - start, end - offset)
            self._put(index, start, ((segment, at if segment else 0, take),), take)
            offset += take
            at += take

    def write_pieces(self, offset: int, pieces: list[Piece]) -> None:
        """The bytes of `pieces`, one behind the other, are now at `offset`."""
        for piece in pieces:
            self.write(offset, piece)
            offset += piece[2]

    def put_leaf(self, index: int, leaf: Leaf) -> None:
        """Leaf `index`, which lies wholly inside the file, is now `leaf`."""
        if self.foreign and not self.examined:
            raise Unexamined(self)
        self.leaves[index] = leaf
        self.unlogged.leaves[index] = None

    def truncate(self, size: int) -> None:
        """The file is now `size` bytes long: cut there, or zeros up to there."""
        if size == self.size:
            return
        if size == 0:
            self.replace(None, 0, 0)
            return
        if self.foreign and not self.examined:
            raise Unexamined(self)
        if size > self.size:
            self._grow(size)
            return
        chunk = self.medium.chunk
        index, keep = divmod(size, chunk)
        if keep and self.length_of(index) > keep:
            self.leaves[index] = Leaf(slice_pieces(self.pieces_of(index), 0, keep), keep)
            self.unlogged.leaves[index] = None
        elif keep and index < self.base_leaves and index not in self.leaves:
            self._take_up(index)
        first = index + 1 if keep else index
        for gone in [i for i in self.leaves if i >= first]:
            del self.leaves[gone]
        if index < self.base_leaves:
            self.base_leaves = index
        self.bound = min(self.bound, index)
        self.unlogged.cut = min(self.unlogged.cut, size)
        self.unlogged.leaves = {i: None for i in self.unlogged.leaves if i < first}
        self.size = size

    def replace(self, base: CID | None, size: int, tsize: int, *, foreign: bool = False) -> None:
        """The file is now `base`, whole, or empty."""
        self.base, self.base_size, self.base_tsize = base, size, tsize
        self.foreign = foreign
        self.examined = False
        self.base_leaves = -(-size // self.medium.chunk)
        self.size = size
        self.leaves = {}
        self.recent = {}
        self.epoch += 1
        self.unlogged = Unlogged()
        self.unlogged.reset = True

    def become(self, source: Content) -> None:
        """The file is now what `source` is, uncommitted bytes and all; no byte and no hash is touched."""
        self.replace(source.base, source.base_size, source.base_tsize, foreign=source.foreign)
        self.examined = source.examined
        self.base_leaves = source.base_leaves
        self.size = source.size
        self.leaves = source.leaves.copy()
        self.unlogged.leaves = dict.fromkeys(self.leaves)

    def _grow(self, size: int) -> None:
        """Let the file grow: a short last leaf of the base no longer counts as it is (rule 1)."""
        last, short = divmod(self.base_size, self.medium.chunk)
        if short and last < self.base_leaves and size > self.base_size and last not in self.leaves:
            self._take_up(last)
        if size != self.size:
            self.size = size
            self.unlogged.grown = True

    def _take_up(self, index: int) -> None:
        self.leaves[index] = Leaf(self.pieces_of(index), self.length_of(index))
        self.unlogged.leaves[index] = None

    def _put(self, index: int, start: int, pieces: Pieces, length: int) -> None:
        leaf = self.leaves.get(index)
        if leaf is not None and leaf.pieces is not None:
            old, held = leaf.pieces, leaf.length
        else:
            old, held = self.pieces_of(index), self.length_of(index)
        end = start + length
        if start == held:
            new = join(old, pieces) if held else pieces
        elif start > held:
            new = join(join(old, zeros(start - held)), pieces)
        else:
            new = join(slice_pieces(old, 0, start), pieces)
            if end < held:
                new = join(new, slice_pieces(old, end, held))
                end = held
        leaf = Leaf(new, end)
        self.leaves[index] = leaf
        self.unlogged.leaves[index] = None
        if start + length == self.medium.chunk:
            self.medium.filled(self, index)

    # -- committing -----------------------------------------------------------------------------------------------

    def begin_commit(self) -> Snapshot:
        """Take down what the file is at this point in time."""
        self.bound = NO_CUT
        self.committing = self.unlogged
        self.unlogged = Unlogged()
        return Snapshot(self)

    def end_commit(self, taken: Snapshot, base: CID, tsize: int, *, changed: bool = True) -> None:
        """The commit of `taken` is durable: what did not change since is the base now.

        Not `changed`: that commit found the bytes of the one before, and its layout.
        """
        self.committing = None
        if taken.epoch != self.epoch:
            return
        self.foreign = taken.foreign and not changed
        self.base, self.base_size, self.base_tsize = base, taken.size, tsize
        self.base_leaves = min(-(-taken.size // self.medium.chunk), self.bound)
        self.recent = {}
        # A leaf behind the cut may be the very one that was taken, and the base no longer counts for it.
        counts, was = self.base_leaves, taken.leaves
        self.leaves = {i: leaf for i, leaf in self.leaves.items() if i >= counts or was.get(i) is not leaf}
        if self.size > taken.size:
            self._grow(self.size)

    def fail_commit(self) -> None:
        """The commit came to nothing: what it took down is to be logged and committed still."""
        if self.committing is not None:
            self.committing.absorb(self.unlogged)
            self.unlogged, self.committing = self.committing, None

    def to_log(self) -> Unlogged:
        """All that the log does not know, a commit under way or not."""
        if self.committing is None:
            return self.unlogged
        both = Unlogged()
        both.absorb(self.committing)
        both.absorb(self.unlogged)
        return both

    def logged(self) -> None:
        """The log knows everything now."""
        self.unlogged = Unlogged()
        if self.committing is not None:
            self.committing = Unlogged()


class Snapshot:
    """A file at a commit's point in time."""

    __slots__ = ("base", "base_leaves", "base_size", "base_tsize", "epoch", "foreign", "leaves", "size")

    def __init__(self, content: Content) -> None:
        self.base = content.base
        self.base_size = content.base_size
        self.base_tsize = content.base_tsize
        self.base_leaves = content.base_leaves
        self.size = content.size
        self.foreign = content.foreign
        self.epoch = content.epoch
        self.leaves = content.leaves.copy()
