"""Mounts of the type fuseblk: of a block device, which gives the kernel three more requests: BMAP, SYNCFS, DESTROY."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import tempfile

from rawfuse.mount import DetachedMount
from rawfuse.mount import _syscalls as sc

from ..trial import NotPossible

__all__ = ["mount_block_device"]

_GET_FREE, _SET_FD, _SET_STATUS = 0x4C82, 0x4C00, 0x4C04
_AUTOCLEAR = 4
_SIZE = 1 << 20
_ATTEMPTS = 5


def _loop_device() -> int:
    """A loop device over a file without a name; it is given back when its last user closes it."""
    try:
        control = os.open("/dev/loop-control", os.O_RDWR)
    except OSError as error:
        raise NotPossible(f"no loop devices: {error}") from error
    try:
        with tempfile.TemporaryFile() as file:
            file.truncate(_SIZE)
            for _ in range(_ATTEMPTS):
                loop = os.open(f"/dev/loop{fcntl.ioctl(control, _GET_FREE)}", os.O_RDWR)
                try:
                    fcntl.ioctl(loop, _SET_FD, file.fileno())
                    # struct loop_info64: lo_flags is its sixth 32-bit member after five 64-bit ones and two more.
                    fcntl.ioctl(
                        loop, _SET_STATUS, struct.pack("=5Q4I", 0, 0, 0, 0, 0, 0, 0, 0, _AUTOCLEAR).ljust(232, b"\0")
                    )
                    return loop
                except OSError as error:
                    os.close(loop)
                    if error.errno != errno.EBUSY:
                        raise
    finally:
        os.close(control)
    raise OSError(errno.EBUSY, "others are always first to take the free loop device")


def mount_block_device(fd: int) -> DetachedMount:
    """As `mount_detached(fd=fd)`. Closing it waits until DESTROY was answered, or the connection aborted."""
    loop = _loop_device()
    try:
        fs = sc.fsopen(b"fuseblk")
        try:
            settings = {
                "source": f"/dev/loop{os.minor(os.fstat(loop).st_rdev)}",
                "fd": str(fd),
                "rootmode": "40000",
                "user_id": "0",
                "group_id": "0",
            }
            for key, value in settings.items():
                sc.fsconfig(fs, sc.FSCONFIG_SET_STRING, key.encode(), value.encode())
            sc.fsconfig(fs, sc.FSCONFIG_CMD_CREATE)
            return DetachedMount(fd, sc.fsmount(fs, 0))
        finally:
            os.close(fs)
    finally:
        os.close(loop)
