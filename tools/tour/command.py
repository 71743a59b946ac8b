"""The command: `rawfuse tour`, or `python -m tools.tour` in a checkout."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rawfuse.mount import MountError
from rawfuse.trace import TraceWriter
from rawfuse.trace.opening import trace_writer

from .chapters import CHAPTERS
from .exercises import EXERCISES, Verdict, judge, learners
from .playing import Played, on_stage
from .rights import enter_namespace
from .stage import StageError
from .story import Chapter, Scene
from .terminal import Terminal
from .wording import one_line

__all__ = ["main"]

DESCRIPTION = """\
A guided tour of the FUSE protocol. Each chapter mounts a file system, runs ordinary programs on it (ls, cat, cp, mv,
rm, mmap), and shows every message between the kernel and the server: what it says, why the kernel sent it, and what
the answer does. Nothing is canned: it is your kernel and your programs, and what they do otherwise than the story says
is shown as such. At the end of each chapter there is an exercise, for which you write a small server.
"""

EPILOG = """\
In a terminal Enter goes on, b shows the bytes of the last messages, and q ends. Nothing waits in a pipe, or with
--no-pause.

Root is not needed where an ordinary user may make a user namespace and open /dev/fuse, or where fusermount3 is
installed. The mount is the tour's own: no other process sees it, except with fusermount3.

exit status: 0; 1 when something did not happen as told, an exercise is not solved, or nothing can be mounted; 2 for a
wrong command line.

examples:
  rawfuse tour                             the list of chapters, and all of them from the first
  rawfuse tour 5                           one chapter: the same cp with opcode 53, with 47, with neither
  rawfuse tour --all --html tour.html      everything as one page, with each message down to its bytes
  rawfuse tour 5 --trace t.pcapng          and keep the messages: rawfuse decode t.pcapng, or Wireshark
  rawfuse tour exercise 2 > my.py          what you begin with: it says what is to be done
  rawfuse tour check 2 my.py               runs your server: what is right, what is wrong, which message shows it
  rawfuse tour check 2 my.py:Other         the same for a class of another name
