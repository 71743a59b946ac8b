from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfs.log import Log, LogDamaged, LogEnd, drop_logs, log_numbers, replay

MIB = 1 << 20


def test_what_was_written_is_replayed_in_order(tmp_path: Path) -> None:
    log = Log(tmp_path, 1)
    log.write(b"one")
    log.write(b"two", b"", b"four" * 1000)
    log.close()
    assert list(replay(tmp_path, 1)) == [b"one", b"two", b"", b"four" * 1000]


def test_logs_are_replayed_one_after_another(tmp_path: Path) -> None:
    first = Log(tmp_path, 1)
    second = Log(tmp_path, 2, after=first)
    # The first goes on until the second has a record.
    first.write(b"a")
    empty = Log(tmp_path, 3, after=second)
    third = Log(tmp_path, 4, after=empty)
    second.write(b"b")
    third.write(b"c")
    assert list(replay(tmp_path, 1)) == [b"a", b"b", b"c"]
    assert list(replay(tmp_path, 2)) == [b"b", b"c"]
    assert list(replay(tmp_path, 3)) == [b"c"]


def test_a_log_without_a_record_is_empty(tmp_path: Path) -> None:
    log = Log(tmp_path, 1)
    assert (log.empty, log.size) == (True, 0)
    assert list(replay(tmp_path, 1)) == []
    log.write(b"x")
    assert (log.empty, log.size) != (True, 0)


def test_a_first_log_that_lost_its_records_is_damage(tmp_path: Path) -> None:
    first = Log(tmp_path, 1)
    first.write(b"a")
    Log(tmp_path, 2, after=first).write(b"b")
    with open(first.path, "r+b") as file:
        file.seek(512)
        file.write(bytes(64))
    with pytest.raises(LogDamaged, match="follows log 1, which is missing or empty"):
        list(replay(tmp_path, 1))


def test_a_log_that_the_commit_names_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(LogDamaged, match=r"00000003\.log"):
        list(replay(tmp_path, 3))
    Log(tmp_path, 4).close()
    with pytest.raises(LogDamaged, match=r"00000003\.log"):
        list(replay(tmp_path, 3))


@given(st.data())
def test_a_torn_end_takes_only_what_it_tore(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    directory = tmp_path_factory.mktemp("log")
    payloads = data.draw(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=8))
    log = Log(directory, 1)
    ends = []
    for payload in payloads:
        log.write(payload)
        ends.append(512 + log.size)
    log.close()
    torn = data.draw(st.integers(512, ends[-1] - 1))
    size = data.draw(st.integers(1, 64))
    with open(log.path, "r+b") as file:
        file.seek(torn)
        before = file.read(size)
        file.seek(torn)
        garbage = data.draw(st.sampled_from([bytes(len(before)), b"\xff" * len(before)]))
        file.write(garbage)
    changed = next((torn + i for i, (a, b) in enumerate(zip(before, garbage, strict=True)) if a != b), ends[-1])
    read = list(replay(directory, 1))
    assert read == payloads[: len(read)]
    assert len(read) >= sum(end <= changed for end in ends)


def test_a_record_behind_a_broken_one_is_not_believed(tmp_path: Path) -> None:
    log = Log(tmp_path, 1)
    log.write(b"a" * 8)
    at = 512 + log.size
    log.write(b"b" * 8)
    log.write(b"c" * 8)
    with open(log.path, "r+b") as file:
        file.seek(at + 16)
        file.write(b"X")
    assert list(replay(tmp_path, 1)) == [b"a" * 8]


def test_a_log_that_another_follows_must_be_whole(tmp_path: Path) -> None:
    first = Log(tmp_path, 1)
    first.write(b"a" * 8)
    at = 512 + first.size
    first.write(b"b" * 8)
    second = Log(tmp_path, 2, after=first)
    second.write(b"c")
    with open(first.path, "r+b") as file:
        file.seek(at + 16)
        file.write(b"X")
    read = []
    with pytest.raises(LogDamaged, match=r"of 3 records 2 can be read"):
        for payload in replay(tmp_path, 1):
            read.append(payload)
    assert read == [b"a" * 8]


def test_a_missing_log_in_between_is_damage(tmp_path: Path) -> None:
    first = Log(tmp_path, 1)
    first.write(b"a")
    second = Log(tmp_path, 2, after=first)
    second.write(b"b")
    third = Log(tmp_path, 3, after=second)
    third.write(b"c")
    os.unlink(second.path)
    with pytest.raises(LogDamaged, match="follows log 2, which is missing"):
        list(replay(tmp_path, 1))


def test_after_a_crash_a_new_log_goes_on_from_the_torn_one(tmp_path: Path) -> None:
    first = Log(tmp_path, 1)
    first.write(b"a")
    at = 512 + first.size
    first.write(b"torn")
    with open(first.path, "r+b") as file:
        file.seek(at + 16)
        file.write(b"X")
    told = replay(tmp_path, 1)
    assert list(told) == [b"a"]
    second = Log(tmp_path, told.seq + 1, after=told.end)
    second.write(b"b")
    assert list(replay(tmp_path, 1)) == [b"a", b"b"]


