"""A block store in a dictionary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfs.blocks.errors import BlockNotFound
from mfs.unixfs.cid import identity_data, multihash_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mfs.unixfs.cid import CID

__all__ = ["MemoryStore"]


class MemoryStore:
    """Blocks that last as long as this object."""

    def __init__(self) -> None:
        self._blocks: dict[bytes, bytes] = {}

    def get(self, cid: CID) -> bytes:
        """The block; `BlockNotFound` when it is not here."""
        block = self._blocks.get(multihash_of(cid))
        if block is None:
            block = identity_data(cid)
            if block is None:
                raise BlockNotFound(cid)
        return block

    def has(self, cid: CID) -> bool:
        """Whether the block is here."""
        return multihash_of(cid) in self._blocks or identity_data(cid) is not None

    def put(self, cid: CID, block: bytes) -> None:
        """Keep a block."""
        if identity_data(cid) is None:
            self._blocks[multihash_of(cid)] = bytes(block)

    def delete(self, cid: CID) -> None:
        """Forget a block."""
        self._blocks.pop(multihash_of(cid), None)

    def multihashes(self) -> Iterator[bytes]:
        """The multihash of every block, as they are now."""
        return iter(list(self._blocks))

    def sync(self) -> None:
        """Nothing is ever durable here."""
