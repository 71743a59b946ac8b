"""`mfs fsck`."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mfs.cli.output import human, print_json, print_line
from mfs.cli.problem import Problem, explained

if TYPE_CHECKING:
    from mfs.fsck import Finding, Report

__all__ = ["fsck"]

_WIDTH = 30
_MANY = 1000


def fsck(arguments: argparse.Namespace) -> int:
    """Check the repository, and mend it where that is asked for."""
    from mfs.fsck import OPERATIONAL, check

    bar = _Bar()
    try:
        report = check(arguments.repo, repair=arguments.repair, progress=bar.show)
    except Exception as error:
        bar.clear()
        problem = explained(error)
        if problem is None:
            raise
        print(f"mfs fsck: {_advised(error, problem)}", file=sys.stderr)
        return OPERATIONAL
    bar.clear()
    if arguments.json:
        _tell_json(report)
    else:
        _tell(report, repaired=arguments.repair)
    return report.status


def _advised(error: Exception, problem: Problem) -> Problem:
    from mfs.repo import RepoDamaged, RepoLocked

    if isinstance(error, RepoLocked):
        return Problem(str(problem), "A check needs the repository for itself: nothing may change meanwhile.")
    if isinstance(error, RepoDamaged):
        return Problem(
            error.args[0],
            "What a repository is cannot be found out from the rest of it. The file mfs.repo has three lines:",
            "mfs repository, format: 1, profile: unixfs-v1-2025 (or unixfs-v0-2015, where CIDs begin with Qm).",
        )
    return problem


class _Bar:
    """How far it is, on a terminal."""

    def __init__(self) -> None:
        self._watched = sys.stderr.isatty()

    def show(self, what: str, done: int, total: int) -> None:
        if not self._watched:
            return
        text = f"{what:9} {done}"
        if total:
            bar = "#" * min(done * _WIDTH // total, _WIDTH)
            text = f"{what:9} [{bar:<{_WIDTH}}] {done} of {total} blocks"
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self._watched:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _tell(report: Report, *, repaired: bool) -> None:
    for finding in report.findings:
        print_line(_line(finding))
    for note in report.notes:
        print_line(f"note: {note}")
    print_line(
        f"{report.blocks} blocks verified, {human(report.bytes)}; {report.inodes} inodes, {report.commits} commits"
    )
    if report.garbage:
        print_line(f"{report.garbage} blocks are garbage (mfs gc removes them)")
    if not report.findings:
        print_line("sound")
        return
    left = sum(finding.repair is None for finding in report.findings)
    print_line(f"{len(report.findings)} damages found, {len(report.findings) - left} mended, {left} left")
    if left and not repaired:
        print_line("mfs fsck --repair mends what can be mended; copy the repository first, if there is room")


def _line(finding: Finding) -> str:
    where = finding.kind
    if finding.path is not None:
        where = f"{finding.kind} " + ", ".join(f"/{os.fsdecode(path)}" for path in (finding.path, *finding.links))
    if finding.snapshot is not None:
        where += f" in {finding.snapshot}"
    line = f"{where}: {finding.what}"
    if finding.ranges:
        shown = ", ".join(f"{start}-{stop - 1}" for start, stop in finding.ranges[:_MANY] if stop > start)
        more = f" and {len(finding.ranges) - _MANY} more ranges" if len(finding.ranges) > _MANY else ""
        line += f" (bytes {shown}{more})" if shown else ""
    return f"{line} -> {finding.repair}" if finding.repair is not None else line


def _tell_json(report: Report) -> None:
    for finding in report.findings:
        said: dict[str, Any] = {**asdict(finding), "path": _path(finding.path)}
        said["links"] = [_path(link) for link in finding.links]
        print_json(said)
    counted = {name: value for name, value in asdict(report).items() if name != "findings"}
    print_json({"kind": "summary", **counted, "findings": len(report.findings), "status": report.status})


def _path(path: bytes | None) -> str | None:
    """As other commands give names of any bytes in JSON."""
    from mfs.control.frames import to_text

    return None if path is None else to_text(b"/" + path)
