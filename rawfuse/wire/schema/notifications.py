"""notifications"""

from __future__ import annotations

from rawfuse.wire.schema.vocabulary import c_struct, i64, reserved, since, u32, u64

fuse_notify_poll_wakeup_out = c_struct(
    "fuse_notify_poll_wakeup_out",
    since(11, ""),
    "kh" / u64,
)

fuse_notify_inval_inode_out = c_struct(
    "fuse_notify_inval_inode_out",
    since(12, ""),
    "ino" / u64,
    "off" / i64,
    "len" / i64,
)

fuse_notify_inval_entry_out = c_struct(
    "fuse_notify_inval_entry_out",
    since(12, ""),
    "parent" / u64,
    "namelen" / u32,
    "flags" / u32 * since(38, ""),
)

fuse_notify_delete_out = c_struct(
    "fuse_notify_delete_out",
    since(18, ""),
    "parent" / u64,
    "child" / u64,
    "namelen" / u32,
    "padding" / reserved(u32),
)

fuse_notify_store_out = c_struct(
    "fuse_notify_store_out",
    since(15, ""),
    "nodeid" / u64,
    "offset" / u64,
    "size" / u32,
    "padding" / reserved(u32),
)

fuse_notify_retrieve_out = c_struct(
    "fuse_notify_retrieve_out",
    since(15, ""),
    "notify_unique" / u64,
    "nodeid" / u64,
    "offset" / u64,
    "size" / u32,
    "padding" / reserved(u32),
)

fuse_notify_retrieve_in = c_struct(
    "fuse_notify_retrieve_in",
    since(15, ""),
    "dummy1" / reserved(u64),
    "offset" / u64,
    "size" / u32,
    "dummy2" / reserved(u32),
    "dummy3" / reserved(u64),
    "dummy4" / reserved(u64),
)

fuse_notify_prune_out = c_struct(
    "fuse_notify_prune_out",
    since(45, ""),
    "count" / u32,
    "padding" / reserved(u32),
    "spare" / reserved(u64),
)
