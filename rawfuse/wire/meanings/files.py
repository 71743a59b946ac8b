"""Requests about open files and directories."""

from __future__ import annotations

from rawfuse.wire.meanings.record import Errors, Meaning

__all__ = ["MEANINGS"]

_STORING: Errors = (
    ("ENOSPC", "no room"),
    ("EDQUOT", "over the quota"),
    ("EIO", "the data could not be stored"),
)
_LOCK_NOTE = "Locks of a process end with the FLUSH of any close(2) of the file, whose lock_owner names it."
_HELD: Errors = (("ENOLCK", "too many locks"),)
_LISTING = (
    "arg.offset is 0 or the off of an entry given before, in whatever order: a cookie, never a count of bytes.",
    "An entry with a slash in its name, or a name of 0 or more than 4095 bytes, is EIO if it is the first of a reply, "
    "else it ends the reply before it. An entry cut off at the end is left out.",
)

MEANINGS: dict[int, Meaning] = {
    14: Meaning(
        "open(2) of a file that is there, execve(2), and the opening of a file from a handle.",
        (
            ("EACCES", "not allowed"),
            ("EROFS", "opened for writing, and it is read-only"),
            ("ETXTBSY", "opened for writing while it is being run"),
            ("ENOENT", "the inode is gone"),
            ("ESTALE", "the same; the kernel walks the path once more"),
        ),
        (
            "fh is the server's own: it comes back with every request on this open file until its RELEASE.",
            "A passthrough open beside a cached or direct one of the same inode, or the other way round, is EIO.",
            "With ATOMIC_O_TRUNC and O_TRUNC the file is to be emptied, and only then does the kernel see whether it "
            "is a program that runs: open(2) fails with ETXTBSY, and the program has lost its file.",
        ),
    ),
    15: Meaning(
        "read(2), readahead and page faults of a mapped file, as far as the page cache has not got the bytes; every "
        "read(2) of a file opened with FOPEN_DIRECT_IO.",
        (
            ("EIO", "the data could not be had"),
            ("EINTR", "the caller had a signal; see INTERRUPT"),
            ("EAGAIN", "nothing there yet, for a caller with O_NONBLOCK on a file opened direct"),
        ),
        (
            "At most 128 KiB, or max_pages pages with MAX_PAGES; max_write does not bound it, the mount option "
            "max_read does.",
            "A reply longer than arg.size is EIO for the caller; a shorter one is the end of the file.",
        ),
    ),
    16: Meaning(
        "write(2), at once; with WRITEBACK_CACHE, and for mapped files, when the kernel writes its dirty pages "
        "(WRITE_CACHE, pid 0).",
        (*_STORING, ("EFBIG", "beyond the largest size"), ("EROFS", "read-only")),
        (
            "At most max_write bytes, and max_pages pages; 4 KiB for buffered writes without BIG_WRITES.",
            "Where the write is the kernel's own (WRITE_CACHE) nobody waits for it: the error is kept for fsync(2) and "
            "close(2).",
        ),
    ),
    18: Meaning(
        "The last descriptor, mapping or other use of an open file has ended; once for each OPEN or CREATE with its "
        "fh, after its FLUSHes. pid is 0.",
        (("EIO", "ignored, as any other errno is"),),
    ),
    20: Meaning("fsync(2), fdatasync(2), msync(2), writes with O_SYNC.", _STORING),
    25: Meaning(
        "close(2) of each descriptor, also at the end of a process; not with FOPEN_NOFLUSH. Dirty pages were written "
        "before.",
        (*_STORING, ("EINTR", "the caller had a signal; the descriptor is closed all the same")),
        ("Drop the POSIX locks of arg.lock_owner.",),
    ),
    27: Meaning(
        "opendir(3), and open(2) of a directory.",
        (("EACCES", "not allowed"), ("ENOTDIR", "not a directory"), ("ENOENT", "the inode is gone")),
        ("With FOPEN_CACHE_DIR and FOPEN_KEEP_CACHE the kernel lists from its cache and sends no READDIR.",),
    ),
    28: Meaning(
        "getdents(2), as far as the listing is not cached.",
        (("EIO", "the directory could not be read"), ("EINVAL", "the offset is no cookie of this directory")),
        _LISTING,
    ),
    29: Meaning(
        "The last descriptor of an open directory is closed; once for each OPENDIR. pid is 0.",
        (("EIO", "ignored, as any other errno is"),),
    ),
    30: Meaning("fsync(2) of a directory.", _STORING),
    31: Meaning(
        "fcntl(2) with F_GETLK or F_OFD_GETLK, with POSIX_LOCKS; else the kernel keeps the locks and asks nobody.",
        (("EINVAL", "no such range"),),
        (_LOCK_NOTE,),
    ),
    32: Meaning(
        "fcntl(2) with F_SETLK, with POSIX_LOCKS; flock(2) with LOCK_NB, with FLOCK_LOCKS; every unlocking.",
        (("EAGAIN", "a lock of somebody else stands in the way"), *_HELD),
        (_LOCK_NOTE,),
    ),
    33: Meaning(
        "fcntl(2) with F_SETLKW, with POSIX_LOCKS; flock(2), with FLOCK_LOCKS.",
        (
            ("EINTR", "the caller had a signal: INTERRUPT came, and the lock was not taken"),
            ("EDEADLK", "waiting would never end"),
            *_HELD,
        ),
        ("The reply is due when the lock is taken, however long that takes.", _LOCK_NOTE),
    ),
    39: Meaning(
        "ioctl(2) that the VFS does not deal with itself, FS_IOC_GETFLAGS of lsattr(1) among them; of a directory with "
        "HAS_IOCTL_DIR.",
        (("ENOTTY", "this file knows no such command"), ("EINVAL", "a bad argument")),
        (
            "The kernel goes by the size and direction in the command number: that many bytes of the caller's memory "
            "come as data and are written back from the reply.",
            "Only CUSE may ask for other memory: reply with FUSE_IOCTL_RETRY and a list of fuse_ioctl_iovec, those to "
            "read first, at most 256, and the request comes again (IOCTL_UNRESTRICTED).",
        ),
    ),
    40: Meaning(
        "poll(2), select(2) and epoll(7) on an open file.",
        (("EIO", "any errno but ENOSYS: the poller sees POLLERR"),),
        ("After a reply without readiness send NOTIFY_POLL with arg.kh when that changes, once per SCHEDULE_NOTIFY.",),
    ),
    43: Meaning(
        "fallocate(2); modes other than KEEP_SIZE, PUNCH_HOLE and ZERO_RANGE the kernel refuses itself.",
        (
            ("EOPNOTSUPP", "not in this mode; asked again next time, unlike after ENOSYS"),
            ("EFBIG", "beyond the largest size"),
            *_STORING,
        ),
    ),
    44: Meaning(
        "getdents(2), with DO_READDIRPLUS; with READDIRPLUS_AUTO only where the attributes will likely be wanted.",
        (("EIO", "the directory could not be read"), ("EINVAL", "the offset is no cookie of this directory")),
        (
            *_LISTING,
            'Every entry with a nodeid adds one reference, but for "." and "..", which never do. An entry that no '
            "longer fits the reply must add none.",
        ),
    ),
    46: Meaning(
        "lseek(2) with SEEK_DATA or SEEK_HOLE.",
        (("ENXIO", "arg.offset is at or beyond the end, or no data follows"), ("EINVAL", "another whence")),
    ),
    47: Meaning(
        "copy_file_range(2) within one connection, of kernels before 6.18 or after ENOSYS to COPY_FILE_RANGE_64.",
        (
            ("EOPNOTSUPP", "not these ranges: the kernel reads and writes for this call, and asks again next time"),
            ("EXDEV", "as EOPNOTSUPP"),
            ("EINVAL", "final: the caller gets it"),
            *_STORING,
        ),
        ("The destination grows to off_out plus the count in the reply, so never claim more than was copied.",),
    ),
    48: Meaning(
        "A page of a file is wanted in the DAX window; virtiofs only.",
        (("EIO", "the mapping failed"),),
        seen=False,
    ),
    49: Meaning(
        "Ranges of the DAX window are to be used otherwise; virtiofs only.",
        (("EIO", "the unmapping failed"),),
        seen=False,
    ),
    53: Meaning(
        "copy_file_range(2), as cp(1) calls it, within one connection; from Linux 6.18 on, even where the INIT reply "
        "named an older minor.",
        (
            ("EOPNOTSUPP", "not these ranges: the kernel reads and writes for this call, and asks again next time"),
            ("EXDEV", "as EOPNOTSUPP"),
            ("EINVAL", "final: the caller gets it"),
            *_STORING,
        ),
        (
            "The kernel has clipped len to the source's size and refused overlaps in one file; bytes that are dirty in "
            "mapped pages were written before.",
            "The destination grows to off_out plus the count in the reply, so never claim more than was copied.",
        ),
    ),
}
