"""`mfs ls`."""

from __future__ import annotations

import argparse
import stat
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from mfs.cli.asking import asking, worded
from mfs.cli.output import complain, print_json, print_line

if TYPE_CHECKING:
    from mfs.control.reach import Reached

__all__ = ["ls"]

_SORTED = 10_000
"""So many entries are held back to be sorted."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def ls(arguments: argparse.Namespace) -> int:
    """List each path; 1 when something could not be listed."""

    async def work(reached: Reached) -> int:
        failures = 0
        for number, path in enumerate(arguments.paths or ["/"]):
            try:
                await _list(reached, path, arguments, heading=len(arguments.paths) > 1, first=not number)
            except OSError as error:
                failures += 1
                complain("ls", str(worded(error)))
        return 1 if failures else 0

    return asking(arguments.repo, work)


async def _list(reached: Reached, path: str, arguments: argparse.Namespace, *, heading: bool, first: bool) -> None:
    async with reached.call("list", path=path, cids=arguments.long or arguments.json) as call:
        await call.end()
        held: list[dict[str, Any]] | None = None if arguments.unsorted else []
        started = False
        async for entries in call.answers():
            if heading and not started and not arguments.json:
                print_line(path + ":" if first else f"\n{path}:")
            started = True
            if held is None:
                _show(path, entries, arguments)
                continue
            held += entries
            if len(held) > _SORTED:
                _show(path, held, arguments)
                held = None
        _show(path, sorted(held or (), key=lambda entry: entry["name"].encode("utf-8", "surrogateescape")), arguments)


def _show(path: str, entries: Iterable[dict[str, Any]], arguments: argparse.Namespace) -> None:
    for entry in entries:
        if arguments.json:
            print_json({"path": path, **entry})
        elif arguments.long:
            print_line(_long(entry))
        else:
            print_line(entry["name"])


def _long(entry: dict[str, Any]) -> str:
    name = entry["name"]
    if "target" in entry:
        name = f"{name} -> {entry['target']}"
    fields = (stat.filemode(entry["mode"]), str(entry["size"]), _time(entry["mtime"]), entry["cid"] or "-", name)
    return "\t".join(fields)


def _time(nanoseconds: int | None) -> str:
    if nanoseconds is None:
        return "-"
    try:
        when = _EPOCH + timedelta(microseconds=nanoseconds // 1000)
    except OverflowError:
        return f"@{nanoseconds // 1_000_000_000}"
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")
