"""All probes, by subject: a module each, in the order in which one learns the protocol."""

from __future__ import annotations

from typing import Final

from ..probe import Probe, Table
from . import malformed
from .connection import interrupts, minors, negotiation, notifies, queue, shape
from .inodes import attributes, setattr, xattrs
from .open_files import commands, copies, files, locks, writing
from .tree import directories, lifetimes, lookup, making, moving, readdirplus, removing

__all__ = ["PROBES", "TABLES"]

TABLES: Final[tuple[Table, ...]] = (
    negotiation.TABLE,
    minors.TABLE,
    shape.TABLE,
    lookup.TABLE,
    lifetimes.TABLE,
    attributes.TABLE,
    setattr.TABLE,
    directories.TABLE,
    readdirplus.TABLE,
    files.TABLE,
    writing.TABLE,
    making.TABLE,
    removing.TABLE,
    moving.TABLE,
    xattrs.TABLE,
    locks.TABLE,
    copies.TABLE,
    commands.TABLE,
    queue.TABLE,
    interrupts.TABLE,
    notifies.TABLE,
    malformed.TABLE,
)

PROBES: Final[tuple[Probe, ...]] = tuple(probe for table in TABLES for probe in table.probes)
