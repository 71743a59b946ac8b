"""`mfs umount DIR`."""

from __future__ import annotations

import argparse
import errno
import os
import select
import sys
import time

from mfs.binds import mounts_beside, unmount_together
from mfs.cli.holders import elsewhere, holders
from mfs.cli.mounts import FSTYPE, described, mount_at
from mfs.cli.problem import Problem
from mfs.cli.server import FAILED, LOG
from mfs.repo import holder_of
from rawfuse.mount import MountEntry, UnmountError

__all__ = ["umount"]

_PATIENCE = 2.0
"""Seconds after which we say what we are waiting for."""
_MOST_HOLDERS = 5


def umount(arguments: argparse.Namespace) -> int:
    """Unmount, and return when the server has let go of the repository."""
    path = _mountpoint(arguments.directory)
    entry = mount_at(path)
    if entry is None:
        raise Problem(f"nothing is mounted on {arguments.directory}")
    if entry.fstype != FSTYPE:
        raise Problem(
            f"{arguments.directory} is not a mount of mfs but {described(entry)}", f"See umount(8): umount {path}"
        )
    server = holder_of(entry.source)
    log = os.path.join(entry.source, LOG)
    begin = _size(log)
    main, beside = mounts_beside(entry)
    try:
        unmount_together(main, beside)
    except UnmountError as error:
        if error.errno != errno.EBUSY:
            raise Problem(str(error)) from error
        if not arguments.lazy:
            busy = next((one for one in beside if one.mountpoint == error.filename), main)
            raise _busy(arguments.directory if busy is entry else busy.mountpoint, busy) from error
        unmount_together(main, beside, lazy=True)
        print(f"mfs umount: process {server} goes on serving {entry.source} until nobody uses it", file=sys.stderr)
        return 0
    if server is not None and not _is_elsewhere(entry):
        _wait_for(server, entry)
        _tell_failure(log, begin)
    return 0


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return 0


def _tell_failure(log: str, begin: int) -> None:
    """Raise what the server wrote to its log in the end, if that was a failure: nobody else hears of it."""
    try:
        with open(log, "rb") as file:
            file.seek(begin)
            words = file.read().decode("utf-8", "backslashreplace")
    except OSError:
        return
    for line in words.splitlines():
        _, failed, why = line.partition(FAILED)
        if failed:
            raise Problem(
                f"the last commit failed: {why}",
                "What was fsynced is safe, and comes back when the repository is mounted again. More is in " + log,
            )


def _mountpoint(directory: str) -> str:
    """`directory` as the mount table spells it. A dead mount is not asked anything, which lstat would do."""
    head, tail = os.path.split(os.path.abspath(directory))
    path = os.path.join(os.path.realpath(head), tail) if tail else os.path.realpath(head)
    if mount_at(path) is None:
        path = os.path.realpath(path)
    return path


def _busy(directory: str, entry: MountEntry) -> Problem:
    found = []
    for holder in holders(entry):
        found.append(str(holder))
        if len(found) == _MOST_HOLDERS:
            found.append("and perhaps others")
            break
    if not found:
        found.append("who uses it cannot be seen from here (another user's process, or a mount beneath it)")
    return Problem(
        f"{directory} is busy:", *found, f"End that, or take the mount away under it: mfs umount --lazy {directory}"
    )


def _is_elsewhere(entry: MountEntry) -> bool:
    """Whether the same file system is mounted in another place too: then its server goes on."""
    from rawfuse.mount import mount_entries

    return any(other.device == entry.device for other in mount_entries())


def _wait_for(server: int, entry: MountEntry) -> None:
    """Wait until the process has ended. It commits first, which may take as long as hashing what was just written.

    It does not end while a mount namespace has a copy of the mount.
    """
    repo = entry.source
    try:
        process = os.pidfd_open(server)
    except ProcessLookupError:
        return
    try:
        began = time.monotonic()
        told = False
        while not select.select([process], [], [], _PATIENCE)[0]:
            if told:
                continue
            told = True
            if (other := elsewhere(entry)) is not None:
                print(
                    f"mfs umount: {entry.mountpoint} is unmounted here, but {other} has it in another mount namespace:"
                    f" waiting for its end (kill {server} ends the server at once, when everything is committed) ...",
                    file=sys.stderr,
                )
            else:
                print(f"mfs umount: process {server} is still committing to {repo} ...", file=sys.stderr)
        if told:
            print(f"mfs umount: done after {time.monotonic() - began:.0f} s", file=sys.stderr)
    finally:
        os.close(process)
