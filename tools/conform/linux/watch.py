"""Watches over the process that tries the rules: it may die or hang, and is started again for those that are left."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

from rawfuse.mount import abort_connection
from rawfuse.mount.connections import fuse_connections

from ..probe import Probe, Result, Tier, Verdict
from .rules import Rule
from .run import LIMIT

__all__ = ["CannotTry", "Watch", "probe_of"]

_STARTING: Final = 60.0
"""Seconds that a process may take to say something, on a machine that is busy."""
_DYING: Final = 15.0
"""Seconds that a process may take to end."""


class CannotTry(Exception):
    """Nothing can be tried here; says what is missing."""


def _untried(_: object) -> None:
    raise NotImplementedError("a rule of the kernel is tried by a Watch")


def probe_of(rule: Rule) -> Probe:
    """A rule as reports take it. All of them are what Linux 6.18 does, and what servers were written for."""
    return Probe(rule.name, Tier.MUST, f"{rule.says}.", rule.source, _untried)


class Watch:
    """Tries rules on the running kernel.

    Args:
        rules: which.
        limit: seconds that a case may take.
        grace: seconds beyond it after which the process is ended, its own watchdog having failed.
        command: the process; it is given the limit and the names of rules besides.

    Attributes:
        facts: what the kernel says of itself, once the first result has come.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        *,
        limit: float = LIMIT,
        grace: float = 15.0,
        command: Sequence[str] = (sys.executable, "-m", f"{__package__}.worker"),
    ) -> None:
        self._left = {rule.name: rule for rule in rules}
        self._limit = limit
        self._grace = grace
        self._command = command
        self.facts: dict[str, Any] = {}

    def results(self) -> Iterator[Result]:
        """A result for each rule. Raises CannotTry where the kernel's FUSE cannot be used here."""
        while self._left:
            yield from self._one_process()

    def _one_process(self) -> Iterator[Result]:
        command = [*self._command, str(self._limit), *self._left]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
        # What it complains of goes to a file: nobody reads a pipe before it has ended.
        with (
            tempfile.TemporaryFile() as complaints,
            subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints, env=environment
            ) as worker,
        ):
            began: list[str] = []
            try:
                for line in self._lines(worker):
                    if "facts" in line:
                        self.facts = line["facts"]
                    elif "began" in line:
                        began = line["began"]
                    else:
                        began = []
                        yield self._result(line)
                hung = worker.poll() is None
            finally:
                self._end(worker)
            if not self._left:
                return
            complaints.seek(0)
            words = complaints.read().decode("utf-8", "replace").strip()
            if not began:
                raise CannotTry(words.splitlines()[-1] if words else f"exit status {worker.returncode}")
            yield self._lost(began, hung, words, worker.returncode)

    def _lines(self, worker: subprocess.Popen[bytes]) -> Iterator[dict[str, Any]]:
        """What it says, until it ends or says nothing for too long."""
        assert worker.stdout is not None
        fd = worker.stdout.fileno()
        rest, patience = b"", max(_STARTING, self._limit + self._grace)
        while select.select([fd], [], [], patience)[0]:
            patience = self._limit + self._grace
            data = os.read(fd, 1 << 16)
            if not data:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    worker.wait(_DYING)
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                yield json.loads(line)

    def _result(self, line: dict[str, Any]) -> Result:
        rule = self._left.pop(line["rule"])
        return Result(
            probe_of(rule),
            Verdict(line["verdict"]),
            line["sent"],
            line["expected"],
            line["seen"],
            line["reason"],
            seconds=line["seconds"],
        )

    def _lost(self, began: list[str], hung: bool, words: str, status: int | None) -> Result:
        name, trial, case = began
        rule = self._left.pop(name)
        during = f"{trial.replace('_', ' ')}: {case}".rstrip(": ")
        if hung:
            verdict, reason = Verdict.HUNG, f"while {during}; its connections were aborted"
        else:
            last = words.splitlines()[-1] if words else f"status {status}"
            verdict, reason = Verdict.CRASHED, f"the process that tried it ended while {during}: {last}"
        return Result(probe_of(rule), verdict, expected="an end of every trial", seen="none", reason=reason)

    @staticmethod
    def _end(worker: subprocess.Popen[bytes]) -> None:
        """Ends it for good. Who of it waits in the kernel does not die before its connection is aborted."""
        if worker.poll() is not None:
            return
        worker.kill()
        deadline = time.monotonic() + _DYING
        while worker.poll() is None and time.monotonic() < deadline:
            for connection in fuse_connections():
                if any(server.pid == worker.pid for server in connection.servers):
                    abort_connection(connection.number)
            time.sleep(0.05)
