"""The report that people read: by subject, a line for each probe, and below it what went wrong."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from ..probe import Probe, Result, Table, Tier, Verdict
from .counts import counts

__all__ = ["Text", "listing"]

_COLOURS: Final = {
    Verdict.PASSED: "32",
    Verdict.FAILED: "1;31",
    Verdict.CRASHED: "1;35",
    Verdict.HUNG: "1;33",
    Verdict.INAPPLICABLE: "2",
}
_WIDTH: Final = 118
_DUMPED: Final = 60
_LONG: Final = 60


class Text:
    """Formats results.

    Args:
        colour: for a terminal.
        verbose: says of every probe what was sent, expected and seen; else only of those that went wrong.
    """

    def __init__(self, tables: Iterable[Table], *, colour: bool = False, verbose: bool = False) -> None:
        self._about = {table.subject: table.about for table in tables}
        self._colour = colour
        self._verbose = verbose

    def _paint(self, text: str, style: str) -> str:
        return f"\033[{style}m{text}\033[0m" if self._colour else text

    def lines(self, results: Iterable[Result]) -> Iterator[str]:
        """By subject, in the order of the tables."""
        results = list(results)
        failed = {result.probe.name for result in results if result.bad}
        for subject, about in self._about.items():
            members = [result for result in results if result.probe.subject == subject]
            if members:
                yield self._paint(f"{about} ({subject})", "1")
                for result in members:
                    yield from self._result(result, failed)
                yield ""
        yield from self.summary(results)

    def _result(self, result: Result, failed: set[str]) -> Iterator[str]:
        probe = result.probe
        verdict = self._paint(f"{result.verdict:<14}", _COLOURS[result.verdict])
        yield f"  {verdict}  {probe.tier:<6}  {probe.name}"
        if not (result.bad or self._verbose):
            if result.reason:
                yield self._paint(textwrap.indent(textwrap.fill(result.reason, _WIDTH - 8), " " * 8), "2")
            return
        yield from _folded("rule", probe.rule)
        yield from _folded("source", probe.source)
        for line in result.sent:
            yield from _folded("sent", line)
        yield from _folded("expected", result.expected)
        yield from _folded("seen", result.seen)
        yield from _folded("reason", result.reason)
        because = [name for name in probe.all_depends if name in failed]
        if result.bad and because:
            yield from _folded("depends", f"on {', '.join(because)}, which went wrong as well")
        for line in result.dump[:_DUMPED]:
            yield self._paint(f"        {line}", "2")
        if len(result.dump) > _DUMPED:
            yield f"        ... {len(result.dump) - _DUMPED} lines more"
        yield ""

    def summary(self, results: Iterable[Result]) -> Iterator[str]:
        """Verdicts by tier, in a table."""
        found = counts(results)
        yield "        " + "".join(f"{verdict:>16}" for verdict in Verdict)
        for tier in Tier:
            if found[tier]:
                cells = ((verdict, found[tier][verdict]) for verdict in Verdict)
                painted = (
                    self._paint(f"{count:>16}", _COLOURS[verdict]) if count else f"{count:>16}"
                    for verdict, count in cells
                )
                yield f"{tier:<8}" + "".join(painted)


def _folded(what: str, text: str) -> Iterator[str]:
    if not text:
        return
    head = f"        {what + ':':<10}"
    text = " ".join(word if len(word) < _LONG else word.replace("|", "| ") for word in text.split(" "))
    yield textwrap.fill(text, _WIDTH, initial_indent=head, subsequent_indent=" " * len(head), break_on_hyphens=False)


def listing(probes: Iterable[Probe], paint: Callable[[str], str] = str) -> Iterator[str]:
    """Name, tier, opcodes and rule of each, for people."""
    for probe in probes:
        yield paint(f"{probe.name} ({probe.tier})")
        yield textwrap.fill(probe.rule, _WIDTH, initial_indent="    ", subsequent_indent="    ")
        yield textwrap.fill(f"[{probe.source}]", _WIDTH, initial_indent="    ", subsequent_indent="    ")
