"""FUSE connections of this machine: where they are mounted, who serves them, what waits.

Three places tell of them: fusectl (/sys/fs/fuse/connections) what waits, the mount table where, and the fdinfo of every
process's descriptors who. None of them asks a file system anything, so a hung one hangs nobody here.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rawfuse.mount import _syscalls
from rawfuse.mount.errors import MountError, MountPermissionError
from rawfuse.mount.mountinfo import MountEntry, mount_entries, parse_mountinfo
from rawfuse.mount.unmount import abort_connection

__all__ = ["Connection", "Process", "abort", "fuse_connections", "mount_fusectl"]

FUSECTL: Final = Path("/sys/fs/fuse/connections")
_KEY: Final = b"fuse_connection:"


@dataclass(frozen=True)
class Process:
    """One that has the device open; `command` as it was called."""

    pid: int
    command: str


@dataclass
class Connection:
    """One connection.

    Attributes:
        number: its name in fusectl; see :attr:`MountEntry.connection`.
        waiting: requests that are not answered yet, or None where fusectl does not tell us.
        mounts: where it is mounted, as we see it, or else as its server does.
        servers: the processes that have its device open; none: it is dead, or theirs are not ours to look at.
    """

    number: int
    waiting: int | None = None
    mounts: list[MountEntry] = field(default_factory=list)
    servers: list[Process] = field(default_factory=list)


def mount_fusectl() -> None:
    """Mounts fusectl where it is missing, which most systems do at boot.

    Raises MountError: the kernel has no FUSE, or this process may not mount.
    """
    if any(entry.fstype == "fusectl" and entry.mountpoint == str(FUSECTL) for entry in mount_entries()):
        return
    try:
        _syscalls.mount(b"fusectl", os.fsencode(FUSECTL), b"fusectl", 0, None)
    except OSError as error:
        number = error.errno or errno.EIO
        if number == errno.EBUSY:  # somebody was faster
            return
        if number == errno.EPERM:
            advice = f"not mounted, and this process may not: as root, mount -t fusectl fusectl {FUSECTL}"
            raise MountPermissionError(number, advice, str(FUSECTL)) from error
        raise MountError(number, f"cannot mount fusectl: {os.strerror(number)}", str(FUSECTL)) from error


def fuse_connections() -> list[Connection]:
    """Every connection that any of the three places tells of, by number.

    Somebody else's that is mounted only in a namespace of its own is seen by root alone.
    """
    found: dict[int, Connection] = {}

    def at(number: int) -> Connection:
        return found.setdefault(number, Connection(number))

    for entry in mount_entries():
        if entry.is_fuse:
            at(entry.connection).mounts.append(entry)
    for number, process in _servers():
        at(number).servers.append(process)
    try:
        names = os.listdir(FUSECTL)
    except OSError:
        names = []
    for name in names:
        if name.isdigit():
            at(int(name))
    for connection in found.values():
        connection.waiting = _waiting(connection.number)
        if not connection.mounts and connection.servers:
            connection.mounts = _mounts_of(connection)
    return [found[number] for number in sorted(found)]


def _waiting(number: int) -> int | None:
    try:
        return int((FUSECTL / str(number) / "waiting").read_bytes())
    except (OSError, ValueError):
        return None


def _mounts_of(connection: Connection) -> list[MountEntry]:
    """Where its server sees it: a namespace of its own, perhaps."""
    for server in connection.servers:
        try:
            lines = Path(f"/proc/{server.pid}/mountinfo").read_bytes().splitlines()
        except OSError:
            continue
        entries = [e for e in parse_mountinfo(lines) if e.is_fuse and e.connection == connection.number]
        if entries:
            return entries
    return []


def _servers() -> list[tuple[int, Process]]:
    """(connection, process), once for each process that has a device of it open and that we may look at."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            numbers = _connections_of(name)
            if numbers:
                process = Process(int(name), _command(name))
                found += [(number, process) for number in sorted(numbers)]
    return sorted(found, key=lambda one: one[1].pid)


def _connections_of(pid: str) -> set[int]:
    numbers: set[int] = set()
    try:
        descriptors = os.listdir(f"/proc/{pid}/fdinfo")
    except OSError:
        return numbers
    for descriptor in descriptors:
        try:
            # Only what has a path can be a device.
            if not os.readlink(f"/proc/{pid}/fd/{descriptor}").startswith("/"):
                continue
            lines = Path(f"/proc/{pid}/fdinfo/{descriptor}").read_bytes().splitlines()
        except OSError:
            continue
        numbers |= {int(line[len(_KEY) :]) for line in lines if line.startswith(_KEY)}
    return numbers


def _command(pid: str) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    except OSError:
        return "?"
    return " ".join(word.decode("utf-8", "replace") for word in words)


def abort(number: int) -> None:
    """Fails every request of a connection, now and later: who hangs in it goes on with an error.

    Raises MountError: there is no such connection, fusectl is missing, or this process may not.
    """
    mount_fusectl()
    if abort_connection(number):
        return
    path = str(FUSECTL / str(number) / "abort")
    if not os.path.exists(path):
        raise MountError(errno.ENOENT, f"there is no FUSE connection {number}", path)
    raise MountPermissionError(errno.EACCES, "may not abort it: only its owner and root may", path)
