"""The flag words of fuse_kernel.h 7.45, one class each; members have the names of the header.

For reading, typing and printing. Enum arithmetic costs half a microsecond an operator: code that runs for every request
compares with the plain numbers of :mod:`rawfuse.wire.constants`. The minor a flag came with is in
:data:`rawfuse.wire.since.SINCE`.
"""

from __future__ import annotations

from enum import IntFlag

__all__ = [
    "InitFlags",
    "SetAttrValid",
    "OpenReplyFlags",
    "OpenRequestFlags",
    "ReleaseFlags",
    "GetAttrFlags",
    "LockFlags",
    "ReadFlags",
    "WriteFlags",
    "FSyncFlags",
    "SetXAttrFlags",
    "AttrFlags",
    "IoctlFlags",
    "PollFlags",
    "SetupMappingFlags",
    "InvalEntryFlags",
    "UniqueFlags",
    "CuseInitFlags",
    "FLAG_CLASSES",
    "FLAG_MEMBERS",
]


class InitFlags(IntFlag):
    """What INIT offers and answers: ``flags`` in the low word, ``flags2`` shifted left by 32."""

    FUSE_ASYNC_READ = 1 << 0
    """READs of one file may be in flight together and come out of order."""
    FUSE_POSIX_LOCKS = 1 << 1
    """POSIX locks are sent as GETLK, SETLK, SETLKW; else the kernel keeps them."""
    FUSE_FILE_OPS = 1 << 2
    """The kernel sends a file handle with FSTAT and the like; not offered by Linux 6.18."""
    FUSE_ATOMIC_O_TRUNC = 1 << 3
    """OPEN may carry O_TRUNC, and empties the file; else a SETATTR follows it, but not for a program that runs."""
    FUSE_EXPORT_SUPPORT = 1 << 4
    """LOOKUP of "." and ".." works, for NFS."""
    FUSE_BIG_WRITES = 1 << 5
    """Buffered WRITEs may be larger than a page (4 KiB each without it, measured)."""
    FUSE_DONT_MASK = 1 << 6
    """The server applies the umask, which requests carry."""
    FUSE_SPLICE_WRITE = 1 << 7
    """Replies may be spliced to the device."""
    FUSE_SPLICE_MOVE = 1 << 8
    """Spliced pages may be moved, not copied."""
    FUSE_SPLICE_READ = 1 << 9
    """Requests may be spliced from the device."""
    FUSE_FLOCK_LOCKS = 1 << 10
    """flock(2) locks are sent as SETLK with LK_FLOCK."""
    FUSE_HAS_IOCTL_DIR = 1 << 11
    """IOCTL of directories is possible."""
    FUSE_AUTO_INVAL_DATA = 1 << 12
    """Cached pages are dropped when GETATTR shows another mtime or size."""
    FUSE_DO_READDIRPLUS = 1 << 13
    """The kernel uses READDIRPLUS."""
    FUSE_READDIRPLUS_AUTO = 1 << 14
    """... but only where it expects the attributes to be wanted."""
    FUSE_ASYNC_DIO = 1 << 15
    """Direct I/O requests may be in flight together."""
    FUSE_WRITEBACK_CACHE = 1 << 16
    """Writes are collected in the page cache, the kernel keeps size and mtime. Excludes PASSTHROUGH."""
    FUSE_NO_OPEN_SUPPORT = 1 << 17
    """The kernel understands ENOSYS to OPEN."""
    FUSE_PARALLEL_DIROPS = 1 << 18
    """LOOKUP and READDIR of one directory may be in flight together."""
    FUSE_HANDLE_KILLPRIV = 1 << 19
    """The server clears setuid and setgid bits on write, chown and truncate."""
    FUSE_POSIX_ACL = 1 << 20
    """The kernel checks POSIX ACLs; forces default_permissions."""
    FUSE_ABORT_ERROR = 1 << 21
    """Reading the device after an abort says ECONNABORTED, not ENODEV."""
    FUSE_MAX_PAGES = 1 << 22
    """``max_pages`` of the INIT reply counts (128 KiB a request without it); names up to 4095 bytes."""
    FUSE_CACHE_SYMLINKS = 1 << 23
    """READLINK replies are cached."""
    FUSE_NO_OPENDIR_SUPPORT = 1 << 24
    """The kernel understands ENOSYS to OPENDIR."""
    FUSE_EXPLICIT_INVAL_DATA = 1 << 25
    """Cached pages are dropped only when the server says so."""
    FUSE_MAP_ALIGNMENT = 1 << 26
    """``map_alignment`` of the INIT reply counts; virtiofs."""
    FUSE_SUBMOUNTS = 1 << 27
    """The kernel understands ATTR_SUBMOUNT; virtiofs."""
    FUSE_HANDLE_KILLPRIV_V2 = 1 << 28
    """As HANDLE_KILLPRIV, but the kernel says when, with KILL_SUIDGID."""
    FUSE_SETXATTR_EXT = 1 << 29
    """fuse_setxattr_in is 16 bytes, with ``setxattr_flags``."""
    FUSE_INIT_EXT = 1 << 30
    """``flags2`` counts."""
    FUSE_INIT_RESERVED = 1 << 31
    """Never used."""
    FUSE_SECURITY_CTX = 1 << 32
    """Creating requests carry the security context as an extension."""
    FUSE_HAS_INODE_DAX = 1 << 33
    """DAX may be chosen per inode; virtiofs."""
    FUSE_CREATE_SUPP_GROUP = 1 << 34
    """Creating requests carry the matching supplementary group as an extension."""
    FUSE_HAS_EXPIRE_ONLY = 1 << 35
    """The kernel understands EXPIRE_ONLY."""
    FUSE_DIRECT_IO_ALLOW_MMAP = 1 << 36
    """Files opened with DIRECT_IO may be mapped shared."""
    FUSE_PASSTHROUGH = 1 << 37
    """Opens may be passed through to a backing file."""
    FUSE_NO_EXPORT_SUPPORT = 1 << 38
    """The mount cannot be exported by NFS."""
    FUSE_HAS_RESEND = 1 << 39
    """The kernel understands NOTIFY_RESEND."""
    FUSE_DIRECT_IO_RELAX = FUSE_DIRECT_IO_ALLOW_MMAP
    """Older name of DIRECT_IO_ALLOW_MMAP."""
    FUSE_ALLOW_IDMAP = 1 << 40
    """Idmapped mounts are allowed; needs default_permissions, else INIT fails."""
    FUSE_OVER_IO_URING = 1 << 41
    """Requests may be fetched over io_uring."""
    FUSE_REQUEST_TIMEOUT = 1 << 42
    """``request_timeout`` of the INIT reply counts: too late a reply aborts the connection."""