"""

_ENDED: Final = 130


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="rawfuse tour",
        usage="rawfuse tour [N ...] [--all] [--html FILE] [--no-pause]\n"
        "       rawfuse tour exercise N\n"
        "       rawfuse tour check N FILE[:CLASS] [--json]\n"
        "       rawfuse tour --list",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("words", nargs="*", metavar="N", help="chapters; or `exercise N`; or `check N FILE[:CLASS]`")
    made.add_argument("--all", action="store_true", help="every chapter")
    made.add_argument(
        "--list", action="store_true", help="the chapters: number, title, what is in it; by tabs in a pipe"
    )
    made.add_argument("--html", type=Path, metavar="FILE", help="write a page instead, complete in itself")
    made.add_argument("--hex", action="store_true", help="below each message its fields over their bytes")
    made.add_argument("--trace", type=Path, metavar="FILE", help="keep the messages: for rawfuse decode, or Wireshark")
    made.add_argument("--no-pause", action="store_true", help="do not wait for Enter")
    made.add_argument("--json", action="store_true", help="with check: one JSON object")
    made.add_argument("--patience", type=float, default=5.0, metavar="S", help="with check: seconds for a command (5)")
    made.add_argument("--colour", choices=("auto", "always", "never"), default="auto", help="default: on a terminal")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    parsing = parser()
    arguments = parsing.parse_intermixed_args(argv)
    colours = _colours(arguments.colour)
    terminal = Terminal(sys.stdout.write, colours=colours, bytes_too=arguments.hex)
    words: list[str] = arguments.words
    try:
        if arguments.list:
            _list(terminal, sys.stdout.isatty())
            return 0
        match words:
            case ["exercise", number]:
                print(EXERCISES[_number(parsing, number)].skeleton, end="")
                return 0
            case ["check", number, spec]:
                return _check(_number(parsing, number), spec, arguments, terminal)
            case ["exercise" | "check", *_]:
                parsing.error("`exercise N`, or `check N FILE[:CLASS]`")
        numbers = [_number(parsing, word) for word in words]
        chapters = [one for one in CHAPTERS if one.number in numbers] if words and not arguments.all else list(CHAPTERS)
        with _tracing(arguments.trace) as trace:
            if arguments.html is not None:
                return _html(chapters, arguments.html, trace)
            pacer = _Pacer(terminal, sys.stdin.isatty() and sys.stdout.isatty() and not arguments.no_pause)
            if not words and not arguments.all:
                _list(terminal, True)
                pacer.wait("begin")
            return _tour(chapters, terminal, pacer, trace)
    except _Left:
        return 0
    except KeyboardInterrupt:
        return _ENDED
    except BrokenPipeError:
        # Whoever read us has seen enough; the interpreter must not say so again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (MountError, StageError, OSError) as error:
        print(f"rawfuse tour: {error}", file=sys.stderr)
        for note in getattr(error, "__notes__", ()):
            print(f"  {note}", file=sys.stderr)
        if isinstance(error, StageError) and error.said:
            print(error.said, file=sys.stderr)
        return 1


@contextmanager
def _tracing(file: Path | None) -> Iterator[TraceWriter | None]:
    if file is None:
        yield None
        return
    with open(file, "wb") as opened:
        yield trace_writer(opened, comment="rawfuse tour")


def _colours(choice: str) -> bool:
    if choice != "auto":
        return choice == "always"
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM", "dumb") != "dumb"


def _number(parsing: argparse.ArgumentParser, text: str) -> int:
    if not text.isdecimal() or int(text) not in EXERCISES:
        parsing.error(f"{text!r} is no chapter: they are numbered from 1 to {len(CHAPTERS)}")
    return int(text)


def _list(terminal: Terminal, people: bool) -> None:
    for one in CHAPTERS:
        if people:
            terminal.line(f"{one.number}", one.title)
            terminal.say(one.summary, "   ", "quiet")
        else:
            print(f"{one.number}\t{one.title}\t{one.summary}")


class _Left(Exception):
    """The reader has had enough."""


@dataclass
class _Pacer:
    """Waits for the reader, where there is one."""

    terminal: Terminal
    waits: bool

    def wait(self, what: str, last: Played | None = None) -> None:
        """Until Enter is pressed; meanwhile shows the bytes of the last messages to whom wants them. Raises _Left."""
        if not self.waits:
            return
        more = "; b: the bytes of these messages" if last is not None and last.telling.told else ""
        while True:
            sys.stdout.write(self.terminal.paint(f"[Enter: {what}{more}; q: end] ", "quiet"))
            sys.stdout.flush()
            read = sys.stdin.readline()
            answer = read.strip().lower() if read else "q"
            if answer == "b" and last is not None:
                for one in last.telling.told:
                    self.terminal.exchange(one.exchange)
                    self.terminal.fields(one.exchange)
            elif answer in ("q", "quit", "exit"):
                raise _Left
            else:
                return


def _tour(chapters: Sequence[Chapter], terminal: Terminal, pacer: _Pacer, trace: TraceWriter | None) -> int:
    enter_namespace()
    departed = 0
    for chapter in chapters:
        terminal.chapter(chapter)
        count, played = 0, None
        for scene in chapter.scenes:
            terminal.scene(scene)
            with on_stage(scene, trace) as play:
                for step in scene.steps:
                    count += 1
                    terminal.step(f"{chapter.number}.{count}", step)
                    pacer.wait("run it" if step.act is not None else "go on", played)
                    played = play(step)
                    terminal.played(played)
                    sys.stdout.flush()
                    departed += bool(played.departures)
        terminal.exercise(chapter, EXERCISES[chapter.number])
        if chapter is not chapters[-1]:
            pacer.wait("the next chapter", played)
    return 1 if departed else 0


def _html(chapters: Sequence[Chapter], file: Path, trace: TraceWriter | None) -> int:
    # Here, as the layouts of the fields need Construct, whose import takes a while.
    from .page import page

    file = file.absolute()
    enter_namespace()
    departed = 0
    told: list[tuple[Chapter, list[tuple[Scene, list[Played]]]]] = []
    for chapter in chapters:
        scenes = [(scene, _played(scene, trace)) for scene in chapter.scenes]
        told.append((chapter, scenes))
        departed += sum(bool(played.departures) for _, steps in scenes for played in steps)
    file.write_text(page(told, EXERCISES), "utf-8")
    if departed:
        print(f"rawfuse tour: {departed} steps were not as told; the page says where", file=sys.stderr)
    return 1 if departed else 0


def _played(scene: Scene, trace: TraceWriter | None) -> list[Played]:
    with on_stage(scene, trace) as play:
        return [play(step) for step in scene.steps]


def _check(number: int, spec: str, arguments: argparse.Namespace, terminal: Terminal) -> int:
    exercise = EXERCISES[number]
    path, colon, name = spec.rpartition(":")
    if not colon:
        path, name = spec, exercise.name
    try:
        make = learners(Path(path).absolute(), name)
    except OSError as error:
        print(f"rawfuse tour: {path}: {error.strerror}", file=sys.stderr)
        return 1
    enter_namespace()
    with tempfile.TemporaryDirectory(prefix="rawfuse-tour-") as directory:
        verdict = judge(exercise.check, make, Path(directory), patience=arguments.patience)
    if arguments.json:
        print(json.dumps(_object(number, verdict), indent=2))
        return 0 if verdict.good else 1
    terminal.line(f"{number}", exercise.title)
    for finding in verdict.findings:
        terminal.verdict(finding.good, finding.text)
        if not finding.good:
            if finding.hint:
                terminal.say(finding.hint, " " * 9)
            if finding.shown is not None:
                terminal.say("The message that shows it:", " " * 9, "quiet")
                terminal.exchange(finding.shown)
    if not verdict.good and verdict.said:
        terminal.say("The server said:", " " * 9, "quiet")
        terminal.verbatim(verdict.said)
    if verdict.good:
        following = f" Go on with rawfuse tour {number + 1}." if number + 1 in EXERCISES else " That was the last one."
        terminal.verdict(True, f"Exercise {number} is solved.{following}")
    return 0 if verdict.good else 1


def _object(number: int, verdict: Verdict) -> dict[str, object]:
    return {
        "exercise": number,
        "solved": verdict.good,
        "findings": [
            {
                "right": one.good,
                "text": one.text,
                "hint": one.hint if not one.good else "",
                "message": one_line(one.shown) if one.shown is not None else "",
            }
            for one in verdict.findings
        ],
        "said": verdict.said,
    }
