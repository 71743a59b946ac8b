"""Malformed messages that are believed."""

from __future__ import annotations

import errno
from typing import Any, Final

from broken_servers.middle import Broken
from broken_servers.references import FILE, attributes, entry
from broken_servers.ways import answers, dies, lost
from rawfuse import wire as w
from rawfuse.examples.memory.nodes import ABSENT
from rawfuse.wire import STRUCTS
from rawfuse.wire.opcodes import OPERATIONS, Fixed, Operation
from rawfuse.wire.replies import answered
from tools.conform.samples import SAMPLES

__all__ = ["BROKEN"]


def success(label: str) -> bytes:
    """A successful reply of the right size."""
    operation = next(one for one in OPERATIONS if one.label == label)
    if label in ("LOOKUP", "MKDIR", "MKNOD", "LINK"):
        return entry(1 << 30, FILE if label != "MKDIR" else 0o40755)
    if label == "SYMLINK":
        return entry(1 << 30, 0o120777)
    if label in ("CREATE", "TMPFILE"):
        return entry(1 << 30) + bytes(16)
    if label in ("GETATTR", "SETATTR"):
        return attributes(1, 0o40755)
    kind = operation.reply.kind
    return bytes(sum(STRUCTS[name].SIZE for name in operation.reply.structs)) if kind in ("fixed", "head") else b""


def believed(label: str, when: Any) -> Broken:
    """A message of that opcode that is not whole is answered with success."""
    return answers(label, lambda asked: success(label), when=when)


def short(operation: Operation) -> Broken:
    """A message cut off in its struct, or before its name, is done all the same."""
    structs = [part.struct for part in operation.body if isinstance(part, Fixed)]
    cut = STRUCTS[structs[0]].SIZE // 2 if structs else 0
    return believed(operation.label, lambda asked: asked.request is None and asked.whole and len(asked.body) == cut)


def unknown_node(label: str) -> Broken:
    return answers(label, lambda asked: success(label), when=lambda asked: asked.nodeid == 0x7FFF_FFFF_FF00)


def no_nul(asked: Any) -> bool:
    return bool(asked.body) and not asked.body.endswith(b"\0") and asked.request is None


def _lying(longer: bool) -> Broken:
    """The length in the header is believed: the rest is waited for, or what is behind it is another message."""
    return dies("GETATTR", when=lambda asked: asked.header[0] > asked.came if longer else asked.header[0] < asked.came)


def _made_anyway(found: Any) -> Broken:
    return answers("MKDIR", entry(1 << 30, 0o40755), when=lambda q: found(bytes(q.body[8:-1])))


BROKEN: Final[dict[str, Broken]] = {
    **{
        f"malformed.short_{one.label}": short(one)
        for one in OPERATIONS
        if one.label in SAMPLES and one.body and answered(one.opcode)
    },
    **{
        f"malformed.short_{label}": answers(label, when=lambda q: q.request is None and len(q.body) == 4)
        for label in ("FORGET", "BATCH_FORGET", "NOTIFY_REPLY")
    },
    "malformed.short_INTERRUPT": dies("INTERRUPT", when=lambda q: q.request is None),
    "malformed.short_INIT": answers(
        "INIT", w.fuse_init_out(7, 45, max_write=4096).pack(), when=lambda q: len(q.body) < 8
    ),
    **{
        f"malformed.opcode_{number}": answers(str(number), number=errno.EIO)
        for number in (200, 0, 7, 19, 54, 0xFFFF_FFFF)
    },
    "malformed.length_longer": _lying(True),
    "malformed.length_shorter": _lying(False),
    "malformed.short_header": dies("short"),
    "malformed.extensions_past_end": dies("MKDIR", when=lambda q: q.header[7] == 0xFFFF),
    "malformed.trailing": dies("GETATTR", when=lambda q: len(q.body) > 16 and q.whole),
    **{
        f"malformed.unended_{label}": believed(label, no_nul)
        for label in ("LOOKUP", "MKDIR", "UNLINK", "RMDIR", "CREATE", "REMOVEXATTR")
    },
    "malformed.one_name_RENAME": believed("RENAME", lambda q: q.request is None and len(q.body) > 8),
    "malformed.one_name_SYMLINK": believed("SYMLINK", lambda q: q.request is None and len(q.body) > 1),
    "malformed.empty_name": answers("LOOKUP", ABSENT, when=lambda q: q.body == b"\0"),
    "malformed.slash": answers("LOOKUP", entry(1 << 30), when=lambda q: b"/" in q.body),
    "malformed.made_slash": _made_anyway(lambda name: b"/" in name),
    "malformed.made_dots": _made_anyway(lambda name: name in (b".", b"..")),
    "malformed.dots_unasked": answers(
        "LOOKUP", entry(1 << 30, 0o40755), when=lambda q: q.nodeid == 1 and q.body == b"..\0"
    ),
    "malformed.write_size": believed("WRITE", lambda q: q.request is None and len(q.body) > 40),
    "malformed.setxattr_size": believed("SETXATTR", lambda q: q.request is None and len(q.body) > 16),
    "malformed.ioctl_size": believed("IOCTL", lambda q: q.request is None and len(q.body) > 32),
    "malformed.batch_forget_count": dies("BATCH_FORGET", when=lambda q: q.body == w.fuse_batch_forget_in(1000).pack()),
    "malformed.removemapping_count": believed("REMOVEMAPPING", lambda q: q.request is None and len(q.body) == 4),
    **{
        f"malformed.huge_{label}": dies(label, when=lambda q: q.request is not None and q.arg().size == 0xFFFF_FFFF)
        for label in ("READ", "READDIR", "LISTXATTR")
    },
    **{
        f"malformed.node_{label}": unknown_node(label)
        for label in (
            "SETATTR",
            "READLINK",
            "MKDIR",
            "UNLINK",
            "RENAME",
            "LINK",
            "OPEN",
            "OPENDIR",
            "CREATE",
            "SYMLINK",
            "GETXATTR",
            "ACCESS",
        )
    },
    "malformed.node_STATFS": dies("STATFS", when=lambda q: q.nodeid == 0x7FFF_FFFF_FF00),
    "malformed.node_zero": answers("GETATTR", attributes(1, 0o40755), when=lambda q: q.nodeid == 0),
    "malformed.many": lost(" ".join(str(number) for number in range(250, 260))),
}
