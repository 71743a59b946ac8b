"""What the commands have in common."""

from __future__ import annotations

import argparse
import os
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

__all__ = [
    "Commands",
    "default_repo",
    "mount_options",
    "profile_option",
    "profiles",
    "repository_option",
    "subparser",
    "tree_command",
]


def default_repo() -> str:
    """The repository that is used where none is named."""
    return os.environ.get("MFS_PATH") or os.path.join(os.path.expanduser("~"), ".mfs")


def profiles() -> tuple[str, ...]:
    """The profiles that a new repository can have."""
    return ("unixfs-v1-2025", "unixfs-v0-2015")


def subparser(commands: Commands, name: str, *, help: str, about: str, more: str = "") -> argparse.ArgumentParser:
    """A command; `handler` is to be set to "module:function" in its defaults."""
    made: argparse.ArgumentParser = commands.add_parser(
        name, help=help, description=about, epilog=more, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    return made


def tree_command(
    commands: Commands, name: str, handler: str, *, help: str, about: str, more: str = ""
) -> argparse.ArgumentParser:
    """A command that works on the tree of a repository, whether or not a server holds that."""
    made = subparser(commands, name, help=help, about=about, more=more)
    made.set_defaults(handler=handler)
    repository_option(made)
    return made


def repository_option(which: argparse._ActionsContainer) -> None:
    """The option that names the repository."""
    which.add_argument(
        "--repo", metavar="DIR", default=default_repo(), help="the repository (default: $MFS_PATH, else ~/.mfs)"
    )


def profile_option(command: argparse.ArgumentParser) -> None:
    """The options that decide CIDs: `profile` is then a name such as "unixfs-v1-2025+mode", "+mtime", or None."""
    command.add_argument(
        "--profile",
        action=_Choice,
        choices=profiles(),
        help="how a new repository cuts files into blocks, which decides their CIDs (default: unixfs-v1-2025)",
    )
    for what, whose in (("mode", "permissions"), ("mtime", "time of the last change")):
        command.add_argument(
            f"--store-{what}",
            action=_Choice,
            nargs=0,
            const=f"+{what}",
            dest="profile",
            default=argparse.SUPPRESS,
            help=f"a new repository puts the {whose} of everything into UnixFS, and so into the CIDs (default: beside)",
        )


class _Choice(argparse.Action):
    """Joins the options that decide CIDs into one name, in whatever order they come."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: object, option: str | None = None
    ) -> None:
        base, *stored = (namespace.profile or "").split("+")
        if self.const is None:
            base = str(values)
        else:
            stored.append(self.const[1:])
        namespace.profile = "+".join([base, *stored])


def mount_options(command: argparse.ArgumentParser, which: argparse._ActionsContainer) -> None:
    """What mounting takes; `which` takes the option that names the repository."""
    repository_option(which)
    profile_option(command)
    command.add_argument("--read-only", action="store_true", help="nothing can be changed through the mount")
    command.add_argument("--trace", metavar="FILE", help="keep every message with the kernel there (rawfuse decode)")
    command.add_argument("--device", metavar="FILE", help="the FUSE device (default: $RAWFUSE_DEVICE, else /dev/fuse)")
