"""What a chapter is made of: acts, and the messages that the kernel is expected to send for each, with the reason."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from .served import Make
from .stage import Act

__all__ = ["KERNEL", "Beat", "Chapter", "OneOf", "Scene", "Step", "Story", "versions"]

KERNEL: Final = ""
"""Who asks where no program does: the kernel by itself, in requests whose pid is 0."""


@dataclass(frozen=True)
class Beat:
    """One expected exchange, or several of a kind.

    Attributes:
        label: the request's, `LOOKUP`; `READ|WRITE` for any of several.
        path: what it is about, from the root of the mount; empty for anything.
        why: why the kernel asks, and what the answer does. `{path}`, `{size}` and the like stand for what the message
            says.
        by: the program that made the kernel ask, as the kernel calls it; None: the act's own.
        newpath: the second path of renames, links and copies; empty for any.
        given: members of the request and texts that must be among what they say.
        reply: a text that must be in what came of it; empty for any success.
        error: the name of the errno that is expected instead of a success.
        least, most: how often; most None: any number.
        anytime: it may come before or after what stands around it, as what the kernel does in the background.
        source: where that can be looked up.
    """

    label: str
    path: str
    why: str
    by: str | None = None
    newpath: str = ""
    given: tuple[tuple[str, str], ...] = ()
    reply: str = ""
    error: str = ""
    least: int = 1
    most: int | None = 1
    anytime: bool = False
    source: str = ""


@dataclass(frozen=True)
class OneOf:
    """Kernels and programs differ: what happens is one of these, told apart by what comes."""

    ways: tuple[tuple[Beat, ...], ...]


Story: TypeAlias = tuple[Beat | OneOf, ...]


def versions(story: Story) -> Iterator[tuple[Beat, ...]]:
    """Every way that the story can go."""
    choices = [part.ways if isinstance(part, OneOf) else ((part,),) for part in story]
    for chosen in itertools.product(*choices):
        yield tuple(itertools.chain.from_iterable(chosen))


@dataclass(frozen=True)
class Step:
    """One command.

    Attributes:
        title: what it shows.
        act: what is run; None: nothing, it shows what the mount itself has caused.
        story: what is expected.
        before: said before it; paragraphs are divided by empty lines.
        after: said behind it.
        status: the exit status that is expected, negative for a signal.
        output: a text that must be in what it prints.
    """

    title: str
    act: Act | None
    story: Story
    before: str = ""
    after: str = ""
    status: int = 0
    output: str = ""


@dataclass(frozen=True)
class Scene:
    """Steps on one mount of the server that `make` makes; `about` says what server that is."""

    make: Make
    about: str
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Chapter:
    """`number` from 1; `summary` one line; `intro` what is said first; `figure` lines that are shown as they are."""

    number: int
    title: str
    summary: str
    intro: str
    scenes: tuple[Scene, ...]
    figure: str = ""

    @property
    def steps(self) -> Iterator[Step]:
        """All of them, in order."""
        return itertools.chain.from_iterable(scene.steps for scene in self.scenes)
