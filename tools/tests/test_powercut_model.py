"""What a power cut can leave, without a kernel: files, names, syncs and choices by hand and by the hundred."""

from __future__ import annotations

import io
import stat
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.powercut.choices import Chosen, every_choice
from tools.powercut.disk import MODELS, Disk, Model
from tools.powercut.events import (
    ROOT,
    Event,
    Inode,
    Mark,
    Names,
    NotARecording,
    Resize,
    Sync,
    SyncFailed,
    Write,
    Zero,
    described,
    read_events,
    write_event,
)
from tools.powercut.rebuilt import Rebuilt
from tools.powercut.trial import Case, repeated, trials

SECTOR = 4
FILE = 2
BORN = (Inode(FILE, stat.S_IFREG | 0o644), Names(((ROOT, b"f", FILE),)))
THERE = (*BORN, Sync(FILE), Sync(ROOT))


def disk_after(model: Model, events: Sequence[Event]) -> Disk:
    disk = Disk(model, SECTOR)
    for event in events:
        disk.apply(event)
    return disk


def left(model: Model, *events: Event, name: bytes = b"f") -> set[bytes | None]:
    """Everything that can be in the file of this name after a cut; None where the name is absent."""
    return {
        rebuilt.bytes_of(name) if name in rebuilt.nodes[ROOT].names else None
        for _, rebuilt in every_choice(disk_after(model, events).rebuild)
    }


@pytest.mark.parametrize("model", MODELS)
def test_what_was_synced_stays(model: Model) -> None:
    assert left(model, *THERE, Write(FILE, 0, b"12345678"), Sync(FILE)) == {b"12345678"}


@pytest.mark.parametrize("model", MODELS)
def test_an_unsynced_overwrite_is_kept_dropped_or_torn_at_a_sector(model: Model) -> None:
    events = (*THERE, Write(FILE, 0, b"12345678"), Sync(FILE), Write(FILE, 0, b"abcdefgh"))
    assert left(model, *events) == {b"12345678", b"abcdefgh", b"abcd5678", b"1234efgh"}


@pytest.mark.parametrize("model", MODELS)
def test_writes_arrive_in_any_order(model: Model) -> None:
    events = (*THERE, Write(FILE, 0, b"12345678"), Sync(FILE), Write(FILE, 0, b"abcd"), Write(FILE, 4, b"efgh"))
    assert left(model, *events) == {b"12345678", b"abcd5678", b"1234efgh", b"abcdefgh"}


@pytest.mark.parametrize("model", MODELS)
def test_a_sector_never_has_a_later_write_without_an_earlier_one(model: Model) -> None:
    events = (*THERE, Write(FILE, 0, b"1234"), Sync(FILE), Write(FILE, 0, b"a"), Write(FILE, 3, b"d"))
    assert left(model, *events) == {b"1234", b"a234", b"a23d"}


def test_with_a_journal_appended_bytes_are_there_or_the_size_is_not() -> None:
    assert left("ordered", *THERE, Write(FILE, 0, b"12345678")) >= {b"", b"12345678", b"1234\0\0\0\0"}
    assert left("ordered", *THERE, Write(FILE, 0, b"1234")) == {b"", b"1234"}


def test_strictly_a_size_may_be_there_before_its_bytes() -> None:
    assert left("strict", *THERE, Write(FILE, 0, b"1234")) == {b"", b"1234", b"\0\0\0\0", b"\xa5\xa5\xa5\xa5"}


def test_old_bytes_of_others_never_stand_where_zeros_were_durable() -> None:
    events = (*THERE, Resize(FILE, 8), Sync(FILE), Write(FILE, 4, b"5678"))
    assert left("strict", *events) == {b"\0" * 8, b"\0\0\0\0" + b"5678"}


def test_with_a_journal_fsync_brings_the_name_of_a_new_file() -> None:
    assert left("ordered", *BORN, Write(FILE, 0, b"1234"), Sync(FILE)) == {b"1234"}
    assert left("strict", *BORN, Write(FILE, 0, b"1234"), Sync(FILE)) == {b"1234", None}
    assert left("strict", *BORN, Write(FILE, 0, b"1234"), Sync(FILE), Sync(ROOT)) == {b"1234"}


def test_with_a_journal_names_change_in_order() -> None:
    events = (*BORN, Names(((ROOT, b"g", FILE),)), Names(((ROOT, b"f", 0),)))
    found = {tuple(rebuilt.nodes[ROOT].names) for _, rebuilt in every_choice(disk_after("ordered", events).rebuild)}
    assert found == {(), (b"f",), (b"f", b"g"), (b"g",)}


