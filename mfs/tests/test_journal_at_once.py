"""An `fsync` that is begun in place and completed by the thread that waits for the disk."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from mfs.journal import journal
from mfs.log import Log
from mfs.tests.volume_work import crashed, make, opened, read, root
from mfs.volume import Volume
from rawfuse.tests.waiting import PATIENCE


@contextmanager
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Records are not written before the event is set, at the latest when this ends."""
    go = threading.Event()
    write = Log.write

    def wait(self: Log, *payloads: bytes) -> None:
        go.wait(PATIENCE)
        write(self, *payloads)

    with monkeypatch.context() as patched:
        patched.setattr(Log, "write", wait)
        try:
            yield go
        finally:
            go.set()


async def test_it_is_durable_without_a_turn_of_the_event_loop(tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        for number in range(3):
            future = volume.journal.sync_at_once(make(volume, str(number), b"%d" % number))
            assert future is not None
            future.result(PATIENCE)
            with crashed(volume, tmp_path / f"copy{number}") as after:
                assert [read(after, str(n)) for n in range(number + 1)] == [b"%d" % n for n in range(number + 1)]


async def test_who_comes_meanwhile_waits_for_the_next_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path / "repo") as volume:
        first, second = make(volume, "first", b"1"), make(volume, "second")
        with held(monkeypatch) as go:
            future = volume.journal.sync_at_once(first)
            assert future is not None
            volume.tree.unlink(root(volume), b"second")
            third = make(volume, "third", b"3")
            assert volume.journal.sync_at_once(third) is None
            async with trio.open_nursery() as nursery:
                for file in (second, third):
                    nursery.start_soon(volume.sync, file)
                await trio.testing.wait_all_tasks_blocked()
                assert not future.done()
                go.set()
        assert future.done()
        with crashed(volume, tmp_path / "copy") as after:
            assert sorted(after.tree.names(root(after))) == [b"first", b"third"]
            assert read(after, "third") == b"3"


async def test_a_commit_waits_for_the_record_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path / "repo") as volume:
        file = make(volume, "a", b"x")
        await volume.commit()
        with held(monkeypatch) as go:
            file.mode = 0o100600
            volume.tree.touched(file)
            future = volume.journal.sync_at_once(file)
            assert future is not None
            async with trio.open_nursery() as nursery:
                nursery.start_soon(volume.commit)
                await trio.testing.wait_all_tasks_blocked()
                before = volume.journal.sequence
                go.set()
        assert volume.journal.sequence > before
        with crashed(volume, tmp_path / "copy") as after:
            node = after.tree.resolve(b"a")
            assert node is not None and node.mode == 0o100600


async def test_a_failure_is_told_and_said_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Log, *payloads: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with opened(tmp_path / "repo") as volume:
        file = make(volume, "a", b"x" * 10)
        with monkeypatch.context() as patched:
            patched.setattr(Log, "write", full)
            failed = volume.journal.sync_at_once(file)
            assert failed is not None
            with pytest.raises(OSError, match="No space left"):
                failed.result(PATIENCE)
        again = volume.journal.sync_at_once(file)
        assert again is not None
        again.result(PATIENCE)
        with crashed(volume, tmp_path / "copy") as after:
            assert read(after, "a") == b"x" * 10


async def test_what_the_log_does_not_take_becomes_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "MAX_PAYLOAD", 1000)
    with opened(tmp_path / "repo") as volume:
        files = [make(volume, "x" * 200 + str(number)) for number in range(10)]
        assert volume.journal.sync_at_once(files[0]) is None
        await volume.sync(files[0])
        assert len(_names(volume)) == 10 and volume.settled
        with crashed(volume, tmp_path / "copy") as after:
            assert _names(after) == _names(volume)


async def test_closing_waits_for_the_record_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with held(monkeypatch) as go:
        with opened(tmp_path / "repo") as volume:
            future = volume.journal.sync_at_once(make(volume, "a", b"x"))
            threading.Timer(0.05, go.set).start()
        assert future is not None and future.done()
    with opened(tmp_path / "repo") as after:
        assert read(after, "a") == b"x"


def _names(volume: Volume) -> list[bytes]:
    return sorted(volume.tree.names(root(volume)))


async def test_nothing_to_say_is_done_without_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path / "repo") as volume:
        file = make(volume, "a", b"x")
        await volume.sync(file)
        monkeypatch.setattr(trio.lowlevel, "start_thread_soon", _no_thread)
        future = volume.journal.sync_at_once(file)
        assert future is not None and future.done()


async def test_where_no_thread_is_to_be_had_it_is_said_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path / "repo") as volume:
        file = make(volume, "a", b"x")
        with monkeypatch.context() as patched:
            patched.setattr(trio.lowlevel, "start_thread_soon", _no_thread)
            with pytest.raises(RuntimeError, match="no thread"):
                volume.journal.sync_at_once(file)
        await volume.sync(file)
        with crashed(volume, tmp_path / "copy") as after:
            assert read(after, "a") == b"x"


def _no_thread(*_: object) -> None:
    raise RuntimeError("no thread")