class SetAttrValid(IntFlag):
    """Which members of fuse_setattr_in count."""

    FATTR_MODE = 1 << 0
    """chmod."""
    FATTR_UID = 1 << 1
    """chown."""
    FATTR_GID = 1 << 2
    """chgrp."""
    FATTR_SIZE = 1 << 3
    """truncate."""
    FATTR_ATIME = 1 << 4
    """``atime`` is given."""
    FATTR_MTIME = 1 << 5
    """``mtime`` is given."""
    FATTR_FH = 1 << 6
    """``fh`` is an open file."""
    FATTR_ATIME_NOW = 1 << 7
    """atime becomes now."""
    FATTR_MTIME_NOW = 1 << 8
    """mtime becomes now."""
    FATTR_LOCKOWNER = 1 << 9
    """``lock_owner`` is given; truncate(2) sends it too."""
    FATTR_CTIME = 1 << 10
    """``ctime`` is given; with the writeback cache."""
    FATTR_KILL_SUIDGID = 1 << 11
    """Clear setuid and setgid bits; HANDLE_KILLPRIV_V2."""


class OpenReplyFlags(IntFlag):
    """``open_flags`` of the replies to OPEN, OPENDIR and CREATE."""

    FOPEN_DIRECT_IO = 1 << 0
    """Bypass the page cache."""
    FOPEN_KEEP_CACHE = 1 << 1
    """Keep the pages cached before."""
    FOPEN_NONSEEKABLE = 1 << 2
    """lseek(2) is ESPIPE."""
    FOPEN_CACHE_DIR = 1 << 3
    """Cache the entries of this directory."""
    FOPEN_STREAM = 1 << 4
    """No file position at all."""
    FOPEN_NOFLUSH = 1 << 5
    """No FLUSH on close, unless with the writeback cache."""
    FOPEN_PARALLEL_DIRECT_WRITES = 1 << 6
    """Direct WRITEs of one file may be in flight together."""
    FOPEN_PASSTHROUGH = 1 << 7
    """Read and write the backing file ``backing_id`` instead."""


