"""Making a directory that a CID names the root.

The new tree is entered in a place of its own, in as many commits as it takes.  Then the names of the root change places
with it in one commit: a crash shows the old tree or the new one.  What the root was goes away afterwards; the commits
before have it still.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Any

from mfs.operations.changing import remove_tree
from mfs.operations.exchanging import check_whole
from mfs.operations.graft import graft, take_mtime, tsize_of
from mfs.operations.paths import error
from mfs.operations.places import Foreign, find, kind_of, node_cache
from mfs.operations.session import Session
from mfs.pace import Pace
from mfs.tree.node import Directory, Graft
from mfs.tree.numbers import IPNS_INO, RESERVED_NAME
from mfs.tree.record import ROOT_INO
from mfs.unixfs.cid import CID, cid_str
from mfs.unixfs.directory import directory_stats, lookup
from mfs.unixfs.nodes import NodeCache

__all__ = ["become", "chroot"]

_PLACE = b".chroot"
"""Beside the trees of the keys, where no path of the tree leads.  What a crash leaves there goes the next time."""
_OLD, _NEW = b"old", b"new"


async def chroot(session: Session, *, path: bytes | None) -> dict[str, Any]:
    """Make the directory at `path`, ``/ipfs/CID[/PATH]``, the root; None: an empty one.

    The result has the ``root`` that is now, the one that ``was``, and the commit ``before``, to which `restore` goes
    back.  OSError: ENOTDIR where it is no directory; EIO, ENOENT where blocks are missing; EINVAL for names that cannot
    be.  Then everything is as it was.
    """
    volume = session.volume
    cache = node_cache(volume.store)
    cid = _directory(session, path, cache) if path is not None else None
    before = await volume.commit()
    await become(session, volume.tree.directory(ROOT_INO), cid, cache)
    after = volume.head.root
    return {
        "root": cid_str(after) if after is not None else None,
        "was": cid_str(before.root) if before.root is not None else None,
        "before": cid_str(before.cid),
    }


async def become(session: Session, directory: Directory, cid: CID | None, cache: NodeCache) -> None:
    """Make a directory of the live tree what the directory `cid` is, or (None) an empty one; durable on return.

    OSError: EIO, ENOENT where blocks are missing; EINVAL for names that cannot be.  Then it is as it was.
    """
    volume = session.volume
    with volume.store.keeping():
        stats = None
        if cid is not None:
            session.holding([cid])
            await check_whole(session, cid, cache)
            stats = await Pace().run(directory_stats(volume.profile, cid, cache))
        place = await _cleared(session)
        try:
            if cid is not None:
                await graft(volume, place, _NEW, Foreign(cid), cache, session.caches)
                await volume.commit()
            async with volume.at_once():
                _swap(session, place, directory)
                if cid is not None and stats is not None:
                    _settle(session, directory, Foreign(cid), Graft(cid, tsize_of(cid, cache), stats), cache)
        finally:
            await _removed(session, place)


def _directory(session: Session, path: bytes, cache: NodeCache) -> CID:
    found = find(session.volume, path, cache)
    if not isinstance(found, Foreign):
        raise error(errno.EINVAL, path, "not the path of a CID")
    kind = kind_of(found, cache)
    if kind != "directory":
        raise error(errno.ENOTDIR, path, f"it is a {kind}; only a directory can be the root")
    if lookup(found.cid, RESERVED_NAME, cache) is not None:
        raise error(errno.EINVAL, path, f"it has an entry {os.fsdecode(RESERVED_NAME)}, a name that a root has not")
    return found.cid


async def _cleared(session: Session) -> Directory:
    """The place, with nothing in it but an empty directory for what the root has now."""
    tree = session.volume.tree
    above = tree.directory(IPNS_INO)
    left = tree.child(above, _PLACE)
    if isinstance(left, Directory):
        await _removed(session, left)
    with session.volume.naming.opened():
        place = tree.create(above, _PLACE, stat.S_IFDIR | 0o700, os.getuid(), os.getgid())
    if not isinstance(place, Directory):
        raise error(errno.ENOTDIR, _PLACE)
    tree.create(place, _OLD, stat.S_IFDIR | 0o700, os.getuid(), os.getgid())
    return place


async def _removed(session: Session, place: Directory) -> None:
    tree = session.volume.tree
    for name in (_OLD, _NEW):
        there = tree.child(place, name)
        if isinstance(there, Directory):
            await remove_tree(session, place, name, there)
    with session.volume.naming.opened():
        tree.rmdir(tree.directory(IPNS_INO), _PLACE)
    await session.settled_all()


def _swap(session: Session, place: Directory, directory: Directory) -> None:
    tree = session.volume.tree
    old, new = tree.child(place, _OLD), tree.child(place, _NEW)
    for source, target in ((directory, old), (new, directory)):
        if isinstance(source, Directory) and isinstance(target, Directory):
            for name in list(tree.names(source)):
                tree.rename(source, name, target, name, replace=False)
                session.caches.entry(directory, name)
    session.caches.inode(directory)


def _settle(session: Session, directory: Directory, source: Foreign, made_of: Graft, cache: NodeCache) -> None:
    """The directory has what UnixFS says of the other one, and its CID."""
    tree, node = session.volume.tree, cache.node(source.cid)
    if node.mode:
        directory.mode = stat.S_IFDIR | node.mode & 0o7777
    take_mtime(directory, source, cache)
    # Every name that it had is among its changes: it is built as a new directory is.
    directory.cid = None
    tree.grafted[directory.ino] = made_of
    tree.touched(directory)
