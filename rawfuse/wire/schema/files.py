"""Open files: reading, writing, locking, copying and the rest of what a descriptor is for."""

from __future__ import annotations

from rawfuse.wire.schema.vocabulary import c_struct, i32, reserved, since, u32, u64

fuse_open_in = c_struct(
    "fuse_open_in",
    "Fixed part of OPEN and OPENDIR.",
    "flags" / u32 * "O_* of open(2).",
    "open_flags" / u32 * since(33, "OpenRequestFlags."),
)

fuse_open_out = c_struct(
    "fuse_open_out",
    "An open file or directory.",
    "fh" / u64 * "anything: comes back with every request on it.",
    "open_flags" / u32 * "OpenReplyFlags.",
    "backing_id" / i32 * since(40, "of BACKING_OPEN, with FOPEN_PASSTHROUGH."),
)

fuse_release_in = c_struct(
    "fuse_release_in",
    "Fixed part of RELEASE and RELEASEDIR.",
    "fh" / u64 * "the open file.",
    "flags" / u32 * "O_* of its open(2).",
    "release_flags" / u32 * since(8, "ReleaseFlags."),
    "lock_owner" / u64 * since(8, "whose locks go, with a release flag."),
)

fuse_flush_in = c_struct(
    "fuse_flush_in",
    "Fixed part of FLUSH.",
    "fh" / u64 * "the open file.",
    "unused" / reserved(u32),
    "padding" / reserved(u32),
    "lock_owner" / u64 * "whose POSIX locks go.",
)

fuse_read_in = c_struct(
    "fuse_read_in",
    "Fixed part of READ, READDIR and READDIRPLUS.",
    "fh" / u64 * "the open file.",
    "offset" / u64 * "bytes, or a directory's cookie.",
    "size" / u32 * "the most bytes the reply may have.",
    "read_flags" / u32 * since(9, "ReadFlags."),
    "lock_owner" / u64 * since(9, "with READ_LOCKOWNER."),
    "flags" / u32 * since(9, "O_* of the open file."),
    "padding" / reserved(u32),
)

fuse_write_in = c_struct(
    "fuse_write_in",
    "Fixed part of WRITE; 24 bytes before 7.9.",
    "fh" / u64 * "the open file.",
    "offset" / u64 * "bytes.",
    "size" / u32 * "length of the data.",
    "write_flags" / u32 * "WriteFlags.",
    "lock_owner" / u64 * since(9, "with WRITE_LOCKOWNER."),
    "flags" / u32 * since(9, "O_* of the open file."),
    "padding" / reserved(u32),
)

fuse_write_out = c_struct(
    "fuse_write_out",
    "Reply to WRITE and COPY_FILE_RANGE.",
    "size" / u32 * "bytes written or copied; 0 or more than asked is EIO for WRITE.",
    "padding" / reserved(u32),
)

fuse_fsync_in = c_struct(
    "fuse_fsync_in",
    "Fixed part of FSYNC and FSYNCDIR.",
    "fh" / u64 * "the open file.",
    "fsync_flags" / u32 * "FSyncFlags.",
    "padding" / reserved(u32),
)

fuse_fallocate_in = c_struct(
    "fuse_fallocate_in",
    since(19, "Fixed part of FALLOCATE."),
    "fh" / u64 * "the open file.",
    "offset" / u64 * "bytes.",
    "length" / u64 * "bytes.",
    "mode" / u32 * "FALLOC_FL_*.",
    "padding" / reserved(u32),
)

fuse_lseek_in = c_struct(
    "fuse_lseek_in",
    since(24, "Fixed part of LSEEK."),
    "fh" / u64 * "the open file.",
    "offset" / u64 * "bytes from the beginning: where to search from.",
    "whence" / u32 * "SEEK_DATA or SEEK_HOLE.",
    "padding" / reserved(u32),
)

fuse_lseek_out = c_struct(
    "fuse_lseek_out",
    since(24, "Reply to LSEEK."),
    "offset" / u64 * "where the data or hole begins.",
)

fuse_copy_file_range_in = c_struct(
    "fuse_copy_file_range_in",
    since(28, "Fixed part of COPY_FILE_RANGE and COPY_FILE_RANGE_64; the header's nodeid is the source."),
    "fh_in" / u64 * "the open source.",
    "off_in" / u64 * "bytes: where to read.",
    "nodeid_out" / u64 * "the destination.",
    "fh_out" / u64 * "the open destination.",
    "off_out" / u64 * "bytes: where to write.",
    "len" / u64 * "bytes; up to 2**63 in COPY_FILE_RANGE_64.",
    "flags" / u64 * "of copy_file_range(2), 0 so far.",
)

