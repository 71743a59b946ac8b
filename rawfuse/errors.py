"""Errors of the protocol itself: who broke it, in which message, and how."""

from __future__ import annotations

__all__ = ["LocalProtocolError", "ProtocolError", "RemoteProtocolError"]


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
