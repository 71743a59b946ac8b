"""`mfs cat`."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from mfs.cli.asking import asking, worded
from mfs.cli.output import complain

if TYPE_CHECKING:
    from mfs.control.reach import Reached

__all__ = ["cat"]


def cat(arguments: argparse.Namespace) -> int:
    """Write the files out; 1 when one could not be read."""

    async def work(reached: Reached) -> int:
        failures = 0
        out = sys.stdout.buffer
        for path in arguments.paths:
            try:
                async with reached.call("read", path=path) as call:
                    await call.end()
                    async for chunk in call.answers():
                        out.write(chunk)
                out.flush()
            except BrokenPipeError:
                raise
            except OSError as error:
                failures += 1
                complain("cat", str(worded(error)))
        return 1 if failures else 0

    return asking(arguments.repo, work)
