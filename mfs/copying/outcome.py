"""What became of the bytes of a copy."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Outcome", "Tally"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a copy did. Each byte of the target is one of shared, skipped, holes and written; their sum is `size`.

    Attributes:
        size: bytes of the target afterwards (of a device: bytes written to it).
        shared: bytes that source and target now keep in the same blocks.
        skipped: bytes that were the same already and were left where they are.
        holes: bytes that are holes in both, made here.
        written: bytes that were written.
        offered: of `written`, what copy_file_range(2) took: a file system that knows better, such as mfs itself or
            NFS 4.2, shares it. None of it passed through this process.
        changed: whether the target has other bytes than before. Its mtime is what it was where it has not.
    """

    size: int
    shared: int = 0
    skipped: int = 0
    holes: int = 0
    written: int = 0
    offered: int = 0
    changed: bool = True


@dataclass(slots=True)
class Tally:
    """An :class:`Outcome` while it comes about; all in bytes."""

    shared: int = 0
    skipped: int = 0
    holes: int = 0
    written: int = 0
    offered: int = 0

    @property
    def total(self) -> int:
        return self.shared + self.skipped + self.holes + self.written

    def outcome(self, *, changed: bool) -> Outcome:
        return Outcome(self.total, self.shared, self.skipped, self.holes, self.written, self.offered, changed)
