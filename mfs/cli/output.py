"""What commands write: names of any bytes, for people or for programs."""

from __future__ import annotations

import json
import sys
from typing import Any

__all__ = ["complain", "human", "print_json", "print_line", "shown"]

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def print_line(text: str) -> None:
    """A line with names in it, their bytes as they are in a pipe; a terminal gets no control characters."""
    if sys.stdout.isatty():
        text = shown(text)
    sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape") + b"\n")


def print_json(value: Any) -> None:
    """A line of JSON, in ASCII."""
    sys.stdout.buffer.write(json.dumps(value).encode("ascii") + b"\n")


def shown(text: str) -> str:
    """The text with everything escaped that would do something to a terminal."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def complain(command: str, text: str) -> None:
    """A line on standard error."""
    print(f"mfs {command}: {shown(text)}", file=sys.stderr)


def human(size: float) -> str:
    """Bytes in the unit in which they are a small number."""
    unit = 0
    while size >= 1024 and unit + 1 < len(_UNITS):
        size /= 1024
        unit += 1
    return f"{size:.1f} {_UNITS[unit]}" if unit else f"{size:.0f} B"
