"""Commits and their names, and garbage: `snapshot`, `log`, `diff`, `restore`, `chroot`, `pin`, `gc`."""

from __future__ import annotations

import argparse

from mfs.cli.grammar.common import Commands, tree_command

__all__ = ["declare"]

_COMMITS = """\
A COMMIT is `head` (the newest), the name of a snapshot, the CID of a commit or the beginning of it, or one of these
with ~N: N commits before it.
"""

_SNAPSHOT = f"""\
Give a name to everything there is now (which is committed for it), or to an older COMMIT. Without NAME, list the
snapshots: name, time, root CID, CID of the commit. What a snapshot names is not garbage; in a mount it is to be seen
in .mfs/snapshots/NAME, and commands read it at /.mfs/snapshots/NAME, mounted or not.

{_COMMITS}"""

_SNAPSHOT_EPILOG = """\
examples:
  mfs snapshot                              which there are
  mfs snapshot before-upgrade               now
  mfs snapshot --commit head~3 monday       as it was three commits ago
  mfs snapshot --remove monday
  cp /mnt/mfs/.mfs/snapshots/monday/notes.txt /mnt/mfs/    a pointer, as every copy within a mount
  mfs get /.mfs/snapshots/monday/photos                    out of the repository
"""

_LOG = f"""\
List commits, newest first: time, root CID, CID of the commit, names. History ends where `mfs gc` forgot what was
before. In a mount each of them is to be seen in .mfs/commits/CID, read-only, with the CID of the commit; commands read
it at /.mfs/commits/CID.

{_COMMITS}"""

_LOG_EPILOG = """\
examples:
  mfs log -n 10
  mfs log --json monday | jq .root          one JSON object a line
"""

_DIFF = f"""\
Say what was added, removed, renamed or changed from OLD to NEW: a line for each, with tabs between

  added|removed|renamed|changed   type   path   path before, or -   what of it changed, or -

Commits are compared in full, with owners, modes and times; directories given by CID by what UnixFS has of them. Only
what differs is read.

{_COMMITS}"""

_DIFF_EPILOG = """\
examples:
  mfs diff                                  what the last commit brought: head~ and head
  mfs diff monday head
  mfs diff bafy...one bafy...other          two directories that are stored here, by CID
"""

_RESTORE = f"""\
Make the whole tree, or each PATH, what it was in COMMIT. Nothing is stored again, and it is done in one step: after a
crash it is done, or it is not. What there is now stays in history, as the commit before. In a mount, files that are
there still get their bytes back in place. The trees of keys stay as they are: what they had is to be copied from
.mfs/commits/CID/.mfs/ipns. It says how many inodes changed or came back, how many names went, and how to undo it.

{_COMMITS}"""

_RESTORE_EPILOG = """\
examples:
  mfs restore monday /photos /notes.txt     these two
  mfs restore head~2                        everything
"""

_CHROOT = """\
Make any directory that is stored here the root of the tree, as `ipfs files chroot` does; mounted or not. Blocks are not
copied, and the root CID is CID (in a repository with --store-mode or --store-mtime: where all in it has these). All of
it has to be here: `mfs import` brings a CAR. After a crash the root is the old one or the new one. What was the root
before stays in history, and the last line says how to go back; `mfs snapshot --commit` keeps it from `mfs gc`.
"""

_CHROOT_EPILOG = """\
examples:
  mfs chroot bafybei...
  mfs chroot /ipfs/bafybei.../photos        a directory in it
  mfs chroot --empty
"""

_PIN = """\
Give a name to a CID whose blocks are stored here, so that they are no garbage though nothing in the tree leads to them.
Without arguments, list the pins: name, time, CID.
"""

_PIN_EPILOG = """\
examples:
  mfs pin                                   which there are
  mfs pin site bafybei...                   keep these blocks
  mfs pin --remove site
"""

