"""Opening the FUSE device: $RAWFUSE_DEVICE, else /dev/fuse."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import select

from rawfuse.mount.errors import DeviceError

__all__ = ["DEFAULT_DEVICE", "connection_of", "connection_over", "open_device", "passed_fd", "set_sync_init"]

DEFAULT_DEVICE = "/dev/fuse"

_NUMBER = os.makedev(10, 229)
"""MISC_MAJOR and FUSE_MINOR (linux/miscdevice.h)."""

_PASSED = re.compile(r"/dev/fd/([0-9]{1,9})")

_ADVICE = {
    errno.ENOENT: "there is no FUSE device: load the module with modprobe fuse, or give a container --device /dev/fuse",
    errno.ENXIO: "the kernel has no FUSE: load the module with modprobe fuse",
    errno.ENODEV: "the kernel has no FUSE: load the module with modprobe fuse",
    errno.EACCES: "may not open the FUSE device: its mode should be 0666, or use fusermount3 or root",
    errno.EPERM: "may not open the FUSE device: a container must allow it (--device /dev/fuse)",
}


def open_device(path: str | os.PathLike[str] | None = None) -> int:
    """A fresh descriptor of the FUSE device, non-blocking and close-on-exec: one connection, once it is mounted.

    Until then reading and writing it say EPERM. Raises DeviceError with what to do.
    """
    name = os.fspath(path) if path is not None else os.environ.get("RAWFUSE_DEVICE") or DEFAULT_DEVICE
    try:
        fd = os.open(name, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        number = error.errno or errno.EIO
        message = _ADVICE.get(number, f"cannot open the FUSE device: {os.strerror(number)}")
        raise DeviceError(number, message, name) from error
    if os.fstat(fd).st_rdev != _NUMBER:
        os.close(fd)
        raise DeviceError(errno.EINVAL, "not a FUSE device, whose number is 10:229", name)
    return fd


def passed_fd(mountpoint: str | os.PathLike[str]) -> int | None:
    """N where `mountpoint` reads /dev/fd/N, else None. Raises DeviceError where that descriptor is not open."""
    found = _PASSED.fullmatch(os.fspath(mountpoint))
    if found is None:
        return None
    fd = int(found[1])
    try:
        fcntl.fcntl(fd, fcntl.F_GETFD)
    except (OSError, OverflowError) as error:
        raise DeviceError(errno.EBADF, "nobody passed this descriptor on", os.fspath(mountpoint)) from error
    return fd


_SYNC_INIT = 0xE503


def set_sync_init(fd: int) -> None:
    """Has mounting `fd` wait until INIT is answered, and fail with ENOTCONN where that fails (Linux 6.18).

    Somebody must serve `fd` meanwhile, in another thread; reading it blocks until it is mounted. Raises DeviceError
    where the kernel does not know this.
    """
    try:
        fcntl.ioctl(fd, _SYNC_INIT)
    except OSError as error:
        number = error.errno or errno.EIO
        raise DeviceError(number, f"no synchronous INIT: {os.strerror(number)}") from error


def connection_of(fd: int) -> int | None:
    """The connection number of a mounted device descriptor, where the kernel tells it (measured on Linux 6.18)."""
    try:
        with open(f"/proc/self/fdinfo/{fd}", "rb") as file:
            for line in file:
                name, _, value = line.partition(b":")
                if name == b"fuse_connection" and value.strip().isdigit():
                    return int(value)
    except OSError:
        return None
    return None


def connection_over(fd: int, connection: int | None) -> bool:
    """Whether `fd` is still the device of `connection` and that one is over: then its number may be another's by now.

    False where nothing can be said, as after `fd` was closed.
    """
    if connection is None or connection_of(fd) != connection:
        return False
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return any(event & select.POLLERR for _, event in poll.poll(0))
