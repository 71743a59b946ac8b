"""The server that a trace is played to: a process, or a file system in a thread of this one."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import trio

from rawfuse import Filesystem, Server
from rawfuse.channel import SeqpacketChannel
from rawfuse.cli.mount import load
from rawfuse.errors import ProtocolError

from ..trace.relay import room_for_messages
from ..trace.servers import ServerProcess, status_text

__all__ = ["Served", "served_here", "served_there", "serving_thread"]

_GRACE = 5.0


@dataclass(frozen=True, slots=True)
class Served:
    """`socket` is the kernel's end; `end` closes it, waits, and says how the server ended where that was not well."""

    socket: socket.socket
    end: Callable[[], str]


def served_there(command: Sequence[str], *, quiet: bool = False) -> Served:
    """A process. Raises OSError, and ValueError where the command line has no place for the mount point."""
    server = ServerProcess(command, output=subprocess.DEVNULL if quiet else None)
    room_for_messages(server.socket)

    def end() -> str:
        status = server.end()
        return status_text(status) if status else ""

    return Served(server.socket, end)


def served_here(name: str, arguments: Sequence[str]) -> Served:
    """A file system MODULE:CLASS of this process. Raises LoadError."""
    return serving_thread(load(name, arguments))


def serving_thread(filesystem: Filesystem) -> Served:
    """A file system that is served by a thread of its own."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    room_for_messages(ours)
    channel = SeqpacketChannel(theirs)
    failed: list[str] = []

    def serve() -> None:
        try:
            trio.run(Server(filesystem, channel).serve)
        except ProtocolError as error:
            failed.append(str(error))

    thread = threading.Thread(target=serve, daemon=True, name="replayed server")
    thread.start()

    def end() -> str:
        ours.close()
        thread.join(_GRACE)
        return failed[0] if failed else "it does not end" if thread.is_alive() else ""

    return Served(ours, end)
