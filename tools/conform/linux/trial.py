"""Trials: short functions that play a server towards a kernel and say what they expect of it.

    @trial(on=connected)
    @over("number", [errno.EINTR, 511])
    def an_errno_reaches_the_caller(kernel: Kernel, number: int) -> None:
        finish = kernel.call(GETATTR)
        same(kernel.write(error(kernel.expect(c.FUSE_GETATTR), number)), 0)
        same(outcome(finish), errno.errorcode[number])

`on` is what the trial is given, made for the kernel that it is tried on ("real" or "fake"); `over` is what it is tried
with, one case each. What is not as expected is raised as Broken, what cannot be tried here as NotPossible.
"""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, TypeVar

__all__ = [
    "Broken",
    "Case",
    "NotPossible",
    "Said",
    "Trial",
    "case",
    "holds",
    "needs_root",
    "of",
    "over",
    "raises",
    "same",
    "said",
    "trial",
]

T = TypeVar("T")


class Broken(Exception):
    """The kernel did something else than the rule says.

    Attributes:
        what: what was looked at.
        expected, seen: as text.
    """

    def __init__(self, what: str, expected: str, seen: str) -> None:
        super().__init__(f"{what}: expected {expected}, seen {seen}" if what else f"expected {expected}, seen {seen}")
        self.what = what
        self.expected = expected
        self.seen = seen


class NotPossible(Exception):
    """What a trial needs is not to be had here; says what."""


def needs_root(what: str) -> None:
    """Raises NotPossible where this process is not root, or is so in a user namespace; `what` only root can."""
    # Of a namespace that an ordinary user made, one id alone is mapped.
    if os.geteuid() != 0 or Path("/proc/self/uid_map").read_text().split()[:3] != ["0", "0", str(2**32 - 1)]:
        raise NotPossible(f"root alone can {what}")


class Said(int):
    """What a system call said: 0 or an errno."""

    def __repr__(self) -> str:
        return errno.errorcode.get(self, str(int(self))) if self else "0 (taken)"


def said(call: Callable[[], object]) -> Said:
    """Makes a call and gives what it said: 0 or an errno."""
    try:
        call()
    except OSError as failed:
        return Said(failed.errno or errno.EIO)
    return Said(0)


def _text(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:150]}... ({len(text)} characters)"


def same(seen: object, expected: object, what: str = "") -> None:
    """Raises Broken where the two differ."""
    if seen != expected:
        shown = Said(expected) if isinstance(seen, Said) and isinstance(expected, int) else expected
        raise Broken(what, _text(shown), _text(seen))


def holds(condition: object, what: str) -> None:
    """Raises Broken where the condition is not met; `what` says it."""
    if not condition:
        raise Broken("", what, "that it is not so")


def of(kind: type[T], seen: object) -> T:
    """`seen`, which has to be a `kind`: a request that the kernel was expected to send. Raises Broken otherwise."""
    if not isinstance(seen, kind):
        raise Broken("", kind.__name__, _text(seen))
    return seen


@contextmanager
def raises(kind: type[BaseException], number: int = 0) -> Generator[None, None, None]:
    """Raises Broken unless the block raises that, with that errno where one is given."""
    try:
        yield
    except kind as error:
        if number:
            same(Said(getattr(error, "errno", 0) or 0), number)
    else:
        raise Broken("", kind.__name__, "nothing raised")


@dataclass(frozen=True)
class Case:
    """What a trial is tried with: arguments by name."""

    id: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class _Values:
    id: str
    values: tuple[Any, ...]


def case(*values: Any, id: str) -> Any:
    """One element of `over` with a name of its own."""
    return _Values(id, values)


def _named(value: object) -> str:
    if isinstance(value, type):
        return value.__name__
    name = getattr(value, "name", None)
    text = name if isinstance(name, str) else str(getattr(value, "opcode", value))
    return text if len(text) <= 40 and " at 0x" not in text else type(value).__name__


def _values(names: Sequence[str], value: Any, name: Callable[[Any], str]) -> _Values:
    if isinstance(value, _Values):
        return value
    values = tuple(value) if len(names) > 1 else (value,)
    return _Values("-".join(name(one) for one in values), values)


def over(
    names: str | Sequence[str], values: Iterable[Any], *, ids: Callable[[Any], str] | Sequence[str] | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Tries the function with each of `values`, in the parameters `names`. Several of these give every combination."""
    listed = [names] if isinstance(names, str) else list(names)
    named = ids if callable(ids) else _named
    made = [_values(listed, value, named) for value in values]
    if ids is not None and not callable(ids):
        made = [_Values(id_, one.values) for id_, one in zip(ids, made, strict=True)]
    cases = [Case(one.id, dict(zip(listed, one.values, strict=True))) for one in made]

    def apply(function: Callable[..., None]) -> Callable[..., None]:
        function.__dict__["over"] = [cases, *function.__dict__.get("over", [])]
        return function

    return apply


@dataclass(frozen=True)
class Trial:
    """One trial.

    Attributes:
        name: the function's, which says what it shows.
        run: the function.
        on: makes what the function is given first; its argument is "real" or "fake".
        cases: at least one.
    """

    name: str
    run: Callable[..., None]
    on: Callable[[str], AbstractContextManager[Any]]
    cases: tuple[Case, ...]

    def try_one(self, kind: str, one: Case) -> None:
        """Raises Broken, NotPossible, or whatever a broken script raises."""
        with self.on(kind) as stage:
            self.run(stage, **one.arguments)


def _product(dimensions: list[list[Case]]) -> tuple[Case, ...]:
    return tuple(
        Case(
            ", ".join(one.id for one in chosen),
            {key: value for one in chosen for key, value in one.arguments.items()},
        )
        for chosen in itertools.product(*dimensions)
    )


def trial(*, on: Callable[[str], AbstractContextManager[T]]) -> Callable[[Callable[Concatenate[T, ...], None]], Trial]:
    """Makes a trial of a function whose first parameter is what `on` makes."""

    def apply(function: Callable[Concatenate[T, ...], None]) -> Trial:
        dimensions = function.__dict__.get("over", [])
        return Trial(function.__name__, function, on, _product(dimensions))

    return apply
