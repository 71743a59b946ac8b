"""What the author of a file system subclasses: one method per opcode."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rawfuse.session.negotiation import DEFAULT_WANTS
from rawfuse.session.replies import Answer, Reply

if TYPE_CHECKING:
    from rawfuse.server import Server
    from rawfuse.session.negotiation import Negotiated
    from rawfuse.wire import (
        Access,
        BMap,
        CopyFileRange,
        CopyFileRange64,
        Create,
        Fallocate,
        Flush,
        FSync,
        FSyncDir,
        GetAttr,
        GetLk,
        GetXAttr,
        Ioctl,
        Link,
        ListXAttr,
        Lookup,
        LSeek,
        MkDir,
        MkNod,
        Open,
        OpenDir,
        Poll,
        Read,
        ReadDir,
        ReadDirPlus,
        ReadLink,
        Release,
        ReleaseDir,
        RemoveMapping,
        RemoveXAttr,
        Rename,
        Rename2,
        RmDir,
        SetAttr,
        SetLk,
        SetLkW,
        SetupMapping,
        SetXAttr,
        StatFs,
        Statx,
        Symlink,
        SyncFs,
        TmpFile,
        Unlink,
        Write,
    )
    from rawfuse.wire.flags import InitFlags

__all__ = ["Answer", "Filesystem", "Reply"]

_ABSENT: Reply = NotImplemented


class Filesystem:
    """Answers requests. Every method here says "absent", which the server turns into ENOSYS; override what you have.

    A method is called on the event loop's thread, in the middle of the loop that reads requests. It either returns its
    reply, which is sent at once, or a coroutine (an `async def` is one; a plain method may return one when it finds
    that it must wait), which becomes a task of its own; an INTERRUPT from the kernel cancels that task and the caller
    gets EINTR. What was read before an `await` may be different after it.

    Or it returns a `concurrent.futures.Future`, such as `executor.submit(os.fsync, fd)` gives. The reply then goes out
    from the thread that completes it, without a turn of the event loop; an INTERRUPT cancels it as far as a future can
    be cancelled, which is before its work has begun.

    A reply is None (success without data), a struct of `rawfuse.wire`, the packed bytes, or a list or tuple of these,
    which are sent one after another and never joined. Its size is checked against what the request may be answered
    with; a wrong one is logged and becomes EIO.

    `raise OSError(errno.ENOENT)` (or any errno but ENOSYS) is an error reply. Never ENOSYS, which tells the kernel
    that the operation is absent from the whole mount: it becomes EIO and is logged, as every other exception is.

    Inode numbers: nodeid 1 is the root. A reply that carries a fuse_entry_out with another nodeid gives the kernel a
    reference to it, which `forget` takes back.

    Class attributes, read when INIT comes:
        wants: FUSE_* flags of INIT to agree on where the kernel offers them.
        max_write: bytes, the largest WRITE; max_pages follows from it.
        max_readahead: bytes the kernel may read ahead; None takes what it offers.
        max_background, congestion_threshold: how many background requests (readahead, writeback) are in flight, and
            from how many on the kernel slows down; 0 takes the kernel's own (12 and 9).
        time_gran: nanoseconds, the granularity of timestamps; a power of ten up to a second.
        max_stack_depth: for PASSTHROUGH, how many file systems may lie over one another; 1 or 2.
        request_timeout: seconds after which the kernel aborts the connection (REQUEST_TIMEOUT); 0 never.
    """

    wants: ClassVar[InitFlags] = DEFAULT_WANTS
    max_write: ClassVar[int] = 1 << 20
    max_readahead: ClassVar[int | None] = None
    max_background: ClassVar[int] = 0
    congestion_threshold: ClassVar[int] = 0
    time_gran: ClassVar[int] = 1
    max_stack_depth: ClassVar[int] = 0
    request_timeout: ClassVar[int] = 0

    server: Server
    """The server that serves this file system; set before `init`."""

    def init(self, negotiated: Negotiated) -> None:
        """INIT was answered; no request has come yet."""

    def destroy(self) -> None:
        """The connection is over: the last call, once for each `init`."""

    def forget(self, nodeid: int, nlookup: int) -> None:
        """The kernel gives back `nlookup` of the references it holds to `nodeid`. FORGET and BATCH_FORGET; no reply.

        None come when the file system is unmounted: all references are gone then.
        """

    def lookup(self, request: Lookup) -> Reply:
        """LOOKUP. `request.name` in directory `request.nodeid`.

        Replies: fuse_entry_out, 128 bytes. With a nodeid the kernel holds one more reference to it (see `forget`);
        nodeid 0 says that the name is absent, which the kernel then believes for `entry_valid`. ENOENT says so for this
        once.
        """
        return _ABSENT

    def getattr(self, request: GetAttr) -> Reply:
        """GETATTR. Attributes of an inode; `request.arg.fh` is an open file where FUSE_GETATTR_FH is among the flags.

        Replies: fuse_attr_out, 104 bytes.
        """
        return _ABSENT

    def setattr(self, request: SetAttr) -> Reply:
        """SETATTR. chmod, chown, truncate, utimens: what `request.arg.valid` (FATTR_*) names changes to `request.arg`.

        Replies: fuse_attr_out with all attributes afterwards, 104 bytes.
        """
        return _ABSENT

    def readlink(self, request: ReadLink) -> Reply:
        """READLINK. The target of a symbolic link.

        Replies: its bytes, at most 4095, no NUL.
        """
        return _ABSENT

    def symlink(self, request: Symlink) -> Reply:
        """SYMLINK. Makes the symbolic link `request.name` to `request.target`.

        Replies: fuse_entry_out; takes a reference.
        """
        return _ABSENT

    def mknod(self, request: MkNod) -> Reply:
        """MKNOD. Makes `request.name`: device, FIFO, socket, or a regular file where CREATE is absent.

        Replies: fuse_entry_out; takes a reference.
        """
        return _ABSENT

    def mkdir(self, request: MkDir) -> Reply:
        """MKDIR. Makes the directory `request.name` with `request.arg.mode`, already masked unless DONT_MASK was agreed
        on.

        Replies: fuse_entry_out; takes a reference.
        """
        return _ABSENT

    def unlink(self, request: Unlink) -> Reply:
        """UNLINK. Removes the name `request.name` of something that is not a directory; open handles go on.

        Replies: nothing.
        """
        return _ABSENT

    def rmdir(self, request: RmDir) -> Reply:
        """RMDIR. Removes the empty directory `request.name`.

        Replies: nothing; ENOTEMPTY.
        """
        return _ABSENT

    def rename(self, request: Rename) -> Reply:
        """RENAME. Moves `request.name` to `request.newname` in `request.arg.newdir`, over what is there.

        Replies: nothing.
        """
        return _ABSENT

    def link(self, request: Link) -> Reply:
        """LINK. Another name `request.name` for inode `request.arg.oldnodeid`.

        Replies: fuse_entry_out of that inode; takes a reference. ENOSYS once: EPERM from then on.
        """
        return _ABSENT

    def open(self, request: Open) -> Reply:
        """OPEN. Opens a file. `request.arg.flags` are open(2)'s, without O_CREAT and O_EXCL; O_TRUNC comes with
        ATOMIC_O_TRUNC alone, else SETATTR truncates, behind OPEN.

        Replies: fuse_open_out, 16 bytes: fh and FOPEN_* flags. ENOSYS once: every open succeeds with fh 0, and nothing
        is released.
        """
        return _ABSENT

    def read(self, request: Read) -> Reply:
        """READ. At most `request.arg.size` bytes from `request.arg.offset`.

        Replies: the bytes, whole or in parts; fewer than asked are the end of the file, unless opened FOPEN_DIRECT_IO.
        """
        return _ABSENT

    def write(self, request: Write) -> Reply:
        """WRITE. `request.data` to `request.arg.offset`. The data is a view of the read buffer: it is void once this
        method has returned, unless what it returned is awaited, and then until that is done.

        Replies: fuse_write_out, 8 bytes: how many were taken, from 1 to all.
        """
        return _ABSENT

    def statfs(self, request: StatFs) -> Reply:
        """STATFS. statfs(2) of the whole file system.

        Replies: fuse_statfs_out, 80 bytes.
        """
        return _ABSENT

    def release(self, request: Release) -> Reply:
        """RELEASE. The last descriptor of an open file is gone; one for each OPEN and CREATE.

        Replies: nothing; an error reaches nobody.
        """
        return _ABSENT

    def fsync(self, request: FSync) -> Reply:
        """FSYNC. fsync(2); fdatasync(2) where `request.arg.fsync_flags` has bit 0.

        Replies: nothing, when the bytes are durable. ENOSYS once: every fsync succeeds.
        """
        return _ABSENT

    def setxattr(self, request: SetXAttr) -> Reply:
        """SETXATTR. Sets the extended attribute `request.name` to `request.value`.

        Replies: nothing. ENOSYS once: EOPNOTSUPP from then on.
        """
        return _ABSENT

    def getxattr(self, request: GetXAttr) -> Reply:
        """GETXATTR. The extended attribute `request.name`.

        Replies: for size 0 fuse_getxattr_out with its length, else its bytes; ERANGE when they are more than asked,
        ENODATA when there is none. ENOSYS once: EOPNOTSUPP from then on, and no look for security.capability before
        each first write.
        """
        return _ABSENT

    def listxattr(self, request: ListXAttr) -> Reply:
        """LISTXATTR. The names of all extended attributes, each ended by a NUL.

        Replies: as `getxattr`.
        """
        return _ABSENT

    def removexattr(self, request: RemoveXAttr) -> Reply:
        """REMOVEXATTR. Removes the extended attribute `request.name`.

        Replies: nothing; ENODATA.
        """
        return _ABSENT

    def flush(self, request: Flush) -> Reply:
        """FLUSH. A descriptor of the file was closed; perhaps several times for one OPEN.

        Replies: nothing; an error is what close(2) says. ENOSYS once: not asked again.
        """
        return _ABSENT

    def opendir(self, request: OpenDir) -> Reply:
        """OPENDIR. Opens a directory.

        Replies: fuse_open_out, 16 bytes. ENOSYS once: every opendir succeeds with fh 0 and the kernel keeps listings.
        """
        return _ABSENT

    def readdir(self, request: ReadDir) -> Reply:
        """READDIR. Entries of a directory behind the cookie `request.arg.offset` (0: from the start).

        Replies: fuse_dirent records, at most `request.arg.size` bytes; empty at the end. Takes no references.
        """
        return _ABSENT

    def releasedir(self, request: ReleaseDir) -> Reply:
        """RELEASEDIR. The last descriptor of an open directory is gone.

        Replies: nothing.
        """
        return _ABSENT

    def fsyncdir(self, request: FSyncDir) -> Reply:
        """FSYNCDIR. fsync(2) of a directory.

        Replies: nothing, when its names are durable. ENOSYS once: every one succeeds.
        """
        return _ABSENT

    def getlk(self, request: GetLk) -> Reply:
        """GETLK. The lock that would stand in the way of `request.arg.lk`; only with POSIX_LOCKS.

        Replies: fuse_lk_out, 24 bytes; type F_UNLCK for none.
        """
        return _ABSENT

    def setlk(self, request: SetLk) -> Reply:
        """SETLK. Takes or drops the lock `request.arg.lk`, without waiting.

        Replies: nothing; EAGAIN.
        """
        return _ABSENT

    def setlkw(self, request: SetLkW) -> Reply:
        """SETLKW. As `setlk`, waiting: return a coroutine.

        Replies: nothing.
        """
        return _ABSENT

    def access(self, request: Access) -> Reply:
        """ACCESS. access(2) with `request.arg.mask`; not asked with the option default_permissions.

        Replies: nothing; EACCES. ENOSYS once: always allowed.
        """
        return _ABSENT

    def create(self, request: Create) -> Reply:
        """CREATE. Makes the file `request.name` and opens it, in one go.

        Replies: fuse_entry_out and fuse_open_out, 144 bytes; takes a reference. ENOSYS once: MKNOD and OPEN instead.
        """
        return _ABSENT

    def bmap(self, request: BMap) -> Reply:
        """BMAP. Where a block of a file lies on the device; only asked by fuseblk mounts.

        Replies: fuse_bmap_out, 8 bytes.
        """
        return _ABSENT

    def ioctl(self, request: Ioctl) -> Reply:
        """IOCTL. ioctl(2) with `request.data` as its input.

        Replies: fuse_ioctl_out, 16 bytes, and at most `request.arg.out_size` bytes of output.
        """
        return _ABSENT

    def poll(self, request: Poll) -> Reply:
        """POLL. Which of `request.arg.events` hold; with FUSE_POLL_SCHEDULE_NOTIFY, tell `server.notify.poll(kh)` when
        that changes.

        Replies: fuse_poll_out, 8 bytes. ENOSYS once: always ready.
        """
        return _ABSENT

    def fallocate(self, request: Fallocate) -> Reply:
        """FALLOCATE. fallocate(2): `request.arg.mode` holds FALLOC_FL_*. Since 7.19.

        Replies: nothing. ENOSYS once: EOPNOTSUPP from then on.
        """
        return _ABSENT

    def readdirplus(self, request: ReadDirPlus) -> Reply:
        """READDIRPLUS. As `readdir`, each entry with its attributes; needs DO_READDIRPLUS. Since 7.21.

        Replies: fuse_direntplus records. Every one with a nodeid but . and .. takes a reference; nodeid 0 gives the
        name alone.
        """
        return _ABSENT

    def rename2(self, request: Rename2) -> Reply:
        """RENAME2. renameat2(2) with `request.arg.flags`: RENAME_NOREPLACE, RENAME_EXCHANGE. Without flags RENAME
        comes. Since 7.23.

        Replies: nothing. ENOSYS once: EINVAL from then on.
        """
        return _ABSENT

    def lseek(self, request: LSeek) -> Reply:
        """LSEEK. SEEK_DATA and SEEK_HOLE from `request.arg.offset`. Since 7.24.

        Replies: fuse_lseek_out, 8 bytes; ENXIO behind the last data. ENOSYS once: every file is one piece of data.
        """
        return _ABSENT

    def copy_file_range(self, request: CopyFileRange) -> Reply:
        """COPY_FILE_RANGE. copy_file_range(2) within this mount, of at most 0xFFFFF000 bytes; asked only where
        `copy_file_range_64` is absent. Since 7.28.

        Replies: fuse_write_out, 8 bytes: how many were copied. EOPNOTSUPP or EXDEV: READ and WRITE for this call;
        ENOSYS: for all from then on.
        """
        return _ABSENT

    def setupmapping(self, request: SetupMapping) -> Reply:
        """SETUPMAPPING. Maps a piece of a file into the DAX window; virtiofs only. Since 7.31.

        Replies: nothing.
        """
        return _ABSENT

    def removemapping(self, request: RemoveMapping) -> Reply:
        """REMOVEMAPPING. Gives pieces of the DAX window up; virtiofs only. Since 7.31.

        Replies: nothing.
        """
        return _ABSENT

    def syncfs(self, request: SyncFs) -> Reply:
        """SYNCFS. syncfs(2). Since 7.34.

        Replies: nothing, when all is durable. ENOSYS once: every one succeeds.
        """
        return _ABSENT

    def tmpfile(self, request: TmpFile) -> Reply:
        """TMPFILE. open(2) with O_TMPFILE in directory `request.nodeid`. Since 7.37.

        Replies: as `create`. ENOSYS once: EOPNOTSUPP from then on.
        """
        return _ABSENT

    def statx(self, request: Statx) -> Reply:
        """STATX. statx(2) where it asks for more than GETATTR gives. Since 7.39.

        Replies: fuse_statx_out, 288 bytes. ENOSYS once: GETATTR instead.
        """
        return _ABSENT

    def copy_file_range_64(self, request: CopyFileRange64) -> Reply:
        """COPY_FILE_RANGE_64. copy_file_range(2) within this mount, of any length, clipped to the source's size. Since
        7.45.

        Replies: fuse_copy_file_range_out, 8 bytes: how many were copied; the kernel takes the destination to be that
        long. EOPNOTSUPP or EXDEV: READ and WRITE for this call; ENOSYS once: `copy_file_range` instead.
        """
        return _ABSENT
