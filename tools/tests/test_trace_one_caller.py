"""The relay while one caller asks one thing after another: what it does without poll(2) between the messages."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from rawfuse.trace import Recorder
from rawfuse.wire import constants as c
from rawfuse.wire import fuse_in_header

from .between import LARGEST, PATIENCE, Between, Kept, answer, asked, between

CALLER = 7
SMALL = 64


class OneCaller(Between):
    """A relay with one caller, who asks again in the moment that it leaves to others, and a server that answers.

    `saying` says what comes to the relay in the moment after each answer; after the last of it nothing does.
    """

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        saying: list[Callable[[OneCaller], object]],
        name: Callable[[int], bytes],
    ) -> None:
        self.kept = Kept()
        self.moments = 0
        self._saying = iter(saying)
        monkeypatch.setattr(os, "sched_yield", self._moment)
        # However slow this machine is.
        monkeypatch.setattr("tools.trace.relay._BRISK", 1 << 62)
        monkeypatch.setattr("tools.trace.relay._REST", 0)
        super().__init__(Recorder(self.kept, batch=SMALL, program=name))
        for unique in (2, 4):
            self.kernel.send(asked(unique, pid=CALLER))
            self.answered(unique)

    def _moment(self) -> None:
        said = next(self._saying, None)
        if said is not None:
            self.moments += 1
            said(self)

    def answered(self, unique: int, pid: int = CALLER) -> None:
        """Whatever is asked next arrives, and so does its answer."""
        assert self.server.recv(LARGEST) == asked(unique, pid=pid)
        self.server.send(answer(unique))
        assert self.kernel.recv(LARGEST) == answer(unique)


def asking(unique: int, pid: int = CALLER) -> Callable[[OneCaller], object]:
    return lambda one: one.kernel.send(asked(unique, pid=pid))


@contextmanager
def one_caller(
    monkeypatch: pytest.MonkeyPatch,
    *saying: Callable[[OneCaller], object],
    name: Callable[[int], bytes] = lambda pid: b"program %d" % pid,
) -> Iterator[OneCaller]:
    one = OneCaller(monkeypatch, list(saying), name)
    try:
        yield one
    finally:
        one.end()


def test_one_caller_who_asks_one_thing_after_another_is_recorded_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    uniques = range(6, 406, 2)
    with one_caller(monkeypatch, *map(asking, uniques)) as one:
        for unique in uniques:
            one.answered(unique)
    assert one.moments == len(uniques)
    assert [message.data for message in one.kept] == [
        data for unique in range(2, 406, 2) for data in (asked(unique, pid=CALLER), answer(unique))
    ]
    assert [message.time for message in one.kept] == sorted(message.time for message in one.kept)
    assert {message.program for message in one.kept[::2]} == {b"program 7"}


def test_another_caller_does_not_wait_for_the_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with one_caller(monkeypatch, asking(6)) as one:
        assert one.server.recv(LARGEST) == asked(6, pid=CALLER)
        one.kernel.send(asked(8, pid=CALLER + 1))
        one.answered(8, CALLER + 1)
        one.server.send(answer(6))
        assert one.kernel.recv(LARGEST) == answer(6)
    assert {(message.data, message.program) for message in one.kept[4:]} == {
        (asked(6, pid=CALLER), b"program 7"),
        (asked(8, pid=CALLER + 1), b"program 8"),
        (answer(8), b""),
        (answer(6), b""),
    }


def test_after_one_caller_comes_another(monkeypatch: pytest.MonkeyPatch) -> None:
    with one_caller(monkeypatch, asking(6), asking(8, CALLER + 1)) as one:
        one.answered(6)
        one.answered(8, CALLER + 1)
    assert one.moments == 2


def test_what_a_server_says_by_itself_passes_before_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    with one_caller(monkeypatch, asking(6)) as one:
        assert one.server.recv(LARGEST) == asked(6, pid=CALLER)
        one.server.send(answer(0, b"notification"))
        one.server.send(answer(6))
        assert [one.kernel.recv(LARGEST) for _ in range(2)] == [answer(0, b"notification"), answer(6)]


def test_an_answer_to_one_caller_may_be_long(monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytes(100_000)
    with one_caller(monkeypatch, asking(6)) as one:
        assert one.server.recv(LARGEST) == asked(6, pid=CALLER)
        one.server.send(answer(6, data)[:61456])
        one.server.send(answer(6, data)[61456:])
        assert one.kernel.recv(LARGEST) == answer(6, data)


def test_a_server_that_ends_before_it_answers_one_caller_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with one_caller(monkeypatch, asking(6)) as one:
        assert one.server.recv(LARGEST) == asked(6, pid=CALLER)
        one.server.close()
        one.thread.join(PATIENCE)
        assert one.unmounted is False
        assert one.told.unanswered == [6]


def test_the_last_words_of_a_server_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    def ending(one: OneCaller) -> None:
        one.server.send(answer(0, b"notification"))
        one.server.close()
        one.kernel.send(asked(6, pid=CALLER))

    with one_caller(monkeypatch, ending) as one:
        assert one.kernel.recv(LARGEST) == answer(0, b"notification")
        one.thread.join(PATIENCE)
        assert one.told.unanswered == [6]


def test_a_recorder_that_comes_while_init_is_under_way_does_not_end_the_short_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    init = fuse_in_header(len=56, opcode=c.FUSE_INIT, unique=2).pack() + bytes(16)
    moments: list[int] = []
    monkeypatch.setattr(os, "sched_yield", lambda: moments.append(1))
    with between(Recorder(Kept(), batch=SMALL)) as one:
        one.kernel.send(init)
        assert one.server.recv(LARGEST) == init
        watcher = Recorder(Kept(), agreed=one.relay.agreed)
        one.relay.record(watcher)
        one.server.send(answer(2, bytes(64)))
        assert one.kernel.recv(LARGEST) == answer(2, bytes(64))
        one.relay.stop_recording(watcher)
        for unique in (4, 6):
            one.kernel.send(asked(unique, pid=CALLER))
            assert one.server.recv(LARGEST) == asked(unique, pid=CALLER)
            one.server.send(answer(unique))
            assert one.kernel.recv(LARGEST) == answer(unique)
    assert moments


def test_a_caller_without_a_name_is_looked_up_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    uniques = range(6, 106, 2)

    def name(pid: int) -> bytes:
        looked.append(pid)
        return b""

    with one_caller(monkeypatch, *map(asking, uniques), name=name) as one:
        for unique in uniques:
            one.answered(unique)
    assert set(looked) == {CALLER}
    assert len(looked) < len(uniques) / 2


def test_a_recorder_may_come_while_one_caller_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    later = Kept()

    def recording(one: OneCaller) -> None:
        one.relay.record(Recorder(later))
        one.kernel.send(asked(8, pid=CALLER))

    with one_caller(monkeypatch, asking(6), recording) as one:
        one.answered(6)
        one.answered(8)
    assert [message.data for message in later] == [asked(8, pid=CALLER), answer(8)]


def test_a_relay_stops_while_one_caller_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    uniques = range(6, 6 + 4 * SMALL, 2)
    stopping = [lambda one: (one.relay.stop(), one.kernel.send(asked(6, pid=CALLER)))]
    with one_caller(monkeypatch, *stopping, *map(asking, uniques[1:])) as one:
        one.server.settimeout(1.0)
        done = 0
        try:
            for unique in uniques:
                one.answered(unique)
                done += 1
        except TimeoutError:
            pass
        one.thread.join(PATIENCE)
        assert not one.thread.is_alive()
    assert done < SMALL


def test_a_moment_that_is_long_is_not_left_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    uniques = range(6, 46, 2)
    with one_caller(monkeypatch, asking(6), *[lambda _: None] * 40) as one:
        monkeypatch.setattr("tools.trace.relay._BRISK", 0)
        monkeypatch.setattr("tools.trace.relay._REST", 20)
        one.answered(6)
        for unique in uniques[1:]:
            one.kernel.send(asked(unique, pid=CALLER))
            one.answered(unique)
    assert one.moments <= 3
