"""What a mount is asked to be, in the words of each way of mounting."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, TypedDict, Unpack

from rawfuse.mount import _syscalls as sc
from rawfuse.mount.errors import MountOptionError

__all__ = ["MountArguments", "MountOptions"]

# name: (MOUNT_ATTR_* of fsmount(2), MS_* of mount(2), whether it sets or clears them)
_GENERIC: Final[dict[str, tuple[int, int, bool]]] = {
    "ro": (sc.MOUNT_ATTR_RDONLY, sc.MS_RDONLY, True),
    "rw": (sc.MOUNT_ATTR_RDONLY, sc.MS_RDONLY, False),
    "nosuid": (sc.MOUNT_ATTR_NOSUID, sc.MS_NOSUID, True),
    "suid": (sc.MOUNT_ATTR_NOSUID, sc.MS_NOSUID, False),
    "nodev": (sc.MOUNT_ATTR_NODEV, sc.MS_NODEV, True),
    "dev": (sc.MOUNT_ATTR_NODEV, sc.MS_NODEV, False),
    "noexec": (sc.MOUNT_ATTR_NOEXEC, sc.MS_NOEXEC, True),
    "exec": (sc.MOUNT_ATTR_NOEXEC, sc.MS_NOEXEC, False),
    "noatime": (sc.MOUNT_ATTR_NOATIME, sc.MS_NOATIME, True),
    "strictatime": (sc.MOUNT_ATTR_STRICTATIME, sc.MS_STRICTATIME, True),
    "nodiratime": (sc.MOUNT_ATTR_NODIRATIME, sc.MS_NODIRATIME, True),
}
_OURS: Final = frozenset({"fd", "rootmode", "user_id", "group_id", "source", "subtype", "fsname"})


class MountArguments(TypedDict, total=False):
    """What every way of mounting can be told, by keyword.

    fsname: the source column of /proc/mounts; default "rawfuse".
    subtype: shown as type fuse.SUBTYPE; default none.
    options: further options, "name" or "name=value"; nosuid and nodev hold unless "suid" or "dev" is among them.
    allow_other: users other than the one who mounts may enter; without it they get EACCES and no request is sent.
    read_only: the kernel answers EROFS to what would change something.
    default_permissions: the kernel checks modes itself.
    max_read: bytes, at least 4096: the largest READ.
    """

    fsname: str
    subtype: str | None
    options: Iterable[str]
    allow_other: bool
    read_only: bool
    default_permissions: bool
    max_read: int | None


@dataclass(frozen=True)
class MountOptions:
    """Validated options.

    `attributes` (MOUNT_ATTR_*) and `flags` (MS_*) say the same thing to the two system calls; `values` are the options
    of the FUSE file system itself (default_permissions, allow_other, max_read=N ...); `names` is everything as
    fusermount3 wants it.
    """

    fsname: str
    subtype: str | None
    attributes: int
    flags: int
    values: tuple[tuple[str, str | None], ...] = field(default=())
    names: tuple[str, ...] = field(default=())

    @classmethod
    def of(cls, **arguments: Unpack[MountArguments]) -> MountOptions:
        """Raises MountOptionError."""
        fsname, subtype = arguments.get("fsname", "rawfuse"), arguments.get("subtype")
        max_read = arguments.get("max_read")
        wanted = ["nosuid", "nodev", *arguments.get("options", ())]
        wanted += ["ro"] if arguments.get("read_only") else []
        wanted += ["allow_other"] if arguments.get("allow_other") else []
        wanted += ["default_permissions"] if arguments.get("default_permissions") else []
        wanted += [f"max_read={max_read}"] if max_read is not None else []
        for text in (fsname, subtype or "-", *wanted):
            _check(text)
        generic: dict[int, str] = {}
        values: dict[str, str | None] = {}
        for option in wanted:
            if option in _GENERIC:
                generic[_GENERIC[option][0]] = option
            else:
                name, equals, value = option.partition("=")
                values[name] = value if equals else None
        chosen = [_GENERIC[name] for name in generic.values()]
        own = [name if value is None else f"{name}={value}" for name, value in values.items()]
        names = [f"fsname={_escaped(fsname)}", *([f"subtype={_escaped(subtype)}"] if subtype else [])]
        return cls(
            fsname,
            subtype,
            sum(attribute for attribute, _, on in chosen if on),
            sum(flag for _, flag, on in chosen if on),
            tuple(values.items()),
            (*names, *(_escaped(name) for name in (*generic.values(), *own))),
        )

    @property
    def read_only(self) -> bool:
        return bool(self.flags & sc.MS_RDONLY)

    def settings(self, fd: int, rootmode: int) -> list[tuple[str, str | None]]:
        """The file system's own options with the four that every FUSE mount must give (else EINVAL)."""
        return [
            ("fd", str(fd)),
            ("rootmode", f"{rootmode:o}"),
            ("user_id", str(os.geteuid())),
            ("group_id", str(os.getegid())),
            *self.values,
        ]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace(",", "\\,")


def _check(text: str) -> None:
    if not text or "\0" in text or "\n" in text:
        raise MountOptionError(errno.EINVAL, f"mount option {text!r} is empty or holds a NUL or a newline")
    if text.partition("=")[0] in _OURS:
        raise MountOptionError(errno.EINVAL, f"mount option {text!r} is given by the library; use the argument for it")
