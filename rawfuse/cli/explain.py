"""``rawfuse explain``: a page about a name of the protocol, or the list of them all."""

from __future__ import annotations

import argparse
import json
import os
import sys
import textwrap
from collections.abc import Iterator, Sequence

from rawfuse.explain import Found, Item, UnknownName, catalogue, find
from rawfuse.explain.page import WIDTH

__all__ = ["main"]

_HEADINGS = {
    "opcode": "REQUESTS",
    "notify code": "NOTIFICATIONS",
    "struct": "STRUCTS",
    "flag": "FLAGS",
    "enum value": "ENUM VALUES",
    "ioctl": "IOCTLS OF THE DEVICE",
    "constant": "CONSTANTS",
    "flags": "FLAG WORDS",
    "enum": "ENUMS",
    "protocol": "MINORS OF THE PROTOCOL",
    "errno": "ERRNOS",
}

DESCRIPTION = """\
Says what a message of the FUSE kernel protocol carries, when it comes, and what answers
to it do; what the members of a struct, the flags, ioctls and numbers mean, and since
which minor. Without NAME lists everything there is.
"""

EPILOG = """\
examples:
  rawfuse explain lookup          an opcode, with or without FUSE_, in any case, or its number
  rawfuse explain fuse_attr       a struct; with STATX the opcode is meant, with fuse_statx the struct
  rawfuse explain KEEP_CACHE      a flag; InitFlags shows a whole word of them
  rawfuse explain ENOSYS -2       errnos, by name or as they stand in a reply
  rawfuse explain 7.38            what that minor of the protocol brought
  rawfuse explain --json read     for programs

exit status: 0, 1 when there is no such name, 2 for a wrong command line.
"""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="rawfuse explain",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("names", nargs="*", metavar="NAME", help="what to explain; none: list all")
    made.add_argument("--json", action="store_true", help="print JSON")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    arguments = parser().parse_args(argv)
    if not arguments.names:
        print(json.dumps([_summary(item) for item in catalogue()], indent=2) if arguments.json else _listing())
        return 0
    try:
        found = [find(name) for name in arguments.names]
    except UnknownName as error:
        print(f"rawfuse explain: {error}", file=sys.stderr)
        return 1
    if arguments.json:
        pages = [one.item.page().as_json() | {"others": [_summary(item) for item in one.others]} for one in found]
        print(json.dumps(pages[0] if len(pages) == 1 else pages, indent=2))
    else:
        bold = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM", "dumb") != "dumb"
        print("\n\n".join(_page(one, bold) for one in found), end="")
    return 0


def _page(found: Found, bold: bool) -> str:
    text = found.item.page().text(bold=bold)
    if not found.others:
        return text
    others = ", ".join(f"{item.name} ({item.kind})" for item in found.others)
    note = textwrap.fill(f"Also of this name or number: {others}.", WIDTH, break_long_words=False)
    return f"{text}\n{note}\n"


def _summary(item: Item) -> dict[str, str | int | None]:
    page = item.page()
    since = None if page.since is None else f"7.{page.since}"
    return {"kind": item.kind, "name": item.name, "number": item.number, "since": since, "summary": page.summary}


def _listing() -> str:
    return "\n".join(line for kind in _HEADINGS for line in _group(kind))


def _group(kind: str) -> Iterator[str]:
    items = [item for item in catalogue() if item.kind == kind]
    numbers = ["" if item.number is None else _number(item.number) for item in items]
    before = max(map(len, numbers))
    width = max(len(item.name) for item in items) + 2
    yield _HEADINGS[kind]
    for item, number in zip(items, numbers, strict=True):
        head = f"  {f'{number:>{before}} ' if before else ''}{item.name:<{width}}"
        yield (head + textwrap.shorten(item.page().summary, WIDTH - len(head), placeholder=" ...")).rstrip()
    yield ""


def _number(number: int) -> str:
    return hex(number) if number > 4096 else str(number)
