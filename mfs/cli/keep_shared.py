"""`mfs cp --keep-shared SRC DST`."""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict

from mfs.cli.output import complain, print_json, print_line
from mfs.cli.problem import Problem
from mfs.cli.progress import Progress
from mfs.copying import Outcome, copy
from mfs.copying.content import Blocks
from mfs.copying.outcome import Tally

__all__ = ["cp"]

_EVERY = 0.2
"""Seconds between two looks at how far a copy has come."""

FIELDS = ("size", "shared", "skipped", "holes", "written", "offered", "changed")


def cp(arguments: argparse.Namespace) -> int:
    """Copy each file; 1 when one could not be copied."""
    into = os.path.isdir(arguments.target)
    if len(arguments.paths) > 1 and not into:
        raise Problem(f"{arguments.target} is not a directory, so only one file can be copied to it")
    blocks = Blocks()
    failures = 0
    for number, source in enumerate(arguments.paths):
        target = os.path.join(arguments.target, os.path.basename(source)) if into else arguments.target
        try:
            with _watched(source) as tally:
                outcome = copy(source, target, blocks=blocks, tally=tally)
        except OSError as error:
            failures += 1
            complain("cp", worded(error))
            continue
        _show(arguments, source, target, outcome, heading=not number)
    return 1 if failures else 0


@contextmanager
def _watched(source: str) -> Iterator[Tally]:
    """A tally whose progress is shown while a person watches."""
    tally = Tally()
    if not sys.stderr.isatty():
        yield tally
        return
    done = threading.Event()

    def show() -> None:
        shown = 0
        with suppress(OSError), Progress("copying", os.stat(source).st_size) as progress:
            while not done.wait(_EVERY):
                total = tally.total
                progress.add(total - shown)
                shown = total

    watcher = threading.Thread(target=show)
    watcher.start()
    try:
        yield tally
    finally:
        done.set()
        watcher.join()


def worded(error: OSError) -> str:
    """The paths that an error is about, and what it is."""
    paths = [os.fsdecode(path) for path in (error.filename, error.filename2) if isinstance(path, str | bytes)]
    return f"{' to '.join(paths)}: {error.strerror or error}"


def _show(arguments: argparse.Namespace, source: str, target: str, outcome: Outcome, *, heading: bool) -> None:
    fields = asdict(outcome)
    if arguments.json:
        print_json({"source": source, "target": target, **fields})
    elif arguments.verbose:
        if heading:
            print_line("\t".join((*FIELDS, "source", "target")))
        print_line("\t".join((*(str(fields[name]).lower() for name in FIELDS), source, target)))
