"""Errors of the protocol itself: who broke it, in which message, and how."""

from __future__ import annotations

import sys

__all__ = ["ForeignByteOrder", "LocalProtocolError", "ProtocolError", "RemoteProtocolError"]


class ProtocolError(Exception):
    """A message that the FUSE protocol does not allow. Raised only through its two subclasses."""


class LocalProtocolError(ProtocolError):
    """Our side was about to send a message that the protocol does not allow; nothing was sent."""


class RemoteProtocolError(ProtocolError):
    """The other side sent a message that the protocol does not allow.

    ``unique`` is the request's identifier when the header was readable, so that the request can still be answered
    (with EIO, say); ``None`` when not even that is known.
    """

    def __init__(self, message: str, *, unique: int | None = None) -> None:
        super().__init__(message)
        self.unique = unique


class ForeignByteOrder(RemoteProtocolError):
    """The message is of a machine of the other byte order, recorded there or come from there by a socket.

    FUSE has no byte order of its own: both sides are the same machine's. Every number in the message is reversed, and
    an answer in ours would mean nothing to its sender, so ``unique`` is None.
    """

    def __init__(self, what: str) -> None:
        ours, theirs = ("little", "big") if sys.byteorder == "little" else ("big", "little")
        super().__init__(
            f"{what} is in {theirs}-endian byte order, this machine is {ours}-endian: "
            "read it on a machine of its own byte order"
        )
