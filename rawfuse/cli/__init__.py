"""The `rawfuse` command: one module per subcommand, imported when it is called."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from rawfuse._version import __version__

__all__ = ["COMMANDS", "main"]

# Name, module with main(argv) -> exit status, and what it is for.
COMMANDS: tuple[tuple[str, str, str], ...] = (
    ("mount", "rawfuse.cli.mount", "mount a file system that is written in Python, and serve it"),
    ("list", "rawfuse.cli.listing", "list FUSE connections, their mount points, servers and waiting requests"),
    ("abort", "rawfuse.cli.abort", "end a connection whose server hangs"),
    ("explain", "rawfuse.cli.explain", "say what the messages, structs, flags and numbers of the protocol mean"),
    ("fuzz", "rawfuse_tools.fuzz.command", "send malformed messages to both roles of the protocol"),
    ("powercut", "rawfuse_tools.powercut.command", "try what a power cut leaves of a program's files"),
    ("trace", "rawfuse_tools.trace.command", "keep every message between the kernel and any FUSE server"),
    ("top", "rawfuse_tools.top.command", "show what mounts are asked right now, by opcode"),
    ("decode", "rawfuse_tools.decode.command", "say what is in a trace: lines, fields over bytes, statistics"),
    ("dissector", "rawfuse_tools.dissector.command", "print a dissector of traces for Wireshark and tshark"),
    ("replay", "rawfuse_tools.replay.command", "give the requests of a trace to a server anew, compare its replies"),
    ("conform", "rawfuse_tools.conform.command", "try the rules of the protocol on any FUSE server, without a mount"),
    ("suites", "rawfuse_tools.suites.command", "run pjdfstest and fsx on MFS, the examples, ext4 or any FUSE server"),
    ("tour", "rawfuse_tools.tour.command", "learn the protocol: real programs, every message they cause, and why"),
    ("bench", "rawfuse_tools.bench.command", "measure this machine's FUSE and the project's servers on it"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a subcommand with the rest of `argv` (default: the process's arguments); returns its exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog="rawfuse",
        description="The FUSE kernel protocol without libfuse.",
        epilog="rawfuse COMMAND --help says more.",
    )
    parser.add_argument("--version", action="version", version=f"rawfuse {__version__}")
    names = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, _, purpose in COMMANDS:
        names.add_parser(name, help=purpose, add_help=False)
    chosen = parser.parse_known_args(arguments[:1])[0].command
    module = importlib.import_module({name: module for name, module, _ in COMMANDS}[chosen])
    status = module.main(arguments[1:])
    return int(status or 0)
