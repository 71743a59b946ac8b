"""What each minor of protocol 7 brought: opcodes, notify codes, flags, enum members and ioctls.

From the change log of fuse_kernel.h 7.45. What is missing here is older than that log or never mentioned in it; structs
and their members say it themselves, in the schema.
"""

from __future__ import annotations

__all__ = ["INTRODUCED", "SINCE"]

INTRODUCED: dict[int, tuple[str, ...]] = {
    1: (
        "FUSE_SETATTR",
        "FUSE_SYMLINK",
        "FUSE_MKNOD",
        "FUSE_MKDIR",
        "FUSE_UNLINK",
        "FUSE_RMDIR",
        "FUSE_RENAME",
        "FUSE_LINK",
        "FUSE_OPEN",
        "FUSE_READ",
        "FUSE_WRITE",
        "FUSE_RELEASE",
        "FUSE_FSYNC",
        "FUSE_SETXATTR",
        "FUSE_GETXATTR",
        "FUSE_LISTXATTR",
        "FUSE_REMOVEXATTR",
        "FUSE_FLUSH",
        "FUSE_OPENDIR",
        "FUSE_READDIR",
        "FUSE_RELEASEDIR",
    ),
    2: (
        "FOPEN_DIRECT_IO",
        "FOPEN_KEEP_CACHE",
        "FUSE_FSYNCDIR",
    ),
    3: (
        "FUSE_ACCESS",
        "FUSE_CREATE",
    ),
    7: (
        "FUSE_POSIX_LOCKS",
        "FUSE_GETLK",
        "FUSE_SETLK",
        "FUSE_SETLKW",
        "FUSE_INTERRUPT",
    ),
    8: (
        "FUSE_RELEASE_FLUSH",
        "FUSE_BMAP",
        "FUSE_DESTROY",
    ),
    9: (
        "FATTR_ATIME_NOW",
        "FATTR_MTIME_NOW",
        "FATTR_LOCKOWNER",
        "FUSE_GETATTR_FH",
        "FUSE_LK_FLOCK",
        "FUSE_READ_LOCKOWNER",
        "FUSE_WRITE_LOCKOWNER",
    ),
    10: ("FOPEN_NONSEEKABLE",),
    11: (
        "FUSE_IOCTL_COMPAT",
        "FUSE_IOCTL_UNRESTRICTED",
        "FUSE_IOCTL_RETRY",
        "FUSE_POLL_SCHEDULE_NOTIFY",
        "FUSE_IOCTL",
        "FUSE_POLL",
        "FUSE_NOTIFY_POLL",
    ),
    12: (
        "FUSE_NOTIFY_INVAL_INODE",
        "FUSE_NOTIFY_INVAL_ENTRY",
    ),
    14: (
        "FUSE_SPLICE_WRITE",
        "FUSE_SPLICE_MOVE",
        "FUSE_SPLICE_READ",
    ),
    15: (
        "FUSE_NOTIFY_REPLY",
        "FUSE_NOTIFY_STORE",
        "FUSE_NOTIFY_RETRIEVE",
    ),
    16: (
        "FUSE_IOCTL_32BIT",
        "FUSE_BATCH_FORGET",
    ),
    17: (
        "FUSE_FLOCK_LOCKS",
        "FUSE_RELEASE_FLOCK_UNLOCK",
    ),
    18: (
        "FUSE_HAS_IOCTL_DIR",
        "FUSE_IOCTL_DIR",
        "FUSE_NOTIFY_DELETE",
    ),
    19: ("FUSE_FALLOCATE",),
    20: ("FUSE_AUTO_INVAL_DATA",),
    21: (
        "FUSE_DO_READDIRPLUS",
        "FUSE_READDIRPLUS_AUTO",
        "FUSE_READDIRPLUS",
    ),
    22: ("FUSE_ASYNC_DIO",),
    23: (
        "FUSE_WRITEBACK_CACHE",
        "FUSE_NO_OPEN_SUPPORT",
        "FATTR_CTIME",
        "FUSE_RENAME2",
    ),
    24: ("FUSE_LSEEK",),
    25: ("FUSE_PARALLEL_DIROPS",),
    26: (
        "FUSE_HANDLE_KILLPRIV",
        "FUSE_POSIX_ACL",
    ),
    27: ("FUSE_ABORT_ERROR",),
    28: (
        "FUSE_MAX_PAGES",
        "FUSE_CACHE_SYMLINKS",
        "FOPEN_CACHE_DIR",
        "FUSE_COPY_FILE_RANGE",
    ),
    29: ("FUSE_NO_OPENDIR_SUPPORT",),
    30: (
        "FUSE_EXPLICIT_INVAL_DATA",
        "FUSE_IOCTL_COMPAT_X32",
    ),
    31: (
        "FUSE_MAP_ALIGNMENT",
        "FUSE_WRITE_KILL_PRIV",
        "FUSE_SETUPMAPPING_FLAG_WRITE",
        "FUSE_SETUPMAPPING_FLAG_READ",
        "FUSE_SETUPMAPPING",
        "FUSE_REMOVEMAPPING",
    ),
    32: (
        "FUSE_SUBMOUNTS",
        "FUSE_ATTR_SUBMOUNT",
    ),
    33: (
        "FUSE_HANDLE_KILLPRIV_V2",
        "FUSE_SETXATTR_EXT",
        "FATTR_KILL_SUIDGID",
        "FUSE_OPEN_KILL_SUIDGID",
        "FUSE_WRITE_KILL_SUIDGID",
        "FUSE_SETXATTR_ACL_KILL_SGID",
    ),
    34: ("FUSE_SYNCFS",),
    35: ("FOPEN_NOFLUSH",),
    36: (
        "FUSE_INIT_EXT",
        "FUSE_SECURITY_CTX",
        "FUSE_HAS_INODE_DAX",
        "FUSE_ATTR_DAX",
    ),
    37: ("FUSE_TMPFILE",),
    38: (
        "FUSE_CREATE_SUPP_GROUP",
        "FUSE_HAS_EXPIRE_ONLY",
        "FOPEN_PARALLEL_DIRECT_WRITES",
        "FUSE_EXPIRE_ONLY",
        "FUSE_MAX_NR_SECCTX",
        "FUSE_EXT_GROUPS",
    ),
    39: (
        "FUSE_DIRECT_IO_ALLOW_MMAP",
        "FUSE_DIRECT_IO_RELAX",
        "FUSE_STATX",
    ),
    40: (
        "FUSE_PASSTHROUGH",
        "FUSE_NO_EXPORT_SUPPORT",
        "FUSE_HAS_RESEND",
        "FOPEN_PASSTHROUGH",
        "FUSE_UNIQUE_RESEND",
        "FUSE_NOTIFY_RESEND",
        "FUSE_DEV_IOC_BACKING_OPEN",
        "FUSE_DEV_IOC_BACKING_CLOSE",
    ),
    41: ("FUSE_ALLOW_IDMAP",),
    42: (
        "FUSE_OVER_IO_URING",
        "FUSE_IO_URING_CMD_INVALID",
        "FUSE_IO_URING_CMD_REGISTER",
        "FUSE_IO_URING_CMD_COMMIT_AND_FETCH",
    ),
    43: ("FUSE_REQUEST_TIMEOUT",),
    44: ("FUSE_NOTIFY_INC_EPOCH",),
    45: (
        "FUSE_COPY_FILE_RANGE_64",
        "FUSE_NOTIFY_PRUNE",
    ),
}
"""Minor to the names of the header that it brought."""

SINCE: dict[str, int] = {name: minor for minor, names in INTRODUCED.items() for name in names}
"""Name to the minor that brought it."""
