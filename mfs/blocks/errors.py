"""What can go wrong in a block store, as typed errors.

The damage of our own files is an `OSError` with the errno EIO, so that it reaches the program that asked as what it is.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from mfs.unixfs.cid import cid_str

if TYPE_CHECKING:
    from mfs.unixfs.cid import CID

__all__ = ["BlockNotFound", "IndexDamaged", "SegmentDamaged", "SegmentLost"]


class BlockNotFound(LookupError):
    """The store does not have the block `cid`."""

    def __init__(self, cid: CID) -> None:
        super().__init__(cid)
        self.cid = cid

    def __str__(self) -> str:
        return f"block {cid_str(self.cid)} is not stored here"


class SegmentDamaged(OSError):
    """A segment file is absent or shorter than the pieces that point into it."""

    def __init__(self, segment: int, path: str, why: str) -> None:
        super().__init__(errno.EIO, f"segment {segment} is damaged: {why}", path)
        self.segment = segment


class SegmentLost(OSError):
    """The kernel failed to write bytes of this segment to the disk, now or at an earlier sync.

    Linux reports such a failure once and then takes the pages for clean, so a second sync would succeed without the
    bytes being there. Therefore a later sync writes them again, from the kernel's memory, and fails too, with the errno
    of the first, where they are not there any more or the disk still does not take them.
    """

    def __init__(self, segment: int, path: str, code: int, start: int) -> None:
        why = f"segment {segment} could not be written to the disk from byte {start} on"
        super().__init__(code, why, path)
        self.segment = segment
        self.start = start


class IndexDamaged(OSError):
    """The index holds what this version never writes, or LMDB says that its file is corrupt."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(errno.EIO, f"the block index is damaged: {why}", path)
