"""The FUSE device as a channel."""

from __future__ import annotations

import fcntl
import os
import struct
from typing import Final

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

    __slots__ = ("_beside",)

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        self._beside: DeviceChannel | None = None

    def beside(self) -> DeviceChannel:
        """A clone for what the kernel may hold back: notifications. It is closed with this channel.

        A write that is held keeps its own descriptor open. Were that the one that requests are read from, closing it
        would not fail the requests that the write waits for, and nothing would ever end (measured on Linux 6.18).
        Where no device can be opened here it is this channel itself.
        """
        if self._beside is None:
            try:
                self._beside = self.clone()
            except OSError:
                return self
        return self._beside

    def close(self) -> None:
        super().close()
        if self._beside is not None:
            self._beside.close()

    def clone(self) -> DeviceChannel:
        """Another descriptor of the same connection (since 7.23), for a reader of its own.

        A reply must go out by the channel that its request came in by (ENOENT elsewhere).
        """
        fd = open_device()
        try:
            fcntl.ioctl(fd, _IOC_CLONE, struct.pack("=I", self.fileno()))
            return DeviceChannel(fd)
        except BaseException:
            os.close(fd)
            raise

    def backing_open(self, fd: int) -> int:
        """Registers an open file for passthrough (since 7.40); returns its backing_id. Raises OSError: EPERM unless
        PASSTHROUGH was negotiated, EINVAL for what cannot be one."""
        # The id is the call's return value, which Python hides unless the argument is writable.
        backing_id: int = fcntl.ioctl(self.fileno(), _IOC_BACKING_OPEN, bytearray(struct.pack("=iIQ", fd, 0, 0)))
        return backing_id

    def backing_close(self, backing_id: int) -> None:
        """Gives a backing_id back; opens that came before keep their file."""
        fcntl.ioctl(self.fileno(), _IOC_BACKING_CLOSE, struct.pack("=I", backing_id))
