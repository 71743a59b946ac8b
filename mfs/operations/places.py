"""Where a path leads: into the tree, or (``/ipfs/CID/...``) to blocks that are here, or to what was once.

What is below ``.mfs`` in a mount is at the same paths here: ``/.mfs/snapshots/NAME/...``, ``/.mfs/commits/CID/...``.
All can be listed, read and copied; only the tree can be changed.
"""

from __future__ import annotations

import errno
import stat
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from mfs.blocks.errors import BlockNotFound
from mfs.blocks.pieces import total_length
from mfs.blocks.store import EmbeddedStore
from mfs.control.frames import to_text
from mfs.operations.paths import IPFS, IPNS, at_path, below_keys, error, parts
from mfs.tree.listing import Listing
from mfs.tree.node import Directory, File, Node, Symlink
from mfs.tree.numbers import CONTROL_INO, IPNS_INO, RESERVED_NAME, is_view
from mfs.tree.tree import Tree
from mfs.unixfs import directory
from mfs.unixfs import nodes as unixfs
from mfs.unixfs.cid import CID, cid_str, parse_cid
from mfs.unixfs.errors import InvalidCID, MalformedBlock, WrongKind
from mfs.unixfs.nodes import NodeCache
from mfs.volume import Volume

__all__ = [
    "IPFS",
    "Foreign",
    "Place",
    "cid_path",
    "entries",
    "find",
    "information",
    "kind_of",
    "node_cache",
    "stored_cid",
]

_CACHED_LINKS = 1 << 16
_MOST_LINKS = 16
_MODES = {"file": stat.S_IFREG | 0o444, "directory": stat.S_IFDIR | 0o555, "symlink": stat.S_IFLNK | 0o777}
_KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink"}


class Foreign(NamedTuple):
    """What a CID names; `tsize` as its parent says, None where nobody said."""

    cid: CID
    tsize: int | None = None


Place: TypeAlias = Node | Foreign


def node_cache(store: EmbeddedStore) -> NodeCache:
    """Decoded nodes of what is in `store`."""
    return NodeCache(store.get, _CACHED_LINKS, partial(_leaf_size, store))


def _leaf_size(store: EmbeddedStore, cid: CID) -> int | None:
    pieces = store.leaf_pieces(cid)
    return None if pieces is None else total_length(pieces)


def cid_path(path: bytes) -> tuple[CID, list[bytes]] | None:
    """The CID and the names behind it, of a path ``/ipfs/CID/...``; None for any other.  EINVAL: it is no CID."""
    names = parts(path)
    if len(names) < 2 or names[0] != IPFS:
        return None
    try:
        return parse_cid(names[1].decode("ascii")), names[2:]
    except (InvalidCID, UnicodeDecodeError) as wrong:
        raise error(errno.EINVAL, path, str(wrong)) from None


def find(volume: Volume, path: bytes, cache: NodeCache) -> Place:
    """What `path` leads to.

    ENOENT, ENOTDIR; EINVAL for what is no CID; EIO for blocks that are not here, or unsound.
    """
    names = _resolved(volume.tree, path)
    if names[:1] == [RESERVED_NAME] and names[1:2] != [IPNS]:
        if names[1:2] != [IPFS] or len(names) == 2:
            return _viewed(volume, path, names)
        del names[0]
    asked = cid_path(b"/".join(names))
    if asked is None:
        return at_path(volume.tree, b"/" + b"/".join(names) + (b"/" if path.endswith(b"/") else b""))
    cid, names = asked
    try:
        tsize = None
        for name in names:
            if kind_of(Foreign(cid), cache) != "directory":
                raise error(errno.ENOTDIR, path)
            link = directory.lookup(cid, name, cache)
            if link is None:
                raise error(errno.ENOENT, path)
            cid, tsize = link.hash, link.tsize
        kind_of(Foreign(cid), cache)
    except (BlockNotFound, MalformedBlock, WrongKind) as wrong:
        raise error(errno.EIO, path, str(wrong)) from wrong
    return Foreign(cid, tsize)


