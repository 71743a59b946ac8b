"""connection"""

from __future__ import annotations

from construct import Array, Bytes, this

from rawfuse.wire.schema.vocabulary import c_struct, i32, reserved, since, u8, u16, u32, u64

fuse_init_in = c_struct(
    "fuse_init_in",
    "",
    "major" / u32,
    "minor" / u32,
    "max_readahead" / u32 * since(6, ""),
    "flags" / u32 * since(6, ""),
    "flags2" / u32 * since(36, ""),
    "unused" / reserved(u32, 11) * since(36, ""),
)

fuse_init_out = c_struct(
    "fuse_init_out",
    "",
    "major" / u32,
    "minor" / u32,
    "max_readahead" / u32 * since(6, ""),
    "flags" / u32 * since(5, ""),
    "max_background" / u16 * since(13, ""),
    "congestion_threshold" / u16 * since(13, ""),
    "max_write" / u32 * since(5, ""),
    "time_gran" / u32 * since(23, ""),
    "max_pages" / u16 * since(28, ""),
    "map_alignment" / u16 * since(31, ""),
    "flags2" / u32 * since(36, ""),
    "max_stack_depth" / u32 * since(40, ""),
    "request_timeout" / u16 * since(43, ""),
    "unused" / reserved(u16, 11),
)

cuse_init_in = c_struct(
    "cuse_init_in",
    "",
    "major" / u32,
    "minor" / u32,
    "unused" / reserved(u32),
    "flags" / u32,
)

cuse_init_out = c_struct(
    "cuse_init_out",
    "",
    "major" / u32,
    "minor" / u32,
    "unused" / reserved(u32),
    "flags" / u32,
    "max_read" / u32,
    "max_write" / u32,
    "dev_major" / u32,
    "dev_minor" / u32,
    "spare" / reserved(u32, 10),
)

fuse_interrupt_in = c_struct(
    "fuse_interrupt_in",
    since(7, ""),
    "unique" / u64,
)

fuse_in_header = c_struct(
    "fuse_in_header",
    "",
    "len" / u32,
    "opcode" / u32,
    "unique" / u64,
    "nodeid" / u64,
    "uid" / u32,
    "gid" / u32,
    "pid" / u32,
    "total_extlen" / u16 * since(38, ""),
    "padding" / reserved(u16),
)

fuse_out_header = c_struct(
    "fuse_out_header",
    "",
    "len" / u32,
    "error" / i32,
    "unique" / u64,
)

fuse_syncfs_in = c_struct(
    "fuse_syncfs_in",
    since(34, ""),
    "padding" / reserved(u64),
)

fuse_secctx = c_struct(
    "fuse_secctx",
    since(36, ""),
    "size" / u32,
    "padding" / reserved(u32),
)

fuse_secctx_header = c_struct(
    "fuse_secctx_header",
    since(36, ""),
    "size" / u32,
    "nr_secctx" / u32,
)

fuse_ext_header = c_struct(
    "fuse_ext_header",
    since(38, ""),
    "size" / u32,
    "type" / u32,
)

fuse_supp_groups = c_struct(
    "fuse_supp_groups",
    since(38, ""),
    "nr_groups" / u32,
    "groups" / Array(this.nr_groups, u32),
)

fuse_uring_ent_in_out = c_struct(
    "fuse_uring_ent_in_out",
    since(42, ""),
    "flags" / u64,
    "commit_id" / u64,
    "payload_sz" / u32,
    "padding" / reserved(u32),
    "reserved" / reserved(u64),
)

fuse_uring_req_header = c_struct(
    "fuse_uring_req_header",
    since(42, ""),
    "in_out" / Bytes(128),
    "op_in" / Bytes(128),
    "ring_ent_in_out" / fuse_uring_ent_in_out,
)

fuse_uring_cmd_req = c_struct(
    "fuse_uring_cmd_req",
    since(42, ""),
    "flags" / u64,
    "commit_id" / u64,
    "qid" / u16,
    "padding" / reserved(u8, 6),
)
