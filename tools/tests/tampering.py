"""A sound server in this process whose messages a test tampers with, for `rawfuse conform` to judge."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable, Iterator

from rawfuse.examples.memory import MemoryFS
from rawfuse.wire import fuse_in_header, fuse_out_header
from tools.conform.servers import InProcess, Running
from tools.trace.relay import room_for_messages

__all__ = ["Tamper", "Tampered", "reply", "tampered"]

Tamper = Callable[[int, bytes, bytes], Iterator[bytes] | None]
"""(opcode, request, reply) -> what is sent instead of the reply; None ends the server."""


def reply(unique: int, body: bytes = b"", error: int = 0) -> bytes:
    """A message to the kernel."""
    return fuse_out_header(fuse_out_header.SIZE + len(body), error, unique).pack() + body


class Tampered:
    """Passes messages between a socket and the example in memory; every reply goes through `tamper`."""

    def __init__(self, tamper: Tamper) -> None:
        self.socket, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        room_for_messages(self.socket)
        room_for_messages(self._theirs)
        self._sound = InProcess(MemoryFS())
        self._tamper = tamper
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        requests: dict[int, tuple[int, bytes]] = {}
        ours, sound = self._theirs, self._sound.socket
        try:
            while True:
                ready, _, _ = select.select([ours, sound], [], [])
                if ours in ready:
                    message = ours.recv(1 << 21)
                    if not message:
                        return
                    header = fuse_in_header.unpack_from(message)
                    requests[header.unique] = (header.opcode, message)
                    sound.send(message)
                if sound in ready:
                    answer = sound.recv(1 << 21)
                    if not answer:
                        return
                    opcode, message = requests.pop(fuse_out_header.unpack_from(answer).unique, (0, b""))
                    instead = self._tamper(opcode, message, answer)
                    if instead is None:
                        return
                    for one in instead:
                        ours.send(one)
        except OSError:
            return  # the kernel's end, or the test's, is closed
        finally:
            ours.close()
            self._sound.end()

    def end(self) -> str:
        """As of any server."""
        self.socket.close()
        self._thread.join(2)
        return "it ended"


def tampered(tamper: Tamper) -> Callable[[], Running]:
    """Starts one."""
    return lambda: Tampered(tamper)
