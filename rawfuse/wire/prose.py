"""The records of an opcode or notification in sentences, for docstrings and for ``rawfuse explain``."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rawfuse.wire.meanings import Meaning
from rawfuse.wire.opcodes import Array, Fixed, Name, Notice, Operation, Payload, Reply
from rawfuse.wire.versions import SETXATTR_COMPAT_SIZE, SIZES

__all__ = [
    "HEADER",
    "body_lines",
    "enosys_text",
    "nodeid_text",
    "older_sizes",
    "reply_text",
    "since_text",
    "source_text",
]

HEADER = "fuse_kernel.h 7.45"

_NODEIDS = {
    "inode": "the inode",
    "parent": "the directory that holds the name, or shall",
    "old parent": "the directory that holds the old name",
    "new parent": "the directory that shall hold the new name",
    "source inode": "the inode copied from",
    "root": "the root, 1",
    "none": "0: it is about the connection",
}


def nodeid_text(operation: Operation) -> str:
    """What the header's nodeid means in this request."""
    return _NODEIDS[operation.nodeid]


def since_text(since: int | None) -> str:
    """``7.3``, or words where the header's change log does not say."""
    return f"7.{since}" if since is not None else "older than the header's change log, or not mentioned there"


def older_sizes(struct: str) -> str:
    """How long a struct was for older minors; empty where it always had one size."""
    if struct == "fuse_setxattr_in":
        return f"{SETXATTR_COMPAT_SIZE} without SETXATTR_EXT, whatever the minor"
    versions = SIZES.get(struct, ())
    return ", ".join(f"{size} before 7.{versions[index + 1][0]}" for index, (_, size) in enumerate(versions[:-1]))


def _struct(name: str, size_of: Callable[[str], int]) -> str:
    older = older_sizes(name)
    return f"{name} ({size_of(name)} bytes{f'; {older}' if older else ''})"


def body_lines(record: Operation | Notice, size_of: Callable[[str], int]) -> Iterator[tuple[str, str]]:
    """What follows the header, in order: the attribute of the message, and what it is."""
    for part in record.body:
        match part:
            case Fixed(struct):
                yield "arg", _struct(struct, size_of)
            case Name(attribute):
                yield attribute, "bytes, ended by a NUL on the wire"
            case Payload(attribute, size):
                yield attribute, f"arg.{size} bytes, to the end of the message"
            case Array(attribute, struct, count):
                item = _struct(struct, size_of) if struct else "a nodeid (8 bytes)"
                yield attribute, f"arg.{count} times {item}"
    if isinstance(record, Operation) and record.extensible:
        yield "extensions", "total_extlen of the header times 8 bytes: security contexts, supplementary groups"


def reply_text(reply: Reply, size_of: Callable[[str], int]) -> str:
    """What may follow fuse_out_header in a successful reply."""
    structs = " and ".join(_struct(name, size_of) for name in reply.structs)
    limit = f"arg.{reply.limit}" if isinstance(reply.limit, str) else str(reply.limit)
    match reply.kind:
        case "none":
            return "Never answered: the write of a reply is ENOENT."
        case "optional":
            return "The header alone, or nothing at all."
        case "empty":
            return "The header alone."
        case "fixed":
            return f"Exactly {structs}; any other size is EIO for the caller."
        case "bytes":
            return f"0 to {limit} bytes; more are EIO for the caller."
        case "dirents":
            item = reply.structs[0]
            return f"0 to {limit} bytes of {item}, each with its name and padded to 8 bytes; no entry is the end."
        case "xattr":
            return f"{structs} where {limit} is 0; else 0 to {limit} bytes."
        case "prefix":
            return f"8 bytes up to the whole of {reply.structs[0]} ({size_of(reply.structs[0])} bytes)."
    return f"{structs}, then 0 to {limit} bytes."


def enosys_text(operation: Operation) -> str:
    """What the kernel makes of ENOSYS; empty where there is no reply."""
    if operation.reply.kind == "none":
        return ""
    enosys = operation.enosys
    if enosys.remembered:
        return f"never asked again on this connection; from then on: {enosys.becomes}"
    return (
        f"not remembered; each time: {enosys.becomes}" if enosys.becomes else "not remembered: passed on to the caller"
    )


def source_text(meaning: Meaning) -> str:
    """Where the facts of a page come from."""
    if meaning.seen:
        return f"Shape: {HEADER}. Behaviour: Linux 6.18, measured, and its source; errnos: the calls' manual pages."
    return f"Shape: {HEADER}. Behaviour: the source of Linux; not seen on a mount by the authors."
