"""Looking after a repository: `fsck`."""

from __future__ import annotations

from mfs.cli.grammar.common import Commands, repository_option, subparser

__all__ = ["declare"]

_FSCK = """\
Check a repository that is not in use: every block is read and held against its CID; every reference is followed, from
the newest commit, the snapshots, the pins and the older commits through directories and files to the bytes of the
segments; names, links and counts are held against each other; the log is played. What is damaged is said with the paths
and the bytes that it costs. Nothing is changed without --repair.
"""

_FSCK_EPILOG = """\
what --repair does:
  block       one that is not what its CID says is removed; what can be read of it is kept in REPO/damaged
  file        the lost bytes, and no others, become zeros; name, size, owner and everything else stay
  directory   made again from the metadata map, with the same CID where nothing else is lost
  map, inode  what is lost is taken from older commits and the UnixFS tree; what has no name left goes to /lost+found
  index       made again from its pages; the old one is kept as REPO/index.damaged
  commit      the newest that can be read is the present; history ends before an older one that is damaged
  snapshot    as the present tree, and the name stays; one whose commit is lost loses its name
  log         played as far as it can be
  pin, key    cannot be mended: bring the blocks or the key again, or remove the name
Everything else stays the newest.

exit status:
  0   nothing is wrong
  1   everything that was wrong was mended
  4   something is wrong and was not mended
  8   it could not be checked: it is in use, there is none, or the disk failed
  2   wrong command line

examples:
  mfs fsck                                  what is wrong, and what it costs
  mfs fsck --repair
  mfs fsck --json | jq -r 'select(.path) | [.path, .what] | @tsv'
"""


def declare(commands: Commands) -> None:
    """Add the command to the parser."""
    fsck = subparser(commands, "fsck", help="check a repository, and mend it", about=_FSCK, more=_FSCK_EPILOG)
    fsck.set_defaults(handler="mfs.cli.fsck:fsck")
    repository_option(fsck)
    fsck.add_argument("--repair", action="store_true", help="mend what can be mended (default: change nothing)")
    fsck.add_argument("--json", action="store_true", help="one JSON object a line for each damage, and one for all")
