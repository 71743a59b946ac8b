"""Lives in processes of their own, with a limit of memory and a watch for hangs, and the sum of what came of them."""

from __future__ import annotations

import gc
import os
import resource
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any, Final

import trio

from . import kernel_role, mfs_role, server_role
from .corpus import Corpus
from .life import Finding, Hang, Life, logged
from .replay import Case, write_case

__all__ = ["ROLES", "Part", "Plan", "Report", "lived", "run"]

ROLES: Final = ("server", "kernel", "mfs")
_SIZES: Final = {"server": server_role.MESSAGES, "kernel": kernel_role.MESSAGES, "mfs": mfs_role.MESSAGES}
_CHUNK: Final = 10
_MIB: Final = 1 << 20


@dataclass(frozen=True)
class Plan:
    """What to do: messages in all, MiB for a process, seconds of patience with one message."""

    seed: str
    roles: tuple[str, ...]
    messages: int
    limit: int
    patience: float
    output: Path


@dataclass
class Part:
    """What came of a few lives in one process. Memory in bytes: the peak, and what is anonymous at the end."""

    role: str
    pid: int
    lives: int = 0
    messages: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    logged: int = 0
    peak: int = 0
    anonymous: int = 0


@dataclass
class Report:
    """The sum."""

    plan: Plan
    seconds: float = 0.0
    messages: int = 0
    lives: Counter[str] = field(default_factory=Counter)
    by_role: Counter[str] = field(default_factory=Counter)
    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    logged: int = 0
    peak: int = 0
    _anonymous: dict[int, tuple[int, int]] = field(default_factory=dict)

    def add(self, part: Part) -> None:
        """Counts a part in."""
        self.messages += part.messages
        self.lives[part.role] += part.lives
        self.by_role[part.role] += part.messages
        self.outcomes.setdefault(part.role, Counter()).update(part.outcomes)
        self.findings += part.findings
        self.logged += part.logged
        self.peak = max(self.peak, part.peak)
        first, _ = self._anonymous.get(part.pid, (part.anonymous, 0))
        self._anonymous[part.pid] = first, part.anonymous

    @property
    def growth(self) -> int:
        """Bytes of anonymous memory that a process had more after its last lives than after its first."""
        return max((last - first for first, last in self._anonymous.values()), default=0)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "seed": self.plan.seed,
            "messages": self.messages,
            "connections": sum(self.lives.values()),
            "seconds": round(self.seconds, 1),
            "messages_per_second": round(self.messages / self.seconds) if self.seconds else None,
            "peak_memory_mib": round(self.peak / _MIB, 1),
            "memory_growth_mib": round(self.growth / _MIB, 1),
            "log_lines": self.logged,
            "roles": {
                role: {"messages": self.by_role[role], "outcomes": dict(outcomes.most_common())}
                for role, outcomes in sorted(self.outcomes.items())
            },
            "findings": self.findings,
        }

    def separated(self) -> str:
        """The same as tab-separated lines: what, of which role, how much."""
        summary = self.as_dict()
        lines = ["what\trole\tvalue"]
        lines += [f"{key}\t\t{value}" for key, value in summary.items() if key not in ("roles", "findings")]
        for role, counted in summary["roles"].items():
            lines.append(f"messages\t{role}\t{counted['messages']}")
            lines += [f"{outcome}\t{role}\t{count}" for outcome, count in counted["outcomes"].items()]
        lines += [f"finding\t\t{finding}" for finding in self.findings] or ["findings\t\t0"]
        return "\n".join(lines)


@cache
def _corpus(seed: str) -> Corpus:
    return Corpus(seed)


@cache
def _answers(seed: str) -> kernel_role.Answers:
    return kernel_role.Answers(Random(f"answers {seed}"), _corpus(seed).asked)


