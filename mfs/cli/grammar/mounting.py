"""Mounting, and what is mounted: `mount`, `umount`, `run`, `stat`."""

from __future__ import annotations

import argparse

from mfs.cli.grammar.common import Commands, mount_options, subparser

__all__ = ["declare"]

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
  mfs mount --repo kept --store-mode --store-mtime /mnt/kept
                                              a new one whose CIDs say modes and times as well
  mfs mount --foreground /mnt/mfs             for a service manager; messages go to standard error
  mfs mount --ipfs /ipfs --ipns /ipns /mfs    CIDs and keys too; a copy between them is a pointer, as inside /mfs

Modes, owners, times, links and extended attributes are kept either way, beside the UnixFS tree, where no CID depends on
them. What --store-mode and --store-mtime put into UnixFS (kubo's StoreMode, StoreMtime) is chosen with the profile when
a repository is made, and kept: the roots of files, directories and symbolic links then carry it, so a chmod, a touch
and a copy store one new block and share the rest.

Who is not root mounts through fusermount3 (package fuse3), or uses `mfs run`. DIR may read /dev/fd/N: a FUSE device or
a socket that the calling program passes on, as `rawfuse trace` and `rawfuse replay` do; it is then served in the
foreground. With --trace FILE the messages are kept for `rawfuse decode`, `rawfuse replay` and Wireshark; a full disk
ends the trace, not the mount.
"""

_UMOUNT = """\
Unmount DIR and return when its server has committed everything and let go of the repository. Also clears away
mounts whose server is dead. What was mounted with it (--ipfs, --ipns) goes with it, whichever of them DIR is.
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
Say what files in a mount are made of, or with --repo those in the tree of a repository, mounted or not. Asking for a
CID commits what was written. For a terminal a paragraph for each PATH; in a pipe a line of tab-separated fields under a
heading, where - stands for what is not known.
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
  mfs stat --repo ~/.mfs /photos              a path in the repository's tree
  mfs stat --json /mnt/mfs/* | jq .cid        one JSON object a line
"""


def declare(commands: Commands) -> None:
    """Add the commands to the parser."""
    mount = subparser(commands, "mount", help="mount a repository", about=_MOUNT, more=_MOUNT_EPILOG)
    mount.set_defaults(handler="mfs.cli.mount:mount")
    mount_options(mount, mount)
    mount.add_argument("--allow-other", action="store_true", help="let other users in, as far as permissions allow")
    mount.add_argument("--ipfs", metavar="DIR", help="show whatever is stored on DIR as well, by CID and read-only")
    mount.add_argument("--ipns", metavar="DIR", help="show the trees of the keys on DIR as well")
    mount.add_argument("--publish", metavar="DIR", help="write the records of the keys into DIR as well, for others")
    mount.add_argument("--foreground", action="store_true", help="stay, and log to standard error")
    mount.add_argument("directory", metavar="DIR", help="where to mount: a directory that exists")

    umount = subparser(commands, "umount", help="unmount, and wait until everything is safe", about=_UMOUNT)
    umount.set_defaults(handler="mfs.cli.umount:umount")
    umount.add_argument(
        "--lazy", action="store_true", help="take a busy mount away at once; its server ends with its last user"
    )
    umount.add_argument("directory", metavar="DIR", help="where it is mounted")

    run = subparser(commands, "run", help="run a command with a mount of its own", about=_RUN, more=_RUN_EPILOG)
    run.set_defaults(handler="mfs.cli.run:run")
    run.usage = "mfs run [OPTION ...] [-- COMMAND [ARGUMENT ...]]"
    which = run.add_mutually_exclusive_group()
    mount_options(run, which)
    which.add_argument("--temp", action="store_true", help="a new repository, removed when the command has ended")
    run.add_argument("--ipfs", action="store_true", help="show whatever is stored at $IPFS as well, by CID, read-only")
    run.add_argument("--ipns", action="store_true", help="show the trees of the keys at $IPNS as well")
    run.add_argument("words", metavar="COMMAND", nargs=argparse.REMAINDER, help="what to run (default: $SHELL)")

    stat = subparser(commands, "stat", help="CIDs, sizes, and what is shared", about=_STAT, more=_STAT_EPILOG)
    stat.set_defaults(handler="mfs.cli.stat:stat")
    stat.add_argument("--json", action="store_true", help="one JSON object for each path, a line each")
    stat.add_argument("--repo", metavar="DIR", help="PATH is one in the tree of this repository")
    stat.add_argument("paths", metavar="PATH", nargs="+", help="a file, directory or symbolic link in a mount of mfs")
