"""What can be wrong with blocks that somebody else made, as typed errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mfs.unixfs.cid import CID

__all__ = ["DirectoryTooDeep", "InvalidCID", "MalformedBlock", "UnixFSError", "UnsupportedHash", "WrongKind"]


class UnixFSError(Exception):
    """Base of every error raised on account of a block or a CID."""


class InvalidCID(UnixFSError, ValueError):
    """Bytes or text that are not a CID; the message says at which part it fails."""


class UnsupportedHash(UnixFSError):
    """A well-formed CID whose hash function cannot be computed here, so the block cannot be verified."""


class MalformedBlock(UnixFSError):
    """A block that is not what its codec or its parent says it is.

    ``why`` is what was wrong; ``cid`` the block's CID where the decoder knew it (a decoder that is handed bytes alone
    does not), else None.
    """

    def __init__(self, why: str, cid: CID | None = None) -> None:
        super().__init__(why, cid)
        self.why = why
        self.cid = cid

    def __str__(self) -> str:
        if self.cid is None:
            return f"malformed block: {self.why}"
        from mfs.unixfs.cid import cid_str

        return f"malformed block {cid_str(self.cid)}: {self.why}"


class WrongKind(UnixFSError):
    """A sound block of another kind than was asked for, e.g. a directory where a file was expected."""

    def __init__(self, cid: CID, expected: str, found: str) -> None:
        from mfs.unixfs.cid import cid_str

        super().__init__(f"{cid_str(cid)} is a {found}, not a {expected}")
        self.cid = cid
        self.expected = expected
        self.found = found


class DirectoryTooDeep(UnixFSError):
    """Two names share all 64 hash bits that a sharded directory can use, so no HAMT can hold both."""
