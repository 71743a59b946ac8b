"""The tour as one page for a browser. It loads nothing and runs nothing."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import Final

from rawfuse.trace.exchanges import Exchange
from rawfuse.trace.record import Traced

from ..decode.dump import Field, fields
from ..decode.lines import latency_text
from .exercises import Exercise
from .playing import Played
from .story import Chapter, Scene, Step
from .wording import AS_ABOVE, Group, Reasons, grouped, labels, words

__all__ = ["page"]

_LINE: Final = 16
_LONGEST: Final = 64
"""Bytes of one field that are shown."""
_OUTPUT: Final = 2000
_PAYLOADS: Final = frozenset({"data", "rest", "value"})

Told = Sequence[tuple[Chapter, Sequence[tuple[Scene, Sequence[Played]]]]]


@dataclass(frozen=True)
class _View:
    """A step: the reasons given so far, and from when to when its messages went, in ns since the epoch."""

    reasons: Reasons
    start: int
    end: int

    @classmethod
    def of(cls, reasons: Reasons, exchanges: Sequence[Exchange]) -> _View:
        """The view of a step's exchanges."""
        ends = [one.answer.time if one.answer is not None else one.time for one in exchanges]
        return cls(reasons, min((one.time for one in exchanges), default=0), max(ends, default=0))

    def bar(self, exchange: Exchange) -> str:
        """When in its step an exchange began, and how long the answer took."""
        whole = max(1, self.end - self.start)
        before, long = exchange.time - self.start, exchange.latency or 0
        said = f"after {latency_text(before)}" + (f", answered in {latency_text(long)}" if exchange.answer else "")
        style = f"margin-left:{100 * before / whole:.2f}%;width:{100 * long / whole:.2f}%"
        return f'<div class="bar" title="{said}"><i style="{style}"></i></div>'


def page(told: Told, exercises: Mapping[int, Exercise]) -> str:
    """The whole page. `told`: chapters that were played, with what came of each step."""
    style = files(__package__).joinpath("page.css").read_text("ascii")
    parts = [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        f"<title>A tour of the FUSE protocol</title><style>\n{style}</style></head><body>",
        "<h1>A tour of the FUSE protocol</h1>",
        f"<p>Recorded by <code>rawfuse tour</code> on Linux {escape(platform.release())}. Every message is a real one; "
        "open it to see its fields over their bytes. The bar below it shows when in its step it was sent, and how long "
        "the answer took.</p><nav><ol>",
    ]
    for chapter, _ in told:
        parts.append(
            f'<li value="{chapter.number}"><a href="#chapter{chapter.number}">{escape(chapter.title)}</a><br>'
            f"<small>{escape(chapter.summary)}</small></li>"
        )
    parts.append("</ol></nav>")
    for chapter, scenes in told:
        parts += _chapter(chapter, scenes)
        parts += _exercise(chapter, exercises[chapter.number])
    parts.append("</body></html>\n")
    return "\n".join(parts)


def _chapter(chapter: Chapter, scenes: Sequence[tuple[Scene, Sequence[Played]]]) -> Iterator[str]:
    yield f'<section id="chapter{chapter.number}"><h2>{chapter.number}. {escape(chapter.title)}</h2>'
    yield _paragraphs(chapter.intro)
    if chapter.figure:
        yield f"<pre>{escape(chapter.figure)}</pre>"
    count, reasons = 0, Reasons()
    for scene, steps in scenes:
        yield f'<p class="scene">On the mount: {escape(scene.about)}.</p>'
        for played in steps:
            count += 1
            yield from _step(f"{chapter.number}.{count}", played, reasons)
    yield "</section>"


def _step(number: str, played: Played, reasons: Reasons) -> Iterator[str]:
    step = played.step
    yield f'<h3 id="step{number}">{number} {escape(step.title)}</h3>'
    if step.before:
        yield _paragraphs(step.before)
    if step.act is not None:
        yield _typed(step, played.ran.output)
    if not played.telling.told:
        yield '<p class="source">(no message)</p>'
    view = _View.of(reasons, [one.exchange for one in played.telling.told])
    for group in grouped(played.telling.told):
        yield from _group(group, view)
    if step.after:
        yield _paragraphs(step.after)
    for departure in played.departures:
        yield f'<p class="departed">Not as told: {escape(departure)}.</p>'


