"""Operations on names: making, removing, renaming."""

from __future__ import annotations

import errno
import os
import stat

from mfs.operations.paths import below_keys, check_changeable, error, parent_of, parts
from mfs.operations.session import Session
from mfs.pace import Pace
from mfs.tree.listing import Listing
from mfs.tree.node import Directory
from mfs.tree.record import ROOT_INO

__all__ = ["mkdir", "move", "remove", "remove_tree"]

_MANY = 10_000
"""Changed nodes after which a commit is made, so that memory stays bounded."""


def _about(path: bytes, failed: OSError) -> OSError:
    """The same error, with the path in it."""
    return OSError(failed.errno, failed.strerror, os.fsdecode(path))


async def mkdir(session: Session, *, path: bytes, parents: bool) -> None:
    """A new directory; with `parents` also those above it, and no complaint where it is there already."""
    tree = session.volume.tree
    check_changeable(path)
    names = parts(path)
    if not names and not parents:
        raise error(errno.EEXIST, path)
    changed: list[Directory] = []
    # What leads to the trees of the keys is there, and is not made.
    above_keys = below_keys(tree, names)
    first = above_keys + 1 if above_keys else 0
    for depth in range(first if parents else len(names) - 1, len(names)):
        above, _ = parent_of(tree, b"/" + b"/".join(names[: depth + 1]))
        there = tree.child(above, names[depth])
        if there is not None:
            if not parents or (depth == len(names) - 1 and not isinstance(there, Directory)):
                raise error(errno.EEXIST, path)
            continue
        try:
            tree.create(above, names[depth], stat.S_IFDIR | 0o755, os.getuid(), os.getgid())
        except OSError as failed:
            raise _about(path, failed) from failed
        session.caches.entry(above, names[depth])
        changed.append(above)
    await session.settled(*changed)


async def remove(session: Session, *, path: bytes, recursive: bool, force: bool) -> None:
    """Remove a name; with `recursive` a directory and everything in it, deepest first; `force`: though it is not there.

    ENOENT, EISDIR for a directory without `recursive`, EBUSY for the root.
    """
    tree = session.volume.tree
    if not parts(path):
        raise error(errno.EBUSY, path, "the root directory stays")
    try:
        parent, name = parent_of(tree, path)
        node = tree.child(parent, name)
        if node is None:
            raise error(errno.ENOENT, path)
    except FileNotFoundError:
        if force:
            return
        raise
    if parent.ino in tree.sealed:
        # Before anything below it goes.
        raise error(errno.EPERM, path, "it is a name; mfs key rm forgets a key, mfs name rm the record of another")
    if not isinstance(node, Directory):
        tree.unlink(parent, name)
        session.caches.entry(parent, name)
        session.caches.inode(node)
        await session.settled(parent)
        return
    if not recursive:
        raise error(errno.EISDIR, path)
    await remove_tree(session, parent, name, node)
    await session.settled(parent)


async def remove_tree(session: Session, parent: Directory, name: bytes, node: Directory) -> None:
    """Remove the directory `node`, which is `name` in `parent`, and all in it, deepest first.

    What is made in there meanwhile may make it ENOTEMPTY in the end.
    """
    tree, pace = session.volume.tree, Pace()
    # Directories by number: what is renamed meanwhile is still what was to be removed.
    path = [(parent.ino, name, node.ino, Listing(tree, node), 0)]
    while path:
        above, name, ino, listing, offset = path.pop()
        part = listing.after(offset)
        if not part:
            holder, directory = tree.directory(above), tree.directory(ino)
            if tree.child(holder, name) is directory:
                tree.rmdir(holder, name)
                session.caches.entry(holder, name)
            continue
        for offset, child_name, entry in part:
            directory = tree.directory(ino)
            if tree.entry(directory, child_name) is None:
                continue
            child = tree.node(entry.ino)
            if isinstance(child, Directory):
                path.append((above, name, ino, listing, offset))
                path.append((ino, child_name, child.ino, Listing(tree, child), 0))
                break
            tree.unlink(directory, child_name)
            session.caches.entry(directory, child_name)
            session.caches.inode(child)
            if pace.due:
                await _breathe(session, pace)
        else:
            path.append((above, name, ino, listing, offset))
        if pace.due:
            await _breathe(session, pace)


async def _breathe(session: Session, pace: Pace) -> None:
    if session.caches.pending > 1000:
        await session.caches.told()
    if len(session.volume.tree.dirty) > _MANY:
        await session.volume.commit()
    await pace.rest()


async def move(session: Session, *, source: bytes, target: bytes, replace: bool) -> None:
    """Rename `source` to `target`, or into it where that is a directory that is there already.

    The errors of rename(2), EEXIST unless `replace`.
    """
    tree = session.volume.tree
    parent, name = parent_of(tree, source)
    node = tree.child(parent, name)
    if node is None:
        raise error(errno.ENOENT, source)
    names = parts(target)
    if not names:
        into, newname = tree.directory(ROOT_INO), name
    else:
        into, newname = parent_of(tree, target)
        there = tree.child(into, newname)
        if isinstance(there, Directory) and there is not node:
            into, newname = there, name
        elif target.endswith(b"/") and not isinstance(node, Directory):
            raise error(errno.ENOTDIR, target)
    replaced = tree.child(into, newname)
    try:
        tree.rename(parent, name, into, newname, replace=replace)
    except OSError as failed:
        raise _about(target, failed) from failed
    session.caches.entry(parent, name)
    session.caches.entry(into, newname)
    session.caches.inode(node)
    if replaced is not None:
        session.caches.inode(replaced)
    await session.settled(parent, into)
