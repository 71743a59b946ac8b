"""Copies: `cp` within a repository, `cp --keep-shared` and `sync` between paths of this machine."""

from __future__ import annotations

from mfs.cli.grammar.common import Commands, subparser, tree_command

__all__ = ["declare"]

_CP = """\
Copy within a repository, mounted or not: from one path of its tree, or from /ipfs/CID, to another. That is pointers,
whatever the size, and the copy has the CID of the original, unless roots carry the time. A file that is there already
gets the new content.

With --keep-shared, copy files of this machine onto others, in mounts or not, so that what shares its blocks goes on
sharing them. The target is not emptied first. Where it has the source's size and shares blocks with something (a
snapshot, a reflink), the kernel compares, and equal bytes are neither written nor unshared; everything else is cloned
where the file system can (btrfs, xfs), copied as pointers inside a mount of mfs, and written elsewhere. Holes stay
holes. A file copied onto itself stays as it is. Permissions become the source's.
"""

_CP_EPILOG = """\
fields, with --keep-shared:
  shared    bytes that source and target keep in the same blocks now
  skipped   bytes that were the same already and stay where they are
  holes     bytes of holes that were made
  written   bytes that were written; of these
  offered   what the kernel or the file system copied by itself (copy_file_range)

examples:
  mfs cp /disk.iso /again.iso
  mfs cp -r /ipfs/bafy... /here                        a directory that is known by its CID
  mfs cp --keep-shared build/app /opt/app/app          as cp, but a backup of it with reflinks costs nothing more
  mfs cp --keep-shared --json a b | jq .shared
"""

_SYNC = """\
Make the directory DST what the directory SRC is, as an updater does. Files whose bytes are the same keep their blocks,
their mtime and their CID. In mounts of mfs CIDs are compared and nothing is read; a file elsewhere is hashed for that,
once; where neither has a CID the kernel (btrfs, xfs) or mfs compares bytes, and what is equal comes to be shared.

Other files are made anew beside the old ones and renamed over them, sharing what they can: a crash leaves the one or
the other, whole. --in-place writes into the old files instead, which keeps their inodes. Holes, symbolic links, several
names of one file, owner (for root), mode and mtime become the source's, and with --xattrs extended attributes, ACLs and
file capabilities. No symbolic link in DST is followed.
"""

_SYNC_EPILOG = """\
For a terminal a summary, else a line of tab-separated fields under a heading. With --verbose or --dry-run a line for
every entry that is (or would be) changed: created, replaced, linked, attributes or removed, and its path.

fields:
  kept, created, replaced, linked, attributes, removed, failed    entries of the tree
  shared    bytes that lie in the same blocks as the source's now
  skipped   bytes that were the same already and stay where they are
  holes     bytes of holes that were made
  written   bytes that were written

examples:
  mfs sync --dry-run new/ /opt/app           what would change?
  mfs sync --delete new/ /opt/app            exactly that tree; what only /opt/app has is removed
  mfs sync /mnt/mfs/new /mnt/mfs/app         within a mount: pointers, whatever the size
  mfs sync --json new/ /opt/app              a JSON object for every change, and one for the summary

exit status: 1 when an entry could not be synced; all others are.
"""


def declare(commands: Commands) -> None:
    """Add the commands to the parser."""
    cp = tree_command(commands, "cp", "mfs.cli.cp:cp", help="copy, and keep what is shared", about=_CP, more=_CP_EPILOG)
    cp.add_argument("-r", "--recursive", action="store_true", help="directories too, with everything in them")
    cp.add_argument("-n", "--no-replace", action="store_true", help="fail where the target is there already")
    cp.add_argument("--keep-shared", action="store_true", help="copy paths of this machine")
    cp.add_argument("-v", "--verbose", action="store_true", help="with it: tab-separated fields for each file")
    cp.add_argument("--json", action="store_true", help="with it: one JSON object for each file, a line each")
    cp.add_argument("paths", metavar="SRC", nargs="+", help="what to copy; /ipfs/CID too, where it is in a repository")
    cp.add_argument("target", metavar="DST", help="what to copy it to, or a directory")

    sync = subparser(commands, "sync", help="install a tree over another", about=_SYNC, more=_SYNC_EPILOG)
    sync.set_defaults(handler="mfs.cli.sync:sync")
    sync.add_argument("--delete", action="store_true", help="remove what only DST has")
    sync.add_argument("-n", "--dry-run", action="store_true", help="change nothing, say what would be")
    sync.add_argument("--in-place", action="store_true", help="write into files that differ: they keep their inodes")
    sync.add_argument("-X", "--xattrs", action="store_true", help="carry extended attributes and ACLs over, too")
    sync.add_argument("-v", "--verbose", action="store_true", help="say what is changed")
    sync.add_argument("--json", action="store_true", help="JSON objects, a line each; the last one is the summary")
    sync.add_argument("source", metavar="SRC", help="the directory whose content is installed")
    sync.add_argument("target", metavar="DST", help="the directory that gets it; made when there is none")
