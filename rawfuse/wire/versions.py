"""Structs that were shorter once, and the minor they grew at.

The kernel believes the *minor of our INIT reply*, not its own (measured on Linux 6.18), except for
``fuse_init_in``, which is as long as the kernel that sends it thought fit.
"""

from __future__ import annotations

__all__ = ["COMPAT_SIZES", "NOT_SENT_BELOW", "SECURITY_CTX_MINOR", "SETXATTR_COMPAT_SIZE", "SIZES", "size_at"]

SIZES: dict[str, tuple[tuple[int, int], ...]] = {
    "fuse_init_in": ((0, 8), (6, 16), (36, 64)),
    "fuse_init_out": ((0, 8), (5, 24), (23, 64)),
    "fuse_entry_out": ((0, 120), (9, 128)),
    "fuse_attr_out": ((0, 96), (9, 104)),
    "fuse_statfs_out": ((0, 48), (4, 80)),
    "fuse_mknod_in": ((0, 8), (12, 16)),
    "fuse_create_in": ((0, 8), (12, 16)),
    "fuse_write_in": ((0, 24), (9, 40)),
}
"""C name to (first minor, size in bytes), ascending. An older layout is the first bytes of the newer one."""

SETXATTR_COMPAT_SIZE = 8
"""``fuse_setxattr_in`` is this long unless SETXATTR_EXT was in the INIT reply, whatever the minor."""

NOT_SENT_BELOW: dict[str, int] = {"FUSE_BATCH_FORGET": 16, "FUSE_RENAME2": 23}
"""The opcodes that the kernel holds back below a minor; it sends other new ones whatever the INIT reply said."""

IOCTL_DIR_MINOR = 18
"""Below this minor an ioctl(2) of a directory is ENOTTY, and no IOCTL is sent."""

SECURITY_CTX_MINOR = 38
"""From this minor on security contexts are counted in ``total_extlen``; 7.36 and 7.37 appended them without a word."""

COMPAT_SIZES: dict[str, int] = {
    "FUSE_COMPAT_ENTRY_OUT_SIZE": 120,
    "FUSE_COMPAT_ATTR_OUT_SIZE": 96,
    "FUSE_COMPAT_MKNOD_IN_SIZE": 8,
    "FUSE_COMPAT_WRITE_IN_SIZE": 24,
    "FUSE_COMPAT_STATFS_SIZE": 48,
    "FUSE_COMPAT_SETXATTR_IN_SIZE": 8,
    "FUSE_COMPAT_INIT_OUT_SIZE": 8,
    "FUSE_COMPAT_22_INIT_OUT_SIZE": 24,
}
"""The header's own names for the older sizes."""


def size_at(struct: str, size: int, minor: int) -> int:
    """The size in bytes that ``struct`` (now ``size`` long) has when ``minor`` was negotiated."""
    for first, bytes_then in reversed(SIZES.get(struct, ())):
        if minor >= first:
            return bytes_then
    return size
