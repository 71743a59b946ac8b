"""Inodes: their attributes, the entries that introduce them, what the kernel forgets, extended attributes."""

from __future__ import annotations

from rawfuse.wire.schema.vocabulary import c_struct, i32, i64, reserved, since, u16, u32, u64

fuse_attr = c_struct(
    "fuse_attr",
    "Attributes of an inode.",
    "ino" / u64 * "inode number shown by stat(2); the kernel itself goes by nodeid.",
    "size" / u64 * "bytes.",
    "blocks" / u64 * "units of 512 bytes; cp takes a file with fewer than its size needs for sparse.",
    "atime" / u64 * "seconds since 1970, two's complement where before.",
    "mtime" / u64 * "as atime.",
    "ctime" / u64 * "as atime.",
    "atimensec" / u32 * "nanoseconds, below 10**9.",
    "mtimensec" / u32 * "as atimensec.",
    "ctimensec" / u32 * "as atimensec.",
    "mode" / u32 * "type and permissions; a change of type of a known inode is EIO.",
    "nlink" / u32 * "number of names.",
    "uid" / u32 * "owner.",
    "gid" / u32 * "group.",
    "rdev" / u32 * "device number, as the kernel encodes it in 32 bits.",
    "blksize" / u32 * since(9, "preferred I/O size, st_blksize; 0 is the kernel's choice."),
    "flags" / u32 * since(32, "AttrFlags."),
)

fuse_sx_time = c_struct(
    "fuse_sx_time",
    since(39, "A time of statx(2)."),
    "tv_sec" / i64 * "seconds since 1970.",
    "tv_nsec" / u32 * "nanoseconds.",
    "__reserved" / reserved(i32),
)

fuse_statx = c_struct(
    "fuse_statx",
    since(39, "What statx(2) gives."),
    "mask" / u32 * "STATX_*: which members count.",
    "blksize" / u32 * "preferred I/O size.",
    "attributes" / u64 * "STATX_ATTR_*: what holds.",
    "nlink" / u32 * "number of names.",
    "uid" / u32 * "owner.",
    "gid" / u32 * "group.",
    "mode" / u16 * "type and permissions.",
    "__spare0" / reserved(u16, 1),
    "ino" / u64 * "inode number shown by statx(2).",
    "size" / u64 * "bytes.",
    "blocks" / u64 * "units of 512 bytes.",
    "attributes_mask" / u64 * "STATX_ATTR_*: what is known.",
    "atime" / fuse_sx_time * "last read.",
    "btime" / fuse_sx_time * "when it was made.",
    "ctime" / fuse_sx_time * "last change of the inode.",
    "mtime" / fuse_sx_time * "last change of the content.",
    "rdev_major" / u32 * "of a device.",
    "rdev_minor" / u32 * "as rdev_major.",
    "dev_major" / u32 * "of the file system; the kernel puts its own there.",
    "dev_minor" / u32 * "as dev_major.",
    "__spare2" / reserved(u64, 14),
)

fuse_kstatfs = c_struct(
    "fuse_kstatfs",
    "What statfs(2) gives.",
    "blocks" / u64 * "all blocks, in units of frsize.",
    "bfree" / u64 * "free ones.",
    "bavail" / u64 * "those free for people other than root.",
    "files" / u64 * "inodes.",
    "ffree" / u64 * "free inodes.",
    "bsize" / u32 * "preferred I/O size.",
    "namelen" / u32 * "longest name in bytes.",
    "frsize" / u32 * since(4, "size of a block."),
    "padding" / reserved(u32),
    "spare" / reserved(u32, 6),
)

fuse_entry_out = c_struct(
    "fuse_entry_out",
    "A name's inode. A nodeid other than 0 is a reference that a FORGET gives back.",
    "nodeid" / u64 * "0: there is no such name, and the kernel may remember that for entry_valid. 1 (the root) is EIO.",
    "generation" / u64 * "with nodeid unique for all time, for NFS.",
    "entry_valid" / u64 * "seconds the name may be cached.",
    "attr_valid" / u64 * "seconds the attributes may be cached.",
    "entry_valid_nsec" / u32 * "nanoseconds on top.",
    "attr_valid_nsec" / u32 * "nanoseconds on top.",
    "attr" / fuse_attr * "the inode's attributes, as GETATTR would give them.",
)

fuse_forget_in = c_struct(
    "fuse_forget_in",
    "References given back.",
    "nlookup" / u64 * "how many.",
)

