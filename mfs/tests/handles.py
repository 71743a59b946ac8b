"""File handles, statx(2) and renameat2(2), which Python 3.11 does not have."""

from __future__ import annotations

import ctypes
import os
import struct

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2
RENAME_WHITEOUT = 4

_HANDLE = struct.Struct("Ii")
_MAX_HANDLE = 128
_STATX = 332
_STATX_BTIME = 0x800
_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def handle_of(path: str | os.PathLike[str]) -> bytes:
    """What name_to_handle_at(2) says of `path`, links not followed."""
    handle = ctypes.create_string_buffer(_HANDLE.pack(_MAX_HANDLE, 0), _HANDLE.size + _MAX_HANDLE)
    mount = ctypes.c_int()
    _checked(_libc.name_to_handle_at(AT_FDCWD, os.fsencode(path), handle, ctypes.byref(mount), 0))
    length = _HANDLE.unpack_from(handle)[0]
    return bytes(handle)[: _HANDLE.size + length]


def open_handle(mount: int, handle: bytes, flags: int = os.O_RDONLY) -> int:
    """open_by_handle_at(2): a descriptor of what `handle` refers to in the file system of the descriptor `mount`."""
    return _checked(_libc.open_by_handle_at(mount, handle, flags))


def birth(path: str | os.PathLike[str]) -> int:
    """The time of birth in nanoseconds, as statx(2) has it."""
    buffer = ctypes.create_string_buffer(256)
    _checked(_libc.syscall(_STATX, AT_FDCWD, os.fsencode(path), 0, 0xFFF, buffer))
    if not struct.unpack_from("I", buffer)[0] & _STATX_BTIME:
        raise OSError("no time of birth")
    seconds, nanoseconds = struct.unpack_from("qI", buffer, 80)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)


def rename(old: str | os.PathLike[str], new: str | os.PathLike[str], flags: int) -> None:
    """renameat2(2)."""
    _checked(_libc.renameat2(AT_FDCWD, os.fsencode(old), AT_FDCWD, os.fsencode(new), flags))


def link(fd: int, path: str | os.PathLike[str]) -> None:
    """Give an open file a name: linkat(2) with AT_EMPTY_PATH."""
    _checked(_libc.linkat(fd, b"", AT_FDCWD, os.fsencode(path), AT_EMPTY_PATH))
