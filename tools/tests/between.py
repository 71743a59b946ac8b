"""A relay between two sockets, one in place of the kernel's device, of which a test holds the other ends."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rawfuse.trace import Recorder, Traced
from rawfuse.wire import Lookup, fuse_out_header
from rawfuse.wire.requests import encode_request
from tools.trace.relay import Pending, Relay, room_for_messages

PATIENCE = 20.0
LARGEST = 1 << 21


class Told:
    """A watcher that keeps what it is told."""

    def __init__(self) -> None:
        self.unanswered: list[int] = []

    def broken(self, message: bytes, error: OSError, request: Pending | None) -> None:
        raise AssertionError(message)

    def hangs(self, unique: int, request: Pending, seconds: float) -> None:
        raise AssertionError(unique)

    def ended(self, pending: dict[int, Pending]) -> None:
        self.unanswered = list(pending)


class Between:
    """A relay that runs, and the ends of it: ours are the kernel and the server."""

    def __init__(self, recorder: Recorder | None = None) -> None:
        self.kernel, device = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours, self.server = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (self.kernel, self.server):
            end.settimeout(PATIENCE)
            room_for_messages(end)
        self.told = Told()
        self.unmounted: bool | None = None
        self._ends = (device, ours)
        self.relay = Relay(device.fileno(), ours, recorder, self.told)
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        self.unmounted = self.relay.run()

    def end(self) -> None:
        self.relay.stop()
        self.thread.join(PATIENCE)
        self.relay.close()
        for sock in (*self._ends, self.kernel, self.server):
            sock.close()


@contextmanager
def between(recorder: Recorder | None = None) -> Iterator[Between]:
    one = Between(recorder)
    try:
        yield one
    finally:
        one.end()


class Kept(list[Traced]):
    """What a recorder wrote."""

    def write(self, message: Traced) -> None:
        self.append(message)


def asked(unique: int, name: bytes = b"name", pid: int = 0) -> bytes:
    return encode_request(Lookup(unique=unique, nodeid=1, name=name, pid=pid), 45)


def answer(unique: int, data: bytes = b"") -> bytes:
    return fuse_out_header(len=fuse_out_header.SIZE + len(data), unique=unique).pack() + data
