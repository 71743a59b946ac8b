"""Which disks to try, and having them judged."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from .choices import Chosen, InTurn, every_choice
from .content import Pick
from .disk import Disk, Model
from .events import Event, Sync, described
from .rebuilt import Rebuilt

__all__ = ["Case", "Trial", "Verdict", "judged", "kept", "repeated", "trials"]


@dataclass(frozen=True)
class Case:
    """How to get one disk again: after `point` events, by these decisions."""

    model: Model
    sector: int
    point: int
    picks: tuple[int, ...]

    def encode(self) -> str:
        return json.dumps({"model": self.model, "sector": self.sector, "point": self.point, "picks": self.picks})

    @classmethod
    def decode(cls, text: str) -> Case:
        """The inverse of `encode`. Raises ValueError."""
        try:
            said: dict[str, Any] = json.loads(text)
            case = cls(said["model"], int(said["sector"]), int(said["point"]), tuple(map(int, said["picks"])))
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a case: {error}") from error
        if case.model not in ("ordered", "strict") or case.sector < 1:
            raise ValueError(f"not a case: model {case.model}, sector {case.sector}")
        return case


@dataclass(frozen=True)
class Trial:
    """One disk that a cut could have left. `marks` are those that were made before the cut."""

    case: Case
    rebuilt: Rebuilt
    marks: Sequence[str] = field(repr=False)


class _Noting:
    """Hands a decision on and notes it."""

    def __init__(self, pick: Pick) -> None:
        self._pick = pick
        self.picks: list[int] = []

    def __call__(self, what: str, options: int) -> int:
        chosen = self._pick(what, options)
        self.picks.append(chosen)
        return chosen


def trials(
    events: Sequence[Event],
    *,
    model: Model = "ordered",
    sector: int = 512,
    disks: int = 200,
    seed: str = "0",
    first: int = 0,
) -> Iterator[Trial]:
    """About `disks` different disks, in the order of their points; cuts before event `first` are left out.

    Where all that a cut at some point could leave is no more than that point's share, it is all tried. Otherwise it is
    chosen at random: half of the points where a sync is about to be answered, when most is at stake.
    """
    shares = _shares(events, disks, seed, first)
    disk = Disk(model, sector)
    seen: set[int] = set()
    for point in range(len(events) + 1):
        if point:
            disk.apply(events[point - 1])
        share = shares.get(point)
        if share is None:
            continue
        marks = tuple(disk.marks)
        for picks, rebuilt in _choices(disk, share, f"{seed}:{point}"):
            # Marks are part of what is judged: the same files may be right before a promise and wrong after it.
            fingerprint = hash((rebuilt.fingerprint(), len(marks)))
            if fingerprint not in seen:
                seen.add(fingerprint)
                yield Trial(Case(model, sector, point, tuple(picks)), rebuilt, marks)


def _shares(events: Sequence[Event], disks: int, seed: str, first: int) -> dict[int, int]:
    random = Random(seed)
    points = range(first, len(events) + 1)
    shares: dict[int, int] = {}
    if disks >= len(points):
        even, more = divmod(disks, len(points))
        extra = set(random.sample(points, more))
        return {point: even + (point in extra) for point in points}
    before_syncs = [point for point in points if point < len(events) and isinstance(events[point], Sync)] or [*points]
    for number in range(disks):
        point = random.choice(before_syncs if number % 2 else points)
        shares[point] = shares.get(point, 0) + 1
    return shares


def _choices(disk: Disk, share: int, seed: str) -> Iterator[tuple[Sequence[int], Rebuilt]]:
    every = list(itertools.islice(every_choice(disk.rebuild), share + 1)) if share > 1 else []
    if every and len(every) <= share:
        yield from every
        return
    for number in range(share):
        pick = _Noting(Chosen(f"{seed}:{number}"))
        rebuilt = disk.rebuild(pick)
        yield pick.picks, rebuilt


def repeated(events: Sequence[Event], case: Case) -> Trial:
    """The disk of a case again."""
    disk = Disk(case.model, case.sector)
    for event in events[: case.point]:
        disk.apply(event)
    return Trial(case, disk.rebuild(InTurn(list(case.picks))), tuple(disk.marks))


@dataclass(frozen=True)
class Verdict:
    """What a program said of a disk: its exit status (None: it did not end in time) and what it printed."""

    status: int | None
    output: str

    @property
    def good(self) -> bool:
        return self.status == 0


def judged(trial: Trial, command: Sequence[str], *, seconds: float = 60.0) -> Verdict:
    """Runs `command` on the files of a disk, in a directory that is gone afterwards.

    `{}` in an argument is the directory, `{marks}` a file with the marks made before the cut, one in a line; the
    environment has them as POWERCUT_FILES and POWERCUT_MARKS.
    """
    place = Path(tempfile.mkdtemp(prefix="powercut-"))
    try:
        files, marks = place / "files", place / "marks"
        files.mkdir()
        trial.rebuilt.write_to(files)
        marks.write_text("".join(f"{mark}\n" for mark in trial.marks))
        filled = [word.replace("{marks}", str(marks)).replace("{}", str(files)) for word in command]
        environment = {**os.environ, "POWERCUT_FILES": str(files), "POWERCUT_MARKS": str(marks)}
        with subprocess.Popen(
            filled, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment
        ) as checker:
            try:
                said, _ = checker.communicate(timeout=seconds)
            except subprocess.TimeoutExpired as late:
                _end(checker.pid)
                _end_daemons(f"POWERCUT_FILES={files}")
                return Verdict(None, f"no answer in {seconds:g} s\n" + (late.stdout or b"").decode("utf-8", "replace"))
        return Verdict(checker.returncode, said.decode("utf-8", "replace"))
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _end(pid: int) -> None:
    """Kills a process, then those that it has started. (A group of their own would keep Ctrl-C from all of them.)"""
    children: list[int] = []
    # OSError, ProcessLookupError among them: it has ended.
    with contextlib.suppress(OSError):
        # Stopped, it starts no more while they are counted.
        os.kill(pid, signal.SIGSTOP)
        for task in Path(f"/proc/{pid}/task").iterdir():
            children += map(int, (task / "children").read_text().split())
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)
    for child in children:
        _end(child)


def _end_daemons(variable: str) -> None:
    """Kills what the checker has started and let go of: this is in their environment, and in no other's."""
    mark, ended = variable.encode(), set[int]()
    while found := _with(mark) - ended:
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        # Until no new ones are there.
        ended |= found


def _with(variable: bytes) -> set[int]:
    """Processes that have it in their environment."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        # It has ended, or is another user's.
        with contextlib.suppress(OSError):
            if variable in (process / "environ").read_bytes().split(b"\0"):
                found.add(int(process.name))
    return found


def kept(trial: Trial, verdict: Verdict, events: Sequence[Event], directory: Path, number: int) -> Path:
    """Writes down a disk that was judged bad: its files, how to get it again, and what happened before the cut.

    It goes to the first `powercut-N` from `number` on that is not there: what an earlier check found stays.
    """
    numbers = itertools.count(number)
    while (place := directory / f"powercut-{next(numbers)}").exists():
        pass
    (place / "files").mkdir(parents=True)
    trial.rebuilt.write_to(place / "files")
    (place / "case.json").write_text(trial.case.encode() + "\n")
    (place / "marks").write_text("".join(f"{mark}\n" for mark in trial.marks))
    (place / "output").write_text(verdict.output)
    with open(place / "events", "w", encoding="utf-8", errors="backslashreplace") as file:
        for index, event in enumerate(events[: trial.case.point], 1):
            file.write(f"{index}\t{described(event)}\n")
    return place
