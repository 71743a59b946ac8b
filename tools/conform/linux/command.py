"""The command: `rawfuse conform --kernel`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from rawfuse.mount import DeviceError, open_device

from ..choice import UnknownProbe, chosen
from ..probe import Probe, Result, Table
from ..reports import Text, junit, kept, page, report
from ..reports.text import listing
from .compare import BadReport, differences
from .rules import ABOUT, RULES
from .run import LIMIT
from .watch import CannotTry, Watch, probe_of

__all__ = ["main"]

DESCRIPTION = """\
Tries on the running kernel the rules that Linux 6.18 holds its FUSE servers to: what read(2) and write(2) of the device
say, which replies are refused and what callers see then, what ENOSYS is remembered for, sizes by minor, interrupts,
notifications, copies. Servers that a script plays byte by byte are mounted where nobody sees them, in namespaces of
their own; nothing of them is left. As root every rule is tried, else those that a user namespace allows.
"""

EPILOG = """\
exit status: 0 when every rule that was tried is kept (with --compare: nothing differs); 1 when one is broken (something
differs); 2 for a wrong command line, or where no rule can be tried: no FUSE device, no right to mount.

examples:
  rawfuse conform --kernel                                     all of them, in about 20 seconds
  rawfuse conform --kernel --compare 6.18                      what does this kernel do otherwise than Linux 6.18?
  rawfuse conform --kernel --json > before.json                a report to keep,
  rawfuse conform --kernel --compare before.json               and to compare with after an update
  rawfuse conform --kernel enosys 'init.*' -v                  two groups, with all that was seen
  rawfuse conform --kernel --list writing                      the rules, to read
"""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="rawfuse conform --kernel",
        usage="rawfuse conform --kernel [OPTION ...] [RULE ...]",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("rules", nargs="*", metavar="RULE", help="names, groups or patterns of them (default: all)")
    made.add_argument(
        "--compare", metavar="FILE", help="say what differs from this report of --json, or from 6.18, which is built in"
    )
    made.add_argument("--list", action="store_true", help="say what the rules are, and try none")
    made.add_argument("--json", action="store_true", help="print the report as JSON")
    made.add_argument("--junit", type=Path, metavar="FILE", help="write the report as JUnit's XML, too")
    made.add_argument("--html", type=Path, metavar="FILE", help="write it as one page of HTML, too")
    made.add_argument("--limit", type=float, default=LIMIT, metavar="S", help=f"seconds a case may take ({LIMIT:g})")
    made.add_argument("-v", "--verbose", action="store_true", help="say of each rule what was expected and seen")
    return made


def main(argv: Sequence[str]) -> int:
    """Runs the command, `argv` being what is left without --kernel; returns its exit status."""
    made = parser()
    arguments = made.parse_args(argv)
    tables = [Table(name, about) for name, about in ABOUT.items()]
    try:
        probes = chosen(map(probe_of, RULES), arguments.rules)
    except UnknownProbe as error:
        made.error(str(error).replace("conform --list", "conform --kernel --list"))
    if arguments.list:
        print("\n".join(listing(probes)))
        return 0
    try:
        earlier = json.loads(_kept(arguments.compare).read_text("utf-8")) if arguments.compare else None
        if earlier is not None:
            list(differences(earlier, {"probes": []}))
    except (OSError, ValueError, BadReport) as error:
        made.error(f"--compare {arguments.compare}: {error}")
    wanted = {probe.name for probe in probes}
    watch = Watch([rule for rule in RULES if rule.name in wanted], limit=arguments.limit)
    try:
        os.close(open_device())
        results = _tried(watch, probes)
    except (CannotTry, DeviceError) as error:
        print(f"rawfuse conform --kernel: nothing can be tried here: {error}", file=sys.stderr)
        return 2
    name = f"Linux {watch.facts['release']}, FUSE {watch.facts['protocol']}"
    whole = {**report(name, results), "kernel": watch.facts}
    about = {table.subject: table.about for table in tables}
    try:
        if arguments.junit:
            arguments.junit.write_text(junit(name, results), encoding="utf-8")
        if arguments.html:
            arguments.html.write_text(page(name, results, about), encoding="utf-8")
    except OSError as error:
        print(f"rawfuse conform --kernel: the report was not written: {error}", file=sys.stderr)
        return 1
    if arguments.json:
        print(json.dumps(whole, indent=2))
    elif earlier is None:
        print(name)
        text = Text(tables, colour=sys.stdout.isatty() and "NO_COLOR" not in os.environ, verbose=arguments.verbose)
        print("\n".join(text.lines(results)))
    if earlier is None:
        return 0 if kept(results) else 1
    return _compared(earlier, whole, wanted, sys.stderr if arguments.json else sys.stdout)


def _kept(name: str) -> Path:
    """A report by its file, or by the release of a kernel whose report comes with this."""
    built_in = Path(__file__).with_name("kept") / f"{name}.json"
    return built_in if "/" not in name and built_in.exists() else Path(name)


def _tried(watch: Watch, probes: Sequence[Probe]) -> list[Result]:
    shown = sys.stderr.isatty()
    results = []
    for result in watch.results():
        results.append(result)
        if shown:
            line = f"{len(results)} of {len(probes)}  {result.probe.name}  {result.verdict}"
            print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)
    if shown:
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    return results


def _compared(earlier: Mapping[str, Any], whole: Mapping[str, Any], wanted: set[str], stream: TextIO) -> int:
    before = {**earlier, "probes": [one for one in earlier["probes"] if one["name"] in wanted]}
    lines = list(differences(before, whole))
    print("\n".join(lines or [f"no difference from {earlier.get('server', 'the report')}"]), file=stream)
    return 1 if lines else 0