class OpenRequestFlags(IntFlag):
    """``open_flags`` of OPEN and CREATE requests."""

    FUSE_OPEN_KILL_SUIDGID = 1 << 0
    """Clear setuid and setgid bits if O_TRUNC is set."""


class ReleaseFlags(IntFlag):
    """``release_flags`` of RELEASE."""

    FUSE_RELEASE_FLUSH = 1 << 0
    """Flush as FLUSH does."""
    FUSE_RELEASE_FLOCK_UNLOCK = 1 << 1
    """Drop the flock(2) locks of ``lock_owner``."""


class GetAttrFlags(IntFlag):
    """``getattr_flags`` of GETATTR and STATX."""

    FUSE_GETATTR_FH = 1 << 0
    """``fh`` is an open file."""


class LockFlags(IntFlag):
    """``lk_flags`` of GETLK, SETLK and SETLKW."""

    FUSE_LK_FLOCK = 1 << 0
    """flock(2), not a POSIX lock."""


class ReadFlags(IntFlag):
    """``read_flags`` of READ."""

    FUSE_READ_LOCKOWNER = 1 << 1
    """``lock_owner`` is given."""


class WriteFlags(IntFlag):
    """``write_flags`` of WRITE."""

    FUSE_WRITE_CACHE = 1 << 0
    """Delayed write from the page cache; ``fh`` is any open one, pid is 0."""
    FUSE_WRITE_LOCKOWNER = 1 << 1
    """``lock_owner`` is given."""
    FUSE_WRITE_KILL_SUIDGID = 1 << 2
    """Clear setuid and setgid bits."""
    FUSE_WRITE_KILL_PRIV = FUSE_WRITE_KILL_SUIDGID
    """Older name of WRITE_KILL_SUIDGID."""


class FSyncFlags(IntFlag):
    """``fsync_flags`` of FSYNC and FSYNCDIR."""

    FUSE_FSYNC_FDATASYNC = 1 << 0
    """Only the data need be durable."""


class SetXAttrFlags(IntFlag):
    """``setxattr_flags`` of SETXATTR; only with SETXATTR_EXT."""

    FUSE_SETXATTR_ACL_KILL_SGID = 1 << 0
    """Clear the setgid bit: an ACL of a file of a group the caller is not in."""


class AttrFlags(IntFlag):
    """``flags`` of fuse_attr."""

    FUSE_ATTR_SUBMOUNT = 1 << 0
    """The object is the root of a submount; virtiofs."""
    FUSE_ATTR_DAX = 1 << 1
    """Use DAX for this inode; virtiofs."""


