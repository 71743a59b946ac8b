"""The exercises: one for each chapter, with what a learner begins with and what judges the answer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from . import contents, lives
from .trial import Check, Finding, Trial, Verdict, judge, learners

__all__ = ["EXERCISES", "Exercise", "Finding", "Trial", "Verdict", "judge", "learners"]

_NOQA = re.compile(r" *# noqa:.*")


@dataclass(frozen=True)
class Exercise:
    """`number`: that of its chapter. `file`: of the skeleton. `name`: the class that is looked for there."""

    number: int
    title: str
    file: str
    name: str
    check: Check

    @property
    def skeleton(self) -> str:
        """The file that a learner begins with."""
        text = (Path(__file__).parent / "skeletons" / self.file).read_text("ascii")
        return "\n".join(_NOQA.sub("", line) for line in text.split("\n"))


EXERCISES = {
    one.number: one
    for one in (
        Exercise(1, "agree on limits", "limits.py", "Limits", contents.limits),
        Exercise(2, "a long listing", "listing.py", "Stars", contents.listings),
        Exercise(3, "a file that is nowhere", "reading.py", "Numbers", contents.reads),
        Exercise(4, "a note that can be changed", "writing.py", "Note", contents.writes),
        Exercise(5, "a copy in one message", "copying.py", "Copier", contents.copying),
        Exercise(6, "when may an inode go?", "lifetimes.py", "Lifetimes", lives.lifetimes),
        Exercise(7, "what the kernel does not know to be old", "mapping.py", "Board", lives.notices),
        Exercise(8, "waiting, and being called off", "waiting.py", "Bell", lives.waiting),
    )
}
