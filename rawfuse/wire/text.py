"""Laying out generated Python as a formatter would, so that the result needs none."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

__all__ = ["WIDTH", "block", "docstring", "tuple_text"]

WIDTH = 120

Bracketed = tuple[Sequence[str], str, str]


def block(before: str, bracketed: Bracketed, after: str = "") -> str:
    """``before(item, item)after`` on one line where it fits, else one item a line."""
    items, opening, closing = bracketed
    one_item_tuple = opening == "(" and before.endswith("= ") and len(items) == 1
    line = f"{before}{opening}{', '.join(items)}{',' if one_item_tuple else ''}{closing}{after}"
    if len(line) <= WIDTH:
        return line
    indent = " " * (len(before) - len(before.lstrip()))
    inner = "".join(f"{indent}    {item},\n" for item in items)
    return f"{before}{opening}\n{inner}{indent}{closing}{after}"


def tuple_text(names: Iterable[str]) -> Bracketed:
    """A tuple of string literals for :func:`block`."""
    return ([f'"{name}"' for name in names], "(", ")")


def docstring(paragraphs: Sequence[str], indent: str = "    ") -> str:
    """A wrapped docstring; within a paragraph every line begins anew, its continuation is indented."""
    lines: list[str] = []
    for number, paragraph in enumerate(paragraphs):
        if number:
            lines.append("")
        for line in paragraph.split("\n"):
            wrapped = textwrap.wrap(line, WIDTH - len(indent) - 4, subsequent_indent="    " if number else "")
            lines.extend(indent + part for part in wrapped)
    text = "\n".join(lines).lstrip()
    text = text.replace("\\", "\\\\")
    if len(lines) == 1:
        return f'{indent}"""{text}"""'
    return f'{indent}"""{text}\n{indent}"""'
