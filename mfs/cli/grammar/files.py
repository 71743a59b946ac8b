"""Files and directories of a repository, mounted or not: `ls`, `cat`, `mkdir`, `mv`, `rm`, ..."""

from __future__ import annotations

from mfs.cli.grammar.common import Commands, profile_option, tree_command

__all__ = ["declare"]

_MOUNTED = """\
It does not matter whether the repository is mounted: the command then asks its server, and the mount shows every
change at once.
"""
_PATHS = """\
PATH is a path in the repository's tree, from its root: /docs/a and docs/a are the same. Where something is only read
it may be /ipfs/CID or /ipfs/CID/path too, as far as the blocks are here, and what was: /.mfs/snapshots/NAME/path or
/.mfs/commits/CID/path. The tree of a key is at /ipns/NAME. It does not matter whether the repository is mounted: the
command then asks its server, and the mount shows every change at once.
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
  mfs cat /.mfs/snapshots/monday/notes.txt  as it was
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


_ADD = f"""\
Take files, and with -r directories and everything in them, into the repository, and print their CIDs when they are
safe: those that `ipfs add` gives with the same profile (with -r as `ipfs add -r --hidden`). Each gets the last part of
its name in the directory that --to names, which is made where it is missing. A file of that name is replaced,
directories are merged; symbolic links stay what they are.

{_MOUNTED}"""

_ADD_EPILOG = """\
examples:
  mfs add photo.jpg                         "added CID photo.jpg"; it is /photo.jpg now
  mfs add -r --to /backup ~/documents       everything in there, as /backup/documents
  mfs add -Q -r project                     the CID of the directory alone
  mfs add -n --profile unixfs-v0-2015 f     the CID that it would have; nothing is stored
  mfs add -n -r -p --store-mode --store-mtime --profile unixfs-v0-2015 d
                                            as ipfs add -n -r --hidden --preserve-mode --preserve-mtime d
  tar c . | mfs add --name all.tar -        standard input
"""

_GET = f"""\
Write a file, or a directory with everything in it, from the repository to this machine: to TARGET, or under its own
name to the present directory. Each file appears when it is whole; stretches of zeros become holes. No symbolic link in
the way is followed, and names that would lead elsewhere are refused.

{_PATHS}"""

_GET_EPILOG = """\
examples:
  mfs get /photos                           the directory ./photos
  mfs get /photos/a.jpg /tmp/b.jpg
  mfs get -p / everything                   with mode and time of the last change
  mfs get /ipfs/bafy...                     what has this CID, as far as its blocks are here
"""

_DU = f"""\
Say what paths take: the bytes of all files in them, the bytes of the repository that hold those (each counted once,
however often it occurs; holes take none), and how many of the latter something else in the tree is made of as well.
In this order, separated by tabs, the path last. Everything is committed first.

{_PATHS}"""

_DU_EPILOG = """\
examples:
  mfs du                                    the whole tree
  mfs du -H /photos /backup                 in KiB, MiB, ...
  mfs du --json /a | jq .stored             also: blocks, repeated
"""


def declare(commands: Commands) -> None:
    """Add the commands to the parser."""
    add = tree_command(commands, "add", "mfs.cli.add:add", help="take files in", about=_ADD, more=_ADD_EPILOG)
    add.add_argument("-r", "--recursive", action="store_true", help="directories too, with everything in them")
    add.add_argument("--to", metavar="PATH", default="/", help="the directory in the tree that gets it (default: /)")
    add.add_argument("-p", "--preserve", action="store_true", help="the time of the last change, and all of the mode")
    add.add_argument("-n", "--only-hash", action="store_true", help="store nothing, only say what the CIDs would be")
    profile_option(add)
    add.add_argument("--name", metavar="NAME", dest="stdin_name", default="stdin", help="what to call standard input")
    which = add.add_mutually_exclusive_group()
    which.add_argument("-q", "--quiet", action="store_true", help="print the CIDs alone")
    which.add_argument("-Q", "--quieter", action="store_true", help="print the last CID alone")
    which.add_argument("--json", action="store_true", help="one JSON object for each, a line each")
    add.add_argument("paths", metavar="FILE", nargs="+", help="what to take in; - is standard input")

    get = tree_command(commands, "get", "mfs.cli.get:get", help="write files out here", about=_GET, more=_GET_EPILOG)
    get.add_argument("-p", "--preserve", action="store_true", help="the time of the last change, and all of the mode")
    get.add_argument("path", metavar="PATH", help="what to get")
    get.add_argument("target", metavar="TARGET", nargs="?", help="where it goes (default: its name, here)")

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

    du = tree_command(commands, "du", "mfs.cli.du:du", help="what files take", about=_DU, more=_DU_EPILOG)
    du.add_argument("-H", "--human", action="store_true", help="in B, KiB, MiB, ...")
    du.add_argument("--json", action="store_true", help="one JSON object for each path, a line each")
    du.add_argument("paths", metavar="PATH", nargs="*", help="a file or directory (default: /)")
