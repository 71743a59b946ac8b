"""Traces that a server keeps of itself: what is in them, and what becomes of it when the disk fails."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import ClassVar

import pytest

from rawfuse.trace.keeping import KeptTrace, form_of
from rawfuse.trace.opening import read_trace
from rawfuse.trace.record import Direction, Traced
from rawfuse.trace.recorder import Recorder
from rawfuse.wire import Lookup
from rawfuse.wire.requests import encode_request

DATA = encode_request(Lookup(unique=2, nodeid=1, name=b"name"), 45)
MESSAGE = Traced(1_700_000_000_000_000_000, Direction.TO_SERVER, DATA, len(DATA), minor=45)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("t.pcapng", "pcapng"),
        ("t", "pcapng"),
        ("t.trace", "pcapng"),
        ("t.fusedump", "fusedump"),
        ("T.DUMP", "fusedump"),
    ],
)
def test_the_name_says_the_format(name: str, form: str) -> None:
    assert form_of(name) == form


@pytest.mark.parametrize("name", ["t.pcapng", "t.fusedump"])
def test_everything_is_in_the_file_when_it_is_closed(tmp_path: Path, name: str) -> None:
    with KeptTrace(tmp_path / name) as trace:
        for _ in range(30_000):
            trace.write(MESSAGE)
    assert [one.data for one in read_trace(tmp_path / name)] == [DATA] * 30_000
    assert trace.lost == 0
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


def test_an_unused_trace_is_an_empty_one(tmp_path: Path) -> None:
    KeptTrace(tmp_path / "t.pcapng").close()
    assert list(read_trace(tmp_path / "t.pcapng")) == []


def test_a_full_disk_ends_the_trace_alone_and_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR), KeptTrace("/dev/full") as trace:
        for _ in range(50_000):
            trace.write(MESSAGE)
    assert [one.getMessage() for one in caplog.records] == [
        "/dev/full: the trace ends here, serving goes on: No space left on device"
    ]


def test_a_file_that_cannot_be_made_is_an_error_before_anything_is_served(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        KeptTrace(tmp_path / "absent" / "t.pcapng")


def test_a_disk_that_does_not_keep_up_costs_messages_not_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rawfuse.trace.keeping._ROOM", 10_000)
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with caplog.at_level(logging.ERROR), KeptTrace(path) as trace:
        for _ in range(1000):
            trace.write(MESSAGE)
        assert trace.lost > 500
    os.close(reader)
    assert f"{trace.lost} messages were not kept" in caplog.text


def test_of_many_at_once_all_are_kept_or_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rawfuse.trace.keeping._ROOM", 100 * len(DATA))
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with KeptTrace(path) as trace:
        trace.write_many([MESSAGE] * 1000)
        assert trace.lost == 1000
    os.close(reader)


def test_what_is_recorded_is_in_the_file_soon(tmp_path: Path) -> None:
    with KeptTrace(tmp_path / "t.pcapng") as trace:
        trace.recorder(7).request(DATA)
        deadline = time.monotonic() + 20
        path = tmp_path / "t.pcapng"
        found: list[Traced] = []
        while not found:
            assert time.monotonic() < deadline
            time.sleep(0.05)
            found = list(read_trace(path)) if path.stat().st_size else []
    assert [(one.data, one.connection) for one in found] == [(DATA, 7)]


def test_a_recorder_keeps_a_batch_back_until_it_is_asked() -> None:
    class Kept:
        messages: ClassVar[list[Traced]] = []

        def write(self, message: Traced) -> None:
            self.messages.append(message)

    recorder = Recorder(Kept(), batch=3)
    for _ in range(4):
        recorder.request(DATA)
    assert len(Kept.messages) == recorder.messages == 3
    recorder.flush()
    assert len(Kept.messages) == recorder.messages == 4


def test_who_keeps_a_message_by_itself_says_what_a_recorder_would() -> None:
    class Kept:
        messages: ClassVar[list[Traced]] = []

        def write(self, message: Traced) -> None:
            self.messages.append(message)

    recorder = Recorder(Kept(), connection=7, batch=3, program=lambda pid: b"program %d" % pid)
    assert recorder.program(5) == recorder.programs[5] == b"program 5"
    recorder.keep((1, Direction.TO_SERVER, DATA, len(DATA), 0, recorder.programs[5]))
    recorder.keep((2, Direction.TO_KERNEL, b"reply", 5, 1, b""))
    assert len(recorder.kept) == 2
    recorder.flush()
    assert Kept.messages == [
        Traced(1, Direction.TO_SERVER, DATA, len(DATA), 7, program=b"program 5"),
        Traced(2, Direction.TO_KERNEL, b"reply", 5, 7, 1),
    ]


def test_a_batch_is_bounded_in_bytes() -> None:
    class Kept:
        messages: ClassVar[list[Traced]] = []

        def write(self, message: Traced) -> None:
            self.messages.append(message)

    recorder = Recorder(Kept(), batch=1000)
    for _ in range(3):
        recorder.reply((bytes(400_000),))
    assert len(Kept.messages) == 3
