"""Paths in the tree: found, or complained of with the path in the error."""

from __future__ import annotations

import errno
import os

from mfs.tree.node import Directory, Node
from mfs.tree.record import ROOT_INO
from mfs.tree.tree import Tree

__all__ = ["at_path", "directory_at", "error", "parent_of", "parts"]


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


def at_path(tree: Tree, path: bytes) -> Node:
    """The node at `path`; symbolic links are not followed.  ENOENT, ENOTDIR."""
    node = tree.node(ROOT_INO)
    for name in parts(path):
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


def parent_of(tree: Tree, path: bytes) -> tuple[Directory, bytes]:
    """The directory that `path` lies in, and its name there, which need not exist.

    ENOENT, ENOTDIR for what leads to it; EINVAL for the root, which has no name.
    """
    names = parts(path)
    if not names:
        raise error(errno.EINVAL, path, "the root directory has no name")
    try:
        return directory_at(tree, b"/" + b"/".join(names[:-1])), names[-1]
    except OSError as failed:
        raise OSError(failed.errno, failed.strerror, os.fsdecode(path)) from failed
