from __future__ import annotations

import errno
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mfs.blocks.errors import SegmentDamaged, SegmentLost
from mfs.blocks.segments import Segments

RNG = random.Random(7)


@pytest.fixture
def segments(tmp_path: Path) -> Iterator[Segments]:
    found = Segments(tmp_path)
    yield found
    found.close()


def filled(segments: Segments, pieces: list[tuple[int, int, int]], offset: int, size: int) -> bytes:
    out = bytearray(b"?" * size)
    segments.read_into(pieces, offset, memoryview(out))
    again = bytearray(b"!" * size)
    segments.read_nowait(pieces, offset, memoryview(again))
    assert again == out
    assert segments.read(pieces, offset, offset + size) == out
    return bytes(out)


def test_what_is_appended_is_read_back_from_anywhere(segments: Segments) -> None:
    one, two = RNG.randbytes(5000), RNG.randbytes(300)
    pieces = [
        segments.shared.append(one),
        (0, 0, 70_000),
        segments.appender().append(memoryview(two)),
        segments.shared.append(bytearray(b"tail")),
    ]
    whole = one + bytes(70_000) + two + b"tail"
    for offset, size in ((0, len(whole)), (4999, 3), (5000, 1), (6000, 69_000), (74_999, 302), (len(whole) - 1, 1)):
        assert filled(segments, pieces, offset, size) == whole[offset : offset + size]
    assert segments.read(pieces) == whole


def test_reading_past_the_pieces_is_refused(segments: Segments) -> None:
    piece = segments.shared.append(b"abc")
    with pytest.raises(ValueError, match="1 bytes early"):
        segments.read_into((piece,), 1, memoryview(bytearray(3)))


def test_parts_are_appended_as_one_piece(segments: Segments) -> None:
    segments.shared.append(b"before")
    parts = [RNG.randbytes(RNG.randrange(9)) for _ in range(3000)]
    piece = segments.shared.append_parts(parts)
    assert piece == (1, 6, len(b"".join(parts)))
    assert segments.read((piece,)) == b"".join(parts)


def test_alignment_leaves_a_gap(segments: Segments) -> None:
    segments.shared.append(b"x")
    assert segments.shared.append(b"y", align=4096) == (1, 4096, 1)
    assert segments.shared.append_parts([b"y"], align=8) == (1, 4104, 1)


def test_nothing_appended_is_an_empty_piece_without_a_file(segments: Segments) -> None:
    assert segments.shared.append(b"")[2] == 0
    assert segments.shared.append_parts([])[2] == 0
    assert list(segments.numbers()) == []