fuse_copy_file_range_out = c_struct(
    "fuse_copy_file_range_out",
    since(45, "Reply to COPY_FILE_RANGE_64."),
    "bytes_copied" / u64 * "the destination grows to off_out plus this; more than asked is EIO.",
)

fuse_file_lock = c_struct(
    "fuse_file_lock",
    since(7, "A lock or the absence of one."),
    "start" / u64 * "first byte.",
    "end" / u64 * "last byte, included; 2**63 - 1 is the end of the file.",
    "type" / u32 * "F_RDLCK, F_WRLCK or F_UNLCK.",
    "pid" / u32 * "the holder, in replies to GETLK.",
)

fuse_lk_in = c_struct(
    "fuse_lk_in",
    since(7, "Fixed part of GETLK, SETLK and SETLKW."),
    "fh" / u64 * "the open file.",
    "owner" / u64 * "who holds it; opaque.",
    "lk" / fuse_file_lock * "the lock, or what to test.",
    "lk_flags" / u32 * since(9, "LockFlags."),
    "padding" / reserved(u32),
)

fuse_lk_out = c_struct(
    "fuse_lk_out",
    since(7, "Reply to GETLK."),
    "lk" / fuse_file_lock * "the lock in the way, or type F_UNLCK.",
)

fuse_bmap_in = c_struct(
    "fuse_bmap_in",
    since(8, "Fixed part of BMAP."),
    "block" / u64 * "index in the file.",
    "blocksize" / u32 * "bytes.",
    "padding" / reserved(u32),
)

fuse_bmap_out = c_struct(
    "fuse_bmap_out",
    since(8, "Reply to BMAP."),
    "block" / u64 * "index on the device.",
)

fuse_ioctl_in = c_struct(
    "fuse_ioctl_in",
    since(11, "Fixed part of IOCTL."),
    "fh" / u64 * "the open file or directory.",
    "flags" / u32 * "IoctlFlags.",
    "cmd" / u32 * "the request of ioctl(2).",
    "arg" / u64 * "its argument, an address or a number.",
    "in_size" / u32 * "bytes that follow.",
    "out_size" / u32 * "the most bytes that may follow the reply's struct.",
)

fuse_ioctl_iovec = c_struct(
    "fuse_ioctl_iovec",
    since(16, "Where the caller's memory is to be read or written on the next try."),
    "base" / u64 * "address.",
    "len" / u64 * "bytes.",
)

fuse_ioctl_out = c_struct(
    "fuse_ioctl_out",
    since(11, "Reply to IOCTL."),
    "result" / i32 * "what ioctl(2) returns.",
    "flags" / u32 * "IoctlFlags: only IOCTL_RETRY.",
    "in_iovs" / u32 * "with IOCTL_RETRY: iovecs to read, first in the list that follows.",
    "out_iovs" / u32 * "with IOCTL_RETRY: iovecs to write.",
)

fuse_poll_in = c_struct(
    "fuse_poll_in",
    since(11, "Fixed part of POLL."),
    "fh" / u64 * "the open file.",
    "kh" / u64 * "what NOTIFY_POLL names.",
    "flags" / u32 * "PollFlags.",
    "events" / u32 * since(21, "POLLIN and the like: what is asked for."),
)

fuse_poll_out = c_struct(
    "fuse_poll_out",
    since(11, "Reply to POLL."),
    "revents" / u32 * "POLLIN and the like: what is ready.",
    "padding" / reserved(u32),
)

fuse_setupmapping_in = c_struct(
    "fuse_setupmapping_in",
    since(31, "Fixed part of SETUPMAPPING."),
    "fh" / u64 * "an open file; all ones where there is none.",
    "foffset" / u64 * "where in the file.",
    "len" / u64 * "bytes.",
    "flags" / u64 * "SetupMappingFlags.",
    "moffset" / u64 * "where in the window.",
)

fuse_removemapping_in = c_struct(
    "fuse_removemapping_in",
    since(31, "Head of a list of fuse_removemapping_one."),
    "count" / u32 * "how many follow.",
)

fuse_removemapping_one = c_struct(
    "fuse_removemapping_one",
    since(31, "A part of the window."),
    "moffset" / u64 * "where in the window.",
    "len" / u64 * "bytes.",
)

fuse_backing_map = c_struct(
    "fuse_backing_map",
    since(40, "Argument of the BACKING_OPEN ioctl, whose result is the backing id."),
    "fd" / i32 * "the file to pass through to.",
    "flags" / u32 * "zero.",
    "padding" / reserved(u64),
)
