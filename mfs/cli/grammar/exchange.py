"""Blocks for others, and from them: `export`, `import`."""

from __future__ import annotations

from mfs.cli.grammar.common import Commands, profile_option, tree_command

__all__ = ["declare"]

_EXPORT = """\
Give out everything at PATH (a path in the tree, a CID, or /ipfs/CID/path): as a CAR (version 1) on standard output, or
into a directory of blocks as kubo has it. The root comes first, then every block below it once, parents before children
and in the order of their links: the same tree is always the same bytes. Everything is committed first.
"""

_EXPORT_EPILOG = """\
examples:
  mfs export --car /photos > photos.car     and elsewhere: ipfs dag import photos.car
  mfs export --car bafy... -o thing.car     appears under its name when it is whole
  mfs export --flatfs ~/.ipfs/blocks /docs  files that a kubo which is not running finds as its own
"""

_IMPORT = """\
Take in the blocks of a CAR (version 1 or 2), or of a block directory of kubo, each verified by its hash. What the roots
lead to is kept: under a name with --to, else pinned (`mfs pin`). Where blocks below a root are missing, they are named,
and nothing is kept. Names that no file can have (.. or a/b) are refused.
"""

_IMPORT_EPILOG = """\
examples:
  mfs import photos.car                     pinned; look at it: mfs ls /ipfs/CID
  mfs import photos.car --to /photos        and it is in the tree, with the CID that it had
  ipfs dag export CID | mfs import -        from standard input
  mfs import --flatfs ~/.ipfs/blocks CID    what CID leads to, from kubo's own directory
"""


def declare(commands: Commands) -> None:
    """Add the commands to the parser."""
    export = tree_command(
        commands, "export", "mfs.cli.exchange:export", help="give out blocks", about=_EXPORT, more=_EXPORT_EPILOG
    )
    form = export.add_mutually_exclusive_group(required=True)
    form.add_argument("--car", action="store_true", help="as a CAR")
    form.add_argument("--flatfs", metavar="DIR", help="into this block directory, made where there is none")
    export.add_argument("-o", "--output", metavar="FILE", help="the CAR goes to this file (default: standard output)")
    export.add_argument("--json", action="store_true", help="with --flatfs: the outcome as a JSON object")
    export.add_argument("path", metavar="PATH", nargs="?", default="/", help="what to give out (default: /)")

    imp = tree_command(
        commands, "import", "mfs.cli.exchange:import_", help="take in blocks", about=_IMPORT, more=_IMPORT_EPILOG
    )
    imp.add_argument("--flatfs", metavar="DIR", help="from this block directory")
    imp.add_argument("--to", metavar="PATH", help="enter the root in the tree here (several: in this directory)")
    imp.add_argument("--no-pin", action="store_true", help="pin nothing: the next mfs gc may remove it")
    imp.add_argument("--json", action="store_true", help="the outcome as a JSON object")
    profile_option(imp)
    imp.add_argument("words", metavar="FILE.car | CID", nargs="*", help="the CAR, - for standard input; or CIDs")
