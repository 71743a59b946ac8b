"""names"""

from __future__ import annotations

from construct import Bytes, this

from rawfuse.wire.schema.inodes import fuse_entry_out
from rawfuse.wire.schema.vocabulary import c_struct, reserved, since, u32, u64

fuse_mknod_in = c_struct(
    "fuse_mknod_in",
    "",
    "mode" / u32,
    "rdev" / u32,
    "umask" / u32 * since(12, ""),
    "padding" / reserved(u32),
)

fuse_mkdir_in = c_struct(
    "fuse_mkdir_in",
    "",
    "mode" / u32,
    "umask" / u32 * since(12, ""),
)

fuse_rename_in = c_struct(
    "fuse_rename_in",
    "",
    "newdir" / u64,
)

fuse_rename2_in = c_struct(
    "fuse_rename2_in",
    since(23, ""),
    "newdir" / u64,
    "flags" / u32,
    "padding" / reserved(u32),
)

fuse_link_in = c_struct(
    "fuse_link_in",
    "",
    "oldnodeid" / u64,
)

fuse_create_in = c_struct(
    "fuse_create_in",
    "",
    "flags" / u32,
    "mode" / u32,
    "umask" / u32 * since(12, ""),
    "open_flags" / u32 * since(33, ""),
)

fuse_dirent = c_struct(
    "fuse_dirent",
    "",
    "ino" / u64,
    "off" / u64,
    "namelen" / u32,
    "type" / u32,
    "name" / Bytes(this.namelen),
)

fuse_direntplus = c_struct(
    "fuse_direntplus",
    since(21, ""),
    "entry_out" / fuse_entry_out,
    "dirent" / fuse_dirent,
)
