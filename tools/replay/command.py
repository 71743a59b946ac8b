"""The command: `rawfuse replay`, or `python -m tools.replay` in a checkout."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

from rawfuse.cli.mount import LoadError
from rawfuse.trace.opening import read_trace
from rawfuse.trace.record import DamagedTrace

from .compare import ANOTHER, CHOSEN, NOT_COMPARED, NOT_COMPARED_OF_ANOTHER
from .figures import PERCENTILES, figures
from .foreseen import foresee
from .player import Divergence, Outcome, Player, ServerGone, ServerHangs
from .served import Served, served_here, served_there

__all__ = ["main"]

DESCRIPTION = """\
Gives the requests of a trace to a server that is started for it, in the recorded order and concurrency, and holds its
replies against the recorded ones. Nodeids, file handles, directory offsets and reference counts are those that the
server chooses. {} in the server's command line stands for the mount point; nothing is mounted. The server should begin
as the recorded one began: with an empty directory where that was empty.
"""

EPILOG = f"""\
{fill(f"Not compared are {NOT_COMPARED}. With --another neither are {NOT_COMPARED_OF_ANOTHER}.", 118)}
With --another, what this server does not have is sent as the kernel would send it then: CREATE as MKNOD and OPEN,
COPY_FILE_RANGE_64 as COPY_FILE_RANGE or as READ and WRITE, RENAME2 with NOREPLACE as RENAME, READDIRPLUS as LOOKUPs,
OPEN with O_TRUNC as OPEN and SETATTR; a WRITE that is too large as several. How many these were, and how many were not
sent or not compared, and why, is said on standard error.

exit status: 0 when every reply was as recorded; 1 when one was not (the first is shown, or all with --all), or the
server ended or hung; 2 for a wrong command line.

examples:
  rawfuse replay t.pcapng -- ./memfs_ll -f {{}}                                  the server that was recorded
  rawfuse replay t.pcapng --another --module rawfuse.examples.memory:MemoryFS  another one, in this process
  rawfuse replay t.pcapng --module rawfuse.examples.passthrough:Passthrough -- /srv/empty
  rawfuse replay t.pcapng --all --ignore fuse_attr.uid --ignore fuse_attr.gid -- ./memfs_ll -f {{}}
  rawfuse replay t.pcapng --ignore 'order of entries' -- ./memfs {{}} /srv       a server that lists in any order
  rawfuse replay t.pcapng --bench -- ./memfs_ll -f {{}}                          rates and percentiles
  mfs mount --trace git.pcapng --repo r /mnt; git clone URL /mnt/x; mfs umount /mnt      work of one's own as a bench:
  rawfuse replay git.pcapng --bench -- mfs mount --repo fresh {{}}               to MFS, again and again
  rawfuse replay git.pcapng --bench --another -- ./passthrough_ll -f -o source=/srv/empty {{}}
  rawfuse replay t.pcapng --rhythm 1 -- ./memfs_ll -f {{}}                       as slowly as it was
