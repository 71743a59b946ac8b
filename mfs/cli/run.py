"""`mfs run -- COMMAND`: a mount that one command sees.

Three processes::

    mfs run ----forks----> server    in a session of its own, mounts on a directory in $TMPDIR
       '-------spawns----> COMMAND   with our streams, our directory and our process group

All of them are in a mount namespace that was made for them, so the mount goes with the last of them, whatever happens.
"""

from __future__ import annotations

import argparse
import errno
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NoReturn

from mfs.binds import mounts_beside, unmount_together
from mfs.cli.background import start_server
from mfs.cli.holders import holders
from mfs.cli.mount import checked_places, device_path, trace_path
from mfs.cli.mounts import mount_at
from mfs.cli.problem import Problem
from mfs.cli.server import LOG, Service
from rawfuse.mount import (
    NamespaceError,
    UnmountError,
    unshare_mount_namespace,
    unshare_user_mount_namespace,
)

__all__ = ["run"]

_VARIABLE = "MFS"
_FORWARDED: Final = frozenset(
    {signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2}
)
_ENDING: Final = (signal.SIGTERM, signal.SIGHUP)
_WAITED: Final = _FORWARDED | {signal.SIGCHLD}
_SI_KERNEL = 0x80
"""si_code of a signal from the terminal, which COMMAND has got as well: it is in our process group."""
_LOOK = 0.1
"""Seconds between two attempts to unmount what is still in use."""
_LONG = 3600.0
_CANNOT_RUN = 126
_NOT_FOUND = 127


def run(arguments: argparse.Namespace) -> int:
    """Run the command; returns its exit status, with 128 added to the number of a signal."""
    command = arguments.words[1:] if arguments.words[:1] == ["--"] else arguments.words
    for number in _ENDING:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _end)
    command = command or [os.environ.get("SHELL") or "/bin/sh"]
    with _scratch() as (mountpoint, spare_repo):
        repo, mountpoint = checked_places(spare_repo if arguments.temp else arguments.repo, mountpoint)
        service = Service(
            repo,
            mountpoint,
            profile=arguments.profile,
            read_only=arguments.read_only,
            device=device_path(arguments.device),
            ipfs=_made(mountpoint, "ipfs") if arguments.ipfs else None,
            ipns=_made(mountpoint, "ipns") if arguments.ipns else None,
            trace=trace_path(arguments.trace, mountpoint),
        )
        _enter_namespace()
        server = start_server(service, dies_with_us=True)
        return _Session(service, server).run(command)


def _end(number: int, _: object) -> NoReturn:
    """Cleans up on the way out, when a signal comes before the command runs."""
    sys.exit(128 + number)


@contextmanager
def _scratch() -> Iterator[tuple[str, str]]:
    """A directory to mount on and a place for a repository that is not kept."""
    place = tempfile.mkdtemp(prefix="mfs-")
    mountpoint = os.path.join(place, "mnt")
    spare = os.path.join(place, "repo")
    # Whoever comes late, when the mount is gone, is not to leave files here.
    os.mkdir(mountpoint, 0o500)
    try:
        yield mountpoint, spare
    finally:
        # Never the tree of `place`: should something be mounted there still, it is not ours to delete.
        shutil.rmtree(spare, ignore_errors=True)
        for directory in (os.path.join(place, "ipfs"), os.path.join(place, "ipns"), mountpoint, place):
            try:
                os.rmdir(directory)
            except FileNotFoundError:
                continue
            except OSError as error:
                print(f"mfs run: {directory} stays behind: {error.strerror}", file=sys.stderr)
                break


def _made(mountpoint: str, name: str) -> str:
    """A directory beside the mount point, as unwritable as that."""
    place = os.path.join(os.path.dirname(mountpoint), name)
    os.mkdir(place, 0o500)
    return place


