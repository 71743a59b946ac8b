"""Finding what roots lead to, and the write barrier while that goes on."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

from mfs.blocks.errors import BlockNotFound
from mfs.gc.marks import Marks
from mfs.meta.node import Far, decode_node
from mfs.tree.record import unpack_inode
from mfs.unixfs.cid import CID, DAG_PB, codec_of, identity_data, multihash_of
from mfs.unixfs.dagpb import decode_node as decode_links
from mfs.unixfs.errors import MalformedBlock

if TYPE_CHECKING:
    from mfs.blocks.store import EmbeddedStore

__all__ = ["LIVE", "MAPPED", "WALKED", "Marker"]

LIVE = 1
"""The block is needed."""
WALKED = 2
"""And so is what it links to as a dag-pb node."""
MAPPED = 4
"""And what it leads to as a node of a metadata map.  (The same bytes may be a file that somebody stored.)"""

_INODE = 0
_STRIDE = 64


class Marker:
    """Marks the blocks of one moment, in `marks`, that roots lead to.

    Roots are given with :meth:`unixfs`, :meth:`map` and :meth:`block`, and followed by :meth:`run`.  What lies behind a
    root has to be there: what was garbage, and is found present by somebody, may be incomplete.
    """

    def __init__(self, store: EmbeddedStore, marks: Marks) -> None:
        self._store = store
        self._marks = marks
        self._waiting: list[tuple[CID, bool]] = []
        self._maps: list[CID] = []
        self._filled = False
        self._early: list[bytes] = []
        self._condemning = False
        self.marked = 0
        """How many blocks were found to be needed."""

    # -- roots ----------------------------------------------------------------------------------------------------

    def unixfs(self, cid: CID) -> None:
        """What is under `cid` is needed."""
        self._waiting.append((cid, True))

    def map(self, cid: CID) -> None:
        """The metadata map at `cid` is needed, and the files and directories that it names."""
        self._maps.append(cid)

    def block(self, cid: CID) -> None:
        """The one block is needed.  After :meth:`filled`."""
        self._add(multihash_of(cid), LIVE)

    # -- the store's part (mfs.blocks.collector.Collector) ----------------------------------------------------------

    def found(self, cid: CID) -> None:
        """A block that is here is needed."""
        if self._filled:
            flags = self._marks.get(multihash_of(cid))
            if flags is None or flags & (WALKED if codec_of(cid) == DAG_PB else LIVE):
                return
        self._waiting.append((cid, False))

    def born(self, multihash: bytes) -> None:
        """A block was put that was not here."""
        if self._filled:
            # It may have been one of those of the moment, and condemned since.
            self._marks.add(multihash, LIVE)
        else:
            self._early.append(multihash)

    def condemned(self, multihash: bytes) -> bool:
        """Whether nothing needs the block and it is about to be removed."""
        return self._condemning and self._marks.get(multihash) == 0

    # -- the work -------------------------------------------------------------------------------------------------

    def filled(self) -> None:
        """All blocks of the moment are in the marks now."""
        self._filled = True
        for multihash in self._early:
            self._marks.add(multihash, LIVE)
        self._early = []

    @property
    def done(self) -> bool:
        """Whether everything was followed."""
        return not self._waiting and not self._maps

    def condemn(self) -> None:
        """From now on, what is not marked is not there.  Only while :attr:`done`."""
        if not self.done:
            raise RuntimeError("something is to be followed still")
        self._condemning = True

    def run(self) -> Generator[None, None, None]:
        """Follow everything; yields where others may run (who may find more to follow).

        Raises BlockNotFound, MalformedNode or DamagedRecord where the store is damaged, OSError where it cannot be
        read.
        """
        while not self.done:
            if self._waiting:
                yield from self._node(*self._waiting.pop())
            else:
                yield from self._map_node(self._maps.pop())

    def _add(self, multihash: bytes, flags: int) -> int | None:
        before = self._marks.add(multihash, flags)
        if before is not None and not before & LIVE:
            self.marked += 1
        return before

    def _node(self, cid: CID, strict: bool) -> Generator[None, None, None]:
        multihash = multihash_of(cid)
        if codec_of(cid) != DAG_PB:
            self._add(multihash, LIVE)
            return
        before = self._add(multihash, LIVE | WALKED)
        if before is None:
            block = identity_data(cid)
            if block is None:
                # Put since the moment: so was, or was found, what it links to.
                if strict and not self._is_there(cid):
                    raise BlockNotFound(cid)
                return
        elif before & WALKED or self._store.leaf_pieces(cid) is not None:
            return
        else:
            block = self._store.get(cid)
        yield
        try:
            links = decode_links(block).links
        except MalformedBlock:
            # Nobody can follow its links.
            return
        for place, link in enumerate(links, 1):
            below = link.hash
            if codec_of(below) != DAG_PB:
                self._add(multihash_of(below), LIVE)
            elif not (self._marks.get(multihash_of(below)) or 0) & WALKED:
                self._waiting.append((below, strict))
            if not place % _STRIDE:
                yield

    def _is_there(self, cid: CID) -> bool:
        try:
            self._store.places(cid)
        except BlockNotFound:
            return False
        return True

    def _map_node(self, cid: CID) -> Generator[None, None, None]:
        before = self._add(multihash_of(cid), LIVE | MAPPED)
        if before is not None and before & MAPPED:
            return
        node = decode_node(cid, self._store.get(cid))
        if node.level:
            self._maps += map(CID, node.values)
            yield
            return
        for place, (key, value) in enumerate(zip(node.keys, node.values, strict=True), 1):
            if type(value) is Far:
                far = CID(bytes(value))
                self._add(multihash_of(far), LIVE)
                value = self._store.get(far) if key[8] == _INODE else b""
            if key[8] == _INODE:
                held = unpack_inode(value).cid
                if held is not None:
                    self._of_inode(held)
            if not place % _STRIDE:
                yield
        yield

    def _of_inode(self, cid: CID) -> None:
        if codec_of(cid) != DAG_PB:
            self._add(multihash_of(cid), LIVE)
        elif not (self._marks.get(multihash_of(cid)) or 0) & WALKED:
            self._waiting.append((cid, True))
