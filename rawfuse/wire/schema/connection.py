"""Headers, INIT, INTERRUPT, extensions of requests, and io_uring."""

from __future__ import annotations

from construct import Array, Bytes, this

from rawfuse.wire.schema.vocabulary import c_struct, i32, reserved, since, u8, u16, u32, u64

fuse_init_in = c_struct(
    "fuse_init_in",
    "Fixed part of INIT; 8 bytes before 7.6, 16 before 7.36.",
    "major" / u32 * "always 7.",
    "minor" / u32 * "the kernel's.",
    "max_readahead" / u32 * since(6, "bytes the kernel would read ahead."),
    "flags" / u32 * since(6, "low word of InitFlags."),
    "flags2" / u32 * since(36, "high word of InitFlags, with INIT_EXT."),
    "unused" / reserved(u32, 11) * since(36, "zero."),
)

fuse_init_out = c_struct(
    "fuse_init_out",
    "Reply to INIT; Linux takes 8 to 64 bytes of it at any minor.",
    "major" / u32 * "7; anything else ends the connection.",
    "minor" / u32 * "the protocol that both then speak.",
    "max_readahead" / u32 * since(6, "bytes, at most what was offered."),
    "flags" / u32 * since(5, "low word of InitFlags: what is wanted of what was offered."),
    "max_background" / u16 * since(13, "readahead and writeback requests in flight; 0: the kernel's default, 12."),
    "congestion_threshold" / u16 * since(13, "of those, from when on the kernel is congested; 0: its default."),
    "max_write" / u32 * since(5, "most bytes of a WRITE; 0 means 4096. The read buffer must hold 80 more."),
    "time_gran" / u32 * since(23, "nanoseconds, a power of ten: precision of the server's times; 0 means 1."),
    "max_pages" / u16 * since(28, "pages of a READ or WRITE, with MAX_PAGES; 0 means 1."),
    "map_alignment" / u16 * since(31, "log2 of bytes, with MAP_ALIGNMENT."),
    "flags2" / u32 * since(36, "high word of InitFlags, with INIT_EXT."),
    "max_stack_depth" / u32 * since(40, "file systems that may lie below, with PASSTHROUGH; 1 is usual."),
    "request_timeout" / u16 * since(43, "seconds, with REQUEST_TIMEOUT."),
    "unused" / reserved(u16, 11),
)

cuse_init_in = c_struct(
    "cuse_init_in",
    "Fixed part of CUSE_INIT.",
    "major" / u32 * "always 7.",
    "minor" / u32 * "the kernel's.",
    "unused" / reserved(u32),
    "flags" / u32 * "CuseInitFlags.",
)

cuse_init_out = c_struct(
    "cuse_init_out",
    "Reply to CUSE_INIT.",
    "major" / u32 * "always 7.",
    "minor" / u32 * "the protocol that both then speak.",
    "unused" / reserved(u32),
    "flags" / u32 * "CuseInitFlags.",
    "max_read" / u32 * "most bytes of a READ.",
    "max_write" / u32 * "most bytes of a WRITE.",
    "dev_major" / u32 * "number of the device to make.",
    "dev_minor" / u32 * "as dev_major.",
    "spare" / reserved(u32, 10),
)

fuse_interrupt_in = c_struct(
    "fuse_interrupt_in",
    since(7, "Fixed part of INTERRUPT."),
    "unique" / u64 * "of the request whose caller got a signal.",
)

fuse_in_header = c_struct(
    "fuse_in_header",
    "Head of every request.",
    "len" / u32 * "of the whole message, this header included.",
    "opcode" / u32 * "Opcode.",
    "unique" / u64 * "even; the reply repeats it.",
    "nodeid" / u64 * "the inode, or the directory where a name follows.",
    "uid" / u32 * "the caller's, as the mount's user namespace has it; with ALLOW_IDMAP only where an inode is made.",
    "gid" / u32 * "the caller's, as uid.",
    "pid" / u32 * "the caller's thread, as the mount's pid namespace has it; 0 when the kernel acts by itself.",
    "total_extlen" / u16 * since(38, "units of 8 bytes of extensions at the end."),
    "padding" / reserved(u16),
)

fuse_out_header = c_struct(
    "fuse_out_header",
    "Head of every reply and notification.",
    "len" / u32 * "of the whole message, this header included.",
    "error" / i32 * "0, a negative errno down to -511, or a notification's code.",
    "unique" / u64 * "of the request; 0 in a notification.",
)

fuse_syncfs_in = c_struct(
    "fuse_syncfs_in",
    since(34, "Fixed part of SYNCFS."),
    "padding" / reserved(u64),
)

fuse_secctx = c_struct(
    "fuse_secctx",
    since(36, "A security context; its name with a NUL and its value follow, padded to 8."),
    "size" / u32 * "bytes of the value.",
    "padding" / reserved(u32),
)

fuse_secctx_header = c_struct(
    "fuse_secctx_header",
    since(36, "Head of security contexts."),
    "size" / u32 * "of all of them, this header included.",
    "nr_secctx" / u32 * "how many; at most 31.",
)

fuse_ext_header = c_struct(
    "fuse_ext_header",
    since(38, "Head of an extension."),
    "size" / u32 * "of the whole extension, padded to 8.",
    "type" / u32 * "ExtType, or the number of security contexts.",
)

fuse_supp_groups = c_struct(
    "fuse_supp_groups",
    since(38, "The supplementary groups extension, after its head."),
    "nr_groups" / u32 * "how many.",
    "groups" / Array(this.nr_groups, u32) * "their gids.",
)

fuse_uring_ent_in_out = c_struct(
    "fuse_uring_ent_in_out",
    since(42, "What the ring says about an entry."),
    "flags" / u64 * "none so far.",
    "commit_id" / u64 * "what COMMIT_AND_FETCH repeats.",
    "payload_sz" / u32 * "bytes in the payload buffer.",
    "padding" / reserved(u32),
    "reserved" / reserved(u64),
)

fuse_uring_req_header = c_struct(
    "fuse_uring_req_header",
    since(42, "Headers of a request in the ring; its payload lies elsewhere."),
    "in_out" / Bytes(128) * "fuse_in_header or fuse_out_header.",
    "op_in" / Bytes(128) * "the request's struct.",
    "ring_ent_in_out" / fuse_uring_ent_in_out * "what belongs to the ring.",
)

fuse_uring_cmd_req = c_struct(
    "fuse_uring_cmd_req",
    since(42, "The command area of an SQE."),
    "flags" / u64 * "none so far.",
    "commit_id" / u64 * "of the entry that is answered.",
    "qid" / u16 * "the queue, one per possible CPU.",
    "padding" / reserved(u8, 6),
)
