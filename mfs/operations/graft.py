"""Entering what a CID names into the tree: pointers, whatever its size.

Every file keeps its root block, and so its CID, whoever made it and with whatever layout.  So does a directory, as
long as it is entered between two commits (which it is up to some ten thousand entries); a larger one gets the CID that
the profile gives to its content.  Mode and mtime come along where UnixFS has them.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from mfs.blocks.errors import BlockNotFound
from mfs.operations.paths import error
from mfs.operations.places import Foreign, information
from mfs.pace import Pace
from mfs.tree.node import Directory, File, Graft, Node
from mfs.tree.tree import NAME_MAX
from mfs.unixfs.cid import DAG_PB, codec_of
from mfs.unixfs.dagpb import decode_node
from mfs.unixfs.directory import DirStats, directory_stats, entries
from mfs.unixfs.errors import UnixFSError
from mfs.unixfs.nodes import SymlinkNode

if TYPE_CHECKING:
    from mfs.unixfs.cid import CID
    from mfs.unixfs.nodes import NodeCache
    from mfs.volume import Volume

__all__ = ["Watcher", "check_name", "graft", "take_mtime", "tsize_of"]

_MANY = 10_000
_MODES = {"file": stat.S_IFREG | 0o644, "directory": stat.S_IFDIR | 0o755, "symlink": stat.S_IFLNK | 0o777}


class Watcher(Protocol):
    """Told of every change (:class:`mfs.operations.caches.Caches`)."""

    def entry(self, directory: Directory, name: bytes) -> None: ...


def check_name(name: bytes, path: bytes) -> None:
    """EINVAL, with the path: `name` cannot be that of an entry, as ``..``, ``a/b`` or nothing.  ENAMETOOLONG."""
    if b"/" in name or b"\0" in name or name in (b"", b".", b".."):
        raise error(errno.EINVAL, path, f"an entry is named {name!r}, which no file can be")
    if len(name) > NAME_MAX:
        raise error(errno.ENAMETOOLONG, path)


async def graft(
    volume: Volume,
    parent: Directory,
    name: bytes,
    what: Foreign,
    cache: NodeCache,
    watcher: Watcher,
    *,
    met: Callable[[], object] = lambda: None,
) -> Node:
    """Enter `what` as `name` in `parent`, where nothing is yet; `met` is called for each entry.

    Its directories are read whole, of its files only the roots.  Everything stays where it is when it fails half way,
    as with `cp -r`.

    OSError: EEXIST and the like; EINVAL for names that cannot be; EIO for blocks that are absent or unsound.
    """
    pace = Pace()
    top = _entered(volume, parent, name, what, cache, name)
    watcher.entry(parent, name)
    waiting = [(top, what, name)] if isinstance(top, Directory) else []
    while waiting:
        directory, source, path = waiting.pop()
        try:
            for child_name, link in entries(source.cid, cache):
                below = path + b"/" + child_name
                check_name(child_name, below)
                foreign = Foreign(link.hash, link.tsize)
                child = _entered(volume, directory, child_name, foreign, cache, below)
                watcher.entry(directory, child_name)
                met()
                if isinstance(child, Directory):
                    waiting.append((child, foreign, below))
                if pace.due:
                    await pace.rest()
            stats = await pace.run(directory_stats(volume.profile, source.cid, cache))
        except (BlockNotFound, UnixFSError) as wrong:
            raise error(errno.EIO, path, str(wrong)) from wrong
        take_mtime(directory, source, cache)
        _settle(directory, source, stats, volume, cache)
        if len(volume.tree.dirty) > _MANY:
            await volume.commit()
    return top


def _entered(volume: Volume, parent: Directory, name: bytes, what: Foreign, cache: NodeCache, path: bytes) -> Node:
    tree = volume.tree
    try:
        node = cache.node(what.cid)
        target = node.target if isinstance(node, SymlinkNode) else b""
        mode = _MODES[node.kind]
        if node.mode:
            mode = stat.S_IFMT(mode) | node.mode & 0o7777
        made = tree.create(parent, name, mode, os.getuid(), os.getgid(), target=target)
        if node.mode:
            # As it was, though `parent` hands its set-group-ID bit on.
            made.mode = mode
    except (BlockNotFound, UnixFSError) as wrong:
        raise error(errno.EIO, path, str(wrong)) from wrong
    except OSError as failed:
        raise OSError(failed.errno, failed.strerror, os.fsdecode(path)) from failed
    if isinstance(made, File):
        found = information(what, cache)
        made.content.replace(what.cid, found["size"], _tsize(what, cache), foreign=True)
    elif isinstance(node, SymlinkNode):
        made.cid, made.tsize = what.cid, _tsize(what, cache)
    if not isinstance(made, Directory):
        take_mtime(made, what, cache)
    tree.touched(made)
    return made


def take_mtime(node: Node, what: Foreign, cache: NodeCache) -> None:
    """Give `node` the time that UnixFS has of `what`, if any."""
    mtime = cache.node(what.cid).mtime
    if mtime is not None:
        node.mtime = max(-(1 << 63), min(mtime.seconds * 1_000_000_000 + mtime.nanos, (1 << 63) - 1))


def _tsize(what: Foreign, cache: NodeCache) -> int:
    """Bytes of all its blocks, as far as anybody has said; a directory that links to it says so again."""
    if what.tsize is not None:
        return what.tsize
    return tsize_of(what.cid, cache)


def tsize_of(cid: CID, cache: NodeCache) -> int:
    """Bytes of the block and, by what its links say, of all below it."""
    block = cache.block(cid)
    if codec_of(cid) != DAG_PB:
        return len(block)
    return len(block) + sum(link.tsize or 0 for link in decode_node(block).links)


def _settle(directory: Directory, source: Foreign, stats: DirStats, volume: Volume, cache: NodeCache) -> None:
    """Have the next commit keep the directory's CID, where that has all of its names before it."""
    if directory.cid is None and len(directory.changed) == directory.entries:
        volume.tree.grafted[directory.ino] = Graft(source.cid, _tsize(source, cache), stats)
    volume.tree.touched(directory)
