"""`mfs gc`."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from mfs.cli.asking import asking
from mfs.cli.output import human, print_json, print_line

if TYPE_CHECKING:
    from mfs.control.reach import Reached

__all__ = ["gc"]

_WIDTH = 30


def gc(arguments: argparse.Namespace) -> int:
    """Collect garbage, and say what came of it."""

    async def work(reached: Reached) -> int:
        async with reached.call("collect", keep=arguments.keep, dry_run=arguments.dry_run) as call:
            await call.end()
            watched = sys.stderr.isatty()
            async for how in call.answers():
                if watched:
                    _bar(how)
            if watched:
                print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            _tell(arguments, call.result)
        return 0

    return asking(arguments.repo, work)


def _bar(how: dict[str, Any]) -> None:
    done = how["done"] * _WIDTH // max(how["total"], 1)
    bar = "#" * min(done, _WIDTH)
    text = f"\r\x1b[K{how['phase']:9} [{bar:<{_WIDTH}}] {how['done']} of {how['total']} blocks"
    print(text, end="", file=sys.stderr, flush=True)


def _tell(arguments: argparse.Namespace, result: dict[str, Any]) -> None:
    if arguments.json:
        print_json(result)
        return
    would = "would remove" if arguments.dry_run else "removed"
    print_line(f"{would} {result['removed']} of {result['blocks']} blocks, {human(result['bytes'])}")
    print_line(f"{result['kept']} commits kept, {result['forgotten']} forgotten")
    if not arguments.dry_run:
        print_line(f"{human(result['freed'])} of disk given back in {result['seconds']:.1f} s")
    if result["postponed"]:
        print_line("space was not given back, because files were being read all the time: run it again")
