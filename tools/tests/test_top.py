"""`rawfuse top`: figures, and where they come from."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rawfuse import wire
from rawfuse.mount.connections import Connection
from rawfuse.mount.mountinfo import find_mount
from rawfuse.tests.commanded import command_serving
from rawfuse.tests.memoryfs import MemoryFs
from rawfuse.tests.mounted import mounted
from rawfuse.tests.waiting import PATIENCE
from rawfuse.trace.kernel_events import KernelEvent
from tools.tests.made_traces import Made
from tools.top import sources
from tools.top.command import main
from tools.top.live import Live, Row
from tools.top.screen import COLUMNS, screen, table
from tools.top.sources import NoSuchMount, Place, place_of

SECOND = 1_000_000_000
TOP = [sys.executable, "-m", "tools.top"]


def row_of(rows: list[Row], opcode: str) -> Row:
    (found,) = [row for row in rows if row.opcode == opcode]
    return found


def test_requests_errors_and_latencies_are_counted_by_opcode() -> None:
    made = Made(1)
    for number in range(100):
        made.call(wire.Lookup(nodeid=1, name=b"x"), b"", 2 * (number % 4 == 0))
    made.call(wire.Forget(nodeid=1, arg=wire.fuse_forget_in(1)), program=b"kworker")
    made.notify(2)
    start = made.messages[0].time
    live = Live(start)
    for message in made.messages:
        live.message(message)
    rows = live.rows(start + 2 * SECOND)
    lookup = row_of(rows, "LOOKUP")
    assert (lookup.connection, lookup.count, lookup.errors, lookup.rate, lookup.in_flight) == (7, 100, 25, 50.0, 0)
    assert lookup.p50_us == lookup.p99_us == lookup.slowest_us == 1234.567
    assert lookup.programs == ("cat",)
    assert row_of(rows, "FORGET").in_flight == 0
    assert row_of(rows, "NOTIFY_INVAL_INODE").count == 1
    assert row_of(live.rows(start + 4 * SECOND), "LOOKUP").rate == 0


def test_who_waits_is_in_flight_and_slower_with_every_look() -> None:
    live = Live(0)
    live.event(KernelEvent(SECOND, 3, 8, 15, 80, 0, 41, b"head"))
    (row,) = live.rows(2 * SECOND)
    assert (row.opcode, row.in_flight, row.slowest_us, row.p50_us) == ("READ", 1, 1e6, None)
    (row,) = live.rows(5 * SECOND)
    assert row.slowest_us == 4e6
    live.event(KernelEvent(6 * SECOND, 3, 8, None, 16, 5, 99, b"server"))
    (row,) = live.rows(7 * SECOND)
    assert (row.in_flight, row.slowest_us, row.errors, row.p99_us) == (0, 5e6, 1, 5e6)
    live.event(KernelEvent(8 * SECOND, 3, 10, 15, 80, 0, 41, b"head"))
    live.forget_waiting(4)
    assert live.rows(9 * SECOND)[0].in_flight == 1
    live.forget_waiting()
    assert live.rows(9 * SECOND)[0].in_flight == 0


def test_a_mount_that_ended_is_shown_no_more_and_its_number_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    there = [Connection(3)]
    monkeypatch.setattr(sources, "fuse_connections", lambda: there)
    monkeypatch.setattr(sources.Sources, "_have_events", lambda self: False)
    live = Live(0)
    with sources.Sources(live) as seen:
        live.event(KernelEvent(SECOND, 3, 8, 15, 80, 0, 41, b"head"))
        seen.look()
        assert [row.connection for row in live.rows(2 * SECOND)] == [3]
        there.clear()
        seen.look()
        assert live.rows(3 * SECOND) == []
        assert not seen.places
        live.event(KernelEvent(3 * SECOND, 3, 10, 15, 80, 0, 41, b"late"))
        there.append(Connection(3))
        seen.look()
        assert live.rows(4 * SECOND) == []
        assert list(seen.places) == [3]


def test_replies_to_what_was_asked_before_are_left_out() -> None:
    live = Live(0)
    live.event(KernelEvent(SECOND, 3, 8, None, 16, 5, 99, b"server"))
    assert live.rows(SECOND) == []


def test_the_screen_keeps_to_its_size_and_says_what_is_not_known() -> None:
    rows = [Row(3, "READ", 7, 1, 3.5, 12.25, None, 2, 2e6, ("cat", "a\tb")) for _ in range(50)]
    text = screen(rows, [Place(3, "/mnt", "events", 8), Place(4, "", "")], lost=9, trouble="no", width=90, height=20)
    lines = text.split("\r\n")
    assert len(lines) == 20
    plain = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)
    assert max(map(len, plain.split("\r\n"))) <= 90
    for word in (
        "2 mounts",
        "100 in flight",
        "9 lost",
        "/mnt, 8 waiting",
        "the kernel's events: no names",
        "not watched: no",
    ):
        assert word in plain
    shown = list(table(rows[:1], colours=False))
    assert shown[1].split() == ["3", "READ", "7", "1", "3.5", "12.2", "-", "2", "2000000", "cat,a\\tb"]


def test_what_others_are_called_does_nothing_to_the_terminal() -> None:
    row = Row(3, "READ", 7, 1, 3.5, 12.25, None, 2, 2e6, ("\033]0;owned", "\udcff"))
    text = screen([row], [Place(3, "/mnt\033[2J\udcff\n", "messages")], lost=0, trouble="", width=200, height=20)
    text.encode()
    assert "/mnt\\x1b[2J\\udcff\\n" in text
    assert "\\x1b]0;owned,\\udcff" in text


@pytest.mark.parametrize("text", ["/", "/proc/1", "4294967"])
def test_what_is_no_mount_is_told(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(NoSuchMount):
        place_of(text)
    assert main([text]) == 1
    assert "`rawfuse list` shows all" in capsys.readouterr().err


@contextmanager
def asking(root: str) -> Iterator[None]:
    """Somebody who asks for what is absent, again and again, and makes directories."""
    stop = threading.Event()

    def ask() -> None:
        number = 0
        while not stop.wait(0.002):
            number += 1
            with contextlib.suppress(OSError):
                os.getxattr(root, f"user.absent-{number}")
            os.mkdir(f"{root}/{number}")

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


SECONDS = ("0.9", "5", "20")
"""How long is looked, the longer where nothing came: who asks may not get his turn for a while."""


def looked(*words: str) -> dict[str, Any]:
    """What is said once a GETXATTR and a MKDIR were answered."""
    found: dict[str, Any] = {}
    for seconds in SECONDS:
        command = [*TOP, "--json", "--once", "--interval", seconds, *words]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
        found = json.loads(ran.stdout)
        if {"GETXATTR", "MKDIR"} <= {row["opcode"] for row in found["opcodes"] if row["p50_us"]}:
            break
    return found


@pytest.mark.kernel("root")
def test_our_own_mounts_are_watched_message_by_message(tmp_path: Path) -> None:
    with command_serving(tmp_path), asking(str(tmp_path)):
        found = looked(str(tmp_path / "below" / "it"))
        entry = find_mount(tmp_path)
    assert entry is not None
    (place,) = found["mounts"]
    assert place.pop("waiting") in (None, 0, 1)
    assert place == {"connection": entry.connection, "mountpoint": str(tmp_path), "source": "messages"}
    rows = {row["opcode"]: row for row in found["opcodes"]}
    assert rows["GETXATTR"]["errors"] > 0
    assert rows["MKDIR"]["count"] > 0
    assert rows["MKDIR"]["rate"] > 0
    assert rows["MKDIR"]["p50_us"] > 0
    assert rows["MKDIR"]["programs"]
    assert found["lost"] == 0


@pytest.mark.kernel("root")
def test_mounts_of_others_are_watched_by_the_kernels_events() -> None:
    with mounted(MemoryFs()) as mount, asking(f"/proc/self/fd/{mount.root}"):
        number = os.minor(os.stat(".", dir_fd=mount.root).st_dev)
        made: list[list[str]] = []
        for seconds in SECONDS:
            words = [*TOP, "--seconds", seconds, "--interval", "0.3", str(number)]
            ran = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=True)
            assert "the kernel's events: no names and no data, no FORGETs" in ran.stderr
            heading, *lines = [line.split("\t") for line in ran.stdout.splitlines()]
            assert heading == ["seconds", *COLUMNS]
            made += [line for line in lines if line[2] == "MKDIR" and line[6] != "-"]
            if made:
                break
    assert made[-1][1] == str(number)
    assert int(made[-1][3]) > 0
    assert float(made[-1][6]) > 0


def drawn(terminal: int) -> bytes:
    """The next that is drawn; nothing when the program has ended."""
    assert select.select([terminal], [], [], PATIENCE)[0], "nothing more is drawn"
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # EIO: nobody has the other side any more
        return b""


@pytest.mark.kernel("root")
def test_on_a_terminal_a_screen_is_drawn_until_q(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    with command_serving(tmp_path), asking(str(tmp_path)):
        command = [*TOP, "--interval", "0.2", str(tmp_path)]
        environment = os.environ | {"TERM": "xterm", "COLUMNS": str(len(str(tmp_path)) + 120), "LINES": "30"}
        with subprocess.Popen(command, stdin=theirs, stdout=theirs, env=environment) as process:
            os.close(theirs)
            seen = b""
            while b"MKDIR" not in seen:
                part = drawn(ours)
                assert part, seen
                seen += part
            os.write(ours, b"q")
            while part := drawn(ours):
                seen += part
            assert process.wait(PATIENCE) == 0
    os.close(ours)
    shown = seen.decode()
    assert shown.startswith("\033[?1049h")
    assert shown.endswith("\033[?1049l")
    for word in ("rawfuse top", str(tmp_path), "every message", "\033[36mMKDIR"):
        assert word in shown