class IoctlFlags(IntFlag):
    """``flags`` of IOCTL requests and replies."""

    FUSE_IOCTL_COMPAT = 1 << 0
    """A 32-bit caller on a 64-bit kernel."""
    FUSE_IOCTL_UNRESTRICTED = 1 << 1
    """Not limited to well-formed ioctls: the server may ask for a retry."""
    FUSE_IOCTL_RETRY = 1 << 2
    """Reply: come again with the iovecs that follow."""
    FUSE_IOCTL_32BIT = 1 << 3
    """The caller's ioctl structs are 32-bit."""
    FUSE_IOCTL_DIR = 1 << 4
    """Of a directory."""
    FUSE_IOCTL_COMPAT_X32 = 1 << 5
    """An x32 caller."""


class PollFlags(IntFlag):
    """``flags`` of POLL."""

    FUSE_POLL_SCHEDULE_NOTIFY = 1 << 0
    """Send NOTIFY_POLL for ``kh`` when ready."""


class SetupMappingFlags(IntFlag):
    """``flags`` of SETUPMAPPING."""

    FUSE_SETUPMAPPING_FLAG_WRITE = 1 << 0
    """Map for writing."""
    FUSE_SETUPMAPPING_FLAG_READ = 1 << 1
    """Map for reading."""


class InvalEntryFlags(IntFlag):
    """``flags`` of NOTIFY_INVAL_ENTRY."""

    FUSE_EXPIRE_ONLY = 1 << 0
    """Only look the entry up again."""


class UniqueFlags(IntFlag):
    """Bits of a request's ``unique``."""

    FUSE_UNIQUE_RESEND = 1 << 63
    """Read again after NOTIFY_RESEND."""


class CuseInitFlags(IntFlag):
    """``flags`` of CUSE_INIT."""

    CUSE_UNRESTRICTED_IOCTL = 1 << 0
    """Ioctls may be retried with iovecs."""


FLAG_CLASSES: tuple[type[IntFlag], ...] = (
    InitFlags,
    SetAttrValid,
    OpenReplyFlags,
    OpenRequestFlags,
    ReleaseFlags,
    GetAttrFlags,
    LockFlags,
    ReadFlags,
    WriteFlags,
    FSyncFlags,
    SetXAttrFlags,
    AttrFlags,
    IoctlFlags,
    PollFlags,
    SetupMappingFlags,
    InvalEntryFlags,
    UniqueFlags,
    CuseInitFlags,
)

FLAG_MEMBERS: dict[tuple[str, str], type[IntFlag]] = {
    ("fuse_init_in", "flags"): InitFlags,
    ("fuse_init_out", "flags"): InitFlags,
    ("fuse_setattr_in", "valid"): SetAttrValid,
    ("fuse_open_out", "open_flags"): OpenReplyFlags,
    ("fuse_open_in", "open_flags"): OpenRequestFlags,
    ("fuse_create_in", "open_flags"): OpenRequestFlags,
    ("fuse_release_in", "release_flags"): ReleaseFlags,
    ("fuse_getattr_in", "getattr_flags"): GetAttrFlags,
    ("fuse_statx_in", "getattr_flags"): GetAttrFlags,
    ("fuse_lk_in", "lk_flags"): LockFlags,
    ("fuse_read_in", "read_flags"): ReadFlags,
    ("fuse_write_in", "write_flags"): WriteFlags,
    ("fuse_fsync_in", "fsync_flags"): FSyncFlags,
    ("fuse_setxattr_in", "setxattr_flags"): SetXAttrFlags,
    ("fuse_attr", "flags"): AttrFlags,
    ("fuse_ioctl_in", "flags"): IoctlFlags,
    ("fuse_ioctl_out", "flags"): IoctlFlags,
    ("fuse_poll_in", "flags"): PollFlags,
    ("fuse_setupmapping_in", "flags"): SetupMappingFlags,
    ("fuse_notify_inval_entry_out", "flags"): InvalEntryFlags,
    ("cuse_init_in", "flags"): CuseInitFlags,
    ("cuse_init_out", "flags"): CuseInitFlags,
}
"""Which flags a member of a struct holds. ``flags2`` of INIT is the high word of :class:`InitFlags`."""
