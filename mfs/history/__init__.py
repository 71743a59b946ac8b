"""History: the commits that are kept, names for them, what changed between them, and how to get back to one."""

from mfs.history.commits import NoCommit, Reference, load_commit, log, resolve
from mfs.history.names import BadName, NameTaken, NoName, Pin, Snapshot, pins, snapshot_named, snapshots

__all__ = [
    "BadName",
    "NameTaken",
    "NoCommit",
    "NoName",
    "Pin",
    "Reference",
    "Snapshot",
    "load_commit",
    "log",
    "pins",
    "resolve",
    "snapshot_named",
    "snapshots",
]
