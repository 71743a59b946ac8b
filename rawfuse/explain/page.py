"""A page of explanation: what it holds, and how it looks as text and as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["WIDTH", "Entry", "Page", "Section", "sections"]

WIDTH = 80
_INDENT = " " * 7
_TERM = 30  # a longer term has its text on the next line


@dataclass(frozen=True, slots=True)
class Entry:
    """A term and what is said of it; without a term a paragraph. ``facts`` are the same for programs."""

    term: str
    text: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands under it."""

    title: str
    entries: tuple[Entry, ...]


def sections(*items: tuple[str, str | Iterable[Entry]]) -> tuple[Section, ...]:
    """Sections of the given titles; those with nothing in them are left out."""
    made = []
    for title, content in items:
        entries = (Entry("", content),) if isinstance(content, str) else tuple(content)
        if any(entry.term or entry.text for entry in entries):
            made.append(Section(title, entries))
    return tuple(made)


@dataclass(frozen=True, slots=True)
class Page:
    """All about one name. ``since``: the minor of protocol 7 that brought it, None where not known or meaningless."""

    kind: str
    name: str
    number: int | None
    summary: str
    since: int | None
    sections: tuple[Section, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain data: the headings become keys; every entry is an object, its text without line breaks."""
        return {
            "kind": self.kind,
            "name": self.name,
            "number": self.number,
            "since": None if self.since is None else f"7.{self.since}",
            "summary": self.summary,
            "sections": {
                section.title.lower().replace(" ", "_"): [
                    {**({"term": entry.term.strip()} if entry.term else {}), "text": entry.text, **entry.facts}
                    for entry in section.entries
                ]
                for section in self.sections
            },
        }

    def text(self, *, bold: bool = False) -> str:
        """At most 80 columns, headings at the left, like a manual page; ``bold`` adds the terminal's codes to them."""
        what = self.kind if self.number is None else f"{self.kind} {_number(self.kind, self.number)}"
        lines = [_heading("NAME", bold), *_wrapped(f"{self.name} - {what}", _INDENT)]
        for section in self.sections:
            lines += ["", _heading(section.title, bold), *_section(section)]
        return "\n".join(lines) + "\n"


def _number(kind: str, number: int) -> str:
    return f"0x{number:x}" if kind in ("flag", "ioctl") or number > 0xFFFF else str(number)


def _heading(title: str, bold: bool) -> str:
    return f"\033[1m{title}\033[0m" if bold else title


def _wrapped(text: str, first: str, rest: str | None = None) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=first if rest is None else rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _section(section: Section) -> Iterator[str]:
    terms = [len(entry.term) for entry in section.entries if 0 < len(entry.term) <= _TERM]
    column = len(_INDENT) + max(terms, default=0) + 2
    previous: Entry | None = None
    for entry in section.entries:
        if previous is not None and not (entry.term and previous.term):
            yield ""
        previous = entry
        if not entry.term:
            yield from _wrapped(entry.text, _INDENT)
        elif len(entry.term) > _TERM:
            yield from _wrapped(entry.term, _INDENT)
            yield from _wrapped(entry.text, " " * column)
        else:
            head = (_INDENT + entry.term).ljust(column)
            # textwrap takes an initial indent of blanks only as it is, and the term may have blanks inside
            lines = _wrapped(entry.text, " " * column) or [""]
            yield (head + lines[0][column:]).rstrip()
            yield from lines[1:]