def test_a_full_segment_is_followed_by_another(segments: Segments, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mfs.blocks.segments.PRIVATE_LIMIT", 1000)
    appender = segments.appender()
    assert [appender.append(bytes(400))[:2] for _ in range(4)] == [(1, 0), (1, 400), (2, 0), (2, 400)]
    # A piece larger than the limit has a segment for itself.
    assert appender.append(bytes(5000)) == (3, 0, 5000)


def test_appenders_have_segments_of_their_own(segments: Segments) -> None:
    one, two = segments.appender(), segments.appender()
    assert {one.append(b"a")[0], two.append(b"b")[0], segments.shared.append(b"c")[0]} == {1, 2, 3}
    one.close()
    assert one.segment == 0
    assert one.append(b"d")[:2] == (4, 0)


def test_sync_makes_pieces_durable_and_says_so(segments: Segments) -> None:
    first = segments.shared.append(b"a" * 10)
    other = segments.appender().append(b"b")
    assert segments.unsynced(first) and segments.unsynced(other)
    segments.sync([first[0]])
    assert not segments.unsynced(first) and segments.unsynced(other)
    assert segments.synced(first[0]) == 10
    second = segments.shared.append(b"c")
    assert segments.unsynced(second) and not segments.unsynced(first)
    segments.sync()
    assert not segments.unsynced(second) and not segments.unsynced(other)
    assert not segments.unsynced((0, 0, 5))


def test_a_new_segments_directories_are_synced_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []

    def note(fd: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{fd}"))

    monkeypatch.setattr(os, "fdatasync", note)
    monkeypatch.setattr(os, "fsync", note)
    segments = Segments(tmp_path)
    segments.shared.append(b"a")
    segments.sync()
    shard = tmp_path / "0000000"
    assert synced == [str(shard / "0000000001"), str(shard), str(tmp_path)]
    synced.clear()
    segments.shared.append(b"a")
    segments.sync()
    segments.sync()
    assert synced == [str(shard / "0000000001")]
    segments.close()


def test_what_a_failed_sync_lost_and_the_kernel_let_go_of_stays_lost_and_a_new_segment_is_begun(
    segments: Segments, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = segments.shared.append(b"kept")
    segments.sync()
    lost = segments.shared.append(b"lost")

    def fail(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", fail)
        with pytest.raises(SegmentLost) as caught:
            segments.sync()
    assert (caught.value.errno, caught.value.segment, caught.value.start) == (errno.EIO, 1, 4)

    def forgotten(fd: int, buffers: object, offset: int, flags: int = 0) -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    with monkeypatch.context() as patched:
        patched.setattr(os, "preadv", forgotten)
        with pytest.raises(SegmentLost):
            segments.sync([1])
    assert segments.unsynced(lost) and not segments.unsynced(kept)
    after = segments.shared.append(b"after")
    assert after[0] == 2
    segments.sync([2])
    assert not segments.unsynced(after)
    segments.sync([1])
    assert not segments.unsynced(lost)


def test_what_was_given_back_is_not_written_again(segments: Segments, monkeypatch: pytest.MonkeyPatch) -> None:
    segments.shared.append(bytes(4096))
    garbage = segments.shared.append(b"x" * 8192)
    segments.shared.append(b"kept")
    segments.punch(*garbage)
    real, failures = os.fdatasync, iter([errno.EIO])

    def fail_once(fd: int) -> None:
        if code := next(failures, 0):
            raise OSError(code, os.strerror(code))
        real(fd)

    monkeypatch.setattr(os, "fdatasync", fail_once)
    segments.sync()
    assert segments.read(((1, 0, 4096 + 8192 + 4),)) == bytes(4096 + 8192) + b"kept"
    assert segments.stored_bytes() <= 2 * 4096


def test_one_failed_segment_does_not_keep_others_from_being_synced(
    segments: Segments, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = [segments.appender().append(b"x") for _ in range(3)]
    real = os.fdatasync

    def fail(fd: int) -> None:
        if os.readlink(f"/proc/self/fd/{fd}").endswith("1"):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(fd)

    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(SegmentLost) as caught:
        segments.sync()
    assert caught.value.errno == errno.ENOSPC
    assert [segments.unsynced(piece) for piece in pieces] == [True, False, False]


@pytest.mark.parametrize(
    "append", [lambda a, data: a.append(data), lambda a, data: a.append_parts([data[:9], data[9:]])]
)
def test_a_failed_append_leaves_the_tail_and_the_space(
    segments: Segments, monkeypatch: pytest.MonkeyPatch, append: Callable[..., tuple[int, int, int]]
) -> None:
    segments.shared.append(b"good")
    real = os.pwrite

    def part(fd: int, data: bytes | list[bytes], at: int) -> int:
        if at >= 100:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, b"".join(data)[: 100 - at] if isinstance(data, list) else data[: 100 - at], at)

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", part)
        patched.setattr(os, "pwritev", part)
        with pytest.raises(OSError, match="No space") as caught:
            append(segments.shared, bytes(500))
        assert caught.value.errno == errno.ENOSPC
        assert segments.size(1) == 4
        assert os.stat(segments.directory / "0000000" / "0000000001").st_size == 4
        assert append(segments.shared, b"0123456789ab") == (1, 4, 12)
    assert segments.read(((1, 0, 16),)) == b"good0123456789ab"


def test_a_missing_segment_is_damage(segments: Segments) -> None:
    with pytest.raises(SegmentDamaged, match="gone") as caught:
        segments.read(((9, 0, 1),))
    assert caught.value.errno == errno.EIO
    assert str(caught.value.filename).endswith("0000000009")


def test_a_segment_that_is_too_short_is_damage(tmp_path: Path) -> None:
    first = Segments(tmp_path)
    first.shared.append(b"abc")
    first.close()
    segments = Segments(tmp_path)
    with pytest.raises(SegmentDamaged, match="ends at byte 3"):
        segments.read(((1, 0, 5),))
    with pytest.raises(BlockingIOError):
        segments.read_nowait(((1, 0, 5),), 0, memoryview(bytearray(5)))
    segments.close()


def test_reading_without_waiting_refuses_what_is_not_in_memory(tmp_path: Path) -> None:
    first = Segments(tmp_path)
    piece = first.shared.append(RNG.randbytes(1 << 20))
    first.sync()
    first.close()
    path = tmp_path / "0000000" / "0000000001"
    segments = Segments(tmp_path)
    out = memoryview(bytearray(1 << 20))

    def refused(read: Callable[[int], object]) -> bool:
        """Once in a hundred times: the kernel may keep pages, and what is refused is read ahead meanwhile."""
        fd = os.open(path, os.O_RDONLY)
        try:
            for _ in range(100):
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                try:
                    read(fd)
                except BlockingIOError:
                    return True
                time.sleep(0.01)
            return False
        finally:
            os.close(fd)

    try:
        if not refused(lambda fd: os.preadv(fd, [bytearray(1)], 1 << 19, os.RWF_NOWAIT)):
            pytest.skip("this file system keeps the pages in memory")
    except OSError as error:
        pytest.skip(f"no RWF_NOWAIT on this file system: {error}")
    assert refused(lambda fd: segments.read_nowait((piece,), 0, out))
    segments.read_into((piece,), 0, out)
    segments.read_nowait((piece,), 0, out)
    segments.close()


def test_where_the_file_system_cannot_tell_reading_waits(segments: Segments, monkeypatch: pytest.MonkeyPatch) -> None:
    piece = segments.shared.append(b"abc")
    real = os.preadv

    def preadv(fd: int, buffers: list[memoryview], at: int, flags: int) -> int:
        if flags:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        return real(fd, buffers, at, flags)

    monkeypatch.setattr(os, "preadv", preadv)
    out = bytearray(3)
    segments.read_nowait((piece,), 0, memoryview(out))
    assert out == b"abc"


def test_few_files_are_kept_open(tmp_path: Path) -> None:
    writer = Segments(tmp_path)
    pieces = []
    for number in range(60):
        appender = writer.appender()
        pieces.append(appender.append(b"%d" % number))
        appender.close()
    writer.sync()
    assert open_in(tmp_path) == 0
    writer.close()
    reader = Segments(tmp_path, max_open=8)
    for _ in range(3):
        for number, piece in enumerate(pieces):
            assert reader.read((piece,)) == b"%d" % number
            assert open_in(tmp_path) <= 8
    reader.close()
    assert open_in(tmp_path) == 0


def open_in(directory: Path) -> int:
    count = 0
    for fd in os.listdir("/proc/self/fd"):
        try:
            count += os.readlink(f"/proc/self/fd/{fd}").startswith(str(directory))
        except FileNotFoundError:
            continue
    return count


def test_numbers_go_on_behind_the_highest(tmp_path: Path) -> None:
    first = Segments(tmp_path, minimum=1998)
    numbers = [first.appender().append(b"x")[0] for _ in range(5)]
    assert numbers == [1998, 1999, 2000, 2001, 2002]
    assert sorted(first.numbers()) == numbers
    first.close()
    second = Segments(tmp_path)
    for number in (2000, 2001, 2002):
        second.discard(number)
    assert second.shared.append(b"x")[0] == 2003
    second.close()
    os.unlink(tmp_path / "0000002" / "0000002003")
    third = Segments(tmp_path)
    assert third.shared.append(b"x")[0] == 2000
    third.close()


def test_the_shared_segment_is_gone_on_with_from_the_next_page(tmp_path: Path) -> None:
    first = Segments(tmp_path)
    first.shared.append(b"abc")
    number = first.shared.segment
    first.close()
    second = Segments(tmp_path, resume=number)
    assert second.shared.append(b"def") == (number, 4096, 3)
    assert second.read(((number, 0, 3),)) == b"abc"
    second.close()
    third = Segments(tmp_path, resume=77)
    assert third.shared.append(b"x")[0] == number + 1
    third.close()


def test_restored_bytes_come_back_and_nothing_is_appended_over_them(tmp_path: Path) -> None:
    first = Segments(tmp_path)
    first.shared.append(b"abc")
    first.close()
    second = Segments(tmp_path, resume=1)
    second.restore(1, 9000, b"logged")
    second.restore(1, 3, b"defg")
    assert second.unsynced((1, 3, 4)) and second.unsynced((1, 9000, 6)) and not second.unsynced((1, 0, 3))
    assert second.shared.append(b"new") == (1, 12288, 3)
    second.sync()
    assert not second.unsynced((1, 9000, 6))
    assert second.read(((1, 0, 7), (1, 9000, 6), (1, 12288, 3))) == b"abcdefgloggednew"
    second.close()


def test_a_segment_whose_file_was_lost_is_restored_under_its_number(tmp_path: Path) -> None:
    segments = Segments(tmp_path)
    segments.restore(1500, 10, b"logged")
    assert segments.read(((1500, 8, 8),)) == b"\0\0logged"
    assert segments.unsynced((1500, 10, 6))
    assert segments.shared.append(b"x")[0] == 1501
    segments.sync()
    assert not segments.unsynced((1500, 10, 6))
    segments.close()


def test_garbage_is_what_no_live_range_covers(segments: Segments) -> None:
    segments.shared.append(bytes(1000))
    assert segments.garbage(1, []) == [(0, 1000)]
    assert segments.garbage(1, [(0, 1000)]) == []
    assert segments.garbage(1, [(500, 600), (100, 200), (150, 300)], 50) == [(50, 100), (300, 500), (600, 1000)]
    assert segments.garbage(1, [(100, 5000)], 200) == []
    assert segments.garbage(1, [(2000, 5000)], 900) == [(900, 1000)]
    assert segments.garbage(1, [], 1000) == []
    assert segments.garbage(42, []) == []


def test_punching_gives_whole_pages_back(segments: Segments) -> None:
    data = RNG.randbytes(1 << 20)
    segments.shared.append(data)
    segments.sync()
    before = segments.stored_bytes()
    assert segments.punch(1, 100, 500_000) == 499_712 - 4096
    assert segments.stored_bytes() <= before - 480_000
    kept = segments.read(((1, 0, 4096), (1, 499_712, (1 << 20) - 499_712)))
    assert kept == data[:4096] + data[499_712:]
    assert segments.punch(1, 10, 4000) == 0


def test_the_end_of_a_segment_being_written_is_punched_not_cut(segments: Segments) -> None:
    segments.shared.append(bytes(10_000))
    assert segments.punch(1, 0, 10_000) == 8192
    assert segments.shared.append(b"x") == (1, 10_000, 1)


def test_the_end_of_a_finished_segment_is_cut_off(segments: Segments) -> None:
    appender = segments.appender()
    appender.append(b"a" * 10_000)
    appender.close()
    assert segments.punch(1, 100, 1 << 30) == 9900
    assert segments.size(1) == 100
    segments.sync()
    assert segments.size(1) == 100
    assert segments.read(((1, 0, 100),)) == b"a" * 100


def test_a_finished_segment_that_is_all_garbage_is_removed(segments: Segments) -> None:
    appender = segments.appender()
    piece = appender.append(b"a" * 10_000)
    segments.read((piece,))
    appender.close()
    assert segments.punch(1, 0, 10_000) == 10_000
    assert list(segments.numbers()) == []
    assert segments.stored_bytes() == 0
    with pytest.raises(SegmentDamaged):
        segments.read((piece,))
    segments.sync()
    assert segments.punch(1, 0, 10_000) == 0


def test_threads_read_and_sync_while_one_appends(tmp_path: Path) -> None:
    segments = Segments(tmp_path, max_open=4)
    pieces: list[tuple[tuple[int, int, int], bytes]] = []
    stop = threading.Event()
    failures: list[BaseException] = []

    def read() -> None:
        rng = random.Random(threading.get_ident())
        try:
            while not stop.is_set():
                if pieces:
                    piece, data = rng.choice(pieces)
                    assert segments.read((piece,)) == data
        except BaseException as error:  # noqa: BLE001  # told by the main thread
            failures.append(error)

    def sync() -> None:
        try:
            while not stop.is_set():
                known = list(pieces)
                segments.sync()
                assert not any(segments.unsynced(piece) for piece, _ in known)
        except BaseException as error:  # noqa: BLE001  # told by the main thread
            failures.append(error)

    threads = [threading.Thread(target=work) for work in (read, read, sync)]
    for thread in threads:
        thread.start()
    for number in range(300):
        appender = segments.appender() if number % 3 else segments.shared
        data = RNG.randbytes(50)
        pieces.append((appender.append(data), data))
        if appender is not segments.shared:
            appender.close()
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    segments.close()


def test_a_read_only_directory_is_not_changed(tmp_path: Path) -> None:
    first = Segments(tmp_path)
    piece = first.shared.append(b"abc")
    first.close()
    segments = Segments(tmp_path, read_only=True, resume=1)
    assert segments.read((piece,)) == b"abc"
    with pytest.raises(OSError, match="reading only"):
        segments.restore(1, 0, b"x")
    segments.close()