def _enter_namespace() -> None:
    try:
        unshare_mount_namespace()
    except NamespaceError as error:
        if error.errno != errno.EPERM:
            raise Problem(str(error)) from error
    else:
        return
    try:
        unshare_user_mount_namespace()
    except NamespaceError as error:
        raise Problem(
            f"may not make a mount of its own: {error.strerror}",
            "Where user namespaces stay forbidden, mfs mount works as root, or with the package fuse3 (fusermount3).",
        ) from error


class _Session:
    """A server that runs, and the command that is run beside it."""

    def __init__(self, service: Service, server: int) -> None:
        self._service = service
        self._server: int | None = server
        self._server_status = 0
        self._command = 0

    def run(self, words: list[str]) -> int:
        """Run the command, unmount, and wait until the server has committed."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _WAITED)
        status = self._start(words, before)
        if status is None:
            status = self._until_command_ends()
        self._end_server()
        if self._server_status:
            print(
                f"mfs run: the server ended with exit status {self._server_status}: what was written and not fsynced"
                f" may be lost; see {os.path.join(self._service.repo, LOG)}",
                file=sys.stderr,
            )
            status = status or 1
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return status

    def _start(self, words: list[str], mask: set[signal.Signals | int] | set[signal.Signals]) -> int | None:
        environment = {**os.environ, _VARIABLE: self._service.mountpoint}
        for bind in self._service.binds:
            environment[os.path.basename(bind.directory).upper()] = bind.directory
        # Python ignores these two, and what is ignored would be so in the command too.
        defaults = [signal.SIGPIPE, signal.SIGXFSZ]
        sys.stdout.flush()
        try:
            self._command = os.posix_spawnp(words[0], words, environment, setsigmask=mask, setsigdef=defaults)
        except OSError as error:
            print(f"mfs run: {words[0]}: {error.strerror}", file=sys.stderr)
            return _NOT_FOUND if error.errno == errno.ENOENT else _CANNOT_RUN
        return None

    def _until_command_ends(self) -> int:
        while True:
            status = self._reaped(self._command)
            if status is not None:
                return status if status >= 0 else 128 - status
            self._look_after_server()
            arrived = signal.sigwaitinfo(_WAITED)
            if arrived.si_signo in _FORWARDED and arrived.si_code != _SI_KERNEL:
                os.kill(self._command, arrived.si_signo)

    def _reaped(self, pid: int) -> int | None:
        """The exit status of a child that has ended, negative for a signal."""
        ended, status = os.waitpid(pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if ended else None

    def _look_after_server(self) -> None:
        if self._server is None:
            return
        status = self._reaped(self._server)
        if status is not None:
            self._server = None
            self._server_status = status
            if mount_at(self._service.mountpoint) is not None:
                print(f"mfs run: the server is gone, so nothing works in {self._service.mountpoint}", file=sys.stderr)

    def _end_server(self) -> None:
        """Unmount and wait until everything is committed.

        Processes that COMMAND left behind in the mount keep it until they end, or until we are told to end: then the
        server is told too, and does not wait for long.
        """
        told = False
        while self._server is not None:
            stands = mount_at(self._service.mountpoint)
            if stands is not None and not self._unmounted(lazy=False):
                if not told:
                    users = (str(holder) for holder in holders(stands) if holder.pid != self._server)
                    print(f"mfs run: waiting for {'; '.join(users) or 'a user of the mount'}", file=sys.stderr)
                told = True
            arrived = signal.sigtimedwait(_WAITED, _LOOK if stands is not None else _LONG)
            if arrived is not None and arrived.si_signo in _FORWARDED:
                os.kill(self._server, signal.SIGTERM)
            self._look_after_server()
        if mount_at(self._service.mountpoint) is not None:
            self._unmounted(lazy=True)

    def _unmounted(self, *, lazy: bool) -> bool:
        entry = mount_at(self._service.mountpoint)
        try:
            if entry is not None:
                unmount_together(*mounts_beside(entry), lazy=lazy)
        except UnmountError as error:
            if error.errno not in (errno.EBUSY, errno.EINVAL):
                raise
            return error.errno == errno.EINVAL
        return True
