"""The command: `rawfuse decode`, or `python -m tools.decode` in a checkout."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rawfuse.trace.exchanges import Exchange, exchanges
from rawfuse.trace.opening import FORMATS, read_trace
from rawfuse.trace.record import DamagedTrace

from .dump import dump
from .figures import Statistics
from .filters import BadFilter, Filter, by_error, by_opcode, by_path, by_pid, by_program, matches, slower_than
from .lines import Style, coloured, line, plain
from .objects import as_object
from .page import write_page
from .writing import CannotWrite, write

__all__ = ["main"]

DESCRIPTION = """\
Says what is in a trace: one line for each request with its reply, and for each notification. Names and paths are
followed through nodeids, so a READ says which file it reads. FILE is a pcapng file of `rawfuse trace`, or a
fusedump of GlusterFS, version 1 or 2.
"""

EPILOG = """\
The file is described in `rawfuse dissector --help`, which opens it in Wireshark.

A line is: seconds since the first message, opcode, path, arguments (zeros left out) = reply <latency> program[pid].

exit status: 0; 1 when the file is damaged (what was before that place is shown) or cannot be read, or messages in
it could not be decoded; 2 for a wrong command line.

examples:
  rawfuse decode t.pcapng                              everything
  rawfuse decode t.pcapng --opcode 'READ*,WRITE'       some opcodes
  rawfuse decode t.pcapng --path /src --error any      what failed below /src
  rawfuse decode t.pcapng --slower 5ms --hex           slow ones, each field over its bytes
  rawfuse decode t.pcapng --stats                      counts, errors and latencies of every opcode
  rawfuse decode t.pcapng --json | jq .path            one JSON object a line
  rawfuse decode t.pcapng --html > t.html              a page with timeline, filter and bytes, for a browser
  rawfuse decode gluster.fusedump -w t.pcapng          another format; with filters, only what they let through
  rawfuse decode t.pcapng -w t.dump --format fusedump1
"""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="rawfuse decode",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("file", type=Path, metavar="FILE", help="the trace")
    shown = made.add_argument_group("what is shown (all that is asked for must hold)")
    shown.add_argument("--opcode", metavar="NAMES", help="opcodes and notifications: READ,WRITE,NOTIFY_*")
    shown.add_argument("--path", metavar="PATH", help="a path and all below it, or a pattern with * ? [")
    shown.add_argument("--pid", type=int, metavar="PID", help="requests of this process or thread")
    shown.add_argument("--program", metavar="NAME", help="requests of programs of this name; a pattern")
    shown.add_argument("--error", metavar="ERRNO", help="replies with this errno (ENOENT, 2), or `any`")
    shown.add_argument("--slower", metavar="TIME", help="replies that took longer: 250us, 1.5ms, 2s")
    form = made.add_argument_group("how")
    kind = form.add_mutually_exclusive_group()
    kind.add_argument("--json", action="store_true", help="one JSON object a line")
    kind.add_argument("--stats", action="store_true", help="counts, errors and latencies of every opcode")
    kind.add_argument("--hex", action="store_true", help="below each line its fields over their bytes")
    kind.add_argument("--html", action="store_true", help="one page that loads nothing: timeline, filter box, bytes")
    kind.add_argument("-w", "--write", type=Path, metavar="FILE", help="write the messages into FILE, a trace again")
    form.add_argument("--format", choices=FORMATS, default="pcapng", help="of that (default: pcapng)")
    form.add_argument("--bytes", type=int, default=512, metavar="N", help="with --html: of each message (default: 512)")
    form.add_argument("--data", action="store_true", help="with --json: payloads too, as base64")
    form.add_argument("--absolute", action="store_true", help="the time of day instead of seconds since the start")
    form.add_argument("--colour", choices=("auto", "always", "never"), default="auto", help="default: on a terminal")
    return made


def _filters(arguments: argparse.Namespace) -> list[Filter]:
    made = {"opcode": by_opcode, "path": by_path, "program": by_program, "error": by_error, "slower": slower_than}
    found = [make(text) for name, make in made.items() if (text := getattr(arguments, name)) is not None]
    if arguments.pid is not None:
        found.append(by_pid(arguments.pid))
    return found


def _colours(choice: str) -> bool:
    if choice != "auto":
        return choice == "always"
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM", "dumb") != "dumb"


class _Reading:
    """The exchanges of a file that filters let through; behind it, `figures` about them, and the file's `damage`."""

    def __init__(self, file: Path, filters: list[Filter]) -> None:
        self.figures = Statistics()
        self.damage = ""
        self.start: int | None = None
        """When the first of all began."""
        self._file = file
        self._filters = filters

    def __iter__(self) -> Iterator[Exchange]:
        try:
            for exchange in exchanges(read_trace(self._file)):
                if self.start is None:
                    self.start = exchange.time
                if matches(exchange, self._filters):
                    self.figures.add(exchange)
                    yield exchange
        except DamagedTrace as error:
            self.damage = str(error)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    arguments = parser().parse_args(argv)
    try:
        filters = _filters(arguments)
    except BadFilter as error:
        parser().error(str(error))
    reading = _Reading(arguments.file, filters)
    try:
        _show(arguments, reading, filters)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read us has seen enough; the interpreter must not say so again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, DamagedTrace, CannotWrite) as error:
        reading.damage = str(error)
    if reading.figures.problems:
        print(f"rawfuse decode: {reading.figures.problems} messages could not be decoded in full", file=sys.stderr)
    if reading.damage:
        print(f"rawfuse decode: {reading.damage}", file=sys.stderr)
    return 1 if reading.figures.problems or reading.damage else 0


def _show(arguments: argparse.Namespace, reading: _Reading, filters: list[Filter]) -> None:
    if arguments.html:
        write_page(sys.stdout, reading, title=arguments.file.name, largest=arguments.bytes)
    elif arguments.write is not None:
        write(read_trace(arguments.file), arguments.write, arguments.format, filters)
    elif arguments.stats:
        for _ in reading:
            pass
        print("\n".join(reading.figures.lines(aligned=sys.stdout.isatty())))
    elif arguments.json:
        for exchange in reading:
            print(json.dumps(as_object(exchange, data=arguments.data)))
    else:
        _lines(arguments, reading)


def _lines(arguments: argparse.Namespace, reading: _Reading) -> None:
    style = Style(coloured if _colours(arguments.colour) else plain, absolute=arguments.absolute)
    for exchange in reading:
        style.start = reading.start
        print(line(exchange, style))
        if arguments.hex:
            for text in _bytes(exchange):
                print(text)


def _bytes(exchange: Exchange) -> Iterator[str]:
    for message in (exchange.sent, exchange.answer):
        if message is not None:
            yield from dump(message, exchange)
