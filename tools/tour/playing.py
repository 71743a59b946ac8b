"""Playing a chapter: its acts on a real mount, what came held against the story."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rawfuse.trace import TraceWriter

from .matching import Telling, is_told, match
from .stage import Ran, Stage
from .story import Scene, Step

__all__ = ["Played", "on_stage", "program"]


@dataclass(frozen=True)
class Played:
    """A step that was played: what came of its act, and that in the words of its story."""

    step: Step
    ran: Ran
    telling: Telling
    refusals: tuple[str, ...] = ()

    @property
    def departures(self) -> list[str]:
        """In what it was not as told; empty where it was."""
        found = [f"not in the story: {len(self.telling.unexpected)} messages"] if self.telling.unexpected else []
        if self.telling.missing:
            found.append(
                "did not come: " + ", ".join(f"{one.label} {one.path}".strip() for one in self.telling.missing)
            )
        if self.ran.trouble:
            found.append(self.ran.trouble)
        elif self.ran.status != self.step.status:
            found.append(f"exit status {self.ran.status}, not {self.step.status}")
        if self.step.output not in self.ran.text:
            found.append(f"the output has no {self.step.output!r}")
        return [*found, *self.refusals]


def program(step: Step) -> str:
    """The name of the program of a step's act."""
    return step.act.words[0] if step.act is not None and step.act.words else ""


@contextmanager
def on_stage(scene: Scene, trace: TraceWriter | None = None) -> Iterator[Callable[[Step], Played]]:
    """Mounts a scene's server while the block runs; gives what plays its steps, to be called in their order.

    The messages go to `trace` as well.

    Raises StageError, MountError.
    """
    with (
        tempfile.TemporaryDirectory(prefix="rawfuse-tour-") as directory,
        Stage(scene.make, Path(directory), trace=trace) as stage,
    ):
        started = stage.started()

        def play(step: Step) -> Played:
            by = program(step)
            if step.act is None:
                ran = started
            else:
                ran = stage.run(step.act, functools.partial(is_told, step, program=by))
            refusals = tuple(stage.refusals)
            stage.refusals.clear()
            return Played(step, ran, match(step.story, ran.exchanges, by), refusals)

        yield play
