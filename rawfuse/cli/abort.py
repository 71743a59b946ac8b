"""`rawfuse abort`: ends a FUSE connection whose server hangs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from rawfuse.mount import MountError, find_mount
from rawfuse.mount.connections import abort

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 0, or 1 when that could not be done, which stderr tells."""
    parser = argparse.ArgumentParser(
        prog="rawfuse abort",
        description="End a FUSE connection whose server hangs: everybody who waits for it gets an error at once.",
        epilog="The mount stays, dead, until it is unmounted. What the server has not taken yet is lost.",
    )
    parser.add_argument("mount", metavar="DIR|CONNECTION", help="its mount point, or its number in `rawfuse list`")
    place = parser.parse_args(argv).mount
    try:
        abort(_connection_at(place))
    except MountError as error:
        print(f"rawfuse abort: {error}", file=sys.stderr)
    except LookupError as error:
        print(f"rawfuse abort: {error.args[0]}", file=sys.stderr)
    else:
        return 0
    return 1


def _connection_at(place: str) -> int:
    """The number of the connection meant; looks at the mount table alone, as the mount itself may hang."""
    entry = find_mount(place)
    if entry is not None and entry.is_fuse:
        return entry.connection
    if entry is None and place.isdigit() and not os.path.lexists(place):
        return int(place)
    raise LookupError(f"{place} is not the mount point of a FUSE file system; `rawfuse list` shows what is")
