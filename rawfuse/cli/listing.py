"""`rawfuse list`: the FUSE connections of this machine."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from rawfuse.mount import Connection, MountError, fuse_connections, mount_fusectl

__all__ = ["escaped", "main"]

_COLUMNS = ("CONNECTION", "MOUNTPOINT", "TYPE", "SOURCE", "WAITING", "PID", "COMMAND")
_ABSENT = "-"


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 0; what cannot be known is said on stderr."""
    parser = argparse.ArgumentParser(
        prog="rawfuse list",
        description="List FUSE connections: where they are mounted, requests that wait, who serves them.",
        epilog="One line for each mount point and server; `-` is what is not there or cannot be known. A connection "
        "without a server is dead, or its server is not yours to look at. In a pipe: columns separated by tabs, with "
        "\\t, \\n and \\\\ in them so written, and no heading; so are other characters that cannot be shown.",
    )
    parser.add_argument("--json", action="store_true", help="an object for each connection, in one array")
    arguments = parser.parse_args(argv)
    try:
        mount_fusectl()
    except MountError as error:
        print(f"rawfuse list: what waits is not known: {error}", file=sys.stderr)
    connections = fuse_connections()
    if arguments.json:
        print(json.dumps([_object(connection) for connection in connections], indent=2))
        return 0
    rows = [row for connection in connections for row in _rows(connection)]
    if sys.stdout.isatty():
        _table([_COLUMNS, *rows])
    else:
        for row in rows:
            print("\t".join(escaped(cell) for cell in row))
    return 0


def _object(connection: Connection) -> dict[str, object]:
    return {
        "connection": connection.number,
        "waiting": connection.waiting,
        "mounts": [
            {
                "mountpoint": entry.mountpoint,
                "type": entry.fstype,
                "source": entry.source,
                "options": [*entry.options, *entry.super_options],
            }
            for entry in connection.mounts
        ],
        "servers": [{"pid": server.pid, "command": server.command} for server in connection.servers],
    }


def _rows(connection: Connection) -> list[tuple[str, ...]]:
    mounts = [(entry.mountpoint, entry.fstype, entry.source) for entry in connection.mounts] or [(_ABSENT,) * 3]
    servers = [(str(server.pid), server.command) for server in connection.servers] or [(_ABSENT,) * 2]
    waiting = _ABSENT if connection.waiting is None else str(connection.waiting)
    return [(str(connection.number), *place, waiting, *server) for place in mounts for server in servers]


def escaped(cell: str) -> str:
    """Text of others for a table: a path or a command may have bytes that are no text, or order a terminal about."""
    return "".join(char if char.isprintable() and char != "\\" else repr(char)[1:-1] for char in cell)


def _table(rows: Sequence[Sequence[str]]) -> None:
    rows = [[escaped(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS) - 1)]
    for row in rows:
        print("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]))