class _Watch:
    """Raises Hang when a life has taken no message for so many seconds."""

    def __init__(self, life: Life, seconds: float) -> None:
        self._life = life
        self._seconds = seconds
        self._seen = -1

    def __enter__(self) -> None:
        signal.signal(signal.SIGALRM, self._look)
        signal.setitimer(signal.ITIMER_REAL, self._seconds, self._seconds)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _look(self, *_: object) -> None:
        if len(self._life.script) == self._seen:
            raise Hang(f"nothing for {self._seconds} s after message {self._seen}")
        self._seen = len(self._life.script)


def lived(plan: Plan, role: str, number: int) -> Life:
    """One life, judged. Its messages are what seed, role and number say."""
    life = Life(role, number)
    random = Random(f"{plan.seed} {role} {number}")
    corpus = _corpus(plan.seed)
    try:
        with logged() as log, _Watch(life, plan.patience):
            if role == "server":
                trio.run(server_role.live, life, random, corpus, server_role.MESSAGES)
            elif role == "kernel":
                kernel_role.live(life, random, corpus, _answers(plan.seed), kernel_role.MESSAGES)
            else:
                mfs_role.live(life, random, corpus, log, mfs_role.MESSAGES)
            life.logged = log.lines
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        life.findings.append(Finding.of("it ended with", error))
    return life


def _chunk(plan: Plan, role: str, first: int, lives: int) -> Part:
    """Runs in a process of its own."""
    if resource.getrlimit(resource.RLIMIT_DATA)[0] == resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_DATA, (plan.limit * _MIB, resource.RLIM_INFINITY))
    part = Part(role, os.getpid())
    kind = "W" if role == "kernel" else "R"
    for number in range(first, first + lives):
        life = lived(plan, role, number)
        part.lives += 1
        part.messages += sum(given == kind for given, _ in life.script)
        part.outcomes += life.outcomes
        part.logged += life.logged
        if life.findings:
            path = write_case(plan.output, Case(role, number, life.script, life.findings, plan.seed))
            part.findings.append(f"{life.findings[0].what} (rawfuse fuzz --replay {path})")
    gc.collect()
    # Not ru_maxrss, in which a new program goes on from the peak of whoever started it.
    part.peak = _memory("VmHWM")
    part.anonymous = _memory("RssAnon")
    return part


def _memory(field: str) -> int:
    """A field of /proc/self/status, in bytes."""
    with open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) << 10
    return 0


def run(plan: Plan, jobs: int) -> Iterator[Part]:
    """Lives until `plan.messages` messages were given, the roles in turns; the parts as they are ready."""
    left = {role: -(-plan.messages // len(plan.roles)) for role in plan.roles}
    underway = dict.fromkeys(plan.roles, 0)
    next_life = dict.fromkeys(plan.roles, 0)
    running: dict[Future[Part], tuple[str, int]] = {}
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        try:
            while True:
                for role in _wanted(left, underway, jobs + 1 - len(running)):
                    size = _SIZES[role]
                    lives = max(1, min(_CHUNK, -(-(left[role] - underway[role]) // size)))
                    future = pool.submit(_chunk, plan, role, next_life[role], lives)
                    running[future] = role, lives * size
                    next_life[role] += lives
                    underway[role] += lives * size
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    role, expected = running.pop(future)
                    part = future.result()
                    underway[role] -= expected
                    left[role] -= part.messages
                    yield part
        except BrokenProcessPool as error:
            lost = ", ".join(f"{role}" for role, _ in running.values())
            broken = Part(lost or "?", 0, findings=[f"a process died ({lost}): {error}"])
            yield broken
        finally:
            pool.shutdown(cancel_futures=True)


def _wanted(left: dict[str, int], underway: dict[str, int], places: int) -> Iterator[str]:
    """The roles that have most to do, one for each place that is free."""
    for _ in range(places):
        role = max(left, key=lambda role: left[role] - underway[role])
        if left[role] - underway[role] <= 0:
            return
        yield role
