"""Paths in the tree: found, or complained of with the path in the error."""

from __future__ import annotations

import errno
import os
from contextlib import suppress

from mfs.tree.node import Directory, Node
from mfs.tree.numbers import IPNS_INO, RESERVED_NAME
from mfs.tree.record import ROOT_INO
from mfs.tree.tree import Tree
from mfs.unixfs.cid import parse_cid
from mfs.unixfs.errors import InvalidCID

__all__ = [
    "IPFS",
    "IPNS",
    "LOCAL",
    "at_path",
    "below_keys",
    "check_changeable",
    "directory_at",
    "error",
    "parent_of",
    "parts",
]

IPFS = b"ipfs"
"""A path that begins with this and a CID leads to what that names."""
IPNS = b"ipns"
"""A path that begins with this and the name of a key leads to its tree."""
LOCAL = b"local"


def error(code: int, path: bytes, message: str | None = None) -> OSError:
    """The error `code` about `path`."""
    return OSError(code, message or os.strerror(code), os.fsdecode(path))


def parts(path: bytes) -> list[bytes]:
    """The names that lead to `path` from the root: empty ones and ``.`` left out, ``..`` followed back.

    A directory has one parent here, so ``..`` needs no look at the tree.
    """
    found: list[bytes] = []
    for name in path.split(b"/"):
        if name == b"..":
            del found[-1:]
        elif name not in (b"", b"."):
            found.append(name)
    return found


def below_keys(tree: Tree, names: list[bytes]) -> int:
    """How many of the names of a path lead to the directory of the keys: 0 for a path of the tree.

    Two of ``.mfs/ipns/NAME``, as in a mount, and one of ``ipns/NAME`` where that is a name that is known.
    """
    if names[:2] == [RESERVED_NAME, IPNS]:
        return 2
    if len(names) > 1 and names[0] == IPNS and tree.child(tree.directory(IPNS_INO), names[1]) is not None:
        return 1
    return 0


def at_path(tree: Tree, path: bytes) -> Node:
    """The node at `path`; symbolic links are not followed, but the one to the first key.  ENOENT, ENOTDIR.

    ``/ipns/NAME`` is the tree of a key.
    """
    names = parts(path)
    node = tree.node(ROOT_INO)
    if depth := below_keys(tree, names):
        node, names = tree.directory(IPNS_INO), names[depth:]
        if names[:1] == [LOCAL] and (link := tree.child(tree.directory(IPNS_INO), LOCAL)) is not None:
            names[0] = link.target
    for name in names:
        if not isinstance(node, Directory):
            raise error(errno.ENOTDIR, path)
        child = tree.child(node, name)
        if child is None:
            raise error(errno.ENOENT, path)
        node = child
    if path.endswith(b"/") and not isinstance(node, Directory):
        raise error(errno.ENOTDIR, path)
    return node


def directory_at(tree: Tree, path: bytes) -> Directory:
    """The directory at `path`.  ENOENT, ENOTDIR."""
    node = at_path(tree, path)
    if not isinstance(node, Directory):
        raise error(errno.ENOTDIR, path)
    return node


def check_changeable(path: bytes) -> None:
    """EROFS for ``/ipfs/CID`` and what is below: that is what the CID says, wherever it is read."""
    names = parts(path)
    if len(names) < 2 or names[0] != IPFS:
        return
    with suppress(InvalidCID, UnicodeDecodeError):
        parse_cid(names[1].decode("ascii"))
        raise error(errno.EROFS, path, "what a CID names does not change")


def parent_of(tree: Tree, path: bytes) -> tuple[Directory, bytes]:
    """The directory that `path` lies in, and its name there, which need not exist.

    ENOENT, ENOTDIR for what leads to it; EINVAL for the root, which has no name; EROFS for ``/ipfs/CID`` and below.
    """
    names = parts(path)
    check_changeable(path)
    if not names:
        raise error(errno.EINVAL, path, "the root directory has no name")
    if (depth := below_keys(tree, names)) and len(names) == depth + 1:
        return tree.directory(IPNS_INO), names[-1]
    try:
        return directory_at(tree, b"/" + b"/".join(names[:-1])), names[-1]
    except OSError as failed:
        raise OSError(failed.errno, failed.strerror, os.fsdecode(path)) from failed
