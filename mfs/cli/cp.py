"""`mfs cp`: within a repository, or with --keep-shared between paths of this machine."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from mfs.cli.asking import asking, worded
from mfs.cli.output import complain
from mfs.cli.problem import Problem

if TYPE_CHECKING:
    from mfs.control.reach import Reached

__all__ = ["cp"]


def cp(arguments: argparse.Namespace) -> int:
    """Copy each; 1 when one could not be copied."""
    if arguments.keep_shared:
        from mfs.cli import keep_shared

        return keep_shared.cp(arguments)
    if arguments.json or arguments.verbose:
        raise Problem("--json and --verbose are for --keep-shared", "A copy of pointers has nothing to tell.")
    target = arguments.target
    if len(arguments.paths) > 1 and not target.endswith("/"):
        target += "/"

    async def work(reached: Reached) -> int:
        failures = 0
        for path in arguments.paths:
            try:
                await reached.ask(
                    "copy",
                    source=path,
                    target=target,
                    recursive=arguments.recursive,
                    replace=not arguments.no_replace,
                )
            except OSError as error:
                failures += 1
                complain("cp", str(worded(error)))
        return 1 if failures else 0

    return asking(arguments.repo, work)
