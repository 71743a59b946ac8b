"""The operations: one record each.

Adding one is adding a record; its handler is an ``async`` function that takes the session and the arguments named
here, by keyword, and returns the result, which JSON can say.  It is imported when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal, TypeAlias

from mfs.control.frames import to_bytes

__all__ = ["OPERATIONS", "Argument", "BadArguments", "Kind", "Operation", "arguments_of"]

Kind: TypeAlias = Literal["path", "paths", "text", "texts", "flag", "number"]
"""Paths and names are given as text (:func:`mfs.control.frames.to_text`) and reach the handler as bytes."""


@dataclass(frozen=True)
class Argument:
    """One argument; with a `default` it may be left out, or be null."""

    name: str
    kind: Kind
    default: Any = ...


@dataclass(frozen=True)
class Operation:
    """One operation.

    Attributes:
        name: what is asked for.
        handler: "module:function".
        about: what it does, in a line.
        takes, gives: what streams in and out beside arguments and result: items, bytes, both; empty for nothing.
        makes: whether it may make a repository where there is none.
    """

    name: str
    handler: str
    about: str
    arguments: tuple[Argument, ...] = ()
    takes: str = ""
    gives: str = ""
    makes: bool = False

    def resolve(self) -> Callable[..., Awaitable[Any]]:
        """The handler."""
        module, _, name = self.handler.partition(":")
        found: Callable[..., Awaitable[Any]] = getattr(import_module(module), name)
        return found


class BadArguments(Exception):
    """The arguments are not those of the operation."""


_PATH = Argument("path", "path")

_RECORDS = (
    Operation("commit", "mfs.operations.whole:commit", "make everything durable, and say which root CID that is"),
    Operation(
        "list",
        "mfs.operations.reading:list_directory",
        "list a directory",
        (_PATH, Argument("cids", "flag", False)),
        gives="lists of entries",
    ),
    Operation(
        "describe", "mfs.operations.reading:describe", "say what is at some paths", (Argument("paths", "paths"),)
    ),
    Operation("read", "mfs.operations.reading:read", "read a file", (_PATH,), gives="bytes"),
    Operation(
        "mkdir",
        "mfs.operations.changing:mkdir",
        "make a directory",
        (_PATH, Argument("parents", "flag", False)),
        makes=True,
    ),
    Operation(
        "remove",
        "mfs.operations.changing:remove",
        "remove a file, or with `recursive` a directory and all in it",
        (_PATH, Argument("recursive", "flag", False), Argument("force", "flag", False)),
    ),
    Operation(
        "add",
        "mfs.operations.adding:add",
        "take in files and directories",
        (_PATH,),
        takes="entries and bytes",
        gives="lists of entries with their CIDs",
        makes=True,
    ),
    Operation(
        "fetch",
        "mfs.operations.fetching:fetch",
        "give out a file, or a directory and all in it",
        (_PATH,),
        gives="entries and bytes",
    ),
    Operation(
        "copy",
        "mfs.operations.copying:copy",
        "copy within the repository, as pointers",
        (
            Argument("source", "path"),
            Argument("target", "path"),
            Argument("recursive", "flag", False),
            Argument("replace", "flag", True),
        ),
    ),
    Operation(
        "export",
        "mfs.operations.exchanging:export_car",
        "give out a CAR of everything at a path",
        (_PATH,),
        gives="bytes",
    ),
    Operation(
        "import",
        "mfs.operations.exchanging:import_car",
        "take in the blocks of a CAR, verified",
        (Argument("to", "path", None), Argument("pin", "flag", True), Argument("roots", "texts", None)),
        takes="bytes",
        makes=True,
    ),
    Operation(
        "move",
        "mfs.operations.changing:move",
        "rename, as rename(2)",
        (Argument("source", "path"), Argument("target", "path"), Argument("replace", "flag", True)),
    ),
    Operation(
        "snapshot",
        "mfs.operations.history:snapshot",
        "name a commit, or everything there is now",
        (Argument("name", "text"), Argument("commit", "text", None)),
    ),
    Operation("snapshots", "mfs.operations.history:snapshots", "list the snapshots", gives="a snapshot each"),
    Operation("forget", "mfs.operations.history:forget", "take a snapshot's name away", (Argument("name", "text"),)),
    Operation(
        "pin",
        "mfs.operations.history:pin",
        "keep the blocks under a CID",
        (Argument("name", "text"), Argument("cid", "text")),
    ),
    Operation("pins", "mfs.operations.history:pins", "list the pins", gives="a pin each"),
    Operation("unpin", "mfs.operations.history:unpin", "take a pin away", (Argument("name", "text"),)),
    Operation(
        "log",
        "mfs.operations.history:log",
        "list commits, newest first",
        (Argument("start", "text", "head"), Argument("count", "number", None)),
        gives="lists of commits",
    ),
    Operation(
        "diff",
        "mfs.operations.history:diff",
        "say what changed between two commits, or two directories by CID",
        (Argument("old", "text"), Argument("new", "text")),
        gives="lists of changes",
    ),
    Operation(
        "restore",
        "mfs.operations.history:restore",
        "make the tree, or some paths, what a commit says",
        (Argument("commit", "text"), Argument("paths", "paths", ())),
    ),
    Operation(
        "chroot",
        "mfs.operations.chroot:chroot",
        "make a directory the root; null: an empty one",
        (Argument("path", "path", None),),
    ),
    Operation("keys", "mfs.operations.naming:keys", "list the keys", gives="a key each"),
    Operation("key-new", "mfs.operations.naming:new_key", "make a key", (Argument("called", "text"),), makes=True),
    Operation(
        "key-import",
        "mfs.operations.naming:import_key",
        "take in a key",
        (Argument("called", "text"), Argument("key", "text")),
        makes=True,
    ),
    Operation("key-export", "mfs.operations.naming:export_key", "give out a key", (Argument("called", "text"),)),
    Operation(
        "key-rename",
        "mfs.operations.naming:rename_key",
        "call a key otherwise",
        (Argument("old", "text"), Argument("new", "text")),
    ),
    Operation("key-remove", "mfs.operations.naming:remove_key", "forget a key", (Argument("called", "text"),)),
    Operation(
        "name-publish",
        "mfs.operations.naming:publish",
        "sign what keys lead to",
        (Argument("called", "text", None), Argument("to", "path", None)),
    ),
    Operation("name-resolve", "mfs.operations.naming:resolve", "say what a name leads to", (Argument("name", "text"),)),
    Operation(
        "name-import",
        "mfs.operations.naming:bring",
        "take in the record of a name",
        (Argument("name", "text"), Argument("record", "text")),
        makes=True,
    ),
    Operation(
        "name-forget", "mfs.operations.naming:forget", "forget the record of a name", (Argument("name", "text"),)
    ),
    Operation(
        "name-export", "mfs.operations.naming:give", "give out the record of a name", (Argument("name", "text"),)
    ),
    Operation(
        "collect",
        "mfs.operations.history:collect",
        "collect garbage",
        (Argument("keep", "text", "1"), Argument("dry_run", "flag", False)),
        gives="how far it is",
    ),
)

OPERATIONS: Mapping[str, Operation] = {record.name: record for record in _RECORDS}
"""By name."""


def arguments_of(operation: Operation, given: Any) -> dict[str, Any]:
    """The arguments for the handler, checked.  Raises :class:`BadArguments`."""
    if not isinstance(given, dict):
        raise BadArguments("the arguments are not an object")
    unknown = given.keys() - {argument.name for argument in operation.arguments}
    if unknown:
        raise BadArguments(f"{operation.name} has no argument {min(unknown)!r}")
    return {argument.name: _value(operation, argument, given.get(argument.name)) for argument in operation.arguments}


def _value(operation: Operation, argument: Argument, given: Any) -> Any:
    if given is None:
        if argument.default is ...:
            raise BadArguments(f"{operation.name} needs {argument.name!r}")
        return argument.default
    try:
        return _READ[argument.kind](given)
    except ValueError as error:
        raise BadArguments(f"{operation.name}: {argument.name!r}: {error}") from None


def _path(given: Any) -> bytes:
    if not isinstance(given, str):
        raise ValueError("not a text")
    path = to_bytes(given)
    if b"\0" in path:
        raise ValueError("it has a NUL in it")
    return path


def _text(given: Any) -> str:
    if not isinstance(given, str):
        raise ValueError("not a text")
    return given


def _flag(given: Any) -> bool:
    if not isinstance(given, bool):
        raise ValueError("neither true nor false")
    return given


def _number(given: Any) -> int:
    if type(given) is not int or not -(1 << 63) <= given < 1 << 63:
        raise ValueError("not an integer of 64 bits")
    return given


def _each(read: Callable[[Any], Any]) -> Callable[[Any], list[Any]]:
    def read_all(given: Any) -> list[Any]:
        if not isinstance(given, list):
            raise ValueError("not a list")
        return [read(one) for one in given]

    return read_all


_READ: dict[Kind, Callable[[Any], Any]] = {
    "path": _path,
    "paths": _each(_path),
    "text": _text,
    "texts": _each(_text),
    "flag": _flag,
    "number": _number,
}
