"""Recording what programs do to real files, and judging what cuts leave of it."""

from __future__ import annotations

import errno
import json
import mmap
import os
import sqlite3
import sys
from pathlib import Path

import pytest

from rawfuse.tests.waiting import until
from tools.powercut import main
from tools.powercut.events import ROOT, Mark, Names, Resize, Sync, SyncFailed, Write, Zero
from tools.powercut.faults import Fault
from tools.powercut.recording import Recording, load, recording

pytestmark = pytest.mark.kernel("root")

# Fills a database, and says what has been committed.
SQLITE_FILL = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
for setting in sys.argv[2:]:
    db.execute(f"pragma {setting}")
db.execute("create table t (n integer primary key, text)")
print("made", flush=True)
for n in range(6):
    db.execute("begin")
    db.execute("insert into t values (?, ?)", (n, str(n) * 300))
    db.execute("update t set text = text || 'x' where n < ?", (n,))
    db.execute("commit")
    print(n, flush=True)
"""
# Everything committed is there, nothing is there by halves. With "atomic" the last of it may be missing.
SQLITE_JUDGE = """
import sqlite3, sys
promised = open(sys.argv[2]).read().split()
db = sqlite3.connect(sys.argv[1])
assert db.execute("pragma integrity_check").fetchall() == [("ok",)]
rows = []
if db.execute("select * from sqlite_master").fetchall():
    rows = db.execute("select n, text from t order by n").fetchall()
    assert rows == [(n, str(n) * 300 + "x" * (len(rows) - 1 - n)) for n in range(len(rows))], rows
