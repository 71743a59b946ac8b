"""Running one rule: all of its trials on one kernel, each case on its own; what was sent, expected and seen."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .rules import Rule
from .stage.script import STANDING
from .trial import Broken, Case, NotPossible, Trial

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["BROKEN", "KEPT", "NOT_TRIED", "Outcome", "interruptible", "try_case", "try_rule"]

KEPT: Final = "kept"
BROKEN: Final = "broken"
NOT_TRIED: Final = "not tried"


@dataclass(frozen=True)
class Outcome:
    """What came of one case of a trial.

    Attributes:
        verdict: KEPT, BROKEN or NOT_TRIED.
        sent: the last messages both ways, a line each, where the rule is broken.
        expected, seen: as text, where the rule is broken; `seen` is the reason where it was not tried.
    """

    trial: str
    case: str
    verdict: str
    sent: tuple[str, ...] = ()
    expected: str = ""
    seen: str = ""


@contextmanager
def interruptible() -> Generator[None, None, None]:
    """Callers get signals in some trials, which must not end the process."""
    before = signal.signal(signal.SIGUSR1, lambda number, frame: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


def try_case(trial: Trial, one: Case, kind: str) -> Outcome:
    """Tries one case. Never raises but for what ends the process."""
    STANDING.clear()
    words = trial.name.replace("_", " ")
    try:
        trial.try_one(kind, one)
    except Broken as error:
        expected = f"{error.what}: {error.expected}" if error.what else error.expected
        return Outcome(words, one.id, BROKEN, _sent(), expected, error.seen)
    except NotPossible as error:
        return Outcome(words, one.id, NOT_TRIED, seen=str(error))
    except Exception as error:  # noqa: BLE001 - a kernel that does otherwise breaks scripts in ways nobody foresaw
        return Outcome(words, one.id, BROKEN, _sent(), "the script runs to its end", f"{type(error).__name__}: {error}")
    finally:
        for standing in STANDING:
            standing.end()
    return Outcome(words, one.id, KEPT)


def _sent() -> tuple[str, ...]:
    return tuple(line for standing in STANDING for line in standing.transcript)


def try_rule(
    rule: Rule, kind: str, *, began: Callable[[Trial, Case], None] = lambda trial, case: None
) -> list[Outcome]:
    """Tries every case of every trial; `began` is told of each first."""
    outcomes = []
    for trial in rule.trials:
        for one in trial.cases:
            began(trial, one)
            outcomes.append(try_case(trial, one, kind))
    return outcomes
