"""The system calls that Python's os module does not have, raising OSError.

The numbers of the new mount API are the same on every architecture (asm-generic/unistd.h) but Alpha, which adds 110.
"""

from __future__ import annotations

import ctypes
import os
from typing import Final

_libc: Final = ctypes.CDLL(None, use_errno=True)
_BASE: Final = 110 if os.uname().machine == "alpha" else 0
_OPEN_TREE: Final = 428 + _BASE
_MOVE_MOUNT: Final = 429 + _BASE
_FSOPEN: Final = 430 + _BASE
_FSCONFIG: Final = 431 + _BASE
_FSMOUNT: Final = 432 + _BASE
_MOUNT_SETATTR: Final = 442 + _BASE

AT_FDCWD: Final = -100
AT_EMPTY_PATH: Final = 0x1000
AT_RECURSIVE: Final = 0x8000

FSOPEN_CLOEXEC: Final = 1
FSMOUNT_CLOEXEC: Final = 1
FSCONFIG_SET_FLAG: Final = 0
FSCONFIG_SET_STRING: Final = 1
FSCONFIG_CMD_CREATE: Final = 6
MOVE_MOUNT_F_EMPTY_PATH: Final = 4
OPEN_TREE_CLONE: Final = 1
OPEN_TREE_CLOEXEC: Final = os.O_CLOEXEC

MOUNT_ATTR_RDONLY: Final = 0x1
MOUNT_ATTR_NOSUID: Final = 0x2
MOUNT_ATTR_NODEV: Final = 0x4
MOUNT_ATTR_NOEXEC: Final = 0x8
MOUNT_ATTR_NOATIME: Final = 0x10
MOUNT_ATTR_STRICTATIME: Final = 0x20
MOUNT_ATTR_NODIRATIME: Final = 0x80

MS_RDONLY: Final = 0x1
MS_NOSUID: Final = 0x2
MS_NODEV: Final = 0x4
MS_NOEXEC: Final = 0x8
MS_NOATIME: Final = 0x400
MS_NODIRATIME: Final = 0x800
MS_REC: Final = 0x4000
MS_SLAVE: Final = 0x80000
MS_STRICTATIME: Final = 0x1000000

MNT_FORCE: Final = 1
MNT_DETACH: Final = 2
UMOUNT_NOFOLLOW: Final = 8

CLONE_FILES: Final = 0x400
CLONE_NEWNS: Final = 0x20000
CLONE_NEWUSER: Final = 0x10000000


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _call(number: int, *arguments: object) -> int:
    """One raw system call: every argument is passed as a full register, as the kernel reads them."""
    registers = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return _check(_libc.syscall(ctypes.c_long(number), *registers))


def fsopen(fstype: bytes) -> int:
    return _call(_FSOPEN, ctypes.c_char_p(fstype), FSOPEN_CLOEXEC)


def fsconfig(fs: int, command: int, key: bytes | None = None, value: bytes | None = None) -> None:
    _call(_FSCONFIG, fs, command, ctypes.c_char_p(key), ctypes.c_char_p(value), 0)


def fsmount(fs: int, attributes: int) -> int:
    return _call(_FSMOUNT, fs, FSMOUNT_CLOEXEC, attributes)


def move_mount(mount: int, path: bytes) -> None:
    """Attaches a detached mount at `path`."""
    empty = ctypes.c_char_p(b"")
    _call(_MOVE_MOUNT, mount, empty, AT_FDCWD, ctypes.c_char_p(path), MOVE_MOUNT_F_EMPTY_PATH)


def open_tree(directory: int, path: bytes, flags: int) -> int:
    return _call(_OPEN_TREE, directory, ctypes.c_char_p(path), flags)


class _MountAttr(ctypes.Structure):
    """struct mount_attr, 32 bytes (linux/mount.h)."""

    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def mount_setattr(mount: int, attributes: int, *, recursive: bool = False) -> None:
    attr = _MountAttr(attributes, 0, 0, 0)
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    _call(_MOUNT_SETATTR, mount, ctypes.c_char_p(b""), flags, ctypes.byref(attr), ctypes.sizeof(attr))


def mount(source: bytes, target: bytes, fstype: bytes | None, flags: int, data: bytes | None) -> None:
    arguments = (ctypes.c_char_p(a) for a in (source, target, fstype))
    _check(_libc.mount(*arguments, ctypes.c_ulong(flags), ctypes.c_char_p(data)))


def umount2(target: bytes, flags: int) -> None:
    _check(_libc.umount2(ctypes.c_char_p(target), ctypes.c_int(flags)))


def unshare(flags: int) -> None:
    _check(_libc.unshare(ctypes.c_int(flags)))
