"""A FUSE server as a process, with one end of a socket in place of its mount point."""

from __future__ import annotations

import shlex
import signal
import socket
import subprocess
from collections.abc import Sequence
from typing import Final

from .relay import room_for_messages

__all__ = ["PLACE", "ServerProcess", "status_text"]

PLACE: Final = "{}"
"""What stands for the mount point in a server's command line."""

_GRACE: Final = 5.0


class ServerProcess:
    """The process; `socket` is our end. The server finds its own as the mount point /dev/fd/N.

    libfuse since 3.3, go-fuse, jacobsa/fuse, pyfuse3 and mfusepy (with libfuse3) take such a mount point, as rawfuse
    does (measured with libfuse 3.14 and 3.19, go-fuse 2.12).
    """

    def __init__(self, command: Sequence[str], *, output: int | None = None) -> None:
        """`output`: the descriptor that its standard output and error go to; default ours."""
        if not any(PLACE in word for word in command):
            raise ValueError(f"write {PLACE} where the server's mount point belongs: {shlex.join(command)} {PLACE}")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        room_for_messages(theirs)
        theirs.set_inheritable(True)
        number = theirs.fileno()
        words = [word.replace(PLACE, f"/dev/fd/{number}") for word in command]
        try:
            self.process = subprocess.Popen(
                words, pass_fds=[number], stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self.socket = ours

    def end(self, grace: float = _GRACE) -> int:
        """Closes our end, waits for `grace` seconds, then insists; the exit status, negative for a signal."""
        self.socket.close()
        try:
            return self.process.wait(grace)
        except subprocess.TimeoutExpired:
            self.process.terminate()
        try:
            return self.process.wait(grace)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def status_text(status: int) -> str:
    """`exit status 1`, `SIGSEGV`."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"
