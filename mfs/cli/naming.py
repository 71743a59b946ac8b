"""`mfs key`, `mfs name`."""

from __future__ import annotations

import argparse
import base64
import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from mfs.cli.asking import asking
from mfs.cli.history import EPOCH
from mfs.cli.output import print_json, print_line
from mfs.cli.problem import Problem, explained

if TYPE_CHECKING:
    from mfs.control.reach import Reached

__all__ = ["key", "name"]

_SUFFIX = ".ipns-record"


def key(arguments: argparse.Namespace) -> int:
    """Do what was asked with keys."""
    action = arguments.action
    if action == "ls":
        return _list(arguments)
    called = arguments.called
    if action == "gen":
        return _tell(arguments, _ask(arguments, "key-new", create=True, called=called), "name")
    if action == "rm":
        _ask(arguments, "key-remove", called=called)
        return 0
    if action == "rename":
        return _tell(arguments, _ask(arguments, "key-rename", old=called, new=arguments.new), "name")
    if action == "import":
        encoded = _encoded(arguments.file)
        return _tell(arguments, _ask(arguments, "key-import", create=True, called=called, key=encoded), "name")
    file = arguments.file or f"{called}.key"
    _write_new(file, _ask(arguments, "key-export", called=called)["key"], 0o600)
    print_line(file)
    return 0


def name(arguments: argparse.Namespace) -> int:
    """Do what was asked with names."""
    action, which = arguments.action, arguments.name
    if action == "publish":
        to = os.path.abspath(arguments.to) if arguments.to is not None else None
        for one in _ask(arguments, "name-publish", called=which, to=to):
            _tell(arguments, one, "name", "value")
        return 0
    if action == "rm":
        _ask(arguments, "name-forget", name=which)
        return 0
    if action == "resolve":
        found = _ask(arguments, "name-resolve", name=which)
        if found["expired"]:
            until = (EPOCH + timedelta(microseconds=found["until"] // 1000)).strftime("%Y-%m-%dT%H:%M:%SZ")
            raise Problem(
                f"the record of {which} was good until {until}: it led to {found['value']}",
                "mfs name publish signs a new one." if found["called"] else "mfs name import brings a newer one.",
            )
        return _tell(arguments, found, "value")
    file = arguments.file
    if action == "import":
        if file is None:
            file, which = which, os.path.basename(which).removesuffix(_SUFFIX)
        found = _ask(arguments, "name-import", create=True, name=which, record=_encoded(file))
        return _tell(arguments, found, "name", "value")
    found = _ask(arguments, "name-export", name=which)
    file = file or found["name"] + _SUFFIX
    _write_new(file, found["record"], 0o644)
    print_line(file)
    return 0


def _ask(arguments: argparse.Namespace, operation: str, *, create: bool = False, **how: Any) -> Any:
    found: list[Any] = []

    async def work(reached: Reached) -> int:
        found.append(await reached.ask(operation, **how))
        return 0

    asking(arguments.repo, work, create=create)
    return found[0]


def _list(arguments: argparse.Namespace) -> int:
    async def work(reached: Reached) -> int:
        async with reached.call("keys") as call:
            await call.end()
            async for one in call.answers():
                _tell(arguments, one, "called", "name", "cid")
        return 0

    return asking(arguments.repo, work)


def _tell(arguments: argparse.Namespace, found: dict[str, Any], *fields: str) -> int:
    if arguments.json:
        print_json(found)
    else:
        print_line("\t".join(str(found[field] if found[field] is not None else "-") for field in fields))
    return 0


def _encoded(file: str) -> str:
    try:
        with open(file, "rb") as opened:
            # More than any key or record has: what is longer is refused all the same.
            return base64.b64encode(opened.read(1 << 16)).decode()
    except OSError as error:
        raise explained(error) or error from error


def _write_new(file: str, encoded: str, mode: int) -> None:
    """Write a file that is not there yet: nobody's key is lost to a slip of the pen."""
    try:
        fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with open(fd, "wb") as made:
            made.write(base64.b64decode(encoded))
    except OSError as error:
        raise explained(error) or error from error
