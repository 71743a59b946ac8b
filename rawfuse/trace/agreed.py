"""What INIT agreed on, followed from its two messages: part of what every later message means."""

from __future__ import annotations

from typing import Final

from rawfuse.wire import constants as c
from rawfuse.wire import fuse_init_out, fuse_out_header

__all__ = ["Agreed"]

_WHOLE_INIT: Final = fuse_init_out.SIZE
_LARGEST_MINOR: Final = 255  # a byte of the file; servers say what they like


class Agreed:
    """Filled by :meth:`asked` and :meth:`answered`, unless it is known from the beginning.

    Attributes:
        minor: the protocol's, 0 before INIT was answered.
        setxattr_ext: FUSE_SETXATTR_EXT was agreed on.
        waiting: the unique of an INIT that waits for its reply.
    """

    __slots__ = ("minor", "setxattr_ext", "waiting")

    def __init__(self, minor: int = 0, *, setxattr_ext: bool = False) -> None:
        self.minor = minor
        self.setxattr_ext = setxattr_ext
        self.waiting: int | None = None

    def asked(self, unique: int) -> None:
        """An INIT was sent."""
        self.waiting = unique

    def answered(self, reply: bytes) -> None:
        """A reply, while one is waited for; of any other request too."""
        if len(reply) < fuse_out_header.SIZE:
            return
        header = fuse_out_header.unpack_from(reply)
        if header.unique != self.waiting:
            return
        self.waiting = None
        if not header.error:
            # Shorter answers, as before 7.23, mean zeros.
            answer = fuse_init_out.unpack_from(reply[fuse_out_header.SIZE :].ljust(_WHOLE_INIT, b"\0"))
            self.minor = min(answer.minor, _LARGEST_MINOR)
            self.setxattr_ext = bool(answer.flags & c.FUSE_SETXATTR_EXT)
