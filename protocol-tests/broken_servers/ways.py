"""Ways to break something, short enough for a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from broken_servers.middle import END, Asked, Broken, Kept, Said
from rawfuse.examples.memory import MemoryFS

__all__ = [
    "answers",
    "argument",
    "body",
    "dies",
    "edits",
    "errno_of",
    "forgives",
    "lost",
    "mute",
    "resized",
    "rewrites",
    "serves",
    "twice",
    "unasked",
]

When = Callable[[Any], object]


def _always(_: Any) -> bool:
    return True


def _labels(label: str) -> frozenset[str]:
    return frozenset(label.split())


def edits(label: str, cls: Any, change: Callable[..., None], *, when: When = _always, offset: int = 0) -> Broken:
    """Changes a struct in successful replies: `change(struct, asked)`."""
    labels = _labels(label)

    def say(said: Said, kept: Kept) -> None:
        if said.ok and said.asked and said.asked.label in labels and len(said.body) >= cls.SIZE and when(said.asked):
            value = said.take(cls, offset)
            change(value, said.asked)
            said.put(value, offset)

    return Broken(say=say)


def body(label: str, change: Callable[[bytes, Asked], bytes], *, when: When = _always) -> Broken:
    """Changes the bytes of successful replies."""
    labels = _labels(label)

    def say(said: Said, kept: Kept) -> None:
        if said.ok and said.asked and said.asked.label in labels and when(said.asked):
            said.body = bytearray(change(bytes(said.body), said.asked))

    return Broken(say=say)


def resized(label: str, by: int = 1) -> Broken:
    """Successful replies are longer by so many bytes, or shorter."""
    return body(label, lambda found, asked: found + bytes(by) if by > 0 else found[:by])


def errno_of(label: str, number: int, *, old: int | None = None, when: When = _always) -> Broken:
    """Another errno: in the place of `old`, or else of success."""
    labels = _labels(label)

    def say(said: Said, kept: Kept) -> None:
        if said.asked and said.asked.label in labels and said.errno == (old or 0) and when(said.asked):
            said.fail(number)

    return Broken(say=say)


def forgives(
    label: str, old: int, with_body: bytes | Callable[[Asked], bytes] = b"", *, when: When = _always
) -> Broken:
    """Success in the place of an errno."""
    labels = _labels(label)

    def say(said: Said, kept: Kept) -> None:
        if said.asked and said.asked.label in labels and said.errno == old and when(said.asked):
            said.succeed(with_body(said.asked) if callable(with_body) else with_body)

    return Broken(say=say)


def argument(label: str, change: Callable[..., None], *, when: When = _always) -> Broken:
    """The server is told something else than was asked: `change(arg, asked)` of the request's first struct."""
    labels = _labels(label)

    def ask(asked: Asked, kept: Kept) -> None:
        if asked.label in labels and asked.request is not None and when(asked):
            arg = asked.arg()
            change(arg, asked)
            packed = arg.pack()
            asked.body[: len(packed)] = packed

    return Broken(ask=ask)


def rewrites(label: str, change: Callable[[Asked], object], *, when: When = _always) -> Broken:
    """As `argument`, of the message itself."""
    labels = _labels(label)

    def ask(asked: Asked, kept: Kept) -> None:
        if asked.label in labels and when(asked):
            change(asked)

    return Broken(ask=ask)


def answers(
    label: str, reply: Callable[[Asked], bytes] | bytes = b"", *, number: int = 0, when: When = _always
) -> Broken:
    """The server is not asked; this is the answer."""
    labels = _labels(label)

    def ask(asked: Asked, kept: Kept) -> Iterable[Said] | None:
        if asked.label not in labels or not when(asked):
            return None
        found = reply(asked) if callable(reply) else reply
        return [Said(number, asked.unique, bytearray(found), asked)]

    return Broken(ask=ask)


def lost(label: str, *, when: When = _always) -> Broken:
    """The server never sees it, and nobody answers."""
    labels = _labels(label)
    return Broken(ask=lambda asked, kept: [] if asked.label in labels and when(asked) else None)


def mute(label: str, *, when: When = _always) -> Broken:
    """Done, and not answered."""
    labels = _labels(label)
    return Broken(say=lambda said, kept: [] if said.asked and said.asked.label in labels and when(said.asked) else None)


def twice(label: str, *, when: When = _always) -> Broken:
    """Answered twice."""
    labels = _labels(label)

    def say(said: Said, kept: Kept) -> Iterable[bytes] | None:
        return [said.message()] * 2 if said.asked and said.asked.label in labels and when(said.asked) else None

    return Broken(say=say)


def dies(label: str, *, when: When = _always) -> Broken:
    """The server ends when it is asked this."""
    labels = _labels(label)

    def ask(asked: Asked, kept: Kept) -> None:
        if asked.label in labels and when(asked):
            raise END

    return Broken(ask=ask)


def unasked(label: str, message: Callable[[Asked], bytes], *, when: When = _always) -> Broken:
    """Something is sent besides when this is asked."""
    labels = _labels(label)

    def ask(asked: Asked, kept: Kept) -> None:
        if asked.label in labels and when(asked):
            kept.files.setdefault("soon", []).append(message(asked))

    def say(said: Said, kept: Kept) -> Iterable[bytes]:
        return [*kept.files.pop("soon", []), said.message()]

    return Broken(ask=ask, say=say)


def serves(**methods: Callable[..., Any]) -> Broken:
    """Other methods in the file system: `method(fs, request, usual)`, `usual` being the good one, bound."""

    def made() -> MemoryFS:
        filesystem: Any = MemoryFS()
        for name, method in methods.items():
            usual = getattr(filesystem, name)
            setattr(filesystem, name, _bound(filesystem, method, usual))
        return filesystem  # type: ignore[no-any-return]

    return Broken(filesystem=made)


def _bound(filesystem: Any, method: Callable[..., Any], usual: Callable[..., Any]) -> Callable[..., Any]:
    return lambda request: method(filesystem, request, usual)
