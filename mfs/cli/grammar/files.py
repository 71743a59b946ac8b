"""Files and directories of a repository, mounted or not: `ls`, `cat`, `mkdir`, `mv`, `rm`, ..."""

from __future__ import annotations

from mfs.cli.grammar.common import Commands, tree_command

__all__ = ["declare"]

_PATHS = """\
PATH is a path in the repository's tree, from its root: /docs/a and docs/a are the same. Where something is only read
it may be /ipfs/CID or /ipfs/CID/path too, as far as the blocks are here. It does not matter whether the repository is
mounted: the command then asks its server, and the mount shows every change at once.
"""

_LS = f"""\
List directories, or say what a file is. In a pipe a name a line; with -l the mode, the size in bytes, the time of the
last change (UTC, - where none is stored), the CID and the name, separated by tabs. More than ten thousand entries are
listed in no order, as they come.

{_PATHS}"""

_LS_EPILOG = """\
examples:
  mfs ls                                    the root directory
  mfs ls -l /photos                         with CIDs, which commits what was written
  mfs ls --json /photos | jq -r .cid        one JSON object a line: name, type, size, mode, mtime, cid, ...
  mfs ls /ipfs/bafy.../dir                  a directory that is known by its CID
"""

_CAT = f"""\
Write files to standard output, one after another.

{_PATHS}"""

_CAT_EPILOG = """\
examples:
  mfs cat /notes.txt
  mfs cat /backup.tar | tar t
  mfs cat /ipfs/bafkrei...                  a file that is known by its CID
"""

_MKDIR = f"""\
Make directories.

{_PATHS}"""

_MKDIR_EPILOG = """\
examples:
  mfs mkdir /photos
  mfs mkdir -p /photos/2026/november        with those above it, and without complaint about what is there
"""

_MV = f"""\
Rename SOURCE to TARGET, or move all of several into the directory TARGET. A file that is there already is replaced, in
the same step; nothing is copied, whatever the size.

{_PATHS}"""

_MV_EPILOG = """\
examples:
  mfs mv /draft.txt /final.txt
  mfs mv /a /b /c /directory
  mfs mv -n /new.txt /old.txt               fails when /old.txt is there
"""

_RM = f"""\
Remove files, and with -r directories with everything in them. The blocks stay until they are collected as garbage.

{_PATHS}"""

_RM_EPILOG = """\
examples:
  mfs rm /old.txt
  mfs rm -r /photos/2019
  mfs rm -f /perhaps                        no complaint when it is not there
"""


def declare(commands: Commands) -> None:
    """Add the commands to the parser."""
    ls = tree_command(commands, "ls", "mfs.cli.ls:ls", help="list directories", about=_LS, more=_LS_EPILOG)
    ls.add_argument("-l", "--long", action="store_true", help="mode, size, time and CID as well")
    ls.add_argument("-U", "--unsorted", action="store_true", help="as the entries come, from the first on")
    ls.add_argument("--json", action="store_true", help="one JSON object for each entry, a line each")
    ls.add_argument("paths", metavar="PATH", nargs="*", help="what to list (default: /)")

    cat = tree_command(commands, "cat", "mfs.cli.cat:cat", help="write files out", about=_CAT, more=_CAT_EPILOG)
    cat.add_argument("paths", metavar="PATH", nargs="+", help="a file")

    mkdir = tree_command(
        commands, "mkdir", "mfs.cli.names:mkdir", help="make directories", about=_MKDIR, more=_MKDIR_EPILOG
    )
    mkdir.add_argument("-p", "--parents", action="store_true", help="those above it too; no complaint if it is there")
    mkdir.add_argument("paths", metavar="PATH", nargs="+", help="the directory to make")

    mv = tree_command(commands, "mv", "mfs.cli.names:mv", help="rename and move", about=_MV, more=_MV_EPILOG)
    mv.add_argument("-n", "--no-replace", action="store_true", help="fail where the target is there already")
    mv.add_argument("paths", metavar="SOURCE", nargs="+", help="what to rename or move")
    mv.add_argument("target", metavar="TARGET", help="its new name, or the directory to move it into")

    rm = tree_command(commands, "rm", "mfs.cli.names:rm", help="remove", about=_RM, more=_RM_EPILOG)
    rm.add_argument("-r", "--recursive", action="store_true", help="directories too, with everything in them")
    rm.add_argument("-f", "--force", action="store_true", help="no complaint about what is not there")
    rm.add_argument("paths", metavar="PATH", nargs="+", help="what to remove")
