"""The numbers of fuse_kernel.h 7.45 that are not flags: opcodes, notify codes, enums, ioctls, constants."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["CONSTANTS", "ENUM_CLASSES", "IOCTLS", "NUMBER_DOCS", "ExtType", "NotifyCode", "Opcode", "UringCmd"]


class Opcode(IntEnum):
    """``enum fuse_opcode``. Their records are in :mod:`rawfuse.wire.opcodes`."""

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
    """CUSE_INIT of a machine of the other byte order; no opcode will get this number."""
    FUSE_INIT_BSWAP_RESERVED = 436207616
    """INIT of a machine of the other byte order; no opcode will get this number."""


class NotifyCode(IntEnum):
    """``enum fuse_notify_code``: what a message from the server tells. Records: :mod:`rawfuse.wire.opcodes`."""

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
    """The largest type that is a number of security contexts, as many as may come."""
    FUSE_EXT_GROUPS = 32
    """fuse_supp_groups follows: the caller's group that is the new inode's directory's too."""


class UringCmd(IntEnum):
    """``enum fuse_uring_cmd``: io_uring commands on the device."""

    FUSE_IO_URING_CMD_INVALID = 0
    """No command."""
    FUSE_IO_URING_CMD_REGISTER = 1
    """Hand the kernel an entry with its header and payload buffers, to be filled with a request."""
    FUSE_IO_URING_CMD_COMMIT_AND_FETCH = 2
    """Answer the entry's request and wait for its next one."""


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

NUMBER_DOCS: dict[str, str] = {
    "FUSE_DEV_IOC_CLONE": "Joins a newly opened device descriptor to the connection of the one that the argument, a "
    "pointer to u32, names. EINVAL: that is no FUSE descriptor, or this one has a connection; EPERM: not mounted yet. "
    "A reply must be written to the descriptor that its request was read from.",
    "FUSE_DEV_IOC_BACKING_OPEN": "Registers the file of a fuse_backing_map for passthrough; the result of ioctl(2) is "
    "the backing id. EPERM: PASSTHROUGH was not negotiated; EINVAL: no file that could serve (/dev/null).",
    "FUSE_DEV_IOC_BACKING_CLOSE": "Gives up the backing id that the argument, a pointer to u32, holds. Files opened "
    "with it stay open; a later OPEN reply that names it is EIO for the caller.",
    "FUSE_DEV_IOC_SYNC_INIT": "Before the mount, no argument: mount(2) then waits for the answer to INIT, so another "
    "thread must read the device meanwhile; a refused INIT is ENOTCONN from the mount.",
    "FUSE_KERNEL_VERSION": "The major version of the protocol.",
    "FUSE_KERNEL_MINOR_VERSION": "The minor version of the protocol that the header describes.",
    "FUSE_ROOT_ID": "nodeid of the root, which no LOOKUP gives and no FORGET takes back.",
    "FUSE_IOCTL_MAX_IOV": "The most iovecs that a retry of IOCTL may name, those to read and to write together.",
    "FUSE_MIN_READ_BUFFER": "Bytes that a read of the device must ask for at least; see max_write of fuse_init_out.",
    "CUSE_INIT_INFO_MAX": "The most bytes of NAME=value strings in the reply to CUSE_INIT.",
    "FUSE_INVALID_UIDGID": "With ALLOW_IDMAP, uid and gid in the header of a request that makes no inode.",
    "FUSE_NAME_OFFSET": "Where the name begins in fuse_dirent, in bytes.",
    "FUSE_NAME_OFFSET_DIRENTPLUS": "Where the name begins in fuse_direntplus, in bytes.",
    "FUSE_DEV_IOC_MAGIC": "The type byte of the device's ioctls.",
    "FUSE_URING_IN_OUT_HEADER_SZ": "Bytes kept for fuse_in_header or fuse_out_header in an entry of the ring.",
    "FUSE_URING_OP_IN_OUT_SZ": "Bytes kept for the request's own struct in an entry of the ring.",
}
"""What the ioctls and the constants are for, by name; ioctl results measured on Linux 6.18."""
