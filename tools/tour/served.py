"""A server in a process of its own, whose connection is a socket: whatever it does, it does it to nobody else."""

from __future__ import annotations

import ctypes
import logging
import os
import resource
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

import trio

from rawfuse import Filesystem, Server
from rawfuse.channel import SeqpacketChannel

from ..trace.relay import room_for_messages

__all__ = ["Make", "Served"]

Make = Callable[[], Filesystem]

_PR_SET_PDEATHSIG: Final = 1
_GRACE: Final = 1.0
_SHOWN: Final = 4000
_LOG: Final = 16 << 20
"""Bytes that a server may print: one that prints without an end must not fill the disk."""


class Served:
    """Forks a process that serves what `make` gives; what it prints and logs goes to the file `log`.

    `socket` is our end of its connection, which the server sees closed when we end. `make` is called in the new
    process: an error in it is the server's end, and its traceback is in the log.
    """

    def __init__(self, make: Make, log: Path) -> None:
        self._log = log
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        room_for_messages(ours)
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            _serve_and_exit(make, theirs, log, parent)
        theirs.close()
        self.socket = ours
        self.status: int | None = None
        """Exit status, negative for a signal; None while it runs."""

    def is_running(self) -> bool:
        """Whether the process has not ended."""
        if self.status is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            if ended:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is None

    def kill(self) -> None:
        """Ends it at once, whatever it is doing."""
        if self.is_running():
            os.kill(self.pid, signal.SIGKILL)
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def end(self) -> None:
        """Closes our end, waits a little, then kills."""
        self.socket.close()
        until = time.monotonic() + _GRACE
        while self.is_running() and time.monotonic() < until:
            time.sleep(0.002)
        self.kill()

    def said(self) -> str:
        """The end of what it printed and logged."""
        try:
            with open(self._log, "rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - _SHOWN))
                return file.read().decode(errors="backslashreplace").strip()
        except FileNotFoundError:
            return ""


def _serve_and_exit(make: Make, theirs: socket.socket, log: Path, parent: int) -> NoReturn:
    """What the forked process does. It never returns into the code of its parent."""
    status = 1
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, 0)
        os.setsid()
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
        _streams(log)
        fd = theirs.fileno()
        os.closerange(3, fd)
        os.closerange(fd + 1, os.sysconf("SC_OPEN_MAX"))
        # In place of what the parent had; closing that would fail, as its descriptors are gone.
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        logging.getLogger().handlers[:] = [handler]
        trio.run(Server(make(), SeqpacketChannel(theirs)).serve)
        status = 0
    except BaseException as error:  # noqa: BLE001 - the process ends here, and says why
        # Not through sys.stderr or logging, which may be what fails.
        os.write(2, _told(error).encode(errors="backslashreplace"))
    finally:
        os._exit(status)


def _told(error: BaseException) -> str:
    """The traceback from where it has left this package and the import system."""
    found = traceback.TracebackException.from_exception(error)
    ours = os.path.dirname(__file__)
    theirs = [frame for frame in found.stack if not frame.filename.startswith((ours, "<frozen"))]
    found.stack = traceback.StackSummary.from_list(theirs)
    return "".join(found.format())


def _streams(log: Path) -> None:
    """Nothing of ours is read or written by it: it has an empty input, and the log for the rest."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    resource.setrlimit(resource.RLIMIT_FSIZE, (_LOG, _LOG))
    written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    os.dup2(nothing, 0)
    os.dup2(written, 1)
    os.dup2(written, 2)
    sys.stdin = open(0, closefd=False)
    sys.stdout = open(1, "w", buffering=1, closefd=False)
    sys.stderr = open(2, "w", buffering=1, closefd=False, errors="backslashreplace")
