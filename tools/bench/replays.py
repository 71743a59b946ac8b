"""Rows of recorded work: what git and sqlite ask of MFS in a mount, asked again without one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import sleep

from rawfuse.trace.opening import read_trace
from rawfuse.trace.record import DamagedTrace

from ..replay.foreseen import foresee
from ..replay.player import Player, ServerGone, ServerHangs
from ..replay.served import served_there
from .ground import Ground, Measure, Samples, in_turns
from .machine import Unavailable, run

FILES = 300
TRANSACTIONS = 200
_WRITTEN = 1.5
"""Seconds after which all of a trace is in its file (`rawfuse.trace.keeping` writes it out twice a second)."""
_PYTHON = sys.executable

# Small transactions in a rollback journal, an index, a table that is read and rewritten, and the vacuum.
_SQLITE = """
import sqlite3, sys
db = sqlite3.connect("work.db", isolation_level=None)
db.execute("create table t (number integer primary key, text text)")
for transaction in range(int(sys.argv[1])):
    db.execute("begin")
    db.executemany("insert into t (text) values (?)", [(f"row {transaction} {row} " * 20,) for row in range(10)])
    db.execute("commit")
db.execute("create index i on t (text)")
assert db.execute("select count(*) from t").fetchone()[0] == 10 * int(sys.argv[1])
db.execute("update t set text = text || '!' where number % 7 = 0")
db.execute("vacuum")
db.close()
"""


def git(place: Path, count: int) -> None:
    """A repository of `count` files: added, committed, changed, a branch, the log, packed. Raises Unavailable."""
    if shutil.which("git") is None:
        raise Unavailable("git is not here")
    where = ("git", "-C", place, "-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "gc.auto=0")
    run("git", "init", "-q", "-b", "main", place)
    for number in range(count):
        directory = place / f"d{number % 10}"
        directory.mkdir(exist_ok=True)
        (directory / f"file{number}").write_text(f"line of {number}\n" * (number % 50 + 1))
    run(*where, "add", ".")
    run(*where, "commit", "-q", "-m", "first")
    run(*where, "checkout", "-q", "-b", "side")
    for number in range(0, count, 3):
        (place / f"d{number % 10}" / f"file{number}").write_text(f"changed {number}\n")
    run(*where, "status", "--short")
    run(*where, "commit", "-q", "-a", "-m", "second")
    run(*where, "checkout", "-q", "main")
    run(*where, "log", "--stat", "--all")
    run(*where, "gc", "-q")


def sqlite(place: Path, count: int) -> None:
    """`count` transactions of ten rows. Raises Unavailable."""
    done = subprocess.run([_PYTHON, "-c", _SQLITE, str(count)], cwd=place, capture_output=True, text=True)
    if done.returncode:
        raise Unavailable(f"sqlite: {done.stderr.strip().splitlines()[-1]}")


WORK: dict[str, tuple[Callable[[Path, int], None], int]] = {"git": (git, FILES), "sqlite": (sqlite, TRANSACTIONS)}
_MFS = (_PYTHON, "-m", "mfs", "mount", "--repo")
_MEMORY = (_PYTHON, "-m", "rawfuse.cli", "mount", "rawfuse.examples.memory:MemoryFS", "{}")


def replay(name: str) -> Measure:
    """Microseconds that a request takes in the mean, played to MFS and to the example in memory."""

    def measure(ground: Ground) -> Samples:
        trace = _recorded(ground, name)
        repositories = iter(range(1000))

        def mfs() -> float:
            place = ground.disk / f"{name}-{next(repositories)}"
            try:
                return played(trace, (*_MFS, str(place), "{}"))
            finally:
                shutil.rmtree(place, ignore_errors=True)

        return in_turns(ground.settings.times(3), mfs, lambda: played(trace, _MEMORY, another=True))

    return measure


def _recorded(ground: Ground, name: str) -> Path:
    """The trace of that work alone: the mount is made anew, and its trace with it."""
    work, count = WORK[name]
    ground.ours.restart()
    place = ground.ours.mount / name
    place.mkdir()
    work(place, ground.settings.count(count))
    os.sync()
    sleep(_WRITTEN)
    trace = ground.disk / f"{name}.pcapng"
    shutil.copyfile(ground.ours.trace, trace)
    return trace


def played(trace: Path, command: Sequence[str], *, another: bool = False) -> float:
    """The mean over all requests, from the request to its reply. Raises Unavailable where the server fails."""
    try:
        served = served_there(command, quiet=True)
        try:
            player = Player(served.socket, foresee(read_trace(trace)), ignored=("*",), another=another)
            for _ in player.play(read_trace(trace)):
                continue
        finally:
            served.end()
    except (ServerGone, ServerHangs, DamagedTrace, OSError) as problem:
        raise Unavailable(f"{command[2]}: {problem}") from problem
    latencies = [one for of_one in player.outcome.latencies.values() for one in of_one]
    if not latencies:
        raise Unavailable(f"{trace} has no request that could be played")
    return sum(latencies) / len(latencies) / 1000
