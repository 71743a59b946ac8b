"""One record per opcode: what it is called, what it carries, what its reply is, what ENOSYS means.

Plain data, without Construct and without the generated classes: the generator, the codecs for the kernel's role, the
session's checks and the printers all read this table. Adding an opcode is adding one record (and its structs to the
schema). Source: fuse_kernel.h 7.45; request and reply shapes and the ENOSYS rules measured on Linux 6.18.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

__all__ = [
    "BY_NAME",
    "BY_OPCODE",
    "Array",
    "Body",
    "Enosys",
    "Fixed",
    "NOTIFICATIONS",
    "Name",
    "Notice",
    "Operation",
    "Payload",
    "Reply",
    "OPERATIONS",
]


@dataclass(frozen=True, slots=True)
class Fixed:
    """A C struct; the attribute of the message is ``arg``."""

    struct: str


@dataclass(frozen=True, slots=True)
class Name:
    """Bytes up to a NUL, which the wire carries and the attribute does not. Never empty, never with a NUL inside.

    ``entry``: a name in a directory, and so without a slash: one with a slash would lead a server out of it.
    """

    attribute: str
    entry: bool = False


@dataclass(frozen=True, slots=True)
class Payload:
    """As many bytes as ``arg.<size>`` says, up to the end of the message.

    ``view``: the attribute is a memoryview of the buffer that was decoded, not a copy.
    """

    attribute: str
    size: str
    view: bool = False


@dataclass(frozen=True, slots=True)
class Array:
    """``arg.<count>`` structs (64-bit numbers where ``struct`` is empty), up to the end of the message."""

    attribute: str
    struct: str
    count: str


Body: TypeAlias = tuple[Fixed | Name | Payload | Array, ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """What may follow ``fuse_out_header`` in a successful reply. An error reply is always the header alone.

    kind:
        ``none``      the request is never answered (the kernel says ENOENT to a reply);
        ``optional``  header only, and it may be left out;
        ``empty``     header only;
        ``fixed``     exactly ``structs``;
        ``bytes``     0 to ``arg.<limit>`` bytes, or 0 to ``limit`` bytes where it is a number; shorter is fine;
        ``dirents``   the same, made of ``structs`` with their names;
        ``xattr``     ``structs`` when ``arg.size`` is 0, else bytes up to it;
        ``prefix``    8 bytes up to the whole of ``structs`` (INIT);
        ``head``      ``structs``, then bytes up to ``limit``.
    """

    kind: str
    structs: tuple[str, ...] = ()
    limit: str | int = 0


@dataclass(frozen=True, slots=True)
class Enosys:
    """What the kernel makes of ENOSYS: ``remembered`` means it never asks again on this connection.

    ``becomes``: what callers then see ("success", an errno's name, or what the kernel does instead); empty where ENOSYS
    is passed on to the caller.
    """

    remembered: bool
    becomes: str = ""


PASSED_ON = Enosys(False)
ENTRY = Reply("fixed", ("fuse_entry_out",))
ATTR = Reply("fixed", ("fuse_attr_out",))
EMPTY = Reply("empty")
NONE = Reply("none")


def _fixed(*structs: str) -> Reply:
    return Reply("fixed", structs)


@dataclass(frozen=True, slots=True)
class Operation:
    """The record of one opcode.

    opcode: the number. name: as in the header, ``FUSE_LOOKUP``. request: name of the request class, ``Lookup``.
    nodeid: what the header's nodeid means. since: first minor of protocol 7 with it, ``None`` where older than the
    header's own history. extensible: ``total_extlen`` may be non-zero.
    """

    opcode: int
    name: str
    request: str
    nodeid: str
    body: Body
    reply: Reply
    since: int | None
    enosys: Enosys = PASSED_ON
    extensible: bool = False
    doc: str = ""

    @property
    def label(self) -> str:
        """The short name people print: ``LOOKUP``."""
        return self.name.removeprefix("FUSE_")


def _op(
    opcode: int,
    name: str,
    request: str,
    nodeid: str,
    body: Body,
    reply: Reply,
    since: int | None,
    enosys: Enosys = PASSED_ON,
    *,
    extensible: bool = False,
    doc: str,
) -> Operation:
    return Operation(opcode, name, request, nodeid, body, reply, since, enosys, extensible, doc)


_NAME = Name("name", entry=True)
_ANY_NAME = Name("name")
_NEW_NAME = Name("newname", entry=True)
_SUCCESS = Enosys(True, "success")
_IGNORED = Enosys(False, "ignored")
_EOPNOTSUPP = Enosys(True, "EOPNOTSUPP")
_CREATED = _fixed("fuse_entry_out", "fuse_open_out")
_XATTR = Reply("xattr", ("fuse_getxattr_out",), "size")

# fmt: off
OPERATIONS: tuple[Operation, ...] = (
    _op(1, "FUSE_LOOKUP", "Lookup", "parent", (_NAME,), ENTRY, None,
        doc="Look up a name in a directory. nodeid 0 in the reply is an absence the kernel may cache."),
    _op(2, "FUSE_FORGET", "Forget", "inode", (Fixed("fuse_forget_in"),), NONE, None,
        doc="The kernel drops nlookup of the references it got from replies that carry an entry."),
    _op(3, "FUSE_GETATTR", "GetAttr", "inode", (Fixed("fuse_getattr_in"),), ATTR, None,
        doc="Read an inode's attributes."),
    _op(4, "FUSE_SETATTR", "SetAttr", "inode", (Fixed("fuse_setattr_in"),), ATTR, 1,
        doc="Change the attributes that arg.valid names (chmod, chown, truncate, utimens)."),
    _op(5, "FUSE_READLINK", "ReadLink", "inode", (), Reply("bytes", (), 4095), None,
        doc="Read a symbolic link's target; at most 4095 bytes, no NUL needed."),
    _op(6, "FUSE_SYMLINK", "Symlink", "parent", (_NAME, Name("target")), ENTRY, 1, extensible=True,
        doc="Create the symbolic link name, pointing to target."),
    _op(8, "FUSE_MKNOD", "MkNod", "parent", (Fixed("fuse_mknod_in"), _NAME), ENTRY, 1, extensible=True,
        doc="Create a file, device, FIFO or socket; a regular file too where CREATE is absent."),
    _op(9, "FUSE_MKDIR", "MkDir", "parent", (Fixed("fuse_mkdir_in"), _NAME), ENTRY, 1, extensible=True,
        doc="Create a directory. The mode is already masked unless DONT_MASK was negotiated."),
    _op(10, "FUSE_UNLINK", "Unlink", "parent", (_NAME,), EMPTY, 1, doc="Remove a name that is not a directory."),
    _op(11, "FUSE_RMDIR", "RmDir", "parent", (_NAME,), EMPTY, 1, doc="Remove an empty directory."),
    _op(12, "FUSE_RENAME", "Rename", "old parent", (Fixed("fuse_rename_in"), _NAME, _NEW_NAME), EMPTY, 1,
        doc="Move a name to arg.newdir/newname, replacing what is there."),
    _op(13, "FUSE_LINK", "Link", "new parent", (Fixed("fuse_link_in"), _NAME), ENTRY, 1, Enosys(True, "EPERM"),
        doc="Make another name for the inode arg.oldnodeid. The reply takes a reference, as every entry does."),
    _op(14, "FUSE_OPEN", "Open", "inode", (Fixed("fuse_open_in"),), _fixed("fuse_open_out"), 1,
        Enosys(True, "success: fh 0, KEEP_CACHE, no RELEASE"),
        doc="Open a file; without O_CREAT, O_EXCL and O_NOCTTY, and without O_TRUNC unless ATOMIC_O_TRUNC."),
    _op(15, "FUSE_READ", "Read", "inode", (Fixed("fuse_read_in"),), Reply("bytes", (), "size"), 1,
        doc="Read at most arg.size bytes; fewer mean the end of the file, unless opened direct."),
    _op(16, "FUSE_WRITE", "Write", "inode", (Fixed("fuse_write_in"), Payload("data", "size", view=True)),
        _fixed("fuse_write_out"), 1,
        doc="Write data; the reply's size 0 or more than asked costs the caller EIO, less is a short write."),
    _op(17, "FUSE_STATFS", "StatFs", "inode", (), _fixed("fuse_statfs_out"), None,
        doc="Blocks, inodes and the longest name of the file system."),
    _op(18, "FUSE_RELEASE", "Release", "inode", (Fixed("fuse_release_in"),), EMPTY, 1, _IGNORED,
        doc="The last reference to an open file is gone; errors reach nobody."),
    _op(20, "FUSE_FSYNC", "FSync", "inode", (Fixed("fuse_fsync_in"),), EMPTY, 1, _SUCCESS,
        doc="Make a file durable; with FSYNC_FDATASYNC its data alone."),
    _op(21, "FUSE_SETXATTR", "SetXAttr", "inode", (Fixed("fuse_setxattr_in"), _ANY_NAME, Payload("value", "size")),
        EMPTY, 1, _EOPNOTSUPP, doc="Set an extended attribute; arg.flags are XATTR_CREATE and XATTR_REPLACE."),
    _op(22, "FUSE_GETXATTR", "GetXAttr", "inode", (Fixed("fuse_getxattr_in"), _ANY_NAME), _XATTR, 1, _EOPNOTSUPP,
        doc="Read an extended attribute; with arg.size 0 only its size. Too long for arg.size is ERANGE."),
    _op(23, "FUSE_LISTXATTR", "ListXAttr", "inode", (Fixed("fuse_getxattr_in"),), _XATTR, 1, _EOPNOTSUPP,
        doc="The names of all extended attributes, each ended by a NUL; with arg.size 0 only their size."),
    _op(24, "FUSE_REMOVEXATTR", "RemoveXAttr", "inode", (_ANY_NAME,), EMPTY, 1, _EOPNOTSUPP,
        doc="Remove an extended attribute."),
    _op(25, "FUSE_FLUSH", "Flush", "inode", (Fixed("fuse_flush_in"),), EMPTY, 1, _SUCCESS,
        doc="A descriptor was closed; comes once per close(2), so perhaps often for one OPEN. Its error is close's."),
    _op(26, "FUSE_INIT", "Init", "none", (Fixed("fuse_init_in"),), Reply("prefix", ("fuse_init_out",)), None,
        Enosys(True, "ECONNREFUSED for every call"), doc="The first request: versions, flags and limits."),
    _op(27, "FUSE_OPENDIR", "OpenDir", "inode", (Fixed("fuse_open_in"),), _fixed("fuse_open_out"), 1,
        Enosys(True, "success: fh 0, KEEP_CACHE and CACHE_DIR, no RELEASEDIR"), doc="Open a directory."),
    _op(28, "FUSE_READDIR", "ReadDir", "inode", (Fixed("fuse_read_in"),), Reply("dirents", ("fuse_dirent",), "size"), 1,
        doc="Read entries after the cookie arg.offset (0 is the beginning); an empty reply is the end."),
    _op(29, "FUSE_RELEASEDIR", "ReleaseDir", "inode", (Fixed("fuse_release_in"),), EMPTY, 1, _IGNORED,
        doc="The last reference to an open directory is gone."),
    _op(30, "FUSE_FSYNCDIR", "FSyncDir", "inode", (Fixed("fuse_fsync_in"),), EMPTY, 2, _SUCCESS,
        doc="Make the names in a directory durable."),
    _op(31, "FUSE_GETLK", "GetLk", "inode", (Fixed("fuse_lk_in"),), _fixed("fuse_lk_out"), 7,
        doc="The first lock that stands in the way of arg.lk, or type F_UNLCK. Needs POSIX_LOCKS."),
    _op(32, "FUSE_SETLK", "SetLk", "inode", (Fixed("fuse_lk_in"),), EMPTY, 7,
        doc="Take or drop a lock without waiting. Needs POSIX_LOCKS, or FLOCK_LOCKS for flock(2)."),
    _op(33, "FUSE_SETLKW", "SetLkW", "inode", (Fixed("fuse_lk_in"),), EMPTY, 7, doc="Take a lock, waiting for it."),
    _op(34, "FUSE_ACCESS", "Access", "inode", (Fixed("fuse_access_in"),), EMPTY, 3, _SUCCESS,
        doc="May the caller do what arg.mask says? Not sent with default_permissions."),
    _op(35, "FUSE_CREATE", "Create", "parent", (Fixed("fuse_create_in"), _NAME), _CREATED, 3,
        Enosys(True, "LOOKUP, MKNOD and OPEN instead"), extensible=True, doc="Create a file and open it."),
    _op(36, "FUSE_INTERRUPT", "Interrupt", "none", (Fixed("fuse_interrupt_in"),), Reply("optional"), 7,
        Enosys(True, "no more INTERRUPT"),
        doc="The caller of request arg.unique got a signal; it waits on until that request is answered."),
    _op(37, "FUSE_BMAP", "BMap", "inode", (Fixed("fuse_bmap_in"),), _fixed("fuse_bmap_out"), 8, Enosys(True, "block 0"),
        doc="Where a file's block lies on the block device; only of fuseblk mounts."),
    _op(38, "FUSE_DESTROY", "Destroy", "none", (), EMPTY, 8, Enosys(False, "nothing"),
        doc="The last request; of fuseblk and virtiofs mounts, never of ordinary ones."),
    _op(39, "FUSE_IOCTL", "Ioctl", "inode", (Fixed("fuse_ioctl_in"), Payload("data", "in_size")),
        Reply("head", ("fuse_ioctl_out",), "out_size"), 11, Enosys(False, "ENOTTY"),
        doc="A command to an open file or directory."),
    _op(40, "FUSE_POLL", "Poll", "inode", (Fixed("fuse_poll_in"),), _fixed("fuse_poll_out"), 11,
        Enosys(True, "always ready"),
        doc="Is an open file ready? With SCHEDULE_NOTIFY, arg.kh is to be notified later."),
    _op(41, "FUSE_NOTIFY_REPLY", "NotifyReply", "inode",
        (Fixed("fuse_notify_retrieve_in"), Payload("data", "size", view=True)), NONE, 15,
        doc="The cached bytes that a NOTIFY_RETRIEVE asked for; unique is that notification's notify_unique."),
    _op(42, "FUSE_BATCH_FORGET", "BatchForget", "none",
        (Fixed("fuse_batch_forget_in"), Array("forgets", "fuse_forget_one", "count")), NONE, 16,
        doc="Several FORGETs in one message. Never sent below minor 16."),
    _op(43, "FUSE_FALLOCATE", "Fallocate", "inode", (Fixed("fuse_fallocate_in"),), EMPTY, 19, _EOPNOTSUPP,
        doc="Reserve, zero or punch out a range; arg.mode holds FALLOC_FL_*."),
    _op(44, "FUSE_READDIRPLUS", "ReadDirPlus", "inode", (Fixed("fuse_read_in"),),
        Reply("dirents", ("fuse_direntplus",), "size"), 21,
        doc='READDIR and LOOKUP in one: every entry but "." and ".." with a nodeid takes a reference.'),
    _op(45, "FUSE_RENAME2", "Rename2", "old parent", (Fixed("fuse_rename2_in"), _NAME, _NEW_NAME), EMPTY, 23,
        Enosys(True, "EINVAL, where flags are given"),
        doc="Rename with RENAME_NOREPLACE, RENAME_EXCHANGE or RENAME_WHITEOUT."),
    _op(46, "FUSE_LSEEK", "LSeek", "inode", (Fixed("fuse_lseek_in"),), _fixed("fuse_lseek_out"), 24,
        Enosys(True, "the file taken as one piece of data"),
        doc="Find the next data or hole: SEEK_DATA and SEEK_HOLE only."),
    _op(47, "FUSE_COPY_FILE_RANGE", "CopyFileRange", "source inode", (Fixed("fuse_copy_file_range_in"),),
        _fixed("fuse_write_out"), 28, Enosys(True, "READ and WRITE from then on"),
        doc="copy_file_range(2), at most 0xFFFFF000 bytes in one request."),
    _op(48, "FUSE_SETUPMAPPING", "SetupMapping", "inode", (Fixed("fuse_setupmapping_in"),), EMPTY, 31,
        doc="Map a part of a file into the DAX window; virtiofs only."),
    _op(49, "FUSE_REMOVEMAPPING", "RemoveMapping", "inode",
        (Fixed("fuse_removemapping_in"), Array("mappings", "fuse_removemapping_one", "count")), EMPTY, 31,
        doc="Give up parts of the DAX window; virtiofs only."),
    _op(50, "FUSE_SYNCFS", "SyncFs", "root", (Fixed("fuse_syncfs_in"),), EMPTY, 34, _SUCCESS,
        doc="Make everything durable."),
    _op(51, "FUSE_TMPFILE", "TmpFile", "parent", (Fixed("fuse_create_in"), _ANY_NAME), _CREATED, 37, _EOPNOTSUPP,
        extensible=True, doc='Make and open a file that has no name; the name sent is always "/".'),
    _op(52, "FUSE_STATX", "Statx", "inode", (Fixed("fuse_statx_in"),), _fixed("fuse_statx_out"), 39,
        Enosys(True, "GETATTR instead"), doc="Read attributes that GETATTR does not give, such as the time of birth."),
    _op(53, "FUSE_COPY_FILE_RANGE_64", "CopyFileRange64", "source inode", (Fixed("fuse_copy_file_range_in"),),
        _fixed("fuse_copy_file_range_out"), 45, Enosys(True, "COPY_FILE_RANGE instead"),
        doc="copy_file_range(2) of any length; sent whatever minor was negotiated."),
    _op(4096, "CUSE_INIT", "CuseInit", "none", (Fixed("cuse_init_in"),), Reply("head", ("cuse_init_out",), 4096), None,
        Enosys(False, "the device is not made"), doc="INIT of a character device (CUSE); the bytes hold DEVNAME=name."),
)
# fmt: on

BY_OPCODE: dict[int, Operation] = {operation.opcode: operation for operation in OPERATIONS}
BY_NAME: dict[str, Operation] = {operation.request: operation for operation in OPERATIONS}


@dataclass(frozen=True, slots=True)
class Notice:
    """The record of one notify code: a message that the server sends without having been asked.

    The kernel checks sizes exactly (EINVAL otherwise) and answers through the errno of the write: ``errors`` maps
    what may be wrong to it (measured on Linux 6.18). That write may block until requests on the same inode or directory
    have been answered.
    """

    code: int
    name: str
    message: str
    body: Body
    since: int
    errors: tuple[tuple[str, str], ...] = ()
    doc: str = ""

    @property
    def label(self) -> str:
        """The short name people print: ``NOTIFY_STORE``."""
        return self.name.removeprefix("FUSE_")


_SIZE = ("size", "EINVAL")
_INODE = ("unknown inode", "ENOENT")

# fmt: off
NOTIFICATIONS: tuple[Notice, ...] = (
    Notice(1, "FUSE_NOTIFY_POLL", "NotifyPoll", (Fixed("fuse_notify_poll_wakeup_out"),), 11, (_SIZE,),
        "Wake the pollers of arg.kh, which a POLL with SCHEDULE_NOTIFY gave. An unknown kh is accepted."),
    Notice(2, "FUSE_NOTIFY_INVAL_INODE", "NotifyInvalInode", (Fixed("fuse_notify_inval_inode_out"),), 12,
        (_SIZE, _INODE), "Forget an inode's cached attributes, and the pages of a range unless off is negative."),
    Notice(3, "FUSE_NOTIFY_INVAL_ENTRY", "NotifyInvalEntry", (Fixed("fuse_notify_inval_entry_out"), Name("name")), 12,
        (_SIZE, ("name too long", "ENAMETOOLONG"), ("unknown parent or name", "ENOENT")),
        "Forget a cached name, present or absent; with EXPIRE_ONLY only look it up again on next use."),
    Notice(4, "FUSE_NOTIFY_STORE", "NotifyStore", (Fixed("fuse_notify_store_out"), Payload("data", "size", view=True)),
        15, (_SIZE, _INODE, ("not a regular file", "EINVAL")), "Put bytes into the page cache of a file."),
    Notice(5, "FUSE_NOTIFY_RETRIEVE", "NotifyRetrieve", (Fixed("fuse_notify_retrieve_out"),), 15, (_SIZE, _INODE),
        "Ask for cached bytes of a file; they come as a NOTIFY_REPLY whose unique is arg.notify_unique."),
    Notice(6, "FUSE_NOTIFY_DELETE", "NotifyDelete", (Fixed("fuse_notify_delete_out"), Name("name")), 18,
        (_SIZE, ("the name is not that child", "ENOENT")), "A name of arg.child is gone; tells inotify as well."),
    Notice(7, "FUSE_NOTIFY_RESEND", "NotifyResend", (), 40, (),
        "Read the requests in flight again, unique with bit 63 set and the old one dead. Needs HAS_RESEND."),
    Notice(8, "FUSE_NOTIFY_INC_EPOCH", "NotifyIncEpoch", (), 44, (),
        "Look up every cached name again on next use. Linux 6.18 takes any body."),
    Notice(9, "FUSE_NOTIFY_PRUNE", "NotifyPrune", (Fixed("fuse_notify_prune_out"), Array("nodeids", "", "count")), 45,
        (_SIZE,), "Drop cached inodes that nobody uses, so that their FORGETs come."),
)
# fmt: on
