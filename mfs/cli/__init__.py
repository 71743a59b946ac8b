"""The command `mfs`: one module for each of its subcommands, imported when it is asked for.

`--help` and mistakes on the command line cost nothing but argparse: what mounts, serves or reads a repository is
imported by the subcommand that needs it.
"""

from __future__ import annotations

from mfs.cli.command import main

__all__ = ["main"]
