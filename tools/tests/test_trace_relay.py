"""The relay between two sockets, one in place of the kernel's device: neither side waits for the other."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rawfuse.trace import Direction, Recorder, Traced
from rawfuse.wire import Lookup, Read, Write, fuse_out_header, fuse_read_in, fuse_write_in
from rawfuse.wire import constants as c
from rawfuse.wire.requests import encode_request
from tools.trace.held import Delayed
from tools.trace.pending import Patience
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


def asked(unique: int, name: bytes = b"name") -> bytes:
    return encode_request(Lookup(unique=unique, nodeid=1, name=name), 45)


def answer(unique: int, data: bytes = b"") -> bytes:
    return fuse_out_header(len=fuse_out_header.SIZE + len(data), unique=unique).pack() + data


def test_requests_do_not_wait_for_one_that_is_not_answered() -> None:
    with between() as one:
        for unique in (2, 4, 6):
            one.kernel.send(asked(unique))
        assert [one.server.recv(LARGEST) for _ in range(3)] == [asked(2), asked(4), asked(6)]
        for unique in (6, 2, 4):
            one.server.send(answer(unique))
        assert [one.kernel.recv(LARGEST) for _ in range(3)] == [answer(6), answer(2), answer(4)]


def test_a_notification_needs_no_request() -> None:
    with between() as one:
        one.server.send(answer(0, b"notification"))
        assert one.kernel.recv(LARGEST) == answer(0, b"notification")


def test_what_a_server_does_not_take_waits_and_its_replies_pass() -> None:
    data = bytes(1 << 20)
    with between() as one:
        one.kernel.send(asked(2))
        assert one.server.recv(LARGEST) == asked(2)
        requests = [
            encode_request(Write(unique=unique, nodeid=1, arg=fuse_write_in(size=len(data)), data=data), 45)
            for unique in range(4, 44, 2)
        ]
        sender = threading.Thread(target=lambda: [one.kernel.send(request) for request in requests])
        sender.start()
        one.server.send(answer(2))
        assert one.kernel.recv(LARGEST) == answer(2)
        assert [one.server.recv(LARGEST) for _ in requests] == requests
        sender.join()
        one.kernel.send(asked(100))
        assert one.server.recv(LARGEST) == asked(100)


@pytest.mark.parametrize("whole", [True, False])
def test_long_reads_are_kept_apart_until_a_reply_came_whole(whole: bool) -> None:
    data = bytes(100_000)
    reads = [encode_request(Read(unique=unique, nodeid=1, arg=fuse_read_in(size=len(data))), 45) for unique in (2, 4)]
    with between() as one:
        for read in reads:
            one.kernel.send(read)
        assert one.server.recv(LARGEST) == reads[0]
        if whole:
            one.server.send(answer(2, data))
        else:
            one.server.send(answer(2, data)[:61456])
            one.server.send(answer(2, data)[61456:])
        assert one.kernel.recv(LARGEST) == answer(2, data)
        assert one.server.recv(LARGEST) == reads[1]
        one.server.send(answer(4, data))
        assert one.kernel.recv(LARGEST) == answer(4, data)


def test_a_long_read_that_is_not_answered_keeps_the_next_one_a_moment_only() -> None:
    reads = [encode_request(Read(unique=unique, nodeid=1, arg=fuse_read_in(size=1 << 17)), 45) for unique in (2, 4)]
    with between() as one:
        for read in reads:
            one.kernel.send(read)
        assert [one.server.recv(LARGEST) for _ in reads] == reads


def test_a_recorder_may_come_and_go_while_messages_pass() -> None:
    class Kept(list[Traced]):
        def write(self, message: Traced) -> None:
            self.append(message)

    first, later = Kept(), Kept()
    watcher = Recorder(later)
    with between(Recorder(first, batch=64)) as one:
        for unique in (2, 4, 6):
            if unique == 4:
                one.relay.record(watcher)
            one.kernel.send(asked(unique))
            one.server.recv(LARGEST)
            one.server.send(answer(unique))
            one.kernel.recv(LARGEST)
            if unique == 4:
                one.relay.stop_recording(watcher)
    both = [Direction.TO_SERVER, Direction.TO_KERNEL]
    assert [message.direction for message in first] == both * 3
    assert [message.data for message in later] == [asked(4), answer(4)]


def test_a_server_that_ends_is_told_with_what_it_left() -> None:
    with between() as one:
        one.kernel.send(asked(2))
        one.server.recv(LARGEST)
        one.server.close()
        one.thread.join(PATIENCE)
        assert one.unmounted is False
        assert one.told.unanswered == [2]


def test_delayed_replies_come_in_the_order_of_their_times() -> None:
    delayed = Delayed()
    assert not delayed
    for due, unique in ((3.0, 2), (1.0, 4), (3.0, 6), (2.0, 8)):
        delayed.add(due, unique, b"")
    assert delayed.due == 1.0
    assert [unique for unique, _ in delayed.take(2.5)] == [4, 8]
    assert [unique for unique, _ in delayed.take(3.0)] == [2, 6]
    assert not delayed


def test_what_waits_for_too_long_is_said_once_and_then_given_up() -> None:
    pending = {
        2: Pending(c.FUSE_INIT, 0.0, b""),
        4: Pending(c.FUSE_SETLKW, 0.0, b""),
        6: Pending(c.FUSE_LOOKUP, 0.0, b""),
        8: Pending(c.FUSE_LOOKUP, 5.0, b""),
    }
    patience = Patience(10.0, 30.0)
    assert not list(patience.look(pending, 9.0))
    assert list(patience.look(pending, 11.0)) == [(6, 11.0, False)]
    assert list(patience.look(pending, 16.0)) == [(8, 11.0, False)]
    assert list(patience.look(pending, 31.0)) == [(2, 31.0, True), (6, 31.0, True)]
    del pending[6]
    pending[6] = Pending(c.FUSE_LOOKUP, 31.0, b"")
    assert list(patience.look(pending, 34.0)) == [(2, 34.0, True)]
    assert list(Patience(10.0, 0.0).look({6: pending[6]}, 1031.0)) == [(6, 1000.0, False)]
