"""What a reply to each opcode looks like: the size that Linux takes, and no other."""

from __future__ import annotations

import errno
from typing import Final

from rawfuse.wire import STRUCTS
from rawfuse.wire.opcodes import OPERATIONS, Operation

from ...kernel import ConformKernel
from ...probe import Table, Tier, Unready
from ...samples import SAMPLES, sample

__all__ = ["TABLE"]

TABLE: Final = Table("shape", "What a reply to each opcode looks like")

_SOURCE: Final = "fuse_kernel.h 7.45; measured on Linux 6.18: another size is EINVAL to the server, EIO to the caller"


def _success(operation: Operation) -> str:
    reply = operation.reply
    structs = " and ".join(reply.structs)
    size = sum(STRUCTS[name].SIZE for name in reply.structs)
    match reply.kind:
        case "fixed":
            return f"{structs}, {size} bytes"
        case "bytes" if isinstance(reply.limit, int):
            return f"0 to {reply.limit} bytes"
        case "bytes":
            return f"0 to arg.{reply.limit} bytes"
        case "dirents":
            return f"{structs}s with their names, at most arg.{reply.limit} bytes in all"
        case "xattr":
            return f"at most arg.size bytes, or {structs} ({size} bytes) where arg.size is 0"
        case "head":
            return f"{structs} ({size} bytes) and at most arg.{reply.limit} bytes"
    return "nothing"


def _probe(operation: Operation) -> None:
    label = operation.label
    rule = (
        f"A successful reply to {label} carries its unique and, behind the header, {_success(operation)}; "
        "a failed one carries a negative errno and nothing else."
    )

    @TABLE.probe(label, Tier.MUST, rule, _SOURCE, opcodes=(label,))
    def shape(k: ConformKernel) -> None:
        answer = k.heard(sample(k, label))
        if answer.errno == errno.ENOSYS:
            raise Unready(f"{label} is answered with ENOSYS")
        k.expect(True, f"{_success(operation)}, or an errno alone", answer)


for _operation in OPERATIONS:
    if _operation.label in SAMPLES:
        _probe(_operation)
