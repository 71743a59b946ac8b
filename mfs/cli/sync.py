"""`mfs sync SRC DST`."""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from dataclasses import asdict

from mfs.cli.output import complain, human, print_json, print_line
from mfs.cli.problem import Problem
from mfs.sync import Change, Options, Refused, Report
from mfs.sync import sync as sync_trees

__all__ = ["sync"]

ENTRIES = ("kept", "created", "replaced", "linked", "attributes", "removed", "failed")
BYTES = ("shared", "skipped", "holes", "written")
_EVERY = 0.1
"""Seconds between two changes of the progress line."""


def sync(arguments: argparse.Namespace) -> int:
    """Sync the trees and say what was done; 1 when an entry failed."""
    _raise_limit()
    options = Options(
        delete=arguments.delete, dry_run=arguments.dry_run, in_place=arguments.in_place, xattrs=arguments.xattrs
    )
    progress = _Progress() if sys.stderr.isatty() else None

    def told(change: Change) -> None:
        if progress is not None:
            progress.clear()
        if change.action == "failed":
            complain("sync", f"{os.path.join(arguments.source, change.path)}: {change.why}")
        elif not arguments.json and (arguments.verbose or arguments.dry_run):
            print_line(f"{change.action}\t{change.path}")
        if arguments.json:
            print_json({name: value for name, value in asdict(change).items() if name != "why" or value})

    try:
        report = sync_trees(arguments.source, arguments.target, options, told=told, seen=progress)
    except Refused as refused:
        raise Problem(str(refused)) from refused
    except OSError as error:
        raise Problem(f"{os.fsdecode(error.filename or arguments.target)}: {error.strerror}") from error
    finally:
        if progress is not None:
            progress.clear()
    _show(arguments, report)
    return 1 if report.failed else 0


def _show(arguments: argparse.Namespace, report: Report) -> None:
    fields = {name: getattr(report, name) for name in (*ENTRIES, *BYTES)}
    if arguments.json:
        print_json({"summary": fields, "dry_run": arguments.dry_run})
    elif sys.stdout.isatty():
        entries = ", ".join(f"{fields[name]} {name}" for name in ENTRIES if fields[name] or name == "kept")
        sizes = ", ".join(f"{human(fields[name])} {name}" for name in BYTES if fields[name] or name == "written")
        print_line(f"{'would be: ' if arguments.dry_run else ''}{entries}; {sizes}")
    elif not arguments.verbose and not arguments.dry_run:
        print_line("\t".join(fields))
        print_line("\t".join(map(str, fields.values())))


def _raise_limit() -> None:
    """A tree is walked with three descriptors for each level of depth."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class _Progress:
    """A line on the terminal that says how far it is."""

    def __init__(self) -> None:
        self._next = time.monotonic() + _EVERY
        self._shown = False

    def __call__(self, report: Report) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _EVERY
        self._shown = True
        same, new = report.skipped + report.shared, report.written
        sys.stderr.write(f"\r\x1b[K{report.seen} entries, {human(same)} the same or shared, {human(new)} written")
        sys.stderr.flush()

    def clear(self) -> None:
        if self._shown:
            self._shown = False
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
