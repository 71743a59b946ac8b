"""The view of everything that is stored, by CID: ``.mfs/ipfs``.

What a CID names never changes, so nothing here has to be kept but which CID an inode number stands for, and that only
while the kernel refers to it (some 200 bytes for each).  The numbers are hashes: of the CID for files and links, which
so share one page cache wherever they occur; of the place for directories, of which the kernel allows one name each.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b

from mfs.blocks.errors import BlockNotFound
from mfs.file.content import Content
from mfs.file.medium import StoreMedium
from mfs.tree.node import Directory, File, Node, Symlink
from mfs.tree.numbers import FIRST_VIEW, IPFS_INO, RANGE
from mfs.unixfs.cid import CID, DAG_PB, RAW, codec_of, parse_cid
from mfs.unixfs.data import Mtime
from mfs.unixfs.directory import lookup
from mfs.unixfs.errors import InvalidCID, MalformedBlock, UnixFSError, WrongKind
from mfs.unixfs.nodes import FileNode, SymlinkNode
from mfs.unixfs.nodes import Node as UnixFSNode
from mfs.views.content_listing import ContentListing
from mfs.views.view import Listing, View

__all__ = ["ContentView"]

logger = logging.getLogger("mfs")

FILE_MODE, DIRECTORY_MODE, LINK_MODE = 0o444, 0o555, 0o777
"""Modes of what has none of its own."""
ROOT_MODE = 0o111
"""Who knows a CID may look it up; nobody can list them."""
TARGET_MAX = 4095

_KEPT_NODES = 1024
_SECOND = 1_000_000_000
_KNOWN = struct.Struct("<IQ")
"""How often the kernel looked it up, and the inode number of the directory that it is in (of a file: 0)."""
_COUNT_MAX = (1 << 32) - 1


class ContentView(View):
    """Files as `medium` has them, owned by `owner` (uid, gid)."""

    def __init__(self, medium: StoreMedium, owner: tuple[int, int]) -> None:
        self._medium = medium
        self._unixfs = medium.cache
        self._owner = owner
        self._known: dict[int, bytes] = {}
        self._nodes: dict[int, Node] = {}
        self._root = Directory(IPFS_INO, stat.S_IFDIR | ROOT_MODE, *owner, 0)
        self._root.nlink = 1

    def node(self, ino: int) -> Node:
        if ino == IPFS_INO:
            return self._root
        node = self._nodes.get(ino)
        if node is not None:
            return node
        known = self._known.get(ino)
        if known is None:
            raise OSError(errno.ESTALE, f"inode {ino} is gone")
        cid = CID(known[_KNOWN.size :])
        with _reading():
            node = self._made(ino, cid, _KNOWN.unpack_from(known)[1], self._unixfs.node(cid))
        return self._keep(node)

    def child(self, directory: Directory, name: bytes) -> Node | None:
        if directory is self._root:
            cid = _named(name)
            if not self._medium.store.has(cid):
                raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        else:
            assert directory.cid is not None
            with _reading():
                link = lookup(directory.cid, name, self._unixfs)
            if link is None:
                return None
            cid = link.hash
        with _reading():
            node = self._made(0, cid, directory.ino, self._unixfs.node(cid))
        parent = directory.ino if isinstance(node, Directory) else 0
        node.ino = self._number(_hashed(parent, name if parent else cid), cid, parent)
        return self._keep(node)

    def listing(self, directory: Directory) -> Listing:
        if directory is self._root:
            raise OSError(errno.EPERM, "what is stored cannot be listed: name a CID")
        return ContentListing(directory, self._medium, _hashed, _reading)

    def held(self) -> Iterator[CID]:
        """The CIDs that the kernel refers to."""
        for known in self._known.values():
            yield CID(known[_KNOWN.size :])

    def add(self, node: Node) -> None:
        if node.ino == IPFS_INO:
            return
        known = self._known.get(node.ino)
        if known is None:
            parent = node.references[0][0] if isinstance(node, Directory) else 0
            assert node.cid is not None
            self._medium.store.hold(node.cid)
            self._known[node.ino] = _KNOWN.pack(1, parent) + node.cid
            return
        count, parent = _KNOWN.unpack_from(known)
        self._known[node.ino] = _KNOWN.pack(min(count + 1, _COUNT_MAX), parent) + known[_KNOWN.size :]

    def forget(self, ino: int, count: int) -> None:
        known = self._known.get(ino)
        if known is None:
            return
        held, parent = _KNOWN.unpack_from(known)
        if held > count:
            self._known[ino] = _KNOWN.pack(held - count, parent) + known[_KNOWN.size :]
        else:
            del self._known[ino]
            self._nodes.pop(ino, None)

    def _number(self, ino: int, cid: CID, parent: int) -> int:
        """`ino`, or the first behind it that does not stand for something else."""
        while (known := self._known.get(ino)) is not None:
            if known[_KNOWN.size :] == cid and _KNOWN.unpack_from(known)[1] == parent:
                return ino
            ino = FIRST_VIEW | (ino + 1) % RANGE
        return ino

    def _keep(self, node: Node) -> Node:
        nodes = self._nodes
        known = nodes.get(node.ino)
        if known is not None and known.cid == node.cid:
            return known
        if len(nodes) >= _KEPT_NODES:
            del nodes[next(iter(nodes))]
        nodes[node.ino] = node
        return node

    def _made(self, ino: int, cid: CID, parent: int, found: UnixFSNode) -> Node:
        time = _nanoseconds(found.mtime)
        # Never set-user-ID: what somebody else stored would run with the rights of who mounts.
        permissions = found.mode & 0o1777
        uid, gid = self._owner
        node: Node
        if isinstance(found, FileNode):
            file = File(ino, stat.S_IFREG | (permissions or FILE_MODE), uid, gid, time, self._medium)
            tsize = self._medium.dag_size(cid, found)
            foreign = not self._medium.is_own_leaf(cid, found)
            file.content = Content(self._medium, cid, found.size, tsize, foreign=foreign)
            node = file
        elif isinstance(found, SymlinkNode):
            if len(found.target) > TARGET_MAX:
                raise OSError(errno.ENAMETOOLONG, f"a symbolic link to {len(found.target)} bytes")
            node = Symlink(ino, stat.S_IFLNK | (permissions or LINK_MODE), uid, gid, time, found.target)
        else:
            node = Directory(ino, stat.S_IFDIR | (permissions or DIRECTORY_MODE), uid, gid, time)
            node.nlink = 1
            node.references = ((parent, b""),)
        node.cid = cid
        return node


def _named(name: bytes) -> CID:
    """The CID that `name` writes.  ENOENT: none; EOPNOTSUPP: one of something that files are not made of."""
    try:
        cid = parse_cid(name.decode("ascii"))
        codec = codec_of(cid)
    except (InvalidCID, UnicodeDecodeError):
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT)) from None
    if codec not in (RAW, DAG_PB):
        raise OSError(errno.EOPNOTSUPP, f"a block of codec 0x{codec:x} is no file")
    return cid


def _hashed(parent: int, name: bytes) -> int:
    """The inode number of the directory `name` in `parent`, or (0) of the file whose CID `name` is."""
    digest = blake2b(parent.to_bytes(8, "little") + name, digest_size=8).digest()
    return FIRST_VIEW | int.from_bytes(digest, "little") % RANGE


def _nanoseconds(mtime: Mtime | None) -> int:
    """The time, 0 for what has none or lies before 1970, as the UnixFS specification wants it."""
    if mtime is None or mtime.seconds < 0:
        return 0
    return min(mtime.seconds * _SECOND + mtime.nanos, (1 << 63) - 1)


@contextmanager
def _reading() -> Iterator[None]:
    """What is wrong with blocks, as the errno that says so: nothing that is damaged looks as if it were not there."""
    try:
        yield
    except BlockNotFound as error:
        raise OSError(errno.EIO, str(error)) from error
    except WrongKind as error:
        raise OSError(errno.EOPNOTSUPP, str(error)) from error
    except MalformedBlock as error:
        logger.warning("%s", error)
        raise OSError(errno.EIO, str(error)) from error
    except UnixFSError as error:
        raise OSError(errno.EIO, str(error)) from error
