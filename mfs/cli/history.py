"""`mfs snapshot`, `mfs log`, `mfs diff`, `mfs restore`, `mfs chroot`, `mfs pin`."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from mfs.cli.asking import asking
from mfs.cli.output import print_json, print_line
from mfs.cli.problem import Problem

if TYPE_CHECKING:
    from mfs.control.reach import Reached

__all__ = ["EPOCH", "chroot", "diff", "log", "pin", "restore", "snapshot"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def snapshot(arguments: argparse.Namespace) -> int:
    """Name a commit, take a name away, or list the names."""
    if arguments.name is None:
        if arguments.remove or arguments.commit is not None:
            raise Problem("say which snapshot: mfs snapshot --help has examples")
        return _list(arguments, "snapshots", ("name", "time", "root", "commit"))
    if arguments.remove:
        return _done(arguments, "forget", name=arguments.name)
    return _done(arguments, "snapshot", name=arguments.name, commit=arguments.commit)


def pin(arguments: argparse.Namespace) -> int:
    """Name a CID, take a name away, or list the names."""
    if arguments.name is None:
        if arguments.remove:
            raise Problem("say which pin: mfs pin --help has examples")
        return _list(arguments, "pins", ("name", "made", "cid"))
    if arguments.remove:
        return _done(arguments, "unpin", name=arguments.name)
    if arguments.cid is None:
        raise Problem(f"say which CID {arguments.name} is to keep: mfs pin NAME CID")
    return _done(arguments, "pin", name=arguments.name, cid=arguments.cid)


def log(arguments: argparse.Namespace) -> int:
    """List commits."""

    async def work(reached: Reached) -> int:
        async with reached.call("log", start=arguments.start, count=arguments.count) as call:
            await call.end()
            async for commits in call.answers():
                for commit in commits:
                    _show(arguments, commit, ("time", "root", "commit", "names"))
        return 0

    return asking(arguments.repo, work)


def diff(arguments: argparse.Namespace) -> int:
    """Say what changed."""

    async def work(reached: Reached) -> int:
        async with reached.call("diff", old=arguments.old, new=arguments.new) as call:
            await call.end()
            async for changes in call.answers():
                for change in changes:
                    _show(arguments, change, ("kind", "type", "path", "old", "what"))
        return 0

    return asking(arguments.repo, work)


def restore(arguments: argparse.Namespace) -> int:
    """Go back."""

    async def work(reached: Reached) -> int:
        done = await reached.ask("restore", commit=arguments.commit, paths=arguments.paths)
        if arguments.json:
            print_json(done)
        else:
            print_line(f"changed\t{done['changed']}")
            print_line(f"removed\t{done['removed']}")
            print_line(f"undo\tmfs restore {done['before']}")
        return 0

    return asking(arguments.repo, work)


def chroot(arguments: argparse.Namespace) -> int:
    """Make a directory the root."""
    path = None
    if not arguments.empty:
        path = arguments.cid if arguments.cid.startswith("/") else f"/ipfs/{arguments.cid}"

    async def work(reached: Reached) -> int:
        done = await reached.ask("chroot", path=path)
        if arguments.json:
            print_json(done)
        else:
            print_line(f"root\t{done['root']}")
            print_line(f"before\t{done['was']}")
            print_line(f"undo\tmfs restore {done['before']}")
        return 0

    return asking(arguments.repo, work)


def _done(arguments: argparse.Namespace, operation: str, **how: Any) -> int:
    async def work(reached: Reached) -> int:
        result = await reached.ask(operation, **how)
        if arguments.json and result is not None:
            print_json(result)
        return 0

    return asking(arguments.repo, work)


def _list(arguments: argparse.Namespace, operation: str, fields: tuple[str, ...]) -> int:
    async def work(reached: Reached) -> int:
        async with reached.call(operation) as call:
            await call.end()
            async for one in call.answers():
                _show(arguments, one, fields)
        return 0

    return asking(arguments.repo, work)


def _show(arguments: argparse.Namespace, one: dict[str, Any], fields: tuple[str, ...]) -> None:
    if arguments.json:
        print_json(one)
    else:
        print_line("\t".join(_field(field, one.get(field)) for field in fields))


def _field(name: str, value: Any) -> str:
    if name in ("time", "made"):
        when = EPOCH + timedelta(microseconds=value // 1000)
        return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if isinstance(value, list):
        value = ",".join(value)
    # The root directory has the empty path.
    return "/" if name == "path" and value == "" else value or "-"