"""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="rawfuse replay",
        usage="rawfuse replay TRACE [OPTION ...] (-- SERVER ARGUMENT ... {} | --module MODULE:CLASS [-- ARGUMENT ...])",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("trace", type=Path, metavar="TRACE", help="what `rawfuse trace` kept, or a fusedump")
    made.add_argument("--module", metavar="MODULE:CLASS", help="serve this file system, as of `rawfuse mount`")
    made.add_argument("--another", action="store_true", help="the server is another implementation")
    made.add_argument("--ignore", action="append", default=[], metavar="STRUCT.MEMBER", help="a pattern; not compared")
    made.add_argument("--all", action="store_true", help="go on after a difference and list all")
    made.add_argument("--rhythm", type=float, default=0.0, metavar="X", help="1: as recorded, 2: twice as fast")
    made.add_argument("--patience", type=float, default=30.0, metavar="S", help="seconds a reply may take (30)")
    made.add_argument("--bench", action="store_true", help="compare nothing; print rates and percentiles")
    made.add_argument("--json", action="store_true", help="print what was found as JSON")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    # argparse would give a list of words behind -- to TRACE's neighbour before it has seen the options between them.
    at = words.index("--") if "--" in words else len(words)
    arguments = parser().parse_args(words[:at])
    behind = words[at + 1 :]
    if not behind and not arguments.module:
        parser().error("give a server's command line behind --, or --module MODULE:CLASS")
    if arguments.rhythm < 0 or arguments.patience <= 0:
        parser().error("--rhythm is a factor, --patience a number of seconds")
    try:
        foreseen = foresee(read_trace(arguments.trace))
        served = served_here(arguments.module, behind) if arguments.module else served_there(behind)
    except (LoadError, DamagedTrace, OSError, ValueError) as error:
        print(f"rawfuse replay: {error}", file=sys.stderr)
        return 1
    player = Player(
        served.socket,
        foreseen,
        ignored=_ignored(arguments),
        another=arguments.another,
        patience=arguments.patience,
        rhythm=arguments.rhythm,
    )
    found: list[Divergence] = []
    trouble = _play(arguments, player, found, served)
    _tell(arguments, player.outcome, found, trouble)
    return 1 if found or trouble else 0


def _ignored(arguments: argparse.Namespace) -> tuple[str, ...]:
    if arguments.bench:
        return ("*",)
    return CHOSEN + (ANOTHER if arguments.another else ()) + tuple(arguments.ignore)


def _play(arguments: argparse.Namespace, player: Player, found: list[Divergence], served: Served) -> str:
    """Fills `found`; returns why it ended early, or nothing."""
    trouble = ""
    try:
        for divergence in player.play(read_trace(arguments.trace)):
            if arguments.bench:
                continue
            found.append(divergence)
            if not arguments.json:
                print(divergence)
            if not arguments.all:
                break
    except (ServerGone, ServerHangs) as error:
        trouble = f"the server: {error}"
    except (DamagedTrace, OSError) as error:
        trouble = str(error)
    finally:
        status = served.end()
    return f"{trouble} ({status})" if trouble and status else trouble


def _tell(arguments: argparse.Namespace, outcome: Outcome, found: list[Divergence], trouble: str) -> None:
    rate = outcome.sent / outcome.seconds if outcome.seconds else 0.0
    if arguments.json:
        report = {
            "sent": outcome.sent,
            "compared": 0 if arguments.bench else outcome.compared,
            "skipped": outcome.skipped,
            "otherwise": outcome.otherwise,
            "not_compared": [] if arguments.bench else list(_ignored(arguments)),
            "notifications": outcome.notifications,
            "seconds": outcome.seconds,
            "per_second": rate,
            "divergences": [{"exchange": one.number, "what": str(one)} for one in found],
            "trouble": trouble or None,
        }
        if arguments.bench:
            report["requests"] = [one.row for one in figures(outcome)]
        print(json.dumps(report, indent=2))
        return
    if arguments.bench:
        print("\t".join(("request", "count", *(f"p{percent} us" for percent in PERCENTILES), "max us")))
        for one in figures(outcome):
            print("\t".join(map(str, one.row.values())))
        print(f"all\t{outcome.sent}\t{outcome.seconds:.3f} s\t{rate:.0f}/s")
    else:
        print(f"{outcome.sent} requests sent, {outcome.compared} replies compared, {len(found)} differ")
        print(f"rawfuse replay: not compared: {NOT_COMPARED}", file=sys.stderr)
        if arguments.another:
            print(f"rawfuse replay: nor, of another server: {NOT_COMPARED_OF_ANOTHER}", file=sys.stderr)
    for what, count in outcome.otherwise.items():
        print(f"rawfuse replay: {count} sent otherwise: {what}", file=sys.stderr)
    for why, count in outcome.skipped.items():
        print(f"rawfuse replay: {count} not sent or not compared: {why}", file=sys.stderr)
    if trouble:
        print(f"rawfuse replay: {trouble}", file=sys.stderr)