def _resolved(tree: Tree, path: bytes) -> list[bytes]:
    """The names of a path; one of somebody else's key is followed to where its record says."""
    names = parts(path)
    for _ in range(_MOST_LINKS):
        depth = below_keys(tree, names)
        if not depth or len(names) == depth:
            return names
        node = tree.child(tree.directory(IPNS_INO), names[depth])
        if not isinstance(node, Symlink):
            return names
        names = parts(b"/".join((RESERVED_NAME, IPNS, node.target, *names[depth + 1 :])))
    raise error(errno.ELOOP, path)


def _viewed(volume: Volume, path: bytes, names: list[bytes]) -> Node:
    node = volume.views.node(CONTROL_INO)
    for name in names[1:]:
        if not isinstance(node, Directory):
            raise error(errno.ENOTDIR, path)
        try:
            child = volume.views.of(node.ino).child(node, name)
        except OSError as wrong:
            raise error(wrong.errno or errno.EIO, path, wrong.strerror) from wrong
        if child is None:
            raise error(errno.ENOENT, path)
        node = child
    return node


def stored_cid(place: Place) -> CID | None:
    """The CID of what cannot change; None for what is in the tree, or has none."""
    return place.cid if isinstance(place, Foreign) or is_view(place.ino) else None


def kind_of(place: Place, cache: NodeCache) -> str:
    """ "file", "directory", "symlink", or "special" for what UnixFS does not have."""
    if isinstance(place, Foreign):
        return cache.node(place.cid).kind
    return _KINDS.get(stat.S_IFMT(place.mode), "special")


def entries(volume: Volume, place: Place, cache: NodeCache) -> Iterator[tuple[bytes, Place]]:
    """The entries of a directory, in an order that has no meaning.

    Of the tree's, what comes and goes meanwhile may be seen or not; all else is seen once.
    """
    if isinstance(place, Foreign):
        for name, link in directory.entries(place.cid, cache):
            yield name, Foreign(link.hash, link.tsize)
    elif isinstance(place, Directory) and is_view(place.ino):
        view, at = volume.views.of(place.ino), 0
        past = view.listing(place)
        while found := past.after(at):
            for _, name, _ in found:
                child = view.child(place, name)
                if child is not None:
                    yield name, child
            at = found[-1].offset
    elif isinstance(place, Directory):
        tree = volume.tree
        listing, offset = Listing(tree, place), 0
        while part := listing.after(offset):
            for _, name, entry in part:
                if tree.entry(place, name) == entry:
                    yield name, tree.node(entry.ino)
            offset = part[-1].offset


def information(place: Place, cache: NodeCache) -> dict[str, Any]:
    """What is known of a place, in words that JSON has.

    ``type``, ``size`` (bytes of a file, or of a link's target), ``mode``, ``mtime`` (nanoseconds since the epoch, None
    where it is not stored), ``cid`` (None until it is committed, and for what UnixFS does not have), ``target`` of
    symbolic links.  Of the tree's also ``uid``, ``gid``, ``nlink``, ``ino``.
    """
    if isinstance(place, Foreign):
        return _foreign(place, cache)
    kind = kind_of(place, cache)
    found: dict[str, Any] = {
        "type": kind,
        "size": place.size,
        "mode": place.mode,
        "mtime": place.mtime,
        "cid": _cid(place),
        "uid": place.uid,
        "gid": place.gid,
        "nlink": place.nlink,
        "ino": place.ino,
    }
    if isinstance(place, Symlink):
        found["target"] = to_text(place.target)
    return found


def _cid(node: Node) -> str | None:
    cid = node.cid
    if isinstance(node, File) and node.content.clean and node.content.base is not None:
        cid = node.content.base
    return cid_str(CID(cid)) if cid is not None else None


def _foreign(place: Foreign, cache: NodeCache) -> dict[str, Any]:
    node = cache.node(place.cid)
    size = 0
    found: dict[str, Any] = {}
    if isinstance(node, unixfs.FileNode):
        size = node.size
    elif isinstance(node, unixfs.SymlinkNode):
        size = len(node.target)
        found["target"] = to_text(node.target)
    mode = _MODES[node.kind]
    if node.mode:
        mode = stat.S_IFMT(mode) | node.mode & 0o7777
    mtime = None
    if node.mtime is not None:
        mtime = node.mtime.seconds * 1_000_000_000 + node.mtime.nanos
    return {"type": node.kind, "size": size, "mode": mode, "mtime": mtime, "cid": cid_str(place.cid), **found}