fuse_forget_one = c_struct(
    "fuse_forget_one",
    since(16, "References to one inode given back."),
    "nodeid" / u64 * "the inode.",
    "nlookup" / u64 * "how many.",
)

fuse_batch_forget_in = c_struct(
    "fuse_batch_forget_in",
    since(16, "Head of a list of fuse_forget_one."),
    "count" / u32 * "how many follow.",
    "dummy" / reserved(u32),
)

fuse_getattr_in = c_struct(
    "fuse_getattr_in",
    since(9, "Fixed part of GETATTR."),
    "getattr_flags" / u32 * "GetAttrFlags.",
    "dummy" / reserved(u32),
    "fh" / u64 * "an open file, with GETATTR_FH.",
)

fuse_attr_out = c_struct(
    "fuse_attr_out",
    "Attributes and how long they hold.",
    "attr_valid" / u64 * "seconds they may be cached.",
    "attr_valid_nsec" / u32 * "nanoseconds on top.",
    "dummy" / reserved(u32),
    "attr" / fuse_attr * "the attributes.",
)

fuse_statx_in = c_struct(
    "fuse_statx_in",
    since(39, "Fixed part of STATX."),
    "getattr_flags" / u32 * "GetAttrFlags.",
    "reserved" / reserved(u32),
    "fh" / u64 * "an open file, with GETATTR_FH.",
    "sx_flags" / u32 * "AT_STATX_*.",
    "sx_mask" / u32 * "STATX_*: what is wanted.",
)

fuse_statx_out = c_struct(
    "fuse_statx_out",
    since(39, "Attributes of statx(2) and how long they hold."),
    "attr_valid" / u64 * "seconds they may be cached.",
    "attr_valid_nsec" / u32 * "nanoseconds on top.",
    "flags" / u32 * "AttrFlags.",
    "spare" / reserved(u64, 2),
    "stat" / fuse_statx * "the attributes.",
)

fuse_setattr_in = c_struct(
    "fuse_setattr_in",
    "Fixed part of SETATTR.",
    "valid" / u32 * "SetAttrValid: which of the others count.",
    "padding" / reserved(u32),
    "fh" / u64 * "an open file, with FATTR_FH.",
    "size" / u64 * "new size in bytes.",
    "lock_owner" / u64 * since(9, "with FATTR_LOCKOWNER."),
    "atime" / u64 * "seconds since 1970, two's complement where before; with FATTR_ATIME.",
    "mtime" / u64 * "as atime; with FATTR_MTIME.",
    "ctime" / u64 * since(23, "seconds, with FATTR_CTIME."),
    "atimensec" / u32 * "nanoseconds.",
    "mtimensec" / u32 * "nanoseconds.",
    "ctimensec" / u32 * since(23, "nanoseconds."),
    "mode" / u32 * "type and permissions, with FATTR_MODE.",
    "unused4" / reserved(u32),
    "uid" / u32 * "new owner, with FATTR_UID.",
    "gid" / u32 * "new group, with FATTR_GID.",
    "unused5" / reserved(u32),
)

fuse_access_in = c_struct(
    "fuse_access_in",
    "Fixed part of ACCESS.",
    "mask" / u32 * "R_OK, W_OK, X_OK or F_OK.",
    "padding" / reserved(u32),
)

fuse_statfs_out = c_struct(
    "fuse_statfs_out",
    "Reply to STATFS; 48 bytes before 7.4.",
    "st" / fuse_kstatfs * "the figures.",
)

fuse_setxattr_in = c_struct(
    "fuse_setxattr_in",
    "Fixed part of SETXATTR; 8 bytes unless SETXATTR_EXT was negotiated.",
    "size" / u32 * "length of the value.",
    "flags" / u32 * "XATTR_CREATE, XATTR_REPLACE.",
    "setxattr_flags" / u32 * since(33, "SetXAttrFlags."),
    "padding" / reserved(u32),
)

fuse_getxattr_in = c_struct(
    "fuse_getxattr_in",
    "Fixed part of GETXATTR and LISTXATTR.",
    "size" / u32 * "room the caller has; 0 asks for the size only.",
    "padding" / reserved(u32),
)

fuse_getxattr_out = c_struct(
    "fuse_getxattr_out",
    "The size of a value or list, where no room was given.",
    "size" / u32 * "bytes.",
    "padding" / reserved(u32),
)
