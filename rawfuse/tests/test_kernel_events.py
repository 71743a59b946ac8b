"""The kernel's own events of a mount."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from rawfuse.tests.memoryfs import MemoryFs
from rawfuse.tests.mounted import Mounted, mounted
from rawfuse.trace.kernel_events import TRACEFS, KernelEvent, KernelEvents, NoKernelEvents
from rawfuse.wire import constants as c

SENT = b"   some-program:x-27437   [001] ...1. 25291.996416: fuse_request_send: connection 50 req 18446744073709551614 "


@pytest.fixture
def mount() -> Iterator[Mounted]:
    with mounted(MemoryFs()) as one:
        yield one


def connection_of(mount: Mounted) -> int:
    return os.minor(os.stat(".", dir_fd=mount.root).st_dev)


@pytest.mark.kernel("root")
def test_requests_are_seen_with_their_callers_and_their_ends_with_errors(mount: Mounted) -> None:
    number = connection_of(mount)
    with KernelEvents([number]) as events:
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=mount.root))
        with pytest.raises(FileNotFoundError):
            os.stat("absent", dir_fd=mount.root)
        found = list(events.read(0.2))
        assert events.lost == 0
    assert {event.connection for event in found} == {number}
    begun = {event.unique: event for event in found if event.opcode is not None}
    ended = {event.unique: event for event in found if event.opcode is None}
    (create,) = [event for event in begun.values() if event.opcode == c.FUSE_CREATE]
    assert create.pid == os.getpid()
    assert create.program
    assert create.length == 40 + 16 + len(b"file\\0") - 1
    assert 0 < ended[create.unique].time - create.time < 10**10
    assert ended[create.unique].length == 16 + 128 + 16
    lookups = [event for event in begun.values() if event.opcode == c.FUSE_LOOKUP]
    assert ended[lookups[-1].unique].error == 2


@pytest.mark.kernel("root")
def test_other_connections_are_left_out_and_nothing_is_left_behind(mount: Mounted) -> None:
    number = connection_of(mount)
    with KernelEvents([number + 1]) as events, KernelEvents() as all_events:
        os.mkdir("made", dir_fd=mount.root)
        assert number not in {event.connection for event in events.ready()}
        assert c.FUSE_MKDIR in {event.opcode for event in all_events.read(0.1) if event.connection == number}
    assert [name for name in os.listdir(TRACEFS / "instances") if f"-{os.getpid()}-" in name] == []


@pytest.mark.kernel("root")
def test_what_a_killed_watcher_left_is_swept_away() -> None:
    left = TRACEFS / "instances" / "rawfuse-4194303-0"
    with KernelEvents():
        left.mkdir()
    with KernelEvents():
        assert not left.exists()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (SENT + b"opcode 16 (FUSE_WRITE) len 27384 ", (50, 2**64 - 2, 16, 27384, 0, 27437, b"some-program:x")),
        (SENT + b"opcode 53 (0x35) len 96 ", (50, 2**64 - 2, 53, 96, 0, 27437, b"some-program:x")),
        (
            b"           <...>-9     [000] d..2.     7.000001: fuse_request_end: connection 3 req 8 len 16 error -61",
            (3, 8, None, 16, 61, 9, b"<...>"),
        ),
        (b"CPU:1 [LOST 17 EVENTS]", None),
        (b"# tracer: nop", None),
        (b"", None),
    ],
)
def test_lines_are_read(line: bytes, said: tuple[object, ...] | None) -> None:
    events = KernelEvents()
    event: KernelEvent | None = events._event(line)
    assert (event and event[1:]) == said
    assert events.lost == (17 if b"LOST" in line else 0)


def test_without_rights_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(NoKernelEvents, match="for root"):
        KernelEvents().__enter__()
