"""The tour in a terminal."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Callable, Iterator
from typing import Final

from rawfuse.trace.exchanges import Exchange

from .exercises import Exercise
from .playing import Played
from .story import Chapter, Scene, Step
from .wording import AS_ABOVE, Group, Reasons, grouped, labels, words

__all__ = ["Terminal"]

_COLOURS: Final = {
    "title": "1;37;44",
    "step": "1;35",
    "command": "1;32",
    "program": "2",
    "label": "1;36",
    "path": "33",
    "error": "1;31",
    "wrong": "1;31",
    "right": "1;32",
    "quiet": "2",
}
_WIDEST: Final = 112
_LINES: Final = 6
_NARROWEST: Final = 60


class Terminal:
    """Writes text with `write`, in colour or not; `width` columns wide; with `bytes_too` messages down to those."""

    def __init__(
        self, write: Callable[[str], object], *, colours: bool, width: int | None = None, bytes_too: bool = False
    ) -> None:
        self._bytes_too = bytes_too
        self._write = write
        self._colours = colours
        columns = width or shutil.get_terminal_size((100, 24)).columns
        self._width = max(_NARROWEST, min(_WIDEST, columns - 1))
        self._reasons = Reasons()

    def paint(self, text: str, style: str) -> str:
        """The text in a style of the table above."""
        return f"\033[{_COLOURS[style]}m{text}\033[0m" if self._colours and text else text

    def say(self, text: str = "", indent: str = "", style: str = "") -> None:
        """Paragraphs, wrapped."""
        for number, paragraph in enumerate(text.split("\n\n")):
            if number:
                self._write("\n")
            filled = textwrap.fill(
                " ".join(paragraph.split()),
                self._width,
                initial_indent=indent,
                subsequent_indent=indent,
                break_long_words=False,
                break_on_hyphens=False,
            )
            self._write(f"{self.paint(filled, style) if style else filled}\n")

    def chapter(self, chapter: Chapter) -> None:
        """The head of a chapter."""
        self._reasons = Reasons()
        self._write("\n" + self.paint(f" Chapter {chapter.number}. {chapter.title} ", "title") + "\n\n")
        self.say(chapter.intro)
        if chapter.figure:
            self._write("\n")
            for line in chapter.figure.splitlines():
                self._write(f"    {line}".rstrip() + "\n")

    def scene(self, scene: Scene) -> None:
        """Which server the steps behind this are on."""
        self._write("\n")
        self.say(f"On the mount: {scene.about}.", style="quiet")

    def step(self, number: str, step: Step) -> None:
        """What is said before a step runs."""
        self._write("\n" + self.paint(f"{number}  {step.title}", "step") + "\n")
        if step.before:
            self.say(step.before)
        if step.act is not None:
            self.command(step.act.shown or " ".join(step.act.words))

    def command(self, shown: str) -> None:
        """A command, or a program, as it is typed."""
        lines = shown.rstrip("\n").split("\n")
        mark = "$ " if len(lines) == 1 else "> "
        head = [] if len(lines) == 1 else [self.paint("$ python <<END", "command")]
        for line in [*head, *(self.paint(mark + line, "command") for line in lines)]:
            self._write(f"  {line}\n")

    def played(self, played: Played) -> None:
        """What came of it."""
        for line in _output(played.ran.output):
            self._write("  " + self.paint(f"| {line}", "quiet") + "\n")
        self._write("\n")
        for group in grouped(played.telling.told):
            self.group(group)
        if not played.telling.told:
            self.say("(no message)", "    ", "quiet")
        if played.step.after:
            self._write("\n")
            self.say(played.step.after)
        for departure in played.departures:
            self.say(f"Not as told: {departure}.", style="wrong")

    def group(self, group: Group) -> None:
        """The exchanges of one part of the story, and the reason."""
        reason = self._reasons.of(group)
        for place, shown in enumerate(group.shown, 1):
            if isinstance(shown, int):
                self.say(f"... {shown} more of these", "            ", "quiet")
            else:
                self.exchange(shown, AS_ABOVE if reason is None and place == len(group.shown) else "")
        if reason is not None:
            self.say(reason[0], "            ", "wrong" if group.beat is None else "")
            if reason[1]:
                self.say(f"[{reason[1]}]", "            ", "quiet")

    def exchange(self, exchange: Exchange, note: str = "") -> None:
        """One message with its answer, and behind it a note."""
        said = words(exchange)
        outcome = f"= {said.outcome}" if said.outcome else "(no answer is due)"
        # Broken before it is painted, as escapes have a length and no width.
        plain = [("", said.label), ("path", said.path)]
        plain += [("", part) for text in said.arguments for part in _parts(text, self._width - 13)]
        style = "error" if said.failed else ""
        # In one piece where that fits a line.
        pieces = [outcome] if len(outcome) < self._width - 12 else outcome.split(" ")
        plain += [*((style, piece) for piece in pieces), ("quiet", note)]
        lines: list[list[tuple[str, str]]] = [[]]
        used = 12
        for style, text in plain:
            full = used + len(text) + 1 > self._width or (text == "=" and len(lines) > 1)
            if text and full and len(lines[-1]) > (len(lines) == 1):
                lines.append([])
                used = 12
            if text:
                lines[-1].append((style, text))
                used += len(text) + 1
        lines[0][0] = ("label", said.label)
        for number, parts in enumerate(lines):
            head = self.paint(f"  {(said.who or 'kernel')[:9]:<10}", "program") if not number else " " * 12
            painted = " ".join(self.paint(text, style) if style else text for style, text in parts)
            self._write(f"{head}{painted}\n")
        if self._bytes_too:
            self.fields(exchange)

    def fields(self, exchange: Exchange) -> None:
        """The fields of a request and of its answer, each over its bytes."""
        # Here, as the layouts of the fields need Construct, whose import takes a while.
        from ..decode.dump import dump

        for name, message in (("request", exchange.sent), ("answer", exchange.answer)):
            if message is not None:
                self._write(f"            {self.paint(f'{name}, {message.length} bytes', 'quiet')}\n")
                for line in dump(message, exchange):
                    self._field(f"          {line}")

    def _field(self, line: str) -> None:
        """A line of fields; the names of many flags go on below themselves."""
        start = line.find(" = ") + 3
        while len(line) > self._width:
            cut = max(line.rfind("|", start, self._width), line.find("|", start)) + 1
            if cut <= start:
                break
            self._write(f"{line[:cut]}\n")
            line = " " * start + line[cut:]
        self._write(f"{line}\n")

    def line(self, number: str, title: str) -> None:
        """A line of a list of chapters or exercises."""
        self._write(f"{self.paint(number, 'step')}  {title}\n")

    def exercise(self, chapter: Chapter, exercise: Exercise) -> None:
        """The end of a chapter."""
        self._write("\n" + self.paint(f"Exercise {exercise.number}: {exercise.title}", "step") + "\n")
        for shown in (
            f"rawfuse tour exercise {exercise.number} > my.py",
            f"rawfuse tour check {exercise.number} my.py",
        ):
            self.command(shown)
        self.say(f"More on the messages of this chapter: rawfuse explain {' '.join(labels(chapter))}", style="quiet")

    def verdict(self, good: bool, text: str) -> None:
        """A line that begins with whether something is right."""
        self._write(self.paint("  right  " if good else "  WRONG  ", "right" if good else "wrong"))
        self._hanging(text, 9)

    def verbatim(self, text: str) -> None:
        """Lines of others."""
        for line in _lines(text):
            self._write("  " + self.paint(f"| {line}", "quiet") + "\n")

    def _hanging(self, text: str, indent: int) -> None:
        filled = textwrap.fill(
            " ".join(text.split()), self._width, initial_indent=" " * indent, subsequent_indent=" " * indent
        )
        self._write(filled[indent:] + "\n")


def _parts(text: str, width: int) -> Iterator[str]:
    """A field of many flags in parts that fit a line each."""
    while len(text) > width and (cut := text.rfind("|", 0, width) + 1):
        yield text[:cut]
        text = text[cut:]
    yield text


def _output(output: bytes) -> Iterator[str]:
    lines = list(_lines(output.decode(errors="backslashreplace")))
    yield from lines[:_LINES]
    if len(lines) > _LINES:
        yield "..."


def _lines(text: str) -> Iterator[str]:
    """What others have written, without what would move the cursor."""
    for line in text.splitlines():
        yield "".join(char if char.isprintable() else "." for char in line.expandtabs())[:_WIDEST]
