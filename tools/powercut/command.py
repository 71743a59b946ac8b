"""The command: `rawfuse powercut`, or `python -m tools.powercut` in a checkout."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import IO

import trio

from rawfuse.mount import MountError

from .disk import MODELS, Model
from .events import Event, NotARecording, described
from .recording import load, record
from .trial import Case, Trial, Verdict, judged, kept, repeated, trials

__all__ = ["main"]

DESCRIPTION = """\
Finds out what a power cut does to a program's files. `record` runs the program on a file system that writes down
every change and every sync. `check` rebuilds disks that a cut at any point could have left, with unsynced writes
dropped, reordered or torn, and runs a program that judges each. Whoever writes a database runs both on it.
"""

EPILOG = """\
examples:
  rawfuse powercut record LOG -- ./fill-database {}/data.db
  rawfuse powercut check LOG -- ./verify-database {}/data.db {marks}
  rawfuse powercut check LOG --model strict --disks 10000 --jobs 2 -- ./verify-database {}/data.db {marks}
  rawfuse powercut check LOG --repeat powercut-1/case.json -- ./verify-database {}/data.db {marks}
  rawfuse powercut show LOG

Each line that the recorded program prints is a promise: the checker finds those that were printed before the cut
in the file {marks}. `rawfuse powercut COMMAND --help` says more.
"""

RECORD = """\
Mounts an empty file system in memory, runs COMMAND with {} replaced by its directory, and writes down what happens.
Each line that COMMAND prints is a mark, such as "committed 17"; so is what it sets as the extended attribute
user.powercut.mark of the directory, at that very moment.
Without COMMAND it is mounted at DIR and recorded until it is unmounted, or Ctrl-C.

exit status: that of COMMAND, 2 when nothing could be recorded.
"""

CHECK = """\
Runs CHECKER on each disk, with {} replaced by a directory that has its files and {marks} by a file with the marks made
before the cut, one in a line. It may change the files. An exit status other than 0 says that the disk is bad: its
files, what CHECKER printed, and how to get it again are then kept below the --output directory.

  ordered  file systems with a journal (ext4, XFS): names change in order, and fsync of a file brings its name along
  strict   what POSIX promises: names are durable by fsync of their directory only, sizes may be there before bytes

Small recordings are tried exhaustively as far as --disks goes; else disks are chosen by the seed.

