"""Making, moving and listing names."""

from __future__ import annotations

from construct import Bytes, this

from rawfuse.wire.schema.inodes import fuse_entry_out
from rawfuse.wire.schema.vocabulary import c_struct, reserved, since, u32, u64

fuse_mknod_in = c_struct(
    "fuse_mknod_in",
    "Fixed part of MKNOD; 8 bytes before 7.12.",
    "mode" / u32 * "type and permissions.",
    "rdev" / u32 * "device number, as the kernel encodes it in 32 bits.",
    "umask" / u32 * since(12, "the caller's; mode is already masked unless DONT_MASK."),
    "padding" / reserved(u32),
)

fuse_mkdir_in = c_struct(
    "fuse_mkdir_in",
    "Fixed part of MKDIR.",
    "mode" / u32 * "permissions.",
    "umask" / u32 * since(12, "the caller's; mode is already masked unless DONT_MASK."),
)

fuse_rename_in = c_struct(
    "fuse_rename_in",
    "Fixed part of RENAME.",
    "newdir" / u64 * "nodeid of the directory it moves to.",
)

fuse_rename2_in = c_struct(
    "fuse_rename2_in",
    since(23, "Fixed part of RENAME2."),
    "newdir" / u64 * "nodeid of the directory it moves to.",
    "flags" / u32 * "RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT.",
    "padding" / reserved(u32),
)

fuse_link_in = c_struct(
    "fuse_link_in",
    "Fixed part of LINK.",
    "oldnodeid" / u64 * "the inode that gets another name.",
)

fuse_create_in = c_struct(
    "fuse_create_in",
    "Fixed part of CREATE and TMPFILE; 8 bytes before 7.12.",
    "flags" / u32 * "O_* of open(2).",
    "mode" / u32 * "type and permissions.",
    "umask" / u32 * since(12, "the caller's; mode is already masked unless DONT_MASK."),
    "open_flags" / u32 * since(33, "OpenRequestFlags."),
)

fuse_dirent = c_struct(
    "fuse_dirent",
    "A directory entry, zero-padded to a multiple of 8.",
    "ino" / u64 * "inode number shown by readdir(3); glibc skips an entry with 0.",
    "off" / u64 * "opaque cookie to go on after this entry.",
    "namelen" / u32 * "1 to 4095.",
    "type" / u32 * "DT_*: mode >> 12.",
    "name" / Bytes(this.namelen) * "no NUL at its end.",
)

fuse_direntplus = c_struct(
    "fuse_direntplus",
    since(21, "A directory entry with its inode, zero-padded to a multiple of 8."),
    "entry_out" / fuse_entry_out * "nodeid 0: no attributes, no reference.",
    "dirent" / fuse_dirent * "the name, its cookie and type.",
)
