"""The command line: what can be said, and who does it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from mfs.cli.grammar import checking, copying, exchange, files, history, mounting, naming
from mfs.cli.grammar.common import Commands
from mfs.cli.problem import Problem

_DESCRIPTION = """\
A mutable file system over content-addressed blocks: ordinary files and directories, each with the CID that
IPFS gives to the same bytes. A copy inside the mount is a pointer, whatever the size of the file.
"""

_EPILOG = """\
examples:
  mfs mount /mnt/mfs                                   mount the repository ~/.mfs (made when there is none)
  cp disk.iso /mnt/mfs/a && cp /mnt/mfs/a /mnt/mfs/b   the second copy stores nothing
  mfs stat /mnt/mfs/b                                  its CID, its size, and what it shares
  mfs umount /mnt/mfs                                  returns when everything is safe on disk
  mfs run -- sh -c 'cp disk.iso $MFS; ls -l $MFS'      without root: a mount that one command sees

environment:
  MFS_PATH         the repository, where --repo does not name one (default: ~/.mfs)
  RAWFUSE_DEVICE   the FUSE device, where --device does not name one (default: /dev/fuse)

exit status: 0 when it was done, 1 when it was not (the reason is on standard error), 2 for a wrong command line;
of `mfs run`, that of its command; `mfs fsck` has its own. `mfs COMMAND --help` says more.
"""

SUBJECTS: tuple[Callable[[Commands], None], ...] = (
    mounting.declare,
    files.declare,
    copying.declare,
    exchange.declare,
    history.declare,
    naming.declare,
    checking.declare,
)
"""What declares the commands, in the order of `mfs --help`."""


class _Parser(argparse.ArgumentParser):
    """Has a command complain of what it does not know, with its own usage."""

    commands: Commands

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        found, more = self.parse_known_args(args, namespace)
        if more:
            of_whom = self.commands.choices.get(found.command, self)
            of_whom.error(f"unrecognized arguments: {' '.join(more)}")
        return found


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line; `handler` in its result is "module:function"."""
    made = _Parser(
        prog="mfs",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("--version", action="store_true", help="print the version and exit")
    commands = made.commands = made.add_subparsers(
        metavar="COMMAND", dest="command", parser_class=argparse.ArgumentParser
    )
    for declare in SUBJECTS:
        declare(commands)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    arguments = parser().parse_args(argv)
    if arguments.version:
        return _version()
    if arguments.command is None:
        parser().print_usage(sys.stderr)
        print("mfs: say what to do: mfs --help lists the commands", file=sys.stderr)
        return 2
    module, _, name = arguments.handler.partition(":")
    try:
        handler: Callable[[argparse.Namespace], int] = getattr(import_module(module), name)
        status = handler(arguments)
        sys.stdout.flush()
        return status
    except Problem as problem:
        print(f"mfs {arguments.command}: {problem}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read our output has had enough. Nothing is left for Python to flush into the closed pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130


def _version() -> int:
    from rawfuse._version import __version__

    print(f"mfs {__version__}")
    return 0
