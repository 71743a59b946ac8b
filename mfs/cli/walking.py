"""Walking directories of this machine, parents first."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from typing import NamedTuple

__all__ = ["Found", "walk"]


class Found(NamedTuple):
    """An entry: its path here, its name relative to what was asked for, and what `lstat` says."""

    path: bytes
    name: bytes
    status: os.stat_result


def walk(path: bytes, name: bytes, skipped: Callable[[bytes, OSError], None]) -> Iterator[Found]:
    """`path` and everything below it; the entries of a directory in the order of their names.

    Symbolic links are not followed.  What cannot be read is told to `skipped`.  OSError for `path` itself.
    """
    top = os.lstat(path)
    waiting = [Found(path, name, top)]
    while waiting:
        found = waiting.pop()
        yield found
        if not stat.S_ISDIR(found.status.st_mode):
            continue
        try:
            names = sorted(os.listdir(found.path), reverse=True)
        except OSError as error:
            skipped(found.path, error)
            continue
        for child in names:
            below = os.path.join(found.path, child)
            try:
                waiting.append(Found(below, os.path.join(found.name, child), os.lstat(below)))
            except OSError as error:
                skipped(below, error)
