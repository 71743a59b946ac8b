"""A learner's server on trial: mounted, asked, and judged by what it answers."""

from __future__ import annotations

import errno
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Final, TypeAlias

from rawfuse import Filesystem
from rawfuse.trace.exchanges import Exchange
from rawfuse.wire.replies import answered

from ...decode.lines import name_of
from ..served import Make
from ..stage import PYTHON, Act, Ran, Stage, StageError

__all__ = ["Check", "Finding", "Trial", "Verdict", "judge", "learners"]

PATIENCE: Final = 5.0
"""Seconds for one command, after which the server is held to hang."""

_MOST: Final = 200
"""Messages of one command: several times as many as any of them needs."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: whether it is right, what it is, and where it is wrong a hint.

    `shown` is the message that shows it.
    """

    good: bool
    text: str
    hint: str = ""
    shown: Exchange | None = None


Check: TypeAlias = "Callable[[Trial], Iterator[Finding]]"


@dataclass
class Verdict:
    """What was found, up to the first thing that is wrong. `said`: what the server printed and logged."""

    findings: list[Finding] = field(default_factory=list)
    said: str = ""

    @property
    def good(self) -> bool:
        """Whether the exercise is solved."""
        return bool(self.findings) and all(finding.good for finding in self.findings)


class _Stopped(Exception):
    """A command did not come to its end; the finding says why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.text)
        self.finding = finding


class Trial:
    """A stage with the learner's server on it, for checks to run commands on."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.all: list[Exchange] = list(stage.started().exchanges)
        """Every exchange so far."""

    def shell(self, line: str, hint: str = "") -> Ran:
        """Runs a line of the shell beside the mount point `mnt`; `hint` is for the case that it hangs."""
        return self.run(Act(("sh", "-c", line), line), hint)

    def python(self, program: str) -> Ran:
        """Runs a Python program there."""
        return self.run(Act((PYTHON, "-I", "-S", "-c", program), program))

    def run(self, act: Act, hint: str = "") -> Ran:
        """Runs an act. What hangs, floods or ends the server ends the check."""
        ran = self._stage.run(act)
        self.all += ran.exchanges
        fate = self._stage.fate()
        shown = act.shown or " ".join(act.words)
        if ran.trouble:
            waiting = next((one for one in reversed(ran.exchanges) if _unanswered(one)), None)
            hint = hint or _HANGS
            if "without an end" in ran.trouble:
                waiting = ran.exchanges[-1] if ran.exchanges else None
                hint = "Look at what the last of them asks for, and what the ones before it were answered."
            raise _Stopped(Finding(False, f"`{shown}`: {ran.trouble}.", hint, waiting))
        if fate:
            last = ran.exchanges[-1] if ran.exchanges else None
            raise _Stopped(Finding(False, f"During `{shown}` the connection ended: {fate}.", _SAID, last))
        return ran

    def of(self, label: str, path: str = "", *, ran: Ran | None = None) -> list[Exchange]:
        """The exchanges of a label (`READ|WRITE`: of several), about a path where one is named."""
        labels = label.split("|")
        found = self.all if ran is None else ran.exchanges
        return [one for one in found if name_of(one) in labels and (not path or one.path == path.encode())]


def _unanswered(exchange: Exchange) -> bool:
    return exchange.answer is None and exchange.request is not None and answered(exchange.request.opcode)


_HANGS: Final = "A handler that must wait is an `async def`, and waits with trio; one that blocks stops the server."
_SAID: Final = "What it said is below."


def judge(check: Check, make: Make, directory: Path, *, patience: float = PATIENCE) -> Verdict:
    """Mounts the learner's server below `directory` and checks it. A server that fails is a verdict, not an error.

    Raises MountError where nothing can be mounted.
    """
    verdict = Verdict()
    stage = Stage(make, directory, patience=patience, most=_MOST)
    with stage:
        try:
            trial = Trial(stage)
            for finding in check(trial):
                verdict.findings.append(finding)
                if not finding.good:
                    break
        except StageError as error:
            last = error.said.splitlines()[-1:] or [_HANGS]
            verdict.findings.append(Finding(False, f"The server did not come up: {error}.", last[0]))
        except _Stopped as stopped:
            verdict.findings.append(stopped.finding)
        if verdict.good and stage.refusals:
            verdict.findings.append(Finding(False, f"All that was asked for is right, but {stage.refusals[0]}."))
        verdict.said = stage.said
    return verdict


def learners(file: Path, name: str) -> Make:
    """Makes the file system that the class `name` in `file` is, when it is called: in the server's own process.

    Raises FileNotFoundError and the like at once, where the file cannot be read.
    """
    with open(file, "rb"):
        pass

    def make() -> Filesystem:
        module = _module(file)
        found = getattr(module, name, None)
        if found is None:
            classes = ", ".join(key for key, value in vars(module).items() if isinstance(value, type))
            raise LookupError(f"{file} has no class {name}; it has {classes or 'none'}")
        filesystem = found()
        if not isinstance(filesystem, Filesystem):
            raise TypeError(f"{name} in {file} is a {type(filesystem).__name__}, not a rawfuse.Filesystem")
        return filesystem

    return make


def _module(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("learner", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file}: not a Python file; its name should end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["learner"] = module
    sys.path.insert(0, os.path.dirname(os.path.abspath(file)))
    spec.loader.exec_module(module)
    return module


def errno_of(exchange: Exchange | None) -> str:
    """The name of the errno that was answered; empty for success."""
    return errno.errorcode.get(exchange.error, str(exchange.error)) if exchange is not None and exchange.error else ""
