"""Who keeps a mount busy, as far as /proc shows it to us."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from rawfuse.mount import MountEntry

__all__ = ["Holder", "elsewhere", "holders"]


class Holder(NamedTuple):
    """A process that uses a mount, and how: "works in", "has open", "runs" or "maps" a `path`."""

    pid: int
    command: str
    how: str
    path: str

    def __str__(self) -> str:
        return f"process {self.pid} ({self.command}) {self.how} {self.path}"


def holders(entry: MountEntry) -> Iterator[Holder]:
    """The processes that use this mount, each once.

    Nothing is asked of the mount itself, whose server may be dead or busy: the links in /proc are compared as text,
    and open files by the mount number in their fdinfo (Linux 3.15).
    """
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            found = _use(entry, f"/proc/{name}")
            if found is not None:
                yield Holder(int(name), _command(f"/proc/{name}"), *found)


def elsewhere(entry: MountEntry) -> str | None:
    """A process that sees this file system in another mount namespace, which got a copy of ours when it was made.

    Where mounts are private, as in most containers, unmounting here does not reach such a copy.
    """
    device = f"{entry.device[0]}:{entry.device[1]}"
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
                # "36 35 0:42 / /mnt/mfs rw,nosuid - fuse.mfs ..."
                # Device numbers are given out again.
                if any(line.split(" ", 3)[2] == device and f" - {entry.fstype} " in line for line in table):
                    return f"process {name} ({_command(f'/proc/{name}')})"
        except OSError:  # ended meanwhile, or not ours to look into
            continue
    return None


def _use(entry: MountEntry, process: str) -> tuple[str, str] | None:
    for link, how in (("cwd", "works in"), ("root", "has as its root"), ("exe", "runs")):
        path = _target(f"{process}/{link}")
        if path is not None and _on(entry, path):
            return how, path
    try:
        numbers = os.listdir(f"{process}/fd")
    except OSError:  # ended meanwhile, or not ours to look into
        return None
    for number in numbers:
        path = _target(f"{process}/fd/{number}")
        if path is not None and path.startswith("/") and _mount_id(f"{process}/fdinfo/{number}") == entry.mount_id:
            return "has open", path
    return _mapping(entry, process)


def _mapping(entry: MountEntry, process: str) -> tuple[str, str] | None:
    device = f"{entry.device[0]:02x}:{entry.device[1]:02x}"
    try:
        with open(f"{process}/maps", encoding="utf-8", errors="surrogateescape") as maps:
            for line in maps:
                # "7f0c...-7f0c... r-xp 00000000 00:2f 7   /mnt/program"
                fields = line.rstrip("\n").split(None, 5)
                if len(fields) == 6 and fields[3] == device:
                    return "maps", fields[5]
    except OSError:
        return None
    return None


def _on(entry: MountEntry, path: str) -> bool:
    return path == entry.mountpoint or path.startswith(entry.mountpoint.rstrip("/") + "/")


def _target(link: str) -> str | None:
    try:
        return os.readlink(link)
    except OSError:
        return None


def _mount_id(fdinfo: str) -> int | None:
    try:
        with open(fdinfo, encoding="ascii", errors="replace") as lines:
            for line in lines:
                if line.startswith("mnt_id:"):
                    return int(line.partition(":")[2])
    except (OSError, ValueError):
        return None
    return None


def _command(process: str) -> str:
    try:
        with open(f"{process}/comm", encoding="utf-8", errors="backslashreplace") as file:
            return file.read().rstrip("\n")
    except OSError:
        return "ended meanwhile"
