"""When each request comes, what an errno in its reply does, and what else is worth knowing, by opcode.

Plain data beside the table of shapes, :mod:`rawfuse.wire.opcodes`; printed by ``rawfuse explain`` and in the docstrings
of the request classes.
"""

from __future__ import annotations

from rawfuse.wire.meanings import connection, files, names
from rawfuse.wire.meanings.record import Errors, Meaning

__all__ = ["MEANINGS", "Errors", "Meaning"]

MEANINGS: dict[int, Meaning] = {**names.MEANINGS, **files.MEANINGS, **connection.MEANINGS}
"""Opcode to its meaning; every opcode has one."""
