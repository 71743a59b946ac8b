"""The numbers of fuse_kernel.h 7.45 that are not flags: opcodes, notify codes, enums, ioctls, constants."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["CONSTANTS", "ENUM_CLASSES", "IOCTLS", "ExtType", "NotifyCode", "Opcode", "UringCmd"]


class Opcode(IntEnum):
    """``enum fuse_opcode``. The two *_BSWAP_RESERVED ones are an INIT with its bytes reversed."""

    FUSE_LOOKUP = 1
    FUSE_FORGET = 2
    FUSE_GETATTR = 3
    FUSE_SETATTR = 4
    FUSE_READLINK = 5
    FUSE_SYMLINK = 6
    FUSE_MKNOD = 8
    FUSE_MKDIR = 9
    FUSE_UNLINK = 10
    FUSE_RMDIR = 11
    FUSE_RENAME = 12
    FUSE_LINK = 13
    FUSE_OPEN = 14
    FUSE_READ = 15
    FUSE_WRITE = 16
    FUSE_STATFS = 17
    FUSE_RELEASE = 18
    FUSE_FSYNC = 20
    FUSE_SETXATTR = 21
    FUSE_GETXATTR = 22
    FUSE_LISTXATTR = 23
    FUSE_REMOVEXATTR = 24
    FUSE_FLUSH = 25
    FUSE_INIT = 26
    FUSE_OPENDIR = 27
    FUSE_READDIR = 28
    FUSE_RELEASEDIR = 29
    FUSE_FSYNCDIR = 30
    FUSE_GETLK = 31
    FUSE_SETLK = 32
    FUSE_SETLKW = 33
    FUSE_ACCESS = 34
    FUSE_CREATE = 35
    FUSE_INTERRUPT = 36
    FUSE_BMAP = 37
    FUSE_DESTROY = 38
    FUSE_IOCTL = 39
    FUSE_POLL = 40
    FUSE_NOTIFY_REPLY = 41
    FUSE_BATCH_FORGET = 42
    FUSE_FALLOCATE = 43
    FUSE_READDIRPLUS = 44
    FUSE_RENAME2 = 45
    FUSE_LSEEK = 46
    FUSE_COPY_FILE_RANGE = 47
    FUSE_SETUPMAPPING = 48
    FUSE_REMOVEMAPPING = 49
    FUSE_SYNCFS = 50
    FUSE_TMPFILE = 51
    FUSE_STATX = 52
    FUSE_COPY_FILE_RANGE_64 = 53
    CUSE_INIT = 4096
    CUSE_INIT_BSWAP_RESERVED = 1048576
    FUSE_INIT_BSWAP_RESERVED = 436207616


class NotifyCode(IntEnum):
    """``enum fuse_notify_code``."""

    FUSE_NOTIFY_POLL = 1
    FUSE_NOTIFY_INVAL_INODE = 2
    FUSE_NOTIFY_INVAL_ENTRY = 3
    FUSE_NOTIFY_STORE = 4
    FUSE_NOTIFY_RETRIEVE = 5
    FUSE_NOTIFY_DELETE = 6
    FUSE_NOTIFY_RESEND = 7
    FUSE_NOTIFY_INC_EPOCH = 8
    FUSE_NOTIFY_PRUNE = 9


class ExtType(IntEnum):
    """``enum fuse_ext_type``: a type up to FUSE_MAX_NR_SECCTX counts security contexts."""

    FUSE_MAX_NR_SECCTX = 31
    FUSE_EXT_GROUPS = 32


class UringCmd(IntEnum):
    """``enum fuse_uring_cmd``: io_uring commands on the device."""

    FUSE_IO_URING_CMD_INVALID = 0
    FUSE_IO_URING_CMD_REGISTER = 1
    FUSE_IO_URING_CMD_COMMIT_AND_FETCH = 2


ENUM_CLASSES: tuple[type[IntEnum], ...] = (Opcode, NotifyCode, ExtType, UringCmd)

IOCTLS: dict[str, int] = {
    "FUSE_DEV_IOC_CLONE": 0x8004E500,
    "FUSE_DEV_IOC_BACKING_OPEN": 0x4010E501,
    "FUSE_DEV_IOC_BACKING_CLOSE": 0x4004E502,
    "FUSE_DEV_IOC_SYNC_INIT": 0xE503,
}
"""ioctl(2) on the device: CLONE takes another fd of it, BACKING_OPEN a fuse_backing_map, BACKING_CLOSE an id."""

CONSTANTS: dict[str, int] = {
    "FUSE_KERNEL_VERSION": 7,
    "FUSE_KERNEL_MINOR_VERSION": 45,
    "FUSE_ROOT_ID": 1,
    "FUSE_IOCTL_MAX_IOV": 256,
    "FUSE_MIN_READ_BUFFER": 8192,
    "CUSE_INIT_INFO_MAX": 4096,
    "FUSE_INVALID_UIDGID": 4294967295,
    "FUSE_NAME_OFFSET": 24,
    "FUSE_NAME_OFFSET_DIRENTPLUS": 152,
    "FUSE_DEV_IOC_MAGIC": 229,
    "FUSE_URING_IN_OUT_HEADER_SZ": 128,
    "FUSE_URING_OP_IN_OUT_SZ": 128,
}
"""The remaining numbers, by their names in the header."""
