"""`mfs mkdir`, `mfs mv`, `mfs rm`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mfs.cli.asking import asking, worded
from mfs.cli.output import complain
from mfs.cli.problem import Problem

if TYPE_CHECKING:
    from mfs.control.reach import Reached

__all__ = ["mkdir", "mv", "rm"]


def mkdir(arguments: argparse.Namespace) -> int:
    """Make each directory."""
    each = [{"path": path, "parents": arguments.parents} for path in arguments.paths]
    return _do_each(arguments, "mkdir", each, create=True)


def rm(arguments: argparse.Namespace) -> int:
    """Remove each path."""
    each = [{"path": path, "recursive": arguments.recursive, "force": arguments.force} for path in arguments.paths]
    return _do_each(arguments, "remove", each)


def mv(arguments: argparse.Namespace) -> int:
    """Rename one, or move several into a directory."""
    target = arguments.target
    if len(arguments.paths) > 1 and not target.endswith("/"):
        target += "/"
    each = [{"source": path, "target": target, "replace": not arguments.no_replace} for path in arguments.paths]
    return _do_each(arguments, "move", each)


def _do_each(
    arguments: argparse.Namespace, operation: str, each: Sequence[dict[str, Any]], *, create: bool = False
) -> int:
    """The operation with each of these arguments; 1 when one failed, which keeps none of the others from being done."""

    async def work(reached: Reached) -> int:
        failures = 0
        for one in each:
            try:
                await reached.ask(operation, **one)
            except OSError as error:
                failures += 1
                problem = worded(error)
                if not isinstance(problem, Problem):
                    raise
                complain(arguments.command, str(problem))
        return 1 if failures else 0

    return asking(arguments.repo, work, create=create)