def test_strictly_changes_of_different_names_are_lost_one_by_one() -> None:
    events = (
        *BORN,
        Inode(3, stat.S_IFREG | 0o644),
        Names(((ROOT, b"g", 3),)),
    )
    found = {frozenset(rebuilt.nodes[ROOT].names) for _, rebuilt in every_choice(disk_after("strict", events).rebuild)}
    assert found == {frozenset(), frozenset({b"f"}), frozenset({b"g"}), frozenset({b"f", b"g"})}


@pytest.mark.parametrize("model", MODELS)
def test_a_rename_is_atomic(model: Model) -> None:
    events = (*THERE, Inode(3, stat.S_IFDIR | 0o755), Names(((ROOT, b"d", 3),)), Sync(3), Sync(ROOT))
    moved = (*events, Names(((ROOT, b"f", 0), (3, b"f", FILE))))
    for _, rebuilt in every_choice(disk_after(model, moved).rebuild):
        assert (b"f" in rebuilt.nodes[ROOT].names) != (b"f" in rebuilt.nodes[3].names)


def test_fdatasync_brings_the_first_name_but_no_later_one() -> None:
    renamed = (*BORN, Names(((ROOT, b"f", 0), (ROOT, b"g", FILE))))
    assert left("ordered", *renamed, Sync(FILE, data_only=True)) == {b"", None}
    assert left("ordered", *renamed, Sync(FILE)) == {None}


@pytest.mark.parametrize("model", MODELS)
def test_a_cut_of_a_file_is_kept_or_lost(model: Model) -> None:
    events = (*THERE, Write(FILE, 0, b"12345678"), Sync(FILE), Resize(FILE, 2))
    assert left(model, *events) >= {b"12345678", b"12"}
    assert left(model, *events, Sync(FILE)) == {b"12"}


def test_with_a_journal_what_follows_a_lost_cut_is_lost_where_the_file_had_not_been() -> None:
    events = (*THERE, Write(FILE, 0, b"12345678"), Sync(FILE), Resize(FILE, 0), Write(FILE, 0, b"abcd"))
    assert left("ordered", *events) == {b"12345678", b"", b"abcd"}


@pytest.mark.parametrize("model", MODELS)
def test_a_hole_is_zeros_once_it_is_durable(model: Model) -> None:
    events = (*THERE, Write(FILE, 0, b"123456789012"), Sync(FILE), Zero(FILE, 2, 8))
    assert left(model, *events) >= {b"123456789012", b"12" + b"\0" * 8 + b"12"}
    assert left(model, *events, Sync(FILE)) == {b"12" + b"\0" * 8 + b"12"}


@pytest.mark.parametrize("model", MODELS)
def test_what_a_failed_sync_lost_is_not_saved_by_the_next_one(model: Model) -> None:
    events = (*THERE, Write(FILE, 0, b"1234"), Sync(FILE), Write(FILE, 0, b"abcd"), SyncFailed(FILE), Sync(FILE))
    assert left(model, *events) == {b"1234", b"abcd"}
    assert left(model, *events, Write(FILE, 0, b"abcd"), Sync(FILE)) == {b"abcd"}


@pytest.mark.parametrize("model", MODELS)
def test_written_again_bytes_bring_the_size_that_a_failed_sync_lost(model: Model) -> None:
    events = (*THERE, Write(FILE, 0, b"12345678"), SyncFailed(FILE))
    assert b"" in left(model, *events, Sync(FILE))
    assert left(model, *events, Write(FILE, 0, b"12345678"), Sync(FILE)) == {b"12345678"}


def test_hard_links_are_links_again(tmp_path_factory: pytest.TempPathFactory) -> None:
    top = tmp_path_factory.mktemp("links")
    disk_after("strict", (*THERE, Names(((ROOT, b"g", FILE),)), Sync(ROOT))).whole().write_to(top)
    assert (top / "f").samefile(top / "g")


SAMPLES: tuple[Event, ...] = (
    *THERE,
    Inode(3, stat.S_IFLNK | 0o777, b"\xfftarget"),
    Names(((ROOT, b"\xff\n", 3), (ROOT, b"f", 0))),
    Write(FILE, 1 << 40, b'{"event": 1}\n'),
    Resize(FILE, 0),
    Zero(FILE, 1, 2),
    Sync(FILE, data_only=True),
    SyncFailed(FILE),
    Mark("promised\nthis"),
)


def test_a_recording_reads_as_it_was_written() -> None:
    file = io.BytesIO()
    for event in SAMPLES:
        write_event(file, event)
    file.seek(0)
    assert tuple(read_events(file)) == SAMPLES
    assert all("\n" not in described(event) or isinstance(event, Mark) for event in SAMPLES[:4])


@pytest.mark.parametrize("text", [b"", b"anything\n", b'{"powercut": 1}\n{}\n', b'{"powercut": 1}\n{"event": "x"}\n'])
def test_a_file_that_is_no_recording_is_refused(text: bytes) -> None:
    with pytest.raises(NotARecording):
        list(read_events(io.BytesIO(text)))


