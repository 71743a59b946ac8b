"""What `mfs add` does with a file whether it is stored or only hashed: read it, and say what came of it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from typing import Any

from mfs.cli.output import print_json, print_line

__all__ = ["CHUNK", "chunks", "print_added"]

CHUNK = 1 << 20


def chunks(fd: int) -> Iterator[bytes]:
    """All of a file, in whole pieces also where a pipe gives less at a time."""
    while True:
        parts, held = [], 0
        while held < CHUNK and (part := os.read(fd, CHUNK - held)):
            parts.append(part)
            held += len(part)
        if not held:
            return
        yield parts[0] if len(parts) == 1 else b"".join(parts)


def print_added(arguments: argparse.Namespace, entry: dict[str, Any]) -> None:
    """A line, or the form that the options ask for."""
    if arguments.json:
        print_json(entry)
    elif arguments.quiet:
        print_line(entry["cid"] or "-")
    else:
        print_line(f"added {entry['cid'] or '-'} {entry['name']}")
