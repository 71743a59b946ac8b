"""files"""

from __future__ import annotations

from rawfuse.wire.schema.vocabulary import c_struct, i32, reserved, since, u32, u64

fuse_open_in = c_struct(
    "fuse_open_in",
    "",
    "flags" / u32,
    "open_flags" / u32 * since(33, ""),
)

fuse_open_out = c_struct(
    "fuse_open_out",
    "",
    "fh" / u64,
    "open_flags" / u32,
    "backing_id" / i32 * since(40, ""),
)

fuse_release_in = c_struct(
    "fuse_release_in",
    "",
    "fh" / u64,
    "flags" / u32,
    "release_flags" / u32 * since(8, ""),
    "lock_owner" / u64 * since(8, ""),
)

fuse_flush_in = c_struct(
    "fuse_flush_in",
    "",
    "fh" / u64,
    "unused" / reserved(u32),
    "padding" / reserved(u32),
    "lock_owner" / u64,
)

fuse_read_in = c_struct(
    "fuse_read_in",
    "",
    "fh" / u64,
    "offset" / u64,
    "size" / u32,
    "read_flags" / u32 * since(9, ""),
    "lock_owner" / u64 * since(9, ""),
    "flags" / u32 * since(9, ""),
    "padding" / reserved(u32),
)

fuse_write_in = c_struct(
    "fuse_write_in",
    "",
    "fh" / u64,
    "offset" / u64,
    "size" / u32,
    "write_flags" / u32,
    "lock_owner" / u64 * since(9, ""),
    "flags" / u32 * since(9, ""),
    "padding" / reserved(u32),
)

fuse_write_out = c_struct(
    "fuse_write_out",
    "",
    "size" / u32,
    "padding" / reserved(u32),
)

fuse_fsync_in = c_struct(
    "fuse_fsync_in",
    "",
    "fh" / u64,
    "fsync_flags" / u32,
    "padding" / reserved(u32),
)

fuse_fallocate_in = c_struct(
    "fuse_fallocate_in",
    since(19, ""),
    "fh" / u64,
    "offset" / u64,
    "length" / u64,
    "mode" / u32,
    "padding" / reserved(u32),
)

fuse_lseek_in = c_struct(
    "fuse_lseek_in",
    since(24, ""),
    "fh" / u64,
    "offset" / u64,
    "whence" / u32,
    "padding" / reserved(u32),
)

fuse_lseek_out = c_struct(
    "fuse_lseek_out",
    since(24, ""),
    "offset" / u64,
)

fuse_copy_file_range_in = c_struct(
    "fuse_copy_file_range_in",
    since(28, ""),
    "fh_in" / u64,
    "off_in" / u64,
    "nodeid_out" / u64,
    "fh_out" / u64,
    "off_out" / u64,
    "len" / u64,
    "flags" / u64,
)

fuse_copy_file_range_out = c_struct(
    "fuse_copy_file_range_out",
    since(45, ""),
    "bytes_copied" / u64,
)

fuse_file_lock = c_struct(
    "fuse_file_lock",
    since(7, ""),
    "start" / u64,
    "end" / u64,
    "type" / u32,
    "pid" / u32,
)

fuse_lk_in = c_struct(
    "fuse_lk_in",
    since(7, ""),
    "fh" / u64,
    "owner" / u64,
    "lk" / fuse_file_lock,
    "lk_flags" / u32 * since(9, ""),
    "padding" / reserved(u32),
)

fuse_lk_out = c_struct(
    "fuse_lk_out",
    since(7, ""),
    "lk" / fuse_file_lock,
)

fuse_bmap_in = c_struct(
    "fuse_bmap_in",
    since(8, ""),
    "block" / u64,
    "blocksize" / u32,
    "padding" / reserved(u32),
)

fuse_bmap_out = c_struct(
    "fuse_bmap_out",
    since(8, ""),
    "block" / u64,
)

fuse_ioctl_in = c_struct(
    "fuse_ioctl_in",
    since(11, ""),
    "fh" / u64,
    "flags" / u32,
    "cmd" / u32,
    "arg" / u64,
    "in_size" / u32,
    "out_size" / u32,
)

fuse_ioctl_iovec = c_struct(
    "fuse_ioctl_iovec",
    since(16, ""),
    "base" / u64,
    "len" / u64,
)

fuse_ioctl_out = c_struct(
    "fuse_ioctl_out",
    since(11, ""),
    "result" / i32,
    "flags" / u32,
    "in_iovs" / u32,
    "out_iovs" / u32,
)

fuse_poll_in = c_struct(
    "fuse_poll_in",
    since(11, ""),
    "fh" / u64,
    "kh" / u64,
    "flags" / u32,
    "events" / u32 * since(21, ""),
)

fuse_poll_out = c_struct(
    "fuse_poll_out",
    since(11, ""),
    "revents" / u32,
    "padding" / reserved(u32),
)

fuse_setupmapping_in = c_struct(
    "fuse_setupmapping_in",
    since(31, ""),
    "fh" / u64,
    "foffset" / u64,
    "len" / u64,
    "flags" / u64,
    "moffset" / u64,
)

fuse_removemapping_in = c_struct(
    "fuse_removemapping_in",
    since(31, ""),
    "count" / u32,
)

fuse_removemapping_one = c_struct(
    "fuse_removemapping_one",
    since(31, ""),
    "moffset" / u64,
    "len" / u64,
)

fuse_backing_map = c_struct(
    "fuse_backing_map",
    since(40, ""),
    "fd" / i32,
    "flags" / u32,
    "padding" / reserved(u64),
)
