"""Starting the server that is judged, as often as needed: a process, or a file system in this one."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import trio

from rawfuse import Filesystem, Server
from rawfuse.channel import SeqpacketChannel

from ..trace.relay import room_for_messages
from ..trace.servers import ServerProcess, status_text

__all__ = ["InProcess", "Launch", "Process", "Running", "in_process", "process"]

_GRACE: Final = 0.5
_SHOWN: Final = 2000


class Running(Protocol):
    """A server that was started."""

    @property
    def socket(self) -> socket.socket:
        """Our end: SOCK_SEQPACKET, a message each."""
        ...

    def end(self) -> str:
        """Closes our end and sees to it that the server ends; says how it did, with what it printed last."""
        ...


Launch = Callable[[], Running]
"""Starts a server. Raises OSError or ValueError where it cannot be started."""


class Process:
    """A command with {} for the mount point."""

    def __init__(self, command: Sequence[str]) -> None:
        self._output = tempfile.TemporaryFile()
        try:
            self._server = ServerProcess(command, output=self._output.fileno())
        except BaseException:
            self._output.close()
            raise
        room_for_messages(self._server.socket)
        self.socket = self._server.socket

    def end(self) -> str:
        text = status_text(self._server.end(_GRACE))
        with self._output as output:
            size = output.seek(0, os.SEEK_END)
            output.seek(max(0, size - _SHOWN))
            last = output.read().decode("utf-8", "replace").strip().splitlines()[-5:]
        return text + (": " + " / ".join(last) if last else "")


class InProcess:
    """A file system served by a thread of this process."""

    def __init__(self, filesystem: Filesystem) -> None:
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        room_for_messages(self.socket)
        room_for_messages(theirs)
        self._problem = ""
        self._thread = threading.Thread(target=self._serve, args=(filesystem, theirs), daemon=True)
        self._thread.start()

    def _serve(self, filesystem: Filesystem, theirs: socket.socket) -> None:
        try:
            trio.run(Server(filesystem, SeqpacketChannel(theirs)).serve)
        except BaseException as error:  # noqa: BLE001 - told by `end`
            self._problem = f"{type(error).__name__}: {error}"
        finally:
            theirs.close()

    def end(self) -> str:
        self.socket.close()
        self._thread.join(_GRACE)
        return self._problem or ("it still runs" if self._thread.is_alive() else "it ended")


def process(command: Sequence[str]) -> Launch:
    """Starts `command` anew each time."""
    return lambda: Process(command)


def in_process(make: Callable[[], Filesystem]) -> Launch:
    """Serves a new file system of `make` each time."""
    return lambda: InProcess(make())