def _typed(step: Step, output: bytes) -> str:
    assert step.act is not None
    shown = (step.act.shown or " ".join(step.act.words)).rstrip("\n")
    command = f"$ {shown}" if "\n" not in shown else "$ python <<END\n" + shown + "\nEND"
    text = output.decode(errors="backslashreplace")
    cut = text[:_OUTPUT] + ("..." if len(text) > _OUTPUT else "")
    return f'<pre><span class="typed">{escape(command)}</span>\n{escape(cut)}</pre>'


def _group(group: Group, view: _View) -> Iterator[str]:
    beat = group.beat
    yield f'<div class="exchange{"" if beat is not None else " unexpected"}">'
    reason = view.reasons.of(group)
    every = [one.exchange for one in group.told]
    for place, shown in enumerate(group.shown, 1):
        if isinstance(shown, int):
            yield f"<details><summary>{shown} more of these</summary>"
            for one in every[place - 1 : place - 1 + shown]:
                yield from _exchange(one, view)
            yield "</details>"
        else:
            yield from _exchange(shown, view, AS_ABOVE if reason is None and place == len(group.shown) else "")
    if reason is not None:
        yield f'<p class="why">{escape(reason[0])}</p>'
        if reason[1]:
            yield f'<p class="source">{escape(reason[1])}</p>'
    yield "</div>"


def _exchange(exchange: Exchange, view: _View, note: str = "") -> Iterator[str]:
    said = words(exchange)
    parts = [f'<span class="who">{escape(said.who or "kernel")}</span> <span class="label">{escape(said.label)}</span>']
    if said.path:
        parts.append(f'<span class="path">{escape(said.path)}</span>')
    parts += map(escape, said.arguments)
    outcome = f"= {said.outcome}" if said.outcome else "(no answer is due)"
    parts.append(f'<span class="{"failed" if said.failed else "outcome"}">{escape(outcome)}</span>')
    if note:
        parts.append(f'<span class="who">{escape(note)}</span>')
    yield f'<div class="message">{" ".join(parts)}</div>{view.bar(exchange)}'
    messages = [one for one in (exchange.sent, exchange.answer) if one is not None]
    if messages:
        yield f"<details><summary>{' and '.join(f'{one.length} bytes' for one in messages)}</summary>"
        for one in messages:
            yield from _bytes(one, exchange)
        yield "</details>"


def _bytes(message: Traced, exchange: Exchange) -> Iterator[str]:
    asked = message is exchange.sent
    what = "request" if asked else "answer" if exchange.notification is None else "notification"
    yield f'<table class="bytes"><caption>{what}, {message.length} bytes</caption>'
    for field in fields(message, exchange):
        yield from _rows(field, message)
    yield "</table>"


def _rows(field: Field, message: Traced) -> Iterator[str]:
    content = message.data[field.offset : field.offset + min(field.length, _LONGEST)]
    for at in range(0, max(len(content), 1), _LINE):
        part = content[at : at + _LINE]
        said = ""
        if not at:
            said = f'<span class="name">{escape(field.name)}</span>'
            said += f" = {escape(field.text)}" if field.text else ""
        if field.name in _PAYLOADS:
            said = f"{escape(_printable(part))} {said}"
        yield f"<tr><td>{field.offset + at:04x}</td><td>{part.hex(' ')}</td><td>{said}</td></tr>"
    if field.length > _LONGEST:
        yield f"<tr><td></td><td>... {field.length - _LONGEST} more bytes</td><td></td></tr>"


def _printable(part: bytes) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part).ljust(_LINE)


def _exercise(chapter: Chapter, exercise: Exercise) -> Iterable[str]:
    number = exercise.number
    return (
        f'<div class="exercise" id="exercise{number}"><h3>Exercise {number}: {escape(exercise.title)}</h3>',
        f"<pre>$ rawfuse tour exercise {number} &gt; my.py\n$ rawfuse tour check {number} my.py</pre>",
        f"<details><summary>my.py</summary><pre>{escape(exercise.skeleton)}</pre></details>",
        f"<p>More on these messages: <code>rawfuse explain {escape(' '.join(labels(chapter)))}</code></p></div>",
    )


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{escape(' '.join(paragraph.split()))}</p>" for paragraph in text.split("\n\n"))
