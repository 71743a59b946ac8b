"""Holding a reply against the recorded one, field by field."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Final

from rawfuse.wire.base import Record, WireStruct
from rawfuse.wire.dirent import Dirent, DirentPlus
from rawfuse.wire.replies import ReplyValue

__all__ = ["ANOTHER", "CHOSEN", "differences"]

CHOSEN: Final = (
    "fuse_entry_out.nodeid",
    "fuse_entry_out.generation",
    "fuse_attr.ino",
    "fuse_attr.[amc]time*",
    "fuse_open_out.fh",
    "fuse_open_out.backing_id",
    "fuse_kstatfs.*",
    "fuse_statx.ino",
    "fuse_statx.*time",
    "fuse_statx.dev_*",
    "dirent.ino",
    "dirent.off",
)
"""What a sound server may answer otherwise each time: times, inode numbers, the ids it chooses, space on the disk."""

ANOTHER: Final = (
    "fuse_init_out.*",
    "fuse_entry_out.*_valid*",
    "fuse_attr_out.attr_valid*",
    "fuse_statx_out.attr_valid*",
    "fuse_open_out.open_flags",
    "fuse_attr.blocks",
    "fuse_attr.blksize",
    "fuse_attr.flags",
    "fuse_attr.nlink",
    "fuse_attr.size of a directory",
    "fuse_statx.blocks",
    "fuse_statx.blksize",
    "fuse_statx.nlink",
    "fuse_statx.mask",
    "fuse_statx.attributes*",
    "order of entries",
    "entries . and ..",
)
"""What another implementation may answer otherwise besides: how long caches hold, block sizes, link counts, order."""

_DIRECTORY: Final = 0o040000
_TYPE: Final = 0o170000


class _Comparison:
    def __init__(self, ignored: tuple[str, ...]) -> None:
        self._ignored = ignored

    def skips(self, what: str) -> bool:
        return any(fnmatchcase(what, pattern) for pattern in self._ignored)

    def values(self, recorded: ReplyValue, actual: ReplyValue, where: str = "") -> Iterator[str]:
        if isinstance(recorded, list) and isinstance(actual, list):
            yield from self.entries(recorded, actual)
        elif isinstance(recorded, tuple) and isinstance(actual, tuple):
            for one, other in zip(recorded, actual, strict=False):
                yield from self.values(one, other)
        elif isinstance(recorded, Record) and isinstance(actual, Record) and type(recorded) is type(actual):
            yield from self.members(recorded, actual, where)
        elif recorded != actual:
            yield _bytes_differ(recorded, actual)

    def members(self, recorded: Record, actual: Record, where: str) -> Iterator[str]:
        kind = type(recorded).__name__
        for member in recorded.FIELDS:
            one, other = getattr(recorded, member), getattr(actual, member)
            if isinstance(one, WireStruct):
                if self._absent(recorded, actual):
                    continue
                yield from self.members(one, other, f"{where}{kind}.")
            elif one != other and not self.skips(f"{kind}.{member}") and not self._of_directory(recorded, member):
                yield f"{where}{kind}.{member}: {one} was recorded, now it is {other}"

    def _absent(self, recorded: Record, actual: Record) -> bool:
        """A negative entry has no attributes; that one of two is negative is a difference of its own."""
        nodeids = [getattr(one, "nodeid", None) for one in (recorded, actual)]
        return 0 in nodeids

    def _of_directory(self, struct: Record, member: str) -> bool:
        mode = getattr(struct, "mode", 0)
        return member == "size" and mode & _TYPE == _DIRECTORY and self.skips("fuse_attr.size of a directory")

    def entries(
        self, recorded: list[Dirent] | list[DirentPlus], actual: list[Dirent] | list[DirentPlus]
    ) -> Iterator[str]:
        mine, theirs = [self._listed(one) for one in recorded], [self._listed(one) for one in actual]
        if self.skips("entries . and .."):
            mine, theirs = [[one for one in side if one[0] not in (b".", b"..")] for side in (mine, theirs)]
        if self.skips("order of entries"):
            mine.sort()
            theirs.sort()
        if mine != theirs:
            lost = [name for name in mine if name not in theirs]
            more = [name for name in theirs if name not in mine]
            yield (
                f"entries differ: missing {lost[:5]}, more {more[:5]}"
                if lost or more
                else "entries are in another order"
            )

    def _listed(self, one: Dirent | DirentPlus) -> tuple[bytes, int]:
        dirent = one.dirent if isinstance(one, DirentPlus) else one
        return dirent.name, dirent.type


def _bytes_differ(recorded: ReplyValue, actual: ReplyValue) -> str:
    if isinstance(recorded, bytes) and isinstance(actual, bytes):
        at = next((i for i, (a, b) in enumerate(zip(recorded, actual, strict=False)) if a != b), None)
        if at is None:
            return f"{len(recorded)} bytes were recorded, now there are {len(actual)}"
        return f"byte {at} was {recorded[at]:#04x}, now it is {actual[at]:#04x}"
    return f"{recorded!r} was recorded, now it is {actual!r}"


def _found_or_not(recorded: ReplyValue, actual: ReplyValue) -> Iterator[str]:
    """Whether a name is there: the one thing about nodeids that two servers must agree on."""
    nodeids = []
    for value in (recorded, actual):
        first = value[0] if isinstance(value, tuple) else value
        nodeids.append(getattr(first, "nodeid", None) if type(first).__name__ == "fuse_entry_out" else None)
    if None not in nodeids and bool(nodeids[0]) != bool(nodeids[1]):
        yield "the name was found, now it is absent" if nodeids[0] else "the name was absent, now it is found"


def differences(recorded: ReplyValue, actual: ReplyValue, ignored: tuple[str, ...]) -> Iterator[str]:
    """In words, what differs in two successful replies; `ignored` are patterns of `struct.member` that do not count."""
    yield from _found_or_not(recorded, actual)
    yield from _Comparison(ignored).values(recorded, actual)
