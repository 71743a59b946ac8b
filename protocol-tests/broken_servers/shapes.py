"""Replies of the wrong size, opcode by opcode."""

from __future__ import annotations

from typing import Final

from broken_servers.middle import Asked, Broken
from broken_servers.ways import answers, body
from rawfuse.wire import STRUCTS
from rawfuse.wire.opcodes import OPERATIONS, Operation
from tools.conform.samples import SAMPLES

__all__ = ["BROKEN"]

ABSENT: Final = ("BMAP", "SETUPMAPPING", "REMOVEMAPPING")
"""What the memory example does not have."""


def _broken(operation: Operation) -> Broken:
    """One byte more than there may be, in each successful reply."""
    label, reply = operation.label, operation.reply
    fixed = sum(STRUCTS[name].SIZE for name in reply.structs)
    if label in ABSENT:
        return answers(label, bytes(fixed + 1))

    def longer(found: bytes, asked: Asked) -> bytes:
        match reply.kind:
            case "bytes" if isinstance(reply.limit, int):
                room = reply.limit
            case "bytes" | "dirents" | "head":
                room = int(getattr(asked.arg(), str(reply.limit).removeprefix("arg.")))
                room += fixed if reply.kind == "head" else 0
                room = max(room, 4096 + fixed) if reply.kind == "head" else room
            case "xattr":
                room = asked.arg().size or fixed
            case _:
                room = fixed
        return found.ljust(room + 1, b"\0")

    return body(label, longer)


BROKEN: Final = {
    f"shape.{operation.label}": _broken(operation) for operation in OPERATIONS if operation.label in SAMPLES
}
