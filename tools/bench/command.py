"""The command: `rawfuse bench`, or `python -m tools.bench` in a checkout."""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from .caller import Caller
from .ground import Samples, Settings, ground, progress
from .machine import GIB, Unavailable
from .report import as_json, footer, separated, table
from .rows import ROWS, Result, Row
from .servers import MFS, Recipe

SPACE = 12 * GIB  # what the largest group writes

DESCRIPTION = """\
What the file system costs, each figure beside a reference that was taken in the same run: absolute times
belong to a machine, ratios travel. Without names every row is measured, which takes some minutes and 12 GiB
of disk for a while. Needs root, because it mounts; codec and session do not.

Round trips (names, copies, syncs, and most of memory-fs) have client and server on one CPU: on two, waking the
other one hides the server. Throughput is not pinned. Figures are medians; ours and the reference run in turns.
"""

EPILOG = """\
reading the table:
  ratio     ours divided by the reference; for speeds more is better, for times less
  bar       what the ratio (x) or our own figure is held against
  verdict   met, missed; failed when the row could not be measured; - when there is nothing to judge

references from elsewhere are given as commands, in which {dir} is the mount point and {src} a directory to
pass through; they must stay in the foreground or leave a server behind:
  --peer memfs_ll='/path/to/memfs_ll -s -f {dir}'
  --peer passthrough_ll='/path/to/passthrough_ll -s -f -o source={src} {dir}'
  --peer pyfuse3='python /path/to/a/server/in/memory.py {dir}', and mfusepy, for the rows of the memory example
  --peer kubo='python -m tools.bench.kubo /path/to/ipfs {repo} {dir}', which starts a daemon on an empty repository

examples:
  rawfuse bench lookup                  one row; its reference, a server in one file, is part of the package
  rawfuse bench memory-fs passthrough   rawfuse's examples, instead of `mfs mount`
  rawfuse bench --scale 0.01            everything, small: does it work here?
  rawfuse bench --server './my-fs {dir}' lookup create     any other FUSE server in our place

exit status: 0 when no bar was missed, 1 when one was or a row failed, 2 for a wrong command line.
"""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="rawfuse bench",
        description=DESCRIPTION,
        epilog=EPILOG + "\nrows:\n" + "\n".join(_row_help()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("rows", nargs="*", metavar="ROW", help="rows or groups to measure, by name (below); none: all")
    made.add_argument("--json", action="store_true", help="print JSON, with every single run and the machine")
    made.add_argument("--peer", action="append", default=[], metavar="NAME=CMD", help="how to start a reference")
    made.add_argument(
        "--server", metavar="CMD", help="measure this server instead of `mfs mount`; the examples stay themselves"
    )
    made.add_argument(
        "--directory",
        type=Path,
        default=Path("/var/tmp"),
        metavar="DIR",
        help="where to work: the disk that is measured (default: %(default)s)",
    )
    made.add_argument("--runs", type=int, metavar="N", help="how often each figure is taken (default: 1 to 15)")
    made.add_argument("--scale", type=float, default=1.0, metavar="F", help="shrink sizes and counts, for a trial")
    made.add_argument("--python-client", action="store_true", help="do not compile the client of the round trips")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    arguments = parser().parse_args(argv)
    rows = _selected(arguments.rows)
    try:
        peers = {recipe.name: recipe for recipe in map(Recipe.parse, arguments.peer)}
        ours = Recipe.parse(f"server={arguments.server}") if arguments.server is not None else MFS
    except ValueError as error:
        parser().error(str(error))
    if not 0 < arguments.scale <= 1 or (arguments.runs is not None and arguments.runs < 1):
        parser().error("--scale is more than 0 and at most 1, --runs at least 1")
    mounting = any(row.mounts for row in rows)
    if mounting and os.geteuid() != 0:
        parser().error("mounting needs root: run it as root")
    free = shutil.disk_usage(arguments.directory).free
    if mounting and free < SPACE * arguments.scale:
        parser().error(f"{arguments.directory}: {free / GIB:.1f} GiB free, {SPACE * arguments.scale / GIB:.1f} needed")
    with tempfile.TemporaryDirectory(prefix="rawfuse-bench-", dir=arguments.directory) as scratch:
        caller = Caller(Path(scratch), compiled=not arguments.python_client)
        settings = Settings(Path(scratch).resolve(), ours, peers, caller, arguments.scale, arguments.runs)
        results = list(measured(rows, settings))
    if arguments.json:
        print(as_json(results, settings))
    elif sys.stdout.isatty():
        print(table(results), footer(settings), sep="\n\n")
    else:
        print(separated(results))
    return 1 if any(result.verdict in ("missed", "failed") for result in results) else 0


def measured(rows: Sequence[Row], settings: Settings) -> Iterator[Result]:
    """Row by row, a server of ours for each group. A row or a server that fails is a result, and the rest goes on."""
    for group, members in itertools.groupby(rows, key=lambda row: row.group):
        waiting = list(members)
        try:
            given = replace(settings, ours=waiting[0].server or settings.ours)
            with ground(given, mounts=any(row.mounts for row in waiting)) as place:
                while waiting:
                    progress(f"{waiting[0].name}: {waiting[0].measures}")
                    try:
                        samples = waiting[0].measure(place)
                    except (Unavailable, OSError) as problem:
                        samples = Samples([], note=str(problem))
                    yield Result(waiting.pop(0), samples)
        except (Unavailable, OSError) as problem:
            if not waiting:
                progress(f"after {group}: {problem}")
            for row in waiting:
                yield Result(row, Samples([], note=str(problem)))


def _selected(names: Sequence[str]) -> list[Row]:
    """In the table's order, whatever the order on the command line: rows of a group share a server.

    The name of a group means all its rows.
    """
    if unknown := [name for name in names if name not in {word for row in ROWS for word in (row.name, row.group)}]:
        parser().error(f"no row {', '.join(unknown)}; there are {', '.join(row.name for row in ROWS)}")
    return [row for row in ROWS if not names or row.name in names or row.group in names]


def _row_help() -> Iterator[str]:
    for row in ROWS:
        bar = f"; bar {row.bar.text(row.unit)}" if row.bar else ""
        beside = f", beside {row.reference}" if row.reference else ""
        yield f"  {row.name:<23}{row.measures}{beside}{bar}"