@pytest.mark.parametrize("at", [0, 8, 16, 24])
def test_a_broken_header_is_damage(tmp_path: Path, at: int) -> None:
    log = Log(tmp_path, 1)
    log.write(b"a")
    with open(log.path, "r+b") as file:
        file.seek(at)
        file.write(b"\x99")
    with pytest.raises(LogDamaged):
        list(replay(tmp_path, 1))


def test_a_log_under_another_number_is_damage(tmp_path: Path) -> None:
    log = Log(tmp_path, 1)
    os.rename(log.path, tmp_path / "00000002.log")
    with pytest.raises(LogDamaged, match="says that it is log 1"):
        list(replay(tmp_path, 2))


def test_writing_inside_the_prepared_space_does_not_change_the_file(tmp_path: Path) -> None:
    log = Log(tmp_path, 1)
    before = os.stat(log.path)
    log.write(bytes(100_000))
    after = os.stat(log.path)
    assert (before.st_size, before.st_blocks) == (after.st_size, after.st_blocks) == (MIB, before.st_blocks)
    assert before.st_blocks * 512 >= MIB


def test_a_log_grows_by_whole_steps(tmp_path: Path) -> None:
    log = Log(tmp_path, 1)
    payloads = [bytes([i]) * 300_000 for i in range(12)]
    for payload in payloads:
        log.write(payload)
        assert os.stat(log.path).st_size % MIB == 0
    big = random.Random(1).randbytes(3 * MIB)
    log.write(big)
    assert list(replay(tmp_path, 1)) == [*payloads, big]


def test_a_dropped_log_becomes_the_next_and_leaves_nothing_behind_in_it(tmp_path: Path) -> None:
    first = Log(tmp_path, 1)
    for _ in range(20):
        first.write(b"old" * 1000)
    inode = os.stat(first.path).st_ino
    first.remove()
    second = Log(tmp_path, 2)
    assert os.stat(second.path).st_ino == inode
    assert list(replay(tmp_path, 2)) == []
    second.write(b"new" * 1000)
    assert list(replay(tmp_path, 2)) == [b"new" * 1000]


def test_dropping_keeps_one_spare_file(tmp_path: Path) -> None:
    for seq in range(1, 6):
        Log(tmp_path, seq).close()
    drop_logs(tmp_path, 5)
    assert log_numbers(tmp_path) == [5]
    assert sorted(os.listdir(tmp_path)) == ["00000005.log", "spare"]


def test_making_a_log_that_was_interrupted_is_begun_again(tmp_path: Path) -> None:
    (tmp_path / "new").write_bytes(b"x" * 1000)
    log = Log(tmp_path, 1)
    log.write(b"a")
    assert list(replay(tmp_path, 1)) == [b"a"]
    assert os.stat(log.path).st_size == MIB


def test_after_a_failed_sync_the_place_is_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(tmp_path, 1)
    log.write(b"a")
    end = log.end

    def fail(fd: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", fail)
        with pytest.raises(OSError, match="Input/output"):
            log.write(b"lost" * 50)
    assert log.end == end
    log.write(b"b")
    assert list(replay(tmp_path, 1)) == [b"a", b"b"]


def test_a_failed_record_does_not_count_once_another_log_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log(tmp_path, 1)
    log.write(b"a")

    def fail(fd: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", fail)
        with pytest.raises(OSError, match="Input/output"):
            log.write(b"refused")
    following = Log(tmp_path, 2, after=log)
    following.write(b"b")
    assert list(replay(tmp_path, 1)) == [b"a", b"b"]


def test_the_end_of_an_empty_log_is_that_of_the_one_before(tmp_path: Path) -> None:
    first = Log(tmp_path, 1)
    assert first.end == LogEnd(0, 0, 0)
    first.write(b"a")
    assert Log(tmp_path, 2, after=first).end == first.end


def test_too_long_a_record_is_refused(tmp_path: Path) -> None:
    log = Log(tmp_path, 1)
    with pytest.raises(ValueError, match="at most"):
        log.write(bytes((64 << 20) + 1))
    assert log.empty


def failing(log: Log, payload: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a record that gets to the disk, though the disk says that it did not."""

    def fail(fd: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", fail)
        with pytest.raises(OSError, match="Input/output error"):
            log.write(payload)


def test_a_log_whose_only_record_failed_is_not_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(tmp_path, 1)
    failing(log, b"maybe", monkeypatch)
    assert not log.empty


def test_a_log_whose_only_record_failed_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Log(tmp_path, 1)
    first.write(b"a")
    second = Log(tmp_path, 2, after=first)
    failing(second, b"maybe", monkeypatch)
    third = Log(tmp_path, 3, after=second)
    assert list(replay(tmp_path, 1)) == [b"a", b"maybe"]
    third.write(b"c")
    assert list(replay(tmp_path, 1)) == [b"a", b"c"]
