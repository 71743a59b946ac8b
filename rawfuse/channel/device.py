"""The FUSE device as a channel."""

from __future__ import annotations

import fcntl
import os
import struct
from typing import Final, Self

from rawfuse.channel.holder import MessageFd
from rawfuse.mount.device import open_device

__all__ = ["DeviceChannel"]

_IOC_CLONE: Final = 0x8004E500
_IOC_BACKING_OPEN: Final = 0x4010E501
_IOC_BACKING_CLOSE: Final = 0x4004E502


class DeviceChannel(MessageFd):
    """A mounted descriptor of the FUSE device, e.g. `rawfuse.mount(...).fd`, which it owns from now on.

    Closing it fails the requests in flight (ECONNABORTED); when it was the last one of its connection, the mount is
    dead until somebody unmounts it.
    """

    __slots__ = ()

    @staticmethod
    def another(fd: int) -> int:
        """A clone: writes that are held do not keep the descriptor open that requests are read from, whose end fails
        the requests that they wait for. Where no device can be opened here it is the same descriptor once more."""
        try:
            return _clone(fd)
        except OSError:
            return os.dup(fd)

    def clone(self) -> Self:
        """Another descriptor of the same connection (since 7.23), for a reader of its own.

        A reply must go out by the channel that its request came in by (ENOENT elsewhere).
        """
        return type(self)(_clone(self.fileno()))

    def backing_open(self, fd: int) -> int:
        """Registers an open file for passthrough (since 7.40); returns its backing_id. Raises OSError: EPERM unless
        PASSTHROUGH was negotiated, EINVAL for what cannot be one."""
        # The id is the call's return value, which Python hides unless the argument is writable.
        backing_id: int = fcntl.ioctl(self.fileno(), _IOC_BACKING_OPEN, bytearray(struct.pack("=iIQ", fd, 0, 0)))
        return backing_id

    def backing_close(self, backing_id: int) -> None:
        """Gives a backing_id back; opens that came before keep their file."""
        fcntl.ioctl(self.fileno(), _IOC_BACKING_CLOSE, struct.pack("=I", backing_id))


def _clone(fd: int) -> int:
    clone = open_device()
    try:
        fcntl.ioctl(clone, _IOC_CLONE, struct.pack("=I", fd))
    except BaseException:
        os.close(clone)
        raise
    return clone
