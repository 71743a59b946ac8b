"""Holding a reply against the recorded one, field by field."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from rawfuse import wire
from rawfuse.wire import constants as c
from rawfuse.wire.base import Record, WireStruct
from rawfuse.wire.dirent import Dirent, DirentPlus
from rawfuse.wire.replies import ReplyValue

from ..decode.values import errno_text

__all__ = ["ANOTHER", "CHOSEN", "NOT_COMPARED", "NOT_COMPARED_OF_ANOTHER", "Reply", "differences", "judge", "missing"]


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply as it was or is: its errno (0: success), its value, and what is wrong with it otherwise."""

    error: int = 0
    value: ReplyValue = None
    problem: str = ""


CHOSEN: Final = (
    "fuse_entry_out.nodeid",
    "fuse_entry_out.generation",
    "fuse_attr.ino",
    "fuse_attr.[amc]time*",
    "fuse_attr.blocks",
    "fuse_open_out.fh",
    "fuse_open_out.backing_id",
    "fuse_kstatfs.*",
    "fuse_statx.ino",
    "fuse_statx.blocks",
    "fuse_statx.*time",
    "fuse_statx.dev_*",
    "dirent.ino",
    "dirent.off",
)
"""What a sound server may answer otherwise each time."""

NOT_COMPARED: Final = "times, inode numbers, nodeids, generations, file handles, directory offsets, space on the disk"
"""The same in words."""

ANOTHER: Final = (
    "fuse_init_out.*",
    "fuse_entry_out.*_valid*",
    "fuse_attr_out.attr_valid*",
    "fuse_statx_out.attr_valid*",
    "fuse_open_out.open_flags",
    "fuse_attr.blksize",
    "fuse_attr.flags",
    "fuse_attr.nlink",
    "fuse_attr.size of a directory",
    "fuse_statx.blksize",
    "fuse_statx.nlink",
    "fuse_statx.mask",
    "fuse_statx.attributes*",
    "order of entries",
    "entries . and ..",
)
"""What another implementation may answer otherwise besides."""

NOT_COMPARED_OF_ANOTHER: Final = (
    "INIT's answer, how long caches hold, open flags, block sizes, link counts, sizes of directories, the order of "
    "entries, operations that only one of the two has, ENOENT beside a negative entry"
)

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
        """Of one reply. Without an order only whole listings can be compared (:mod:`.listings`)."""
        if self.skips("order of entries"):
            return
        mine, theirs = [self._listed(one) for one in recorded], [self._listed(one) for one in actual]
        if mine != theirs:
            lost = [name for name in mine if name not in theirs]
            more = [name for name in theirs if name not in mine]
            yield (
                f"entries differ: missing {lost[:5]}, more {more[:5]}"
                if lost or more
                else "entries are in another order"
            )
            return
        for one, other in zip(recorded, actual, strict=True):
            if isinstance(one, DirentPlus) and isinstance(other, DirentPlus):
                yield from self.members(one.entry, other.entry, f"{one.dirent.name!r} ")

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


def _first(value: ReplyValue) -> object:
    return value[0] if isinstance(value, tuple) else value


def _is_negative(value: ReplyValue) -> bool:
    """An entry that says that the name is absent."""
    entry = _first(value)
    return isinstance(entry, wire.fuse_entry_out) and not entry.nodeid


def differences(recorded: ReplyValue, actual: ReplyValue, ignored: tuple[str, ...]) -> Iterator[str]:
    """In words, what differs in two successful replies; `ignored` are patterns of `struct.member` that do not count."""
    if _is_negative(recorded) != _is_negative(actual):
        yield "the name was absent, now it is found" if _is_negative(recorded) else "the name was found, now it is not"
        return
    yield from _Comparison(ignored).values(recorded, actual)


_MEANS_ABSENT: Final = {
    c.FUSE_GETXATTR: (errno.EOPNOTSUPP,),
    c.FUSE_SETXATTR: (errno.EOPNOTSUPP,),
    c.FUSE_LISTXATTR: (errno.EOPNOTSUPP,),
    c.FUSE_REMOVEXATTR: (errno.EOPNOTSUPP,),
    c.FUSE_FALLOCATE: (errno.EOPNOTSUPP,),
    c.FUSE_COPY_FILE_RANGE: (errno.EOPNOTSUPP, errno.EXDEV),
    c.FUSE_COPY_FILE_RANGE_64: (errno.EOPNOTSUPP, errno.EXDEV),
    c.FUSE_IOCTL: (errno.ENOTTY, errno.EOPNOTSUPP),
    c.FUSE_TMPFILE: (errno.EOPNOTSUPP,),
    c.FUSE_RENAME2: (errno.EINVAL,),
}
"""What servers say, besides ENOSYS, of an operation that they do not have; of RENAME2, of its flags."""


def missing(opcode: int, error: int) -> bool:
    """Whether an errno says that the server does not have the operation."""
    return error == errno.ENOSYS or error in _MEANS_ABSENT.get(opcode, ())


def judge(recorded: Reply, actual: Reply, ignored: tuple[str, ...], *, another: bool) -> Iterator[str]:
    """In words, what differs in two replies to one request.

    With `another`, ENOENT and a negative entry, which the kernel may keep, are the same answer.
    """
    if actual.problem:
        yield actual.problem
        return
    one, other = recorded.error, actual.error
    if another:
        one, other = (
            errno.ENOENT if not side.error and _is_negative(side.value) else side.error for side in (recorded, actual)
        )
    if one != other:
        was, now = (errno_text(number) if number else "success" for number in (one, other))
        yield f"{was} was recorded, now it is {now}"
    elif not one:
        yield from differences(recorded.value, actual.value, ignored)
