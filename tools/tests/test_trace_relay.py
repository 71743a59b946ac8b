"""The relay between two sockets, one in place of the kernel's device: neither side waits for the other."""

from __future__ import annotations

import io
import os
import threading

import pytest

from rawfuse.channel.pieces import APART, Pieces
from rawfuse.tests.waiting import until
from rawfuse.trace import Direction, Recorder
from rawfuse.wire import Read, Write, fuse_in_header, fuse_read_in, fuse_write_in
from rawfuse.wire import constants as c
from rawfuse.wire.requests import encode_request
from tools.trace.held import Delayed, LongReads
from tools.trace.notices import Notices
from tools.trace.pending import Patience
from tools.trace.report import Report

from .between import LARGEST, PATIENCE, Kept, answer, asked, between

"""What is sent again has it in its unique, and its answer has it too."""


def of(opcode: int) -> bytes:
    return fuse_in_header(len=fuse_in_header.SIZE, opcode=opcode).pack()


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


def test_recorders_of_several_threads_come_and_go_without_losing_each_other() -> None:
    with between() as one:
        recorders = [Recorder(Kept(), batch=64) for _ in range(4)]

        def come_and_go(recorder: Recorder) -> None:
            for _ in range(500):
                one.relay.record(recorder)
                one.relay.stop_recording(recorder)

        threads = [threading.Thread(target=come_and_go, args=(recorder,)) for recorder in recorders]
        last = Recorder(Kept(), batch=64)
        for thread in threads:
            thread.start()
        one.relay.record(last)
        for thread in threads:
            thread.join()
        one.kernel.send(asked(2))
        assert one.server.recv(LARGEST) == asked(2)
    assert [recorder.messages for recorder in (*recorders, last)] == [0, 0, 0, 0, 1]


@pytest.mark.parametrize("first", [False, True])
def test_a_request_that_the_kernel_sends_again_is_answered_once(first: bool) -> None:
    with between() as one:
        for unique in (2, 2 | c.FUSE_UNIQUE_RESEND):
            one.kernel.send(asked(unique))
            assert one.server.recv(LARGEST) == asked(unique)
        answers = [
            answer(unique) for unique in ((2, 2 | c.FUSE_UNIQUE_RESEND) if first else (2 | c.FUSE_UNIQUE_RESEND,))
        ]
        for one_answer in answers:
            one.server.send(one_answer)
            assert one.kernel.recv(LARGEST) == one_answer
        one.server.close()
        one.thread.join(PATIENCE)
        assert one.told.unanswered == []


def test_notifications_that_wait_in_the_kernel_do_not_keep_back_the_answer_that_frees_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    free = threading.Event()
    said: list[bytes] = []
    write = os.write

    def held(fd: int, data: bytes) -> int:
        if threading.current_thread().name != "notifications":
            return write(fd, data)
        free.wait(PATIENCE)
        said.append(data)
        return len(data)

    monkeypatch.setattr(os, "write", held)
    with between() as one:
        one.kernel.send(asked(2))
        assert one.server.recv(LARGEST) == asked(2)
        notifications = [answer(0, b"%d" % number) for number in range(10_000)]
        for notification in notifications:
            one.server.send(notification)
        one.server.send(answer(2))
        assert one.kernel.recv(LARGEST) == answer(2)
        free.set()
        until(lambda: said == notifications)


def test_notifications_that_are_too_many_to_keep_are_lost_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    free = threading.Event()
    written: list[bytes] = []

    def held(_: int, data: bytes) -> int:
        free.wait(PATIENCE)
        written.append(data)
        return len(data)

    monkeypatch.setattr(os, "write", held)
    one, two, three = (answer(0, b"%d" % number) for number in range(3))
    monkeypatch.setattr("tools.trace.notices._MOST", len(one) + len(two))
    out = io.StringIO()
    report = Report(out)
    notices = Notices(-1, report)
    for message in (one, two, three):
        notices.send(message)
    assert "too many that wait in the kernel: lost is notification 0 of 17 bytes" in out.getvalue()
    assert report.troubles == 1
    free.set()
    until(lambda: written == [one, two])
    notices.send(three)
    until(lambda: written == [one, two, three])
    notices.close()


def test_a_server_that_ends_is_told_with_what_it_left() -> None:
    with between() as one:
        one.kernel.send(asked(2))
        one.server.recv(LARGEST)
        one.server.close()
        one.thread.join(PATIENCE)
        assert one.unmounted is False
        assert one.told.unanswered == [2]


def test_a_long_read_has_its_moment_from_when_it_was_sent() -> None:
    pending = {2: b"", 4: b"", 6: b""}
    reads = LongReads(pending, Pieces(pending))
    for unique in pending:
        reads.add(unique, b"%d" % unique, 0.0)
    del pending[2]
    sent = 0.9 * APART
    assert list(reads.next(2, sent)) == [b"4"]
    assert not list(reads.overdue(1.1 * APART))
    assert list(reads.overdue(2 * APART)) == [b"6"]


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
    pending = {2: of(c.FUSE_INIT), 4: of(c.FUSE_SETLKW), 6: of(c.FUSE_LOOKUP)}
    patience = Patience(10.0, 30.0)
    assert not list(patience.look(pending, 0.0))
    pending[8] = of(c.FUSE_LOOKUP)
    assert not list(patience.look(pending, 5.0))
    assert list(patience.look(pending, 11.0)) == [(6, 11.0, False)]
    assert list(patience.look(pending, 16.0)) == [(8, 11.0, False)]
    assert list(patience.look(pending, 31.0)) == [(2, 31.0, True), (6, 31.0, True)]
    del pending[6]
    assert list(patience.look(pending, 34.0)) == [(2, 34.0, True)]
    pending[6] = of(c.FUSE_LOOKUP)
    assert list(patience.look(pending, 34.5)) == [(2, 34.5, True)]


def test_without_an_end_to_patience_nothing_is_given_up() -> None:
    patience, pending = Patience(10.0, 0.0), {6: of(c.FUSE_LOOKUP)}
    assert not list(patience.look(pending, 31.0))
    assert list(patience.look(pending, 1031.0)) == [(6, 1000.0, False)]
    assert not list(patience.look(pending, 2031.0))
