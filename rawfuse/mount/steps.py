"""Mounting in two steps, with the device served between them: whoever finds the mount finds it answering."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Final, Unpack

from rawfuse.mount import _syscalls
from rawfuse.mount.device import open_device, set_sync_init
from rawfuse.mount.errors import DeviceError
from rawfuse.mount.fusermount import Handshake
from rawfuse.mount.mounting import Method, Mounted, mount_device, mount_target, mounted_by_helper
from rawfuse.mount.options import MountArguments, MountOptions

__all__ = ["Mounting", "begin_mount"]


class Mounting:
    """A mount that is about to be made.

    Attributes:
        fd: the device, to be served from another thread than the one that calls `finish`. It belongs to the channel
            that is made of it, whatever becomes of the mount.
        synchronous: `finish` waits until INIT was answered, and fails where that fails (Linux 6.18). Reading `fd` waits
            for the mount, then, though it is non-blocking. Otherwise reading it before says EPERM.

    As a context manager it gives the helper up that waits, where nothing was finished.
    """

    def __init__(self, fd: int, path: str, rootmode: int, options: MountOptions, by: Method | Handshake) -> None:
        self.fd: Final = fd
        self._path = path
        self._rootmode = rootmode
        self._options = options
        self._by = by
        try:
            set_sync_init(fd)
            self.synchronous = True
        except DeviceError:
            self.synchronous = False

    def finish(self) -> Mounted:
        """Mounts. Raises MountPointError, MountOptionError, MountPermissionError, HelperError, MountError: ENOTCONN
        where INIT failed."""
        if isinstance(self._by, Handshake):
            self._by.finish()
            return mounted_by_helper(self.fd, self._path)
        return mount_device(self.fd, self._path, self._rootmode, self._options, self._by)

    def __enter__(self) -> Mounting:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(self._by, Handshake):
            self._by.close()


def begin_mount(
    mountpoint: str | os.PathLike[str],
    *,
    device: str | os.PathLike[str] | None = None,
    method: Method = "auto",
    **arguments: Unpack[MountArguments],
) -> Mounting:
    """The first step of `mount`, with its arguments:

        with begin_mount("/mnt/hello") as mounting:
            ...  # in another thread: Server(Hello(), DeviceChannel(mounting.fd)).serve
            mounted = mounting.finish()

    The helper must be libfuse 3.19's. "auto" takes it where this process may not mount by itself.

    Raises:
        MountPointError, DeadMountError, DeviceError, MountOptionError, HelperError.
    """
    wanted = MountOptions.of(**arguments)
    path, rootmode = mount_target(mountpoint)
    if method == "fusermount" or (method == "auto" and device is None and not _may_mount()):
        handshake = Handshake(path, list(wanted.names))
        return Mounting(handshake.fd, path, rootmode, wanted, handshake)
    return Mounting(open_device(device), path, rootmode, wanted, method)


def _may_mount() -> bool:
    """Whether this process has CAP_SYS_ADMIN where it counts."""
    try:
        os.close(_syscalls.fsopen(b"fuse"))
    except PermissionError:
        return False
    except OSError:  # ENOSYS: mount(2) will tell
        return True
    return True