exit status: 0 when no disk is bad, 1 when one is, 2 for a wrong command line.
"""


def parser() -> argparse.ArgumentParser:
    shape = argparse.RawDescriptionHelpFormatter
    made = argparse.ArgumentParser(
        prog="rawfuse powercut", description=DESCRIPTION, epilog=EPILOG, formatter_class=shape
    )
    commands = made.add_subparsers(dest="action", metavar="COMMAND", required=True)
    one = commands.add_parser("record", help="run a program and record", description=RECORD, formatter_class=shape)
    one.add_argument("log", type=Path, metavar="LOG", help="file for the recording")
    one.add_argument("--at", type=Path, metavar="DIR", help="where to mount (default: a directory for now)")
    one.add_argument("--from", type=Path, dest="origin", metavar="DIR", help="files that are there, durable, at first")
    one.add_argument("--space", type=int, metavar="BYTES", help="room on the file system (default: half the memory)")
    one.add_argument("program", nargs="*", metavar="-- COMMAND", help="what to run, {} being the directory")
    one = commands.add_parser("check", help="judge what cuts leave", description=CHECK, formatter_class=shape)
    one.add_argument("log", type=Path, metavar="LOG", help="the recording")
    one.add_argument("--disks", type=int, default=500, metavar="N", help="how many to try (default: 500)")
    one.add_argument("--model", choices=(*MODELS, "both"), default="both", help="kind of file system (default: both)")
    one.add_argument("--sector", type=int, default=512, metavar="BYTES", help="what a disk writes whole (default: 512)")
    one.add_argument("--seed", default="0", metavar="TEXT", help="other disks (default: 0)")
    one.add_argument("--jobs", type=int, default=1, metavar="N", help="checkers at a time (default: 1)")
    one.add_argument("--patience", type=float, default=60.0, metavar="S", help="seconds after which a disk is bad")
    one.add_argument("--findings", type=int, default=5, metavar="N", help="stop after so many bad ones (default: 5)")
    one.add_argument("--output", type=Path, default=Path(), metavar="DIR", help="where bad ones are kept")
    one.add_argument("--repeat", type=Path, metavar="FILE", help="try the one disk of this case.json")
    one.add_argument("--json", action="store_true", help="print the summary as JSON")
    one.add_argument("program", nargs="*", metavar="-- CHECKER", help="what judges, {} being the directory")
    one = commands.add_parser("show", help="print a recording", description="Prints a recording, one event in a line.")
    one.add_argument("log", type=Path, metavar="LOG", help="the recording")
    one.set_defaults(program=[])
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    given = list(sys.argv[1:] if argv is None else argv)
    # What stands behind -- is the program's; argparse itself does not keep it together where options come before.
    cut = given.index("--") if "--" in given else len(given)
    arguments = parser().parse_args(given[:cut])
    arguments.program += given[cut + 1 :]
    if arguments.action == "record":
        return _record(arguments)
    try:
        events = load(arguments.log)
    except (OSError, NotARecording) as error:
        parser().error(f"{arguments.log}: {error}")
    if arguments.action == "show":
        for index, event in enumerate(events, 1):
            print(f"{index}\t{described(event)}")
        return 0
    return _check(arguments, events)


def _record(arguments: argparse.Namespace) -> int:
    if not arguments.program and arguments.at is None:
        parser().error("record: name a COMMAND to run, or a directory to mount --at")

    async def run(log: IO[bytes]) -> int:
        return await record(log, arguments.program, at=arguments.at, origin=arguments.origin, space=arguments.space)

    try:
        with open(arguments.log, "wb") as log:
            return trio.run(run, log)
    except (MountError, OSError) as error:
        print(f"rawfuse powercut: {error}", file=sys.stderr)
        return 2


class _Summary:
    def __init__(self, events: int) -> None:
        self.events = events
        self.points: set[int] = set()
        self.disks = 0
        self.bad: list[str] = []
        self.started = time.monotonic()

    def as_dict(self) -> dict[str, object]:
        seconds = round(time.monotonic() - self.started, 1)
        return {
            "events": self.events,
            "points": len(self.points),
            "disks": self.disks,
            "bad": self.bad,
            "seconds": seconds,
        }


def _check(arguments: argparse.Namespace, events: Sequence[Event]) -> int:
    if not arguments.program:
        parser().error("check: name a CHECKER, behind --")
    if min(arguments.disks, arguments.sector, arguments.jobs, arguments.findings) < 1 or arguments.patience <= 0:
        parser().error("--disks, --sector, --jobs, --findings and --patience are more than 0")
    if not arguments.output.is_dir():
        parser().error(f"--output: {arguments.output} is no directory")
    if arguments.repeat is not None:
        return _repeat(arguments, events)
    models: tuple[Model, ...] = MODELS if arguments.model == "both" else (arguments.model,)
    summary = _Summary(len(events))
    waiting: dict[Future[Verdict], Trial] = {}
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for model in models:
            for trial in trials(
                events,
                model=model,
                sector=arguments.sector,
                disks=max(1, arguments.disks // len(models)),
                seed=arguments.seed,
            ):
                summary.points.add(trial.case.point)
                waiting[pool.submit(judged, trial, arguments.program, seconds=arguments.patience)] = trial
                if len(waiting) >= 2 * arguments.jobs:
                    _collect(waiting, summary, arguments, events, wait(waiting, return_when=FIRST_COMPLETED).done)
                if len(summary.bad) >= arguments.findings:
                    break
        _collect(waiting, summary, arguments, events, wait(waiting).done)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    if arguments.json:
        print(json.dumps(summary.as_dict(), indent=2))
    else:
        for key, value in summary.as_dict().items():
            print(f"{key}\t{len(value) if isinstance(value, list) else value}")
        for place in summary.bad:
            print(f"bad\t{place}")
    return 1 if summary.bad else 0


def _collect(
    waiting: dict[Future[Verdict], Trial],
    summary: _Summary,
    arguments: argparse.Namespace,
    events: Sequence[Event],
    done: set[Future[Verdict]],
) -> None:
    for future in done:
        trial, verdict = waiting.pop(future), future.result()
        summary.disks += 1
        if not verdict.good and len(summary.bad) < arguments.findings:
            place = kept(trial, verdict, events, arguments.output, len(summary.bad) + 1)
            summary.bad.append(str(place))
            print(f"bad: {place}, cut after event {trial.case.point}, {trial.case.model}", file=sys.stderr)
            print(verdict.output.rstrip(), file=sys.stderr)
    if sys.stderr.isatty():
        print(f"\r{summary.disks} disks, {len(summary.bad)} bad ", end="", file=sys.stderr, flush=True)


def _repeat(arguments: argparse.Namespace, events: Sequence[Event]) -> int:
    try:
        case = Case.decode(arguments.repeat.read_text())
    except (OSError, ValueError) as error:
        parser().error(f"--repeat: {arguments.repeat}: {error}")
    verdict = judged(repeated(events, case), arguments.program, seconds=arguments.patience)
    print(verdict.output.rstrip())
    return 0 if verdict.good else 1
