"""inodes"""

from __future__ import annotations

from rawfuse.wire.schema.vocabulary import c_struct, i32, i64, reserved, since, u16, u32, u64

fuse_attr = c_struct(
    "fuse_attr",
    "",
    "ino" / u64,
    "size" / u64,
    "blocks" / u64,
    "atime" / u64,
    "mtime" / u64,
    "ctime" / u64,
    "atimensec" / u32,
    "mtimensec" / u32,
    "ctimensec" / u32,
    "mode" / u32,
    "nlink" / u32,
    "uid" / u32,
    "gid" / u32,
    "rdev" / u32,
    "blksize" / u32 * since(9, ""),
    "flags" / u32 * since(32, ""),
)

fuse_sx_time = c_struct(
    "fuse_sx_time",
    since(39, ""),
    "tv_sec" / i64,
    "tv_nsec" / u32,
    "__reserved" / reserved(i32),
)

fuse_statx = c_struct(
    "fuse_statx",
    since(39, ""),
    "mask" / u32,
    "blksize" / u32,
    "attributes" / u64,
    "nlink" / u32,
    "uid" / u32,
    "gid" / u32,
    "mode" / u16,
    "__spare0" / reserved(u16, 1),
    "ino" / u64,
    "size" / u64,
    "blocks" / u64,
    "attributes_mask" / u64,
    "atime" / fuse_sx_time,
    "btime" / fuse_sx_time,
    "ctime" / fuse_sx_time,
    "mtime" / fuse_sx_time,
    "rdev_major" / u32,
    "rdev_minor" / u32,
    "dev_major" / u32,
    "dev_minor" / u32,
    "__spare2" / reserved(u64, 14),
)

fuse_kstatfs = c_struct(
    "fuse_kstatfs",
    "",
    "blocks" / u64,
    "bfree" / u64,
    "bavail" / u64,
    "files" / u64,
    "ffree" / u64,
    "bsize" / u32,
    "namelen" / u32,
    "frsize" / u32 * since(4, ""),
    "padding" / reserved(u32),
    "spare" / reserved(u32, 6),
)

fuse_entry_out = c_struct(
    "fuse_entry_out",
    "",
    "nodeid" / u64,
    "generation" / u64,
    "entry_valid" / u64,
    "attr_valid" / u64,
    "entry_valid_nsec" / u32,
    "attr_valid_nsec" / u32,
    "attr" / fuse_attr,
)

fuse_forget_in = c_struct(
    "fuse_forget_in",
    "",
    "nlookup" / u64,
)

fuse_forget_one = c_struct(
    "fuse_forget_one",
    since(16, ""),
    "nodeid" / u64,
    "nlookup" / u64,
)

fuse_batch_forget_in = c_struct(
    "fuse_batch_forget_in",
    since(16, ""),
    "count" / u32,
    "dummy" / reserved(u32),
)

fuse_getattr_in = c_struct(
    "fuse_getattr_in",
    since(9, ""),
    "getattr_flags" / u32,
    "dummy" / reserved(u32),
    "fh" / u64,
)

fuse_attr_out = c_struct(
    "fuse_attr_out",
    "",
    "attr_valid" / u64,
    "attr_valid_nsec" / u32,
    "dummy" / reserved(u32),
    "attr" / fuse_attr,
)

fuse_statx_in = c_struct(
    "fuse_statx_in",
    since(39, ""),
    "getattr_flags" / u32,
    "reserved" / reserved(u32),
    "fh" / u64,
    "sx_flags" / u32,
    "sx_mask" / u32,
)

fuse_statx_out = c_struct(
    "fuse_statx_out",
    since(39, ""),
    "attr_valid" / u64,
    "attr_valid_nsec" / u32,
    "flags" / u32,
    "spare" / reserved(u64, 2),
    "stat" / fuse_statx,
)

fuse_setattr_in = c_struct(
    "fuse_setattr_in",
    "",
    "valid" / u32,
    "padding" / reserved(u32),
    "fh" / u64,
    "size" / u64,
    "lock_owner" / u64 * since(9, ""),
    "atime" / u64,
    "mtime" / u64,
    "ctime" / u64 * since(23, ""),
    "atimensec" / u32,
    "mtimensec" / u32,
    "ctimensec" / u32 * since(23, ""),
    "mode" / u32,
    "unused4" / reserved(u32),
    "uid" / u32,
    "gid" / u32,
    "unused5" / reserved(u32),
)

fuse_access_in = c_struct(
    "fuse_access_in",
    "",
    "mask" / u32,
    "padding" / reserved(u32),
)

fuse_statfs_out = c_struct(
    "fuse_statfs_out",
    "",
    "st" / fuse_kstatfs,
)

fuse_setxattr_in = c_struct(
    "fuse_setxattr_in",
    "",
    "size" / u32,
    "flags" / u32,
    "setxattr_flags" / u32 * since(33, ""),
    "padding" / reserved(u32),
)

fuse_getxattr_in = c_struct(
    "fuse_getxattr_in",
    "",
    "size" / u32,
    "padding" / reserved(u32),
)

fuse_getxattr_out = c_struct(
    "fuse_getxattr_out",
    "",
    "size" / u32,
    "padding" / reserved(u32),
)
