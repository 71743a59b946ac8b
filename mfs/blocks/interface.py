"""What every block store does, whatever stands behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mfs.unixfs.cid import CID

__all__ = ["BlockStore"]


class BlockStore(Protocol):
    """Blocks that are here: everything answers at once.

    A block is known by the multihash of its CID: two CIDs that differ in version or codec alone name the same bytes.
    The block of an identity CID is in the CID, so every store has it.

    Blocks of a store that is not ours are verified by hash by whoever fetches them, before they are put here.
    """

    def get(self, cid: CID) -> bytes:
        """The block.

        Raises:
            BlockNotFound: it is not here.
            OSError: it should be, and the disk failed.
        """

    def has(self, cid: CID) -> bool:
        """Whether the block is here."""

    def put(self, cid: CID, block: bytes) -> None:
        """Keep a block; visible at once, durable after `sync`. The caller vouches that `cid` names it."""

    def delete(self, cid: CID) -> None:
        """Forget a block. Nothing happens when it is not here."""

    def multihashes(self) -> Iterator[bytes]:
        """The multihash of every block that is here, in no particular order. Blocks may come and go meanwhile."""

    def sync(self) -> None:
        """Make everything that was put and deleted durable. Waits for the disk.

        Raises:
            OSError: the disk failed or is full; what was put is still visible, and `sync` may be tried again.
        """
