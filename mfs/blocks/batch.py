"""Changes of a store that are written together."""

from __future__ import annotations

__all__ = ["Batch"]


class Batch:
    """Changes that are written together. Made by `EmbeddedStore.take_pending`.

    Attributes:
        blocks: index values by multihash, None for a deleted one.
        meta: small records by name, None for a deleted one.
        ends: for every segment that `blocks` points to, the end of the highest piece.
        size: bytes of the values in `blocks`, about.
        written, failed: what became of it; set by the thread that writes.
    """

    __slots__ = ("blocks", "ends", "failed", "meta", "size", "written")

    def __init__(self) -> None:
        self.blocks: dict[bytes, bytes | None] = {}
        self.meta: dict[bytes, bytes | None] = {}
        self.ends: dict[int, int] = {}
        self.size = 0
        self.written = False
        self.failed = False

    def __len__(self) -> int:
        return len(self.blocks)

    def absorb(self, later: Batch) -> None:
        """Take in changes made after those of this batch."""
        self.blocks.update(later.blocks)
        self.meta.update(later.meta)
        for number, end in later.ends.items():
            self.ends[number] = max(end, self.ends.get(number, 0))
        self.size += later.size
