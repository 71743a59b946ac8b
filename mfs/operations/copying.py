"""Copying within the repository: pointers, whatever the size."""

from __future__ import annotations

import errno
import os
import stat
from typing import Any

from mfs.operations.graft import graft
from mfs.operations.paths import error, parent_of, parts
from mfs.operations.places import Foreign, cid_path, entries, find, kind_of, node_cache
from mfs.operations.session import Session
from mfs.pace import Pace
from mfs.tree.node import Directory, File, Node, Special, Symlink
from mfs.tree.record import ROOT_INO

__all__ = ["copy"]

_MANY = 10_000


async def copy(session: Session, *, source: bytes, target: bytes, recursive: bool, replace: bool) -> dict[str, Any]:
    """Copy `source`, of the tree or ``/ipfs/CID/...``, to `target`, or into it where that is a directory.

    Bytes are not touched, and files keep their CIDs.  A file that is there already gets the new content, keeping its
    inode; everything else that is there is EEXIST.  Mode comes along, times are those of the copy.
    """
    volume, tree = session.volume, session.volume.tree
    cache = node_cache(volume.store)
    what = find(volume, source, cache)
    kind = kind_of(what, cache)
    if kind == "directory" and not recursive:
        raise error(errno.EISDIR, source)
    parent, name = _destination(session, source, target)
    path = target
    there = tree.child(parent, name)
    if isinstance(what, Node):
        _check_apart(session, what, parent, source)
    if there is not None and (not replace or not isinstance(there, File) or kind != "file"):
        if there is what:
            raise error(errno.EINVAL, path, "source and target are the same")
        raise error(errno.EISDIR if isinstance(there, Directory) else errno.EEXIST, path)
    counts = {"entries": 1}

    def met() -> None:
        counts["entries"] += 1

    with volume.store.keeping():
        if isinstance(what, Foreign):
            if isinstance(there, File):
                tree.unlink(parent, name)
                session.caches.inode(there)
            made = await graft(volume, parent, name, what, cache, session.caches, met=met)
        elif isinstance(there, File) and isinstance(what, File):
            if there is not what:
                there.content.become(what.content)
                there.mtime = there.ctime = tree.clock()
                tree.touched(there)
                session.caches.inode(there)
            made = there
        else:
            made = await _copy_tree(session, what, parent, name, met)
    if counts["entries"] > 1:
        await session.settled_all()
    else:
        await session.settled(made, parent)
    return counts


def _destination(session: Session, source: bytes, target: bytes) -> tuple[Directory, bytes]:
    """The directory and the name that the copy is to have there."""
    tree = session.volume.tree
    asked = cid_path(source)
    names = parts(source)
    last = names[-1] if names else b""
    if asked is not None and not asked[1]:
        last = names[1]
    if not parts(target):
        return tree.directory(ROOT_INO), last
    parent, name = parent_of(tree, target)
    there = tree.child(parent, name)
    if isinstance(there, Directory):
        if not last:
            raise error(errno.EINVAL, target, "the root directory has no name: say what the copy is to be called")
        return there, last
    if target.endswith(b"/"):
        raise error(errno.ENOENT if there is None else errno.ENOTDIR, target)
    return parent, name


def _check_apart(session: Session, what: Node, into: Directory, source: bytes) -> None:
    """EINVAL for a directory that would be copied into itself."""
    if not isinstance(what, Directory):
        return
    above: Node = into
    while True:
        if above is what:
            raise error(errno.EINVAL, source, "a directory cannot be copied into itself")
        if above.ino == ROOT_INO or not above.references:
            return
        above = session.volume.tree.node(above.references[0][0])


def _copied(session: Session, what: Node, parent: Directory, name: bytes) -> Node:
    tree = session.volume.tree
    mode = stat.S_IFMT(what.mode) | what.mode & 0o1777
    rdev = what.rdev if isinstance(what, Special) else 0
    target = what.target if isinstance(what, Symlink) else b""
    made = tree.create(parent, name, mode, os.getuid(), os.getgid(), rdev=rdev, target=target)
    if isinstance(what, File) and isinstance(made, File):
        made.content.become(what.content)
    elif isinstance(what, Symlink):
        made.cid, made.tsize = what.cid, what.tsize
    tree.touched(made)
    session.caches.entry(parent, name)
    return made


async def _copy_tree(session: Session, what: Node, parent: Directory, name: bytes, met: Any) -> Node:
    volume, tree, pace = session.volume, session.volume.tree, Pace()
    cache = node_cache(volume.store)
    top = _copied(session, what, parent, name)
    waiting = [(what, top.ino)] if isinstance(what, Directory) else []
    while waiting:
        source, ino = waiting.pop()
        for child_name, child in entries(volume, source, cache):
            if not isinstance(child, Node):
                continue
            met()
            made = _copied(session, child, tree.directory(ino), child_name)
            if isinstance(child, Directory):
                waiting.append((child, made.ino))
            if pace.due:
                await pace.rest()
            if len(tree.dirty) > _MANY:
                await volume.commit()
    return top