_GC = """\
Remove the blocks that nothing leads to, and give their space back to the disk. A mount can be used meanwhile. Commits
that have no name are forgotten, but for those that are to be kept. Nothing is removed that the tree, a snapshot, a pin,
a kept commit or an open file needs.
"""

_GC_EPILOG = """\
keeping commits:
  --keep N          the newest N (default: 1)
  --keep DURATION   those of the last 90s, 30m, 12h, 7d, 4w or 1y
  --keep all        all of them

examples:
  mfs gc --dry-run                          what it would remove
  mfs gc --keep 30d
"""


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of commits")
    return int(text)


def declare(commands: Commands) -> None:
    """Add the commands to the parser."""
    snapshot = tree_command(
        commands,
        "snapshot",
        "mfs.cli.history:snapshot",
        help="name what there is now, and keep it",
        about=_SNAPSHOT,
        more=_SNAPSHOT_EPILOG,
    )
    snapshot.add_argument("--commit", metavar="COMMIT", help="an older commit (default: everything there is now)")
    snapshot.add_argument("--remove", action="store_true", help="take the name away")
    snapshot.add_argument("--json", action="store_true", help="one JSON object a line")
    snapshot.add_argument("name", metavar="NAME", nargs="?", help="the name (default: list them)")

    log = tree_command(commands, "log", "mfs.cli.history:log", help="list commits", about=_LOG, more=_LOG_EPILOG)
    log.add_argument("-n", "--count", metavar="N", type=_count, help="so many at most")
    log.add_argument("--json", action="store_true", help="one JSON object a line")
    log.add_argument("start", metavar="COMMIT", nargs="?", default="head", help="where to begin (default: head)")

    diff = tree_command(
        commands,
        "diff",
        "mfs.cli.history:diff",
        help="what changed between two commits",
        about=_DIFF,
        more=_DIFF_EPILOG,
    )
    diff.add_argument("--json", action="store_true", help="one JSON object a line")
    diff.add_argument(
        "old", metavar="OLD", nargs="?", default="head~", help="a commit, or a directory's CID (default: head~)"
    )
    diff.add_argument("new", metavar="NEW", nargs="?", default="head", help="another (default: head)")

    restore = tree_command(
        commands,
        "restore",
        "mfs.cli.history:restore",
        help="go back to what was",
        about=_RESTORE,
        more=_RESTORE_EPILOG,
    )
    restore.add_argument("--json", action="store_true", help="say what was done as a JSON object")
    restore.add_argument("commit", metavar="COMMIT", help="the commit to go back to")
    restore.add_argument("paths", metavar="PATH", nargs="*", help="what to restore (default: everything)")

    chroot = tree_command(
        commands,
        "chroot",
        "mfs.cli.history:chroot",
        help="make a directory the root, by CID",
        about=_CHROOT,
        more=_CHROOT_EPILOG,
    )
    chroot.add_argument("--json", action="store_true", help="say what was done as a JSON object")
    which = chroot.add_mutually_exclusive_group(required=True)
    which.add_argument("--empty", action="store_true", help="an empty directory")
    which.add_argument("cid", metavar="CID", nargs="?", help="a CID, or /ipfs/CID/PATH")

    pin = tree_command(commands, "pin", "mfs.cli.history:pin", help="keep blocks by CID", about=_PIN, more=_PIN_EPILOG)
    pin.add_argument("--remove", action="store_true", help="take the name away")
    pin.add_argument("--json", action="store_true", help="one JSON object a line")
    pin.add_argument("name", metavar="NAME", nargs="?", help="the name (default: list them)")
    pin.add_argument("cid", metavar="CID", nargs="?", help="what to keep")

    gc = tree_command(commands, "gc", "mfs.cli.gc:gc", help="collect garbage", about=_GC, more=_GC_EPILOG)
    gc.add_argument("--keep", metavar="WHAT", default="1", help="which commits to keep (default: 1, the newest)")
    gc.add_argument("--dry-run", action="store_true", help="remove nothing, and say what would be removed")
    gc.add_argument("--json", action="store_true", help="say what was done as a JSON object")
