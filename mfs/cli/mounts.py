"""Mounts of ours in the mount table, which tells without asking any server."""

from __future__ import annotations

import os

from rawfuse.mount import MountEntry, mount_entries, parse_mountinfo

__all__ = ["FSTYPE", "SUBTYPE", "described", "is_beneath", "mount_at", "mounts_of"]

SUBTYPE = "mfs"
FSTYPE = "fuse.mfs"


def mount_at(path: str) -> MountEntry | None:
    """The topmost mount whose mount point is `path` (absolute, no symbolic links)."""
    found = None
    for entry in mount_entries():
        if entry.mountpoint == path:
            found = entry
    return found


def mounts_of(repo: str, process: int | None = None) -> list[MountEntry]:
    """Where a repository is mounted, as we see it, or as another process does. A mount names its repository as its
    source. Empty also where that process cannot be asked.
    """
    places = (repo, os.path.realpath(repo))
    try:
        with open(f"/proc/{process or 'self'}/mountinfo", "rb") as table:
            entries = list(parse_mountinfo(table))
    except OSError:
        return []
    return [entry for entry in entries if entry.fstype == FSTYPE and entry.source in places]


def described(entry: MountEntry) -> str:
    """What a mount is, in words."""
    if entry.fstype == FSTYPE:
        return f"a mount of the repository {entry.source}"
    return f"a mount of {entry.source} ({entry.fstype})"


def is_beneath(path: str, directory: str) -> bool:
    """Whether `path` is `directory` or lies in it; both absolute, without symbolic links."""
    return path == directory or path.startswith(directory.rstrip("/") + "/")
