"""The command: `rawfuse replay`, or `python -m tools.replay` in a checkout."""

from __future__ import annotations

import argparse
import json
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import trio

from rawfuse import Server
from rawfuse.channel import SeqpacketChannel
from rawfuse.cli.mount import LoadError, load
from rawfuse.trace.opening import read_trace
from rawfuse.trace.record import DamagedTrace

from ..trace.relay import room_for_messages
from ..trace.servers import ServerProcess, status_text
from .compare import ANOTHER, CHOSEN
from .player import Divergence, Outcome, Player, ServerGone, ServerHangs

__all__ = ["main"]

DESCRIPTION = """\
Gives the requests of a trace to a server that is started for it, in the recorded order and concurrency, and holds its
replies against the recorded ones. Nodeids, file handles and reference counts are those that the server chooses.
{} in the server's command line stands for the mount point; nothing is mounted. The server should begin as the recorded
one began: an empty directory where that was empty.
"""

EPILOG = """\
Not compared are times, inode numbers, nodeids, generations, file handles, directory offsets and the space on the disk;
with --another also how long caches hold, block sizes, link counts, INIT's answer and the order of entries.

exit status: 0 when every reply was as recorded; 1 when one was not (the first is shown, or all with --all), or the
server ended or hung; 2 for a wrong command line.

examples:
  rawfuse replay t.pcapng -- ./memfs_ll -f {}                                  the server that was recorded
  rawfuse replay t.pcapng --another --module rawfuse.examples.memory:MemoryFS  another one, in this process
  rawfuse replay t.pcapng --bench -- ./memfs_ll -f {}                          rates and percentiles
  rawfuse replay t.pcapng --rhythm 1 -- ./memfs_ll -f {}                       as slowly as it was
"""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="rawfuse replay",
        usage="rawfuse replay TRACE [OPTION ...] (-- SERVER ARGUMENT ... {} | --module MODULE:CLASS)",
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
    arguments.server = words[at + 1 :]
    if bool(arguments.server) == bool(arguments.module):
        parser().error("give a server's command line behind --, or --module MODULE:CLASS")
    try:
        sock, end = _in_process(arguments.module) if arguments.module else _process(arguments.server)
    except (LoadError, OSError, ValueError) as error:
        print(f"rawfuse replay: {error}", file=sys.stderr)
        return 1
    ignored = CHOSEN + (ANOTHER if arguments.another else ()) + tuple(arguments.ignore)
    player = Player(
        sock,
        ignored=("*",) if arguments.bench else ignored,
        patience=arguments.patience,
        rhythm=arguments.rhythm,
    )
    found: list[Divergence] = []
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
    status = end()
    if trouble.startswith("the server:") and status:
        trouble += f" ({status_text(status)})"
    _tell(arguments, player.outcome, found, trouble)
    return 1 if found or trouble else 0


def _process(command: list[str]) -> tuple[socket.socket, Callable[[], int]]:
    server = ServerProcess(command)
    room_for_messages(server.socket)
    return server.socket, server.end


def _in_process(name: str) -> tuple[socket.socket, Callable[[], int]]:
    filesystem = load(name, [])
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    room_for_messages(ours)
    channel = SeqpacketChannel(theirs)
    thread = threading.Thread(target=trio.run, args=(Server(filesystem, channel).serve,), daemon=True)
    thread.start()

    def end() -> int:
        ours.close()
        thread.join(5)
        return 0

    return ours, end


def _figures(outcome: Outcome) -> list[dict[str, Any]]:
    rows = []
    for name, latencies in sorted(outcome.latencies.items(), key=lambda item: -len(item[1])):
        ordered = sorted(latencies)
        at = [ordered[min(len(ordered) - 1, int(part * len(ordered)))] / 1000 for part in (0.5, 0.99)]
        rows.append({"request": name, "count": len(ordered), "p50_us": round(at[0], 1), "p99_us": round(at[1], 1)})
    return rows


def _tell(arguments: argparse.Namespace, outcome: Outcome, found: list[Divergence], trouble: str) -> None:
    rate = outcome.sent / outcome.seconds if outcome.seconds else 0.0
    if arguments.json:
        report = {
            "sent": outcome.sent,
            "compared": 0 if arguments.bench else outcome.compared,
            "skipped": outcome.skipped,
            "notifications": outcome.notifications,
            "seconds": outcome.seconds,
            "per_second": rate,
            "divergences": [{"exchange": one.number, "what": str(one)} for one in found],
            "trouble": trouble or None,
        }
        if arguments.bench:
            report["requests"] = _figures(outcome)
        print(json.dumps(report, indent=2))
        return
    if arguments.bench:
        print("request\tcount\tp50 us\tp99 us")
        for row in _figures(outcome):
            print("\t".join(map(str, row.values())))
        print(f"all\t{outcome.sent}\t{outcome.seconds:.3f} s\t{rate:.0f}/s")
    else:
        print(f"{outcome.sent} requests sent, {outcome.compared} replies compared, {len(found)} differ")
    for why, count in outcome.skipped.items():
        print(f"rawfuse replay: {count} not sent or not compared: {why}", file=sys.stderr)
    if trouble:
        print(f"rawfuse replay: {trouble}", file=sys.stderr)
