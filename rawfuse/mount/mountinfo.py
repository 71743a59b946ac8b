"""/proc/self/mountinfo, parsed (man 5 proc_pid_mountinfo).

Reading it asks no file system anything, so it is safe for a server to look its own mount up here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

__all__ = ["MountEntry", "find_mount", "mount_entries", "parse_mountinfo"]

_ESCAPE = re.compile(rb"\\([0-7]{3})")


class MountEntry(NamedTuple):
    """One line. `device` is (major, minor)."""

    mount_id: int
    parent_id: int
    device: tuple[int, int]
    root: str
    mountpoint: str
    options: tuple[str, ...]
    fstype: str
    source: str
    super_options: tuple[str, ...]

    @property
    def is_fuse(self) -> bool:
        return self.fstype in ("fuse", "fuseblk") or self.fstype.startswith(("fuse.", "fuseblk."))

    @property
    def connection(self) -> int:
        """Of a FUSE mount: the number of its connection, the whole device number as Linux has it inside.

        The major is 0 unless it is a block device that is mounted (fuseblk): then the minor alone would be another's.
        """
        return self.device[0] << 20 | self.device[1]


def _text(field: bytes) -> str:
    # Blank, tab, newline and backslash are written as three octal digits.
    return os.fsdecode(_ESCAPE.sub(lambda m: bytes((int(m[1], 8) & 0xFF,)), field))


def _entry(line: bytes) -> MountEntry | None:
    head, separator, tail = line.partition(b" - ")
    left, right = head.split(b" "), tail.split(b" ")
    if not separator or len(left) < 6 or len(right) < 3:
        return None
    major, colon, minor = left[2].partition(b":")
    if not (colon and major.isdigit() and minor.isdigit() and left[0].isdigit() and left[1].isdigit()):
        return None
    return MountEntry(
        int(left[0]),
        int(left[1]),
        (int(major), int(minor)),
        _text(left[3]),
        _text(left[4]),
        tuple(_text(left[5]).split(",")),
        _text(right[0]),
        _text(right[1]),
        tuple(_text(right[2]).split(",")),
    )


def parse_mountinfo(lines: Iterable[bytes]) -> Iterator[MountEntry]:
    """Yields an entry per well-formed line, in order; lines it cannot read are passed over."""
    for line in lines:
        entry = _entry(line.rstrip(b"\n"))
        if entry is not None:
            yield entry


def mount_entries() -> list[MountEntry]:
    """Every mount this process sees, the later over the earlier."""
    with open("/proc/self/mountinfo", "rb") as file:
        return list(parse_mountinfo(file))


def find_mount(path: str | os.PathLike[str]) -> MountEntry | None:
    """The topmost mount whose mount point is `path` (symbolic links above it resolved), or None.

    The last component is not followed or looked at: it may be a mount that is dead, or our own.
    """
    wanted = canonical(path)
    found = None
    for entry in mount_entries():
        if entry.mountpoint == wanted:
            found = entry
    return found


def canonical(path: str | os.PathLike[str]) -> str:
    """`path` as mountinfo spells it, without touching what its last component is."""
    head, tail = os.path.split(os.path.abspath(os.fspath(path)))
    return os.path.join(os.path.realpath(head), tail) if tail else os.path.realpath(head)
