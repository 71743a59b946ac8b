"""The command: `rawfuse top`, or `python -m tools.top` in a checkout."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence

from .live import Live
from .screen import COLUMNS, cells, keys, quits, screen, size
from .sources import EVENTS_SAY, NoSuchMount, Sources, place_of

__all__ = ["main"]

DESCRIPTION = """\
Shows what FUSE mounts are asked, by opcode: how often, how often in vain, how fast, how long replies take, what waits
for one now, and which programs ask. Without DIR: all mounts. Mounts that `rawfuse mount`, `mfs mount` and `rawfuse
trace` serve are watched message by message, by root or by their owner; all others, for root, by the kernel's events,
which have no names and no data, no FORGETs, INTERRUPTs and notifications.
"""

EPILOG = """\
columns: connection (`rawfuse list`), opcode, requests and errors since the start, requests a second since the last
look, the 50th and 99th percentile of the last 4096 replies in microseconds, requests that wait for a reply, the longest
that one took or somebody waits, programs that asked since the last look. What waits since before the start has no row:
how many do is beside the mount on the screen, and in JSON (from fusectl).

On a terminal the screen is drawn anew until q is pressed. In a pipe: the columns separated by tabs, the seconds since
the start before them, `-` for what is not known, a heading first; with --json an object for each look.

exit status: 0; 1 when nothing can be watched; 2 for a wrong command line.

examples:
  rawfuse top                            every FUSE mount
  rawfuse top /mnt/photos                one of them, or whatever lies in it
  rawfuse top --once /mnt/photos         the next second, and out
  rawfuse top --interval 10 --json       for a log
  rawfuse top --seconds 60 > figures.tsv
"""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="rawfuse top",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("places", nargs="*", metavar="DIR", help="a mount, a path in it, or the number of a connection")
    made.add_argument("--interval", type=float, default=1.0, metavar="S", help="seconds between looks (default: 1)")
    made.add_argument("--seconds", type=float, metavar="S", help="end after so long (default: never)")
    made.add_argument("--once", action="store_true", help="end after one interval")
    made.add_argument("--json", action="store_true", help="an object for each look, one a line")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    arguments = parser().parse_args(argv)
    if not 0.01 <= arguments.interval <= 86400:
        parser().error("--interval: between 0.01 seconds and a day")
    try:
        wanted = [place_of(text) for text in arguments.places]
    except NoSuchMount as error:
        print(f"rawfuse top: {error}", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    live = Live(time.time_ns())
    drawn = sys.stdout.isatty() and sys.stdin.isatty() and not (arguments.json or arguments.once)
    with Sources(live, wanted) as sources:
        if not any(place.source for place in sources.places.values()):
            why = sources.trouble or "there is no FUSE mount"
            print(f"rawfuse top: nothing can be watched: {why}", file=sys.stderr)
            return 1
        try:
            if drawn:
                with keys():
                    _look(arguments, sources, live, _drawn, quits)
            else:
                _tell(sources)
                show = _json if arguments.json else _tabbed()
                _look(arguments, sources, live, show, _slept)
        except KeyboardInterrupt:
            return 0
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


Show = Callable[[Sources, Live, float], None]


def _look(
    arguments: argparse.Namespace, sources: Sources, live: Live, show: Show, wait: Callable[[float], bool]
) -> None:
    start = time.monotonic()
    end = start + (arguments.interval if arguments.once else arguments.seconds or float("inf"))
    while not wait(max(0.0, min(arguments.interval, end - time.monotonic()))):
        sources.look()
        show(sources, live, time.monotonic() - start)
        sys.stdout.flush()
        if time.monotonic() >= end or sources.over:
            return


def _slept(seconds: float) -> bool:
    time.sleep(seconds)
    return False


def _tell(sources: Sources) -> None:
    """Where figures come from, on stderr."""
    for place in sorted(sources.places.values()):
        said = {"messages": "every message", "events": EVENTS_SAY}.get(place.source)
        if said is None:
            said = f"not watched: {sources.trouble}"
        print(f"rawfuse top: {place.mountpoint or f'connection {place.connection}'}: {said}", file=sys.stderr)


def _drawn(sources: Sources, live: Live, _: float) -> None:
    rows, (width, height) = live.rows(sources.now()), size()
    places = sources.places.values()
    sys.stdout.write(screen(rows, places, lost=sources.lost, trouble=sources.trouble, width=width, height=height))


def _json(sources: Sources, live: Live, seconds: float) -> None:
    rows = [row.object() for row in live.rows(sources.now())]
    places = [place._asdict() for place in sorted(sources.places.values())]
    print(json.dumps({"seconds": round(seconds, 3), "lost": sources.lost, "mounts": places, "opcodes": rows}))


def _tabbed() -> Show:
    headed: list[bool] = []

    def show(sources: Sources, live: Live, seconds: float) -> None:
        if not headed:
            headed.append(True)
            print("\t".join(["seconds", *COLUMNS]))
        for row in live.rows(sources.now()):
            print("\t".join([f"{seconds:.1f}", *cells(row)]))

    return show
