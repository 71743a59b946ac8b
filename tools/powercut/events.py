"""What a recording is made of: every change of names and bytes, every sync, in the order in which they were answered.

A recording is a file. Each event is a line of JSON, an object with its kind under `event` and its fields by name, and
behind that line as many raw bytes as `size` says, where it says so (the data of a write). Names and targets, which may
be any bytes, are decoded as `os.fsdecode` does it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import IO, TypeAlias

__all__ = [
    "ROOT",
    "Event",
    "Inode",
    "Mark",
    "Names",
    "NotARecording",
    "Resize",
    "Sync",
    "SyncFailed",
    "Write",
    "Zero",
    "described",
    "read_events",
    "write_event",
]

ROOT = 1
"""The number of the top directory, which is there from the beginning."""

_TITLE = b'{"powercut": 1}\n'


class NotARecording(ValueError):
    """The file is none, or ends in the middle of an event."""


@dataclass(frozen=True, slots=True)
class Inode:
    """An inode comes into being, without a name yet, or gets another mode. `mode` as in `st_mode`."""

    ino: int
    mode: int
    target: bytes = b""


@dataclass(frozen=True, slots=True)
class Names:
    """Names change, all of these at once: `edits` are (directory, name, inode or 0 for none)."""

    edits: tuple[tuple[int, bytes, int], ...]


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes are written."""

    ino: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Resize:
    """The file has `size` bytes now: it was cut there, or goes on with zeros."""

    ino: int
    size: int


@dataclass(frozen=True, slots=True)
class Zero:
    """A range inside the file became zeros (punched out or zeroed); its size stays."""

    ino: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Sync:
    """fsync of a file or directory was answered; `data_only`: it was fdatasync."""

    ino: int
    data_only: bool = False


@dataclass(frozen=True, slots=True)
class SyncFailed:
    """fsync or fdatasync was refused. What it was to make durable is lost or not, and no later sync says which."""

    ino: int


@dataclass(frozen=True, slots=True)
class Mark:
    """The program said something, such as what it has promised to somebody."""

    text: str


Fields: TypeAlias = dict[str, object]
Event: TypeAlias = Inode | Names | Write | Resize | Zero | Sync | SyncFailed | Mark


def write_event(file: IO[bytes], event: Event) -> None:
    """Adds an event; the first one in a file begins a recording."""
    if not file.tell():
        file.write(_TITLE)
    fields: Fields = {"event": type(event).__name__.lower()}
    data = b""
    match event:
        case Inode(ino, mode, target):
            fields |= {"ino": ino, "mode": mode, "target": os.fsdecode(target)}
        case Names(edits):
            fields["edits"] = [(directory, os.fsdecode(name), ino) for directory, name, ino in edits]
        case Write(ino, offset, data):
            fields |= {"ino": ino, "offset": offset, "size": len(data)}
        case Resize(ino, size):
            fields |= {"ino": ino, "length": size}
        case Zero(ino, offset, length):
            fields |= {"ino": ino, "offset": offset, "length": length}
        case Sync(ino, data_only):
            fields |= {"ino": ino, "data_only": data_only}
        case SyncFailed(ino):
            fields["ino"] = ino
        case Mark(text):
            fields["text"] = text
    file.write(json.dumps(fields).encode() + b"\n" + data)


def read_events(file: IO[bytes]) -> Iterator[Event]:
    """The events of a recording, from its beginning. Raises `NotARecording`."""
    if file.readline(len(_TITLE)) != _TITLE:
        raise NotARecording("this is not a recording of rawfuse powercut")
    while line := file.readline():
        try:
            fields = json.loads(line)
            data = file.read(fields.get("size", 0))
            yield _event(fields, data)
        except (ValueError, KeyError, TypeError) as error:
            raise NotARecording(f"the recording is damaged: {line[:80]!r}: {error}") from error


def _event(fields: Fields, data: bytes) -> Event:
    number, text = partial(_int, fields), partial(_str, fields)
    match fields["event"]:
        case "inode":
            return Inode(number("ino"), number("mode"), os.fsencode(text("target")))
        case "names":
            edits = fields["edits"]
            if not isinstance(edits, list):
                raise ValueError("edits are a list")
            return Names(tuple((int(directory), os.fsencode(name), int(ino)) for directory, name, ino in edits))
        case "write":
            if len(data) != number("size"):
                raise ValueError(f"it ends {number('size') - len(data)} bytes early")
            return Write(number("ino"), number("offset"), data)
        case "resize":
            return Resize(number("ino"), number("length"))
        case "zero":
            return Zero(number("ino"), number("offset"), number("length"))
        case "sync":
            return Sync(number("ino"), bool(fields["data_only"]))
        case "syncfailed":
            return SyncFailed(number("ino"))
        case "mark":
            return Mark(text("text"))
    raise ValueError("no such event")


def _int(fields: Fields, name: str) -> int:
    value = fields[name]
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"{name} is {value!r}")
    return value


def _str(fields: Fields, name: str) -> str:
    value = fields[name]
    if not isinstance(value, str):
        raise ValueError(f"{name} is {value!r}")
    return value


def described(event: Event) -> str:
    """One line for people."""
    match event:
        case Inode(ino, mode, target):
            return f"inode {ino} mode {mode:o}" + (f" -> {os.fsdecode(target)}" if target else "")
        case Names(edits):
            said = (f"{directory}/{os.fsdecode(name)} = {ino or 'none'}" for directory, name, ino in edits)
            return f"names {', '.join(said)}"
        case Write(ino, offset, data):
            return f"write {ino} at {offset}, {len(data)} bytes"
        case Resize(ino, size):
            return f"resize {ino} to {size}"
        case Zero(ino, offset, length):
            return f"zero {ino} at {offset}, {length} bytes"
        case Sync(ino, data_only):
            return f"{'fdatasync' if data_only else 'fsync'} {ino}"
        case SyncFailed(ino):
            return f"failed sync {ino}"
        case Mark(text):
            return f"mark {text}"
