"""SQLite in a mount: rollback and WAL journals, several processes writing, killed servers."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from mfs.tests.mounting import Mount
from mfs.tests.programs import run

pytestmark = pytest.mark.kernel("root")

JOURNALS = ["delete", "truncate", "persist", "wal"]
WRITERS = 4
ROWS = 40

# One writer: transactions of a row each, some of them rolled back.
WRITER = """
import sqlite3, sys
path, writer, rows = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
database = sqlite3.connect(path, timeout=60, isolation_level=None)
database.execute("PRAGMA synchronous = NORMAL")
for row in range(rows):
    database.execute("BEGIN IMMEDIATE")
    (total,) = database.execute("SELECT count(*) FROM rows").fetchone()
    database.execute("INSERT INTO rows VALUES (?, ?, ?, ?)", (writer, row, total, bytes(range(256)) * (row % 20)))
    if row % 7 == 3:
        database.execute("ROLLBACK")
        database.execute("BEGIN IMMEDIATE")
        (total,) = database.execute("SELECT count(*) FROM rows").fetchone()
        database.execute("INSERT INTO rows VALUES (?, ?, ?, x'')", (writer, row, total))
    database.execute("COMMIT")
"""


def create(path: Path, journal: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        assert database.execute(f"PRAGMA journal_mode = {journal}").fetchone() == (journal,)
        database.execute("CREATE TABLE rows (writer, row, total UNIQUE, data, PRIMARY KEY (writer, row))")


def check(path: Path) -> list[tuple[int, int]]:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return database.execute("SELECT writer, row FROM rows ORDER BY writer, row").fetchall()


@pytest.mark.parametrize("journal", JOURNALS)
def test_several_processes_write_one_database(mfs_mount: Mount, journal: str) -> None:
    path = mfs_mount.path / "database"
    create(path, journal)
    processes = [
        subprocess.Popen([sys.executable, "-c", WRITER, path, str(number), str(ROWS)]) for number in range(WRITERS)
    ]
    assert [process.wait() for process in processes] == [0] * WRITERS
    expected = [(writer, row) for writer in range(WRITERS) for row in range(ROWS)]
    assert check(path) == expected
    mfs_mount.remount()
    assert check(path) == expected


@pytest.mark.parametrize("journal", JOURNALS)
def test_what_was_committed_survives_a_killed_server(mfs_mount: Mount, journal: str) -> None:
    path = mfs_mount.path / "database"
    create(path, journal)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        # Where a WAL is not synced at every commit, a commit may be lost; the database must not be harmed.
        database.execute("PRAGMA synchronous = FULL")
        for row in range(ROWS):
            database.execute("INSERT INTO rows VALUES (0, ?, ?, zeroblob(?))", (row, row, row * 100))
        database.execute("BEGIN")
        database.execute("UPDATE rows SET data = zeroblob(50000)")
        mfs_mount.kill()
        with pytest.raises(sqlite3.Error):
            database.execute("COMMIT")
    mfs_mount.remount()
    assert check(path) == [(0, row) for row in range(ROWS)]


@pytest.mark.kernel(programs=("sqlite3",))
@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_the_sqlite3_program_sees_what_python_writes_meanwhile(mfs_mount: Mount, journal: str) -> None:
    path = mfs_mount.path / "database"
    create(path, journal)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        for row in range(5):
            database.execute("INSERT INTO rows VALUES (1, ?, ?, zeroblob(5000))", (row, row))
            assert (
                run("sqlite3", path, "SELECT count(*), sum(length(data)) FROM rows")
                == f"{row + 1}|{row * 5000 + 5000}\n"
            )
        run("sqlite3", path, "DELETE FROM rows WHERE row < 3; VACUUM;")
        assert database.execute("SELECT row FROM rows ORDER BY row").fetchall() == [(3,), (4,)]
    run("sqlite3", path, f".backup {mfs_mount.path}/backup")
    dump = run("sqlite3", path, ".dump")
    assert run("sqlite3", mfs_mount.path / "backup", ".dump") == dump
    run("sqlite3", path, "PRAGMA journal_mode = delete")
    mfs_mount.remount()
    assert run("sqlite3", path, "PRAGMA integrity_check", ".dump") == f"ok\n{dump}"


def test_a_database_read_and_written_through_mmap(mfs_mount: Mount) -> None:
    path = mfs_mount.path / "database"
    create(path, "wal")
    with closing(sqlite3.connect(path, isolation_level=None)) as one, closing(sqlite3.connect(path)) as two:
        for database in (one, two):
            assert database.execute(f"PRAGMA mmap_size = {1 << 30}").fetchone() == (1 << 30,)
        for row in range(100):
            one.execute("INSERT INTO rows VALUES (1, ?, ?, randomblob(10000))", (row, row))
            assert two.execute("SELECT count(*) FROM rows").fetchone() == (row + 1,)
        two.close()
        one.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        one.execute("VACUUM")
    assert len(check(path)) == 100