assert "atomic" in sys.argv or len(rows) >= len(promised) - 1, (len(rows), promised)
"""
# A database of one number in one file: written anew beside it, renamed over it.
TINY_FILL = """
import os, sys
top = sys.argv[1]
for n in range(5):
    with open(f"{top}/new", "w") as file:
        file.write(str(n))
        file.flush()
        if "file" in sys.argv:
            os.fsync(file.fileno())
    os.rename(f"{top}/new", f"{top}/number")
    if "directory" in sys.argv:
        fd = os.open(top, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
    os.setxattr(top, "user.powercut.mark", str(n).encode())
"""
TINY_JUDGE = """
import os, sys
promised = open(sys.argv[2]).read().split()
found = open(f"{sys.argv[1]}/number").read() if os.path.exists(f"{sys.argv[1]}/number") else "-1"
assert int(found) >= int(promised[-1] if promised else -1), (found, promised)
"""


def record(tmp_path: Path, *command: str) -> Path:
    log = tmp_path / "log"
    assert main(["record", str(log), "--", sys.executable, "-c", *command]) == 0
    return log


def check(log: Path, judge: str, *arguments: str, options: tuple[str, ...] = ("--disks", "100")) -> int:
    fixed = ["--output", str(log.parent), "--jobs", "2", "--findings", "1", "--json"]
    return main(["check", str(log), *options, *fixed, "--", sys.executable, "-c", judge, *arguments])


@pytest.mark.parametrize(
    ("settings", "promise"),
    [((), "atomic"), (("synchronous=extra",), ""), (("journal_mode=wal", "synchronous=full"), "")],
)
def test_sqlite_keeps_its_promises(settings: tuple[str, ...], promise: str, tmp_path: Path) -> None:
    log = record(tmp_path, SQLITE_FILL, "{}/db", *settings)
    assert check(log, SQLITE_JUDGE, "{}/db", "{marks}", promise) == 0


def test_sqlite_that_does_not_sync_is_caught(tmp_path: Path) -> None:
    log = record(tmp_path, SQLITE_FILL, "{}/db", "synchronous=off")
    assert check(log, SQLITE_JUDGE, "{}/db", "{marks}", "atomic") == 1


@pytest.mark.parametrize(
    ("syncs", "model", "status"),
    [
        (("file", "directory"), "both", 0),
        (("directory",), "ordered", 1),
        (("file",), "ordered", 1),
        ((), "strict", 1),
    ],
)
def test_a_database_that_forgets_to_sync_is_caught(
    syncs: tuple[str, ...], model: str, status: int, tmp_path: Path
) -> None:
    log = record(tmp_path, TINY_FILL, "{}", *syncs)
    assert check(log, TINY_JUDGE, "{}", "{marks}", options=("--disks", "100", "--model", model)) == status


def test_a_bad_disk_is_kept_and_can_be_tried_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = record(tmp_path, TINY_FILL, "{}")
    assert check(log, TINY_JUDGE, "{}", "{marks}") == 1
    said = capsys.readouterr()
    (place,) = json.loads(said.out)["bad"]
    assert f"bad: {place}, cut after event " in said.err
    kept = Path(place)
    assert {path.name for path in kept.iterdir()} == {"case.json", "events", "files", "marks", "output"}
    assert "Traceback" in (kept / "output").read_text()
    assert check(log, TINY_JUDGE, "{}", "{marks}", options=("--repeat", str(kept / "case.json"))) == 1


@pytest.mark.parametrize("started", ["echo $$ >> {pids}; sleep 1000; true", "setsid sleep 1000 & echo $! >> {pids}"])
def test_a_checker_that_does_not_end_is_ended_with_what_it_started(
    started: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, pids = record(tmp_path, TINY_FILL, "{}"), tmp_path / "pids"
    judge = f"import subprocess; subprocess.run(['sh', '-c', {started.format(pids=pids)!r}])"
    pids.touch()
    assert check(log, judge, options=("--disks", "4", "--patience", "2")) == 1
    (place,) = json.loads(capsys.readouterr().out)["bad"]
    assert (Path(place) / "output").read_text().startswith("no answer in 2 s\n")
    until(lambda: not any(_runs(pid) for pid in pids.read_text().split()))


def _runs(pid: str) -> bool:
    try:
        return b"sleep 1000" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def test_what_an_earlier_check_kept_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = record(tmp_path, TINY_FILL, "{}")
    places: list[str] = []
    for _ in range(2):
        assert check(log, TINY_JUDGE, "{}", "{marks}", options=("--findings", "1")) == 1
        places += json.loads(capsys.readouterr().out)["bad"]
    assert len(set(places)) == 2
    assert all((Path(place) / "case.json").exists() for place in places)


def test_what_a_program_prints_is_marked_and_passed_on(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log = record(tmp_path, "print('one'); print('two')")
    assert capfd.readouterr().out == "one\ntwo\n"
    assert load(log) == [Mark("one"), Mark("two")]
    assert main(["show", str(log)]) == 0
    assert capfd.readouterr().out == "1\tmark one\n2\tmark two\n"


def test_files_can_be_there_from_the_start(tmp_path: Path) -> None:
    (tmp_path / "origin" / "sub").mkdir(parents=True)
    (tmp_path / "origin" / "sub" / "file").write_bytes(b"there")
    log = tmp_path / "log"
    arguments = ["record", str(log), "--from", str(tmp_path / "origin"), "--"]
    assert main([*arguments, sys.executable, "-c", "print('begin')"]) == 0
    judge = "import sys; assert not open(sys.argv[2]).read() or open(sys.argv[1] + '/sub/file').read() == 'there'"
    assert check(log, judge, "{}", "{marks}") == 0


def test_the_status_of_a_recorded_program_is_passed_on(tmp_path: Path) -> None:
    assert main(["record", str(tmp_path / "log"), "--", sys.executable, "-c", "raise SystemExit(7)"]) == 7


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["record", "log"], "name a COMMAND to run"),
        (["check", "/nowhere", "--", "true"], "No such file"),
        (["record", "log", "--no-such", "--", "true"], "unrecognized arguments: --no-such"),
        (["check", __file__, "--", "true"], "this is not a recording"),
        (["show", __file__], "this is not a recording"),
    ],
)
def test_a_wrong_command_line_is_explained(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.fixture
def disk(tmp_path: Path) -> object:
    with recording(tmp_path / "log") as recorded:
        yield recorded


def test_everything_done_to_files_is_recorded(disk: Recording) -> None:
    top = disk.path
    fd = os.open(top / "f", os.O_RDWR | os.O_CREAT)
    os.pwrite(fd, b"12345678", 3)
    os.ftruncate(fd, 5)
    os.fdatasync(fd)
    os.fsync(fd)
    os.posix_fallocate(fd, 0, 100)
    os.close(fd)
    os.rename(top / "f", top / "g")
    os.link(top / "g", top / "h")
    os.unlink(top / "g")
    os.mkdir(top / "d")
    os.close(os.open(top / "h", os.O_WRONLY | os.O_TRUNC))
    ino = os.stat(top / "h").st_ino
    directory = os.stat(top / "d").st_ino
    events = disk.events()
    assert [event for event in events if isinstance(event, Names)] == [
        Names(((ROOT, b"f", ino),)),
        Names(((ROOT, b"f", 0), (ROOT, b"g", ino))),
        Names(((ROOT, b"h", ino),)),
        Names(((ROOT, b"g", 0),)),
        Names(((ROOT, b"d", directory),)),
    ]
    assert [event for event in events if isinstance(event, Write | Resize | Zero | Sync)] == [
        Write(ino, 3, b"12345678"),
        Resize(ino, 5),
        Sync(ino, data_only=True),
        Sync(ino),
        Resize(ino, 100),
        Resize(ino, 0),
    ]


@pytest.mark.parametrize("flag", [os.O_SYNC, os.O_DSYNC])
def test_writing_with_sync_flags_is_writing_and_syncing(flag: int, disk: Recording) -> None:
    fd = os.open(disk.path / "f", os.O_WRONLY | os.O_CREAT | flag)
    os.write(fd, b"1234")
    os.close(fd)
    write, sync = disk.events()[-2:]
    assert isinstance(write, Write)
    assert sync == Sync(write.ino, data_only=flag == os.O_DSYNC)


def test_a_shared_mapping_is_recorded_when_it_is_synced(disk: Recording) -> None:
    with open(disk.path / "f", "w+b") as file:
        file.truncate(8192)
        with mmap.mmap(file.fileno(), 8192) as mapped:
            mapped[4096:4100] = b"1234"
            mapped.flush()
        assert [event for event in disk.events() if isinstance(event, Write)][-1].data.startswith(b"1234")
        assert isinstance(disk.events()[-1], Sync)


def test_a_database_with_shared_memory_works_on_it(disk: Recording) -> None:
    with sqlite3.connect(disk.path / "db") as db:
        assert db.execute("pragma journal_mode=wal").fetchone() == ("wal",)
        db.execute("create table t (n)")
        db.execute("insert into t values (1)")
    db.close()


def test_calls_fail_where_a_fault_is(disk: Recording) -> None:
    fd = os.open(disk.path / "f", os.O_RDWR | os.O_CREAT)
    disk.fault(Fault(("write",), errno.EIO, after=1, times=1))
    os.pwrite(fd, b"1", 0)
    with pytest.raises(OSError) as failed:
        os.pwrite(fd, b"2", 1)
    assert failed.value.errno == errno.EIO
    os.pwrite(fd, b"3", 2)
    disk.fault(Fault(("sync",), errno.EIO, within="f"))
    with pytest.raises(OSError):
        os.fsync(fd)
    os.fsync(fd)
    os.close(fd)
    counts = disk.counts()
    assert (counts["write"], counts["sync"], counts["refused"]) == (3, 2, 2)
    assert [type(event) for event in disk.events()][-2:] == [SyncFailed, Sync]


def test_a_full_disk_takes_what_fits_and_says_so(disk: Recording) -> None:
    disk.space(100_000)
    fd = os.open(disk.path / "f", os.O_RDWR | os.O_CREAT)
    assert os.pwrite(fd, b"x" * 50_000, 0) == 50_000
    with pytest.raises(OSError) as full:
        for at in range(50_000, 150_000, 1000):
            os.pwrite(fd, b"x" * 1000, at)
    assert full.value.errno == errno.ENOSPC
    disk.space(1 << 30)
    assert os.pwrite(fd, b"y" * 60_000, 50_000) == 60_000
    os.close(fd)


def test_an_unknown_fault_is_refused(disk: Recording) -> None:
    for value in (b"{}", b"[]", b'{"kinds": ["fire"], "errno": 5}', b"text"):
        with pytest.raises(OSError) as refused:
            os.setxattr(disk.path, "user.powercut.fault", value)
        assert refused.value.errno == errno.EINVAL
