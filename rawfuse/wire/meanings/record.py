"""What :class:`Meaning` says of an opcode, beside the shapes in :mod:`rawfuse.wire.opcodes`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Errors", "Meaning"]

Errors: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Meaning:
    """When a request comes and what an answer does.

    when: what makes the kernel send it.
    errors: errno's name and what it tells the kernel or the caller. Others are passed on to the caller as they are;
        ENOSYS is in the opcode's own record.
    notes: what a server's author should know besides, a sentence or two each.
    seen: measured on Linux 6.18; else taken from the kernel's source.
    """

    when: str
    errors: Errors = ()
    notes: tuple[str, ...] = ()
    seen: bool = True