def test_a_recording_that_ends_early_is_refused() -> None:
    file = io.BytesIO()
    write_event(file, Write(FILE, 0, b"12345678"))
    with pytest.raises(NotARecording, match="ends 1 bytes early"):
        list(read_events(io.BytesIO(file.getvalue()[:-1])))


def changes() -> st.SearchStrategy[Event]:
    small = st.integers(0, 20)
    inos = st.sampled_from([2, 3])
    names = st.sampled_from([b"a", b"b", b"f"])
    return st.one_of(
        st.builds(Write, inos, small, st.binary(min_size=1, max_size=12)),
        st.builds(Resize, inos, small),
        st.builds(Zero, inos, small, small),
        st.builds(Sync, st.sampled_from([ROOT, 2, 3]), st.booleans()),
        st.builds(lambda name, ino: Names(((ROOT, name, ino),)), names, st.sampled_from([0, 2, 3])),
        st.builds(lambda old, new: Names(((ROOT, old, 0), (ROOT, new, 2))), names, names),
    )


histories = st.lists(changes(), max_size=12).map(
    lambda events: (Inode(2, stat.S_IFREG | 0o644), Inode(3, stat.S_IFREG | 0o600), *events)
)


def shown(rebuilt: Rebuilt) -> dict[bytes, bytes]:
    return {name: rebuilt.bytes_of(name) for name in rebuilt.nodes[ROOT].names}


@given(histories, st.sampled_from(MODELS))
def test_nothing_is_lost_where_all_is_kept(events: tuple[Event, ...], model: Model) -> None:
    want: dict[bytes, int] = {}
    files = {2: b"", 3: b""}
    for event in events:
        match event:
            case Write(ino, offset, data):
                old = files[ino].ljust(offset, b"\0")
                files[ino] = old[:offset] + data + old[offset + len(data) :]
            case Resize(ino, size):
                files[ino] = files[ino][:size].ljust(size, b"\0")
            case Zero(ino, offset, length):
                old = files[ino]
                stop = min(len(old), offset + length)
                files[ino] = old[:offset] + bytes(max(0, stop - offset)) + old[max(offset, stop) :]
            case Names(edits):
                for _, name, ino in edits:
                    want.pop(name, None)
                    if ino:
                        want[name] = ino
    assert shown(disk_after(model, events).whole()) == {name: files[ino] for name, ino in want.items()}


@given(histories, st.sampled_from(MODELS), st.text(max_size=3))
def test_after_syncing_everything_there_is_one_disk_left(events: tuple[Event, ...], model: Model, seed: str) -> None:
    disk = disk_after(model, (*events, Sync(2), Sync(3), Sync(ROOT)))
    assert shown(disk.rebuild(Chosen(seed))) == shown(disk.whole())


@given(histories, st.sampled_from(MODELS), st.text(max_size=3))
def test_every_disk_can_be_had_again(events: tuple[Event, ...], model: Model, seed: str) -> None:
    for trial in trials(events, model=model, sector=SECTOR, disks=30, seed=seed):
        case = Case.decode(trial.case.encode())
        assert shown(repeated(events, case).rebuilt) == shown(trial.rebuilt)


@given(histories, st.sampled_from(MODELS), st.text(max_size=3))
def test_a_rebuilt_disk_stays_what_it_is_when_more_happens(events: tuple[Event, ...], model: Model, seed: str) -> None:
    disk = Disk(model, SECTOR)
    before = []
    for event in events:
        disk.apply(event)
        rebuilt = disk.rebuild(Chosen(seed))
        before.append((rebuilt, shown(rebuilt), rebuilt.fingerprint()))
    for rebuilt, was, fingerprint in before:
        assert shown(rebuilt) == was
        assert rebuilt.fingerprint() == fingerprint


def test_small_recordings_are_tried_exhaustively() -> None:
    events = (*THERE, Write(FILE, 0, b"12345678"), Sync(FILE), Write(FILE, 0, b"abcdefgh"), Mark("x"))
    found = list(trials(events, model="strict", sector=SECTOR, disks=2000))
    assert {trial.rebuilt.bytes_of(b"f") for trial in found if trial.marks} == left("strict", *events[:-1])


def test_marks_are_those_made_before_the_cut() -> None:
    events = (*THERE, Mark("one"), Write(FILE, 0, b"1"), Mark("two"))
    marks = {trial.case.point: trial.marks for trial in trials(events, disks=1000)}
    # A disk that was tried already, at an earlier point, is left out.
    assert {made for point, made in marks.items() if point < 5} == {()}
    assert marks[5] == ("one",)
    assert marks[7] == ("one", "two")
