"""Small files that are replaced whole: keys and records in their directories of the repository."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from mfs.disk import write_all

__all__ = ["remove_file", "rename_file", "replace_file"]


def replace_file(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Make `path` a file of these bytes, durable on return; whatever happens it is the old one or the new one whole.

    Its directory is made when it is not there.  OSError.
    """
    if not path.parent.exists():
        path.parent.mkdir(0o700)
        _sync(path.parent.parent)
    fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        try:
            os.fchmod(fd, mode)
            write_all(fd, data, 0)
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    _sync(path.parent)


def rename_file(old: Path, new: Path) -> None:
    """Rename a file within its directory, durably."""
    old.rename(new)
    _sync(new.parent)


def remove_file(path: Path) -> None:
    """Remove a file, durably."""
    path.unlink()
    _sync(path.parent)


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
