"""The command line: what can be said, and who does it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

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
of `mfs run`, that of its command. `mfs COMMAND --help` says more.
"""

_MOUNT = """\
Mount a repository on the directory DIR and return when the mount answers. A server stays in the background;
`mfs umount DIR`, SIGTERM or SIGINT end it, and everything is committed before it does. What it has to say is in
mfs.log in the repository. A mount whose server was killed is cleared away first.
"""

_MOUNT_EPILOG = """\
examples:
  mfs mount /mnt/mfs                          the repository ~/.mfs, made when there is none
  mfs mount --repo /srv/data /mnt/data        another one
  mfs mount --allow-other /mnt/mfs            for every user: without it only who mounts may enter
  mfs mount --foreground /mnt/mfs             for a service manager; messages go to standard error

Who is not root mounts through fusermount3 (package fuse3), or uses `mfs run`.
"""

_UMOUNT = """\
Unmount DIR and return when its server has committed everything and let go of the repository. Also clears away
mounts whose server is dead.
"""

_RUN = """\
Run a command that sees the file system at $MFS, in a mount of its own that nobody else sees, and end with the
command's exit status. Needs no root: without it, it takes a user namespace. The repository is that of `mfs mount`.
"""

_RUN_EPILOG = """\
examples:
  mfs run -- sh -c 'cp big $MFS/a; cp $MFS/a $MFS/b; ls -l $MFS'
  mfs run                                     a shell
  mfs run --temp -- sh -c 'cp -r . $MFS; mfs stat $MFS'      the CID of a directory; nothing is kept

exit status: that of COMMAND; 128 + N when signal N ended it; 126 when it cannot be run, 127 when it is not found.
"""

_STAT = """\
Say what files in a mount are made of. Asking for a CID commits what was written. For a terminal a paragraph for each
PATH; in a pipe a line of tab-separated fields under a heading, where - stands for what is not known.
"""

_STAT_EPILOG = """\
fields:
  cid       what `ipfs add` gives for the same bytes and profile; devices, pipes and sockets have none
  type      file, directory, symlink or special; symbolic links are not followed
  size      bytes; of a directory, of all files in it
  blocks    how many different blocks it is made of
  stored    bytes of the repository that hold them, each counted once; holes take none
  repeated  bytes more that would be needed if everything were stored as often as it occurs in PATH
  shared    bytes of `stored` that something else in the mount is made of as well

examples:
  mfs stat /mnt/mfs                           the CID of everything, and what it takes
  mfs stat --json /mnt/mfs/* | jq .cid        one JSON object a line
"""


def _default_repo() -> str:
    return os.environ.get("MFS_PATH") or os.path.join(os.path.expanduser("~"), ".mfs")


def _profiles() -> tuple[str, ...]:
    return ("unixfs-v1-2025", "unixfs-v0-2015")


def _subparser(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, *, help: str, about: str, more: str = ""
) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = commands.add_parser(
        name, help=help, description=about, epilog=more, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    return made


def _repository_options(command: argparse.ArgumentParser, which: argparse._ActionsContainer) -> None:
    """`which` takes the option that names the repository."""
    which.add_argument(
        "--repo", metavar="DIR", default=_default_repo(), help="the repository (default: $MFS_PATH, else ~/.mfs)"
    )
    command.add_argument(
        "--profile",
        choices=_profiles(),
        help="how a new repository cuts files into blocks, which decides their CIDs (default: unixfs-v1-2025)",
    )
    command.add_argument("--read-only", action="store_true", help="nothing can be changed through the mount")
    command.add_argument("--device", metavar="FILE", help="the FUSE device (default: $RAWFUSE_DEVICE, else /dev/fuse)")


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line; `handler` in its result is "module:function"."""
    made = argparse.ArgumentParser(
        prog="mfs",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("--version", action="store_true", help="print the version and exit")
    commands = made.add_subparsers(metavar="COMMAND", dest="command")

    mount = _subparser(commands, "mount", help="mount a repository", about=_MOUNT, more=_MOUNT_EPILOG)
    mount.set_defaults(handler="mfs.cli.mount:mount")
    _repository_options(mount, mount)
    mount.add_argument("--allow-other", action="store_true", help="let other users in, as far as permissions allow")
    mount.add_argument("--foreground", action="store_true", help="stay, and log to standard error")
    mount.add_argument("directory", metavar="DIR", help="where to mount: a directory that exists")

    umount = _subparser(commands, "umount", help="unmount, and wait until everything is safe", about=_UMOUNT)
    umount.set_defaults(handler="mfs.cli.umount:umount")
    umount.add_argument(
        "--lazy", action="store_true", help="take a busy mount away at once; its server ends with its last user"
    )
    umount.add_argument("directory", metavar="DIR", help="where it is mounted")

    run = _subparser(commands, "run", help="run a command with a mount of its own", about=_RUN, more=_RUN_EPILOG)
    run.set_defaults(handler="mfs.cli.run:run")
    run.usage = "mfs run [OPTION ...] [-- COMMAND [ARGUMENT ...]]"
    which = run.add_mutually_exclusive_group()
    _repository_options(run, which)
    which.add_argument("--temp", action="store_true", help="a new repository, removed when the command has ended")
    run.add_argument("words", metavar="COMMAND", nargs=argparse.REMAINDER, help="what to run (default: $SHELL)")

    stat = _subparser(commands, "stat", help="CIDs, sizes, and what is shared", about=_STAT, more=_STAT_EPILOG)
    stat.set_defaults(handler="mfs.cli.stat:stat")
    stat.add_argument("--json", action="store_true", help="one JSON object for each path, a line each")
    stat.add_argument("paths", metavar="PATH", nargs="+", help="a file, directory or symbolic link in a mount of mfs")
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
