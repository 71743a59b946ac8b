"""The command: `rawfuse conform`, or `python -m tools.conform` in a checkout."""

from __future__ import annotations

import argparse
import json
import logging
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rawfuse import Filesystem
from rawfuse.cli.mount import LoadError, load

from .choice import UnknownProbe, chosen
from .linux.command import main as kernel
from .probe import Probe, Result, Tier
from .probes import PROBES, TABLES
from .reports import Text, junit, kept, page, report
from .reports.text import listing
from .runner import Runner
from .servers import Launch, in_process, process

__all__ = ["main"]

DESCRIPTION = """\
Starts a FUSE server, plays its kernel, and tries the rules of the protocol on it one by one: sizes of replies, nodeids
and their lifetimes, attributes, listings, malformed messages, interrupts. Nothing is mounted and no rights are needed.
{} in the server's command line stands for the mount point, which will read /dev/fd/N.
What the server does not offer is not applicable. A server that crashes or hangs is started again for the next probe.
It makes files in a directory of its own on the server, conform-PID-N, and removes them.
"""

EPILOG = """\
tiers: a must is what Linux relies on; a should is what Linux never tries, but others do; a may is good manners.

exit status: 0 when no probe of the tiers that count (--fail-on, default must) failed, crashed or hung; 1 when one
did, or the server cannot be started; 2 for a wrong command line.

examples:
  rawfuse conform -- ./memfs_ll -f {}                                a server
  rawfuse conform --module rawfuse.examples.memory:MemoryFS          a Python class, in this process
  rawfuse conform --module rawfuse.examples.passthrough:Passthrough -- /tmp/below    one that takes arguments
  rawfuse conform lookup 'malformed.*' -v -- ./memfs_ll -f {}        two subjects, with all that was said
  rawfuse conform --tier must --junit out.xml -- ./memfs_ll -f {}    for continuous integration
  rawfuse conform --list notify                                      the rules, to read
  rawfuse conform --kernel                                           the other side: what the running kernel does
"""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="rawfuse conform",
        usage="rawfuse conform [OPTION ...] [PROBE ...] -- SERVER ARGUMENT ... {}\n"
        "       rawfuse conform [OPTION ...] [PROBE ...] --module MODULE:CLASS [-- ARGUMENT ...]",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("probes", nargs="*", metavar="PROBE", help="names, subjects or patterns of them (default: all)")
    made.add_argument("--module", metavar="MODULE:CLASS", help="serve this file system, as of `rawfuse mount`")
    made.add_argument("--tier", action="append", choices=[*Tier], default=[], help="only this tier; repeatable")
    made.add_argument("--fail-on", choices=[*Tier], default=Tier.MUST, help="the last tier that counts (must)")
    made.add_argument("--kernel", action="store_true", help="try the rules of the running kernel; see --kernel --help")
    made.add_argument("--list", action="store_true", help="say what the probes are, and run none")
    made.add_argument("--json", action="store_true", help="print the report as JSON")
    made.add_argument("--junit", type=Path, metavar="FILE", help="write the report as JUnit's XML, too")
    made.add_argument("--html", type=Path, metavar="FILE", help="write it as one page of HTML, too")
    made.add_argument("--restart", action="store_true", help="start the server anew for each probe")
    made.add_argument("--patience", type=float, default=5.0, metavar="S", help="seconds a reply may take (5)")
    made.add_argument("--starting", type=float, default=15.0, metavar="S", help="seconds the first one may take (15)")
    made.add_argument("--uid", type=int, metavar="N", help="uid and gid of the caller in requests (default: yours)")
    made.add_argument("-v", "--verbose", action="store_true", help="say of each probe what was sent and seen")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    # argparse would give what is behind -- to PROBE.
    at = words.index("--") if "--" in words else len(words)
    if "--kernel" in words[:at]:
        return kernel([word for word in words if word != "--kernel"])
    made = parser()
    arguments = made.parse_args(words[:at])
    command = words[at + 1 :]
    try:
        probes = chosen(PROBES, arguments.probes, map(Tier, arguments.tier))
    except UnknownProbe as error:
        made.error(str(error))
    if arguments.list:
        return _list(probes, as_json=arguments.json)
    if not (command or arguments.module):
        made.error("give a server's command line behind --, or --module MODULE:CLASS")
    try:
        launch = in_process(_maker(arguments.module, command)) if arguments.module else process(command)
        launch().end()
    except (LoadError, OSError, ValueError) as error:
        print(f"rawfuse conform: the server cannot be started: {error}", file=sys.stderr)
        return 1
    server = shlex.join([arguments.module, *command] if arguments.module else command).replace("'{}'", "{}")
    results = _run(launch, probes, arguments)
    counting = [*Tier][: [*Tier].index(Tier(arguments.fail_on)) + 1]
    if arguments.json:
        print(json.dumps(report(server, results), indent=2))
    else:
        colour = sys.stdout.isatty()
        print("\n".join(Text(TABLES, colour=colour, verbose=arguments.verbose).lines(results)))
    about = {table.subject: table.about for table in TABLES}
    try:
        if arguments.junit:
            arguments.junit.write_text(junit(server, results), encoding="utf-8")
        if arguments.html:
            arguments.html.write_text(page(server, results, about), encoding="utf-8")
    except OSError as error:
        print(f"rawfuse conform: the report was not written: {error}", file=sys.stderr)
        return 1
    return 0 if kept(results, counting) else 1


def _maker(name: str, arguments: list[str]) -> Callable[[], Filesystem]:
    # What the library logs about malformed requests is not for this program's user.
    logging.getLogger("rawfuse").addHandler(logging.NullHandler())
    return lambda: load(name, arguments)


def _run(launch: Launch, probes: list[Probe], arguments: argparse.Namespace) -> list[Result]:
    runner = Runner(
        launch, patience=arguments.patience, starting=arguments.starting, restart=arguments.restart, uid=arguments.uid
    )
    shown = sys.stderr.isatty()
    results: list[Result] = []
    try:
        for result in runner.run(probes):
            results.append(result)
            if shown:
                line = f"{len(results)} of {len(probes)}  {result.probe.name}  {result.verdict}"
                print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)
    finally:
        runner.close()  # also after Ctrl-C: what was made is removed, and the server ends
    if shown:
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    order = {probe.name: number for number, probe in enumerate(probes)}
    return sorted(results, key=lambda result: order[result.probe.name])


def _list(probes: list[Probe], *, as_json: bool) -> int:
    if as_json:
        print(
            json.dumps(
                [
                    {
                        "name": probe.name,
                        "tier": str(probe.tier),
                        "rule": probe.rule,
                        "source": probe.source,
                        "opcodes": probe.opcodes,
                        "needs": probe.needs,
                        "depends": probe.all_depends,
                    }
                    for probe in probes
                ],
                indent=2,
            )
        )
    else:
        bold = sys.stdout.isatty()
        print("\n".join(listing(probes, (lambda text: f"\033[1m{text}\033[0m") if bold else str)))
    return 0
