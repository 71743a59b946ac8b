"""What a store and a garbage collection on it say to one another (:mod:`mfs.gc`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mfs.blocks.index import Index
    from mfs.unixfs.cid import CID

__all__ = ["Collector", "Snapshot"]


class Collector(Protocol):
    """What a garbage collection under way is told, and asked."""

    def found(self, cid: CID) -> None:
        """A block that is here is needed, whatever was thought of it, and what it links to."""

    def born(self, multihash: bytes) -> None:
        """A block was put that was not here."""

    def condemned(self, multihash: bytes) -> bool:
        """Whether the entry in the written index is about to be removed: then the block is not here any more."""


class Snapshot:
    """The multihashes of one moment; `count` of them."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._taken = index.snapshot()
        self.count = index.count(self._taken)

    def multihashes(self) -> Iterator[bytes]:
        """All of them, in order."""
        return self._index.keys(self._taken)

    def close(self) -> None:
        """Let go of it."""
        self._taken.abort()
