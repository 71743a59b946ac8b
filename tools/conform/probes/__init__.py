"""All probes, by subject: a module each, in the order in which one learns the protocol."""

from __future__ import annotations

from typing import Final

from ..probe import Probe, Table
from . import lookup, shape

__all__ = ["PROBES", "TABLES"]

TABLES: Final[tuple[Table, ...]] = (shape.TABLE, lookup.TABLE)

PROBES: Final[tuple[Probe, ...]] = tuple(probe for table in TABLES for probe in table.probes)
