"""What the server tells the kernel unasked, and the answer to NOTIFY_RETRIEVE."""

from __future__ import annotations

from rawfuse.wire.schema.vocabulary import c_struct, i64, reserved, since, u32, u64

fuse_notify_poll_wakeup_out = c_struct(
    "fuse_notify_poll_wakeup_out",
    since(11, "Fixed part of NOTIFY_POLL."),
    "kh" / u64 * "of the POLL.",
)

fuse_notify_inval_inode_out = c_struct(
    "fuse_notify_inval_inode_out",
    since(12, "Fixed part of NOTIFY_INVAL_INODE."),
    "ino" / u64 * "nodeid.",
    "off" / i64 * "first byte; negative: attributes only.",
    "len" / i64 * "bytes; 0 or less: to the end.",
)

fuse_notify_inval_entry_out = c_struct(
    "fuse_notify_inval_entry_out",
    since(12, "Fixed part of NOTIFY_INVAL_ENTRY."),
    "parent" / u64 * "nodeid of the directory.",
    "namelen" / u32 * "length of the name, its NUL not counted.",
    "flags" / u32 * since(38, "InvalEntryFlags."),
)

fuse_notify_delete_out = c_struct(
    "fuse_notify_delete_out",
    since(18, "Fixed part of NOTIFY_DELETE."),
    "parent" / u64 * "nodeid of the directory.",
    "child" / u64 * "nodeid the name had.",
    "namelen" / u32 * "length of the name, its NUL not counted.",
    "padding" / reserved(u32),
)

fuse_notify_store_out = c_struct(
    "fuse_notify_store_out",
    since(15, "Fixed part of NOTIFY_STORE."),
    "nodeid" / u64 * "the file.",
    "offset" / u64 * "bytes: where they go.",
    "size" / u32 * "bytes that follow.",
    "padding" / reserved(u32),
)

fuse_notify_retrieve_out = c_struct(
    "fuse_notify_retrieve_out",
    since(15, "Fixed part of NOTIFY_RETRIEVE."),
    "notify_unique" / u64 * "unique of the NOTIFY_REPLY to come; any number.",
    "nodeid" / u64 * "the file.",
    "offset" / u64 * "bytes: where to begin.",
    "size" / u32 * "bytes asked for.",
    "padding" / reserved(u32),
)

fuse_notify_retrieve_in = c_struct(
    "fuse_notify_retrieve_in",
    since(15, "Fixed part of NOTIFY_REPLY."),
    "dummy1" / reserved(u64),
    "offset" / u64 * "bytes: where they were found.",
    "size" / u32 * "bytes that follow.",
    "dummy2" / reserved(u32),
    "dummy3" / reserved(u64),
    "dummy4" / reserved(u64),
)

fuse_notify_prune_out = c_struct(
    "fuse_notify_prune_out",
    since(45, "Head of a list of nodeids."),
    "count" / u32 * "how many follow.",
    "padding" / reserved(u32),
    "spare" / reserved(u64),
)
