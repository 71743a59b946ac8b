"""What has to be known of a trace before it is played."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from rawfuse.trace.record import NATIVE, Direction, Traced
from rawfuse.wire import constants as c
from rawfuse.wire import fuse_in_header, fuse_init_out, fuse_out_header
from rawfuse.wire.replies import answered

from .compare import missing

__all__ = ["Foreseen", "foresee"]

_INIT_SIZE: Final = fuse_init_out.SIZE


@dataclass
class Foreseen:
    """Of the connection that the trace begins with.

    Attributes:
        connection: its number.
        absent: uniques of the requests that were answered with ENOSYS, or else that there is no such operation.
        interrupted: uniques of those that an INTERRUPT was about.
        flags: what INIT agreed on, flags2 from bit 32 up; None where the trace does not have INIT and its answer.
    """

    connection: int = 0
    absent: set[int] = field(default_factory=set)
    interrupted: set[int] = field(default_factory=set)
    flags: int | None = None


def foresee(messages: Iterable[Traced]) -> Foreseen:
    """Reads all of a trace; keeps little of it. Raises what reading it raises."""
    found: Foreseen | None = None
    init: int | None = None
    opcodes: dict[int, int] = {}
    for message in messages:
        if found is None:
            found = Foreseen(message.connection)
        if message.connection != found.connection or message.byteorder != NATIVE:
            continue
        if message.direction is Direction.TO_SERVER:
            if len(message.data) < fuse_in_header.SIZE:
                continue
            header = fuse_in_header.unpack_from(message.data)
            if answered(header.opcode):
                opcodes[header.unique] = header.opcode
            if header.opcode == c.FUSE_INIT:
                init = header.unique
            elif header.opcode == c.FUSE_INTERRUPT and len(message.data) >= fuse_in_header.SIZE + 8:
                at = fuse_in_header.SIZE
                found.interrupted.add(int.from_bytes(message.data[at : at + 8], NATIVE))
            continue
        if len(message.data) < fuse_out_header.SIZE:
            continue
        reply = fuse_out_header.unpack_from(message.data)
        opcode = opcodes.pop(reply.unique, 0)
        if reply.error and missing(opcode, -reply.error):
            found.absent.add(reply.unique)
        elif init is not None and reply.unique == init and not reply.error:
            answer = fuse_init_out.unpack_from(message.data[fuse_out_header.SIZE :].ljust(_INIT_SIZE, b"\0"))
            more = answer.flags2 if answer.flags & c.FUSE_INIT_EXT else 0
            found.flags = answer.flags | more << 32
            init = None
    return found or Foreseen()
