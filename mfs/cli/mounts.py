"""Mounts of ours in the mount table, which tells without asking any server."""

from __future__ import annotations

import os

from rawfuse.mount import MountEntry, mount_entries

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


def mounts_of(repo: str) -> list[MountEntry]:
    """Where a repository is mounted, the newest last. A mount names its repository as its source."""
    real = os.path.realpath(repo)
    return [entry for entry in mount_entries() if entry.fstype == FSTYPE and entry.source in (repo, real)]


def described(entry: MountEntry) -> str:
    """What a mount is, in words."""
    if entry.fstype == FSTYPE:
        return f"a mount of the repository {entry.source}"
    return f"a mount of {entry.source} ({entry.fstype})"


def is_beneath(path: str, directory: str) -> bool:
    """Whether `path` is `directory` or lies in it; both absolute, without symbolic links."""
    return path == directory or path.startswith(directory.rstrip("/") + "/")
