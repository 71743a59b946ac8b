"""Running rules: every case of every trial on its own; what was sent, expected and seen."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from ..probe import Verdict
from .rules import Rule
from .stage.script import STANDING
from .trial import Broken, Case, NotPossible, Trial

__all__ = ["LIMIT", "Outcome", "interruptible", "summed", "try_case", "try_rule"]

LIMIT: Final = 20.0
"""Seconds after which a case is taken to hang, and its connections are aborted."""


@dataclass(frozen=True)
class Outcome:
    """What came of one case of a trial.

    Attributes:
        verdict: PASSED, FAILED, HUNG or INAPPLICABLE.
        sent: the last messages both ways, a line each, where it did not pass.
        expected, seen: as text, where the rule is broken.
        reason: why it was not tried.
    """

    trial: str
    case: str
    verdict: Verdict
    sent: tuple[str, ...] = ()
    expected: str = ""
    seen: str = ""
    reason: str = ""

    @property
    def name(self) -> str:
        """The trial's, and the case's where it has several."""
        return f"{self.trial}: {self.case}" if self.case else self.trial


@contextmanager
def interruptible() -> Generator[None, None, None]:
    """Callers get signals in some trials, which must not end the process."""
    before = signal.signal(signal.SIGUSR1, lambda number, frame: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


class _Watchdog:
    """Aborts what a case has made when it takes too long; who waits in the kernel then gets an error."""

    def __init__(self, limit: float) -> None:
        self.bit = False
        self._timer = threading.Timer(limit, self._bite)
        self._timer.daemon = True

    def __enter__(self) -> _Watchdog:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _bite(self) -> None:
        self.bit = True
        for standing in [*STANDING]:
            standing.end()


def try_case(trial: Trial, one: Case, kind: str, *, limit: float = LIMIT) -> Outcome:
    """Tries one case on the "real" kernel or the "fake" one. Raises nothing of what goes wrong in it."""
    STANDING.clear()
    words = trial.name.replace("_", " ")
    with _Watchdog(limit) as watchdog:
        expected, seen = "the script runs to its end", ""
        try:
            trial.try_one(kind, one)
        except Broken as error:
            expected, seen = f"{error.what}: {error.expected}" if error.what else error.expected, error.seen
        except NotPossible as error:
            return Outcome(words, one.id, Verdict.INAPPLICABLE, reason=str(error))
        except Exception as error:  # noqa: BLE001 - a kernel that does otherwise breaks scripts in ways nobody foresaw
            seen = f"{type(error).__name__}: {error}"
        finally:
            for standing in STANDING:
                standing.end()
    if watchdog.bit:
        return Outcome(words, one.id, Verdict.HUNG, _sent(), f"an end within {limit:g} s", seen or "none")
    if not seen:
        return Outcome(words, one.id, Verdict.PASSED)
    return Outcome(words, one.id, Verdict.FAILED, _sent(), expected, seen)


def _sent() -> tuple[str, ...]:
    return tuple(line for standing in STANDING for line in standing.transcript)


def try_rule(
    rule: Rule, kind: str, *, began: Callable[[Trial, Case], None] = lambda trial, case: None, limit: float = LIMIT
) -> list[Outcome]:
    """Tries every case of every trial; `began` is told of each first."""
    outcomes = []
    for trial in rule.trials:
        for one in trial.cases:
            began(trial, one)
            outcomes.append(try_case(trial, one, kind, limit=limit))
    return outcomes


_WORST: Final = (Verdict.CRASHED, Verdict.HUNG, Verdict.FAILED, Verdict.PASSED, Verdict.INAPPLICABLE)


def summed(outcomes: Sequence[Outcome]) -> Outcome:
    """One outcome for a rule: the worst verdict, what was sent in the first bad case, expected and seen in each.

    Where every case passed, `expected` names the trials, and `seen` says in how many cases it was so.
    """
    verdict = min((one.verdict for one in outcomes), key=_WORST.index)
    bad = [one for one in outcomes if one.verdict not in (Verdict.PASSED, Verdict.INAPPLICABLE)]
    left = [one for one in outcomes if one.verdict is Verdict.INAPPLICABLE]
    reason = "; ".join(dict.fromkeys(one.reason for one in left))
    if bad:
        first = bad[0]
        expected = "; ".join(f"{one.name}: {one.expected}" for one in bad)
        seen = "; ".join(f"{one.name}: {one.seen}" for one in bad)
        return Outcome(first.trial, first.case, verdict, first.sent, expected, seen, reason)
    trials = "; ".join(dict.fromkeys(one.trial for one in outcomes if one.verdict is Verdict.PASSED))
    passed = len(outcomes) - len(left)
    seen = f"as expected, in {passed} {'case' if passed == 1 else 'cases'}" if passed else ""
    return Outcome("", "", verdict, (), trials, seen, f"not all cases: {reason}" if reason and passed else reason)
