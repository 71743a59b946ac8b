"""Names of numbers that FUSE passes on and are other interfaces': those of system calls, of directories, of locks."""

from __future__ import annotations

import fcntl
import os
import select
from collections.abc import Mapping
from typing import Final, TypeAlias

from rawfuse.wire.enums import ExtType

__all__ = ["CALL_FLAGS", "NUMBERS"]

_Key: TypeAlias = tuple[str, str]

_POLL: Final = {getattr(select, name): name for name in vars(select) if name.startswith("POLL")}
_STATX_NAMES: Final = ("TYPE", "MODE", "NLINK", "UID", "GID", "ATIME", "MTIME", "CTIME", "INO", "SIZE", "BLOCKS")
_STATX: Final = {1 << bit: f"STATX_{name}" for bit, name in enumerate((*_STATX_NAMES, "BTIME", "MNT_ID", "DIOALIGN"))}
_FALLOC_NAMES: Final = ("KEEP_SIZE", "PUNCH_HOLE", "NO_HIDE_STALE", "COLLAPSE_RANGE", "ZERO_RANGE", "INSERT_RANGE")
_FALLOC: Final = {1 << bit: f"FALLOC_FL_{name}" for bit, name in enumerate((*_FALLOC_NAMES, "UNSHARE_RANGE"))}
_DIRENT_TYPES: Final = {1: "FIFO", 2: "CHR", 4: "DIR", 6: "BLK", 8: "REG", 10: "LNK", 12: "SOCK", 14: "WHT"}

CALL_FLAGS: Final[Mapping[_Key, Mapping[int, str]]] = {
    ("fuse_access_in", "mask"): {os.R_OK: "R_OK", os.W_OK: "W_OK", os.X_OK: "X_OK"},
    ("fuse_fallocate_in", "mode"): _FALLOC,
    ("fuse_poll_in", "events"): _POLL,
    ("fuse_poll_out", "revents"): _POLL,
    ("fuse_rename2_in", "flags"): {1: "RENAME_NOREPLACE", 2: "RENAME_EXCHANGE", 4: "RENAME_WHITEOUT"},
    ("fuse_setxattr_in", "flags"): {os.XATTR_CREATE: "XATTR_CREATE", os.XATTR_REPLACE: "XATTR_REPLACE"},
    ("fuse_statx_in", "sx_flags"): {0x2000: "AT_STATX_FORCE_SYNC", 0x4000: "AT_STATX_DONT_SYNC"},
    ("fuse_statx_in", "sx_mask"): _STATX,
    ("fuse_statx", "mask"): _STATX,
}
"""Members that hold flags of a system call: bits and their names, as the manual pages have them."""

NUMBERS: Final[Mapping[_Key, Mapping[int, str]]] = {
    ("fuse_dirent", "type"): {0: "DT_UNKNOWN"} | {number: f"DT_{name}" for number, name in _DIRENT_TYPES.items()},
    ("fuse_ext_header", "type"): {ExtType.FUSE_EXT_GROUPS.value: "FUSE_EXT_GROUPS"},
    ("fuse_file_lock", "type"): {getattr(fcntl, name): name for name in ("F_RDLCK", "F_WRLCK", "F_UNLCK")},
    ("fuse_lseek_in", "whence"): {os.SEEK_DATA: "SEEK_DATA", os.SEEK_HOLE: "SEEK_HOLE"},
}
"""Members that hold one of a few numbers."""
