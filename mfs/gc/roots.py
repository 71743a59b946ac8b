"""What garbage collection begins with: everything that must stay, at one moment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from mfs.gc.marker import Marker
from mfs.history.commits import Reference
from mfs.tree.node import File

if TYPE_CHECKING:
    from mfs.file.content import Content
    from mfs.journal.journal import Journal
    from mfs.tree.tree import Tree
    from mfs.unixfs.cid import CID

__all__ = ["mark_commits", "open_contents", "uncommitted"]


def mark_commits(marker: Marker, commits: Iterable[Reference]) -> None:
    """The trees and metadata maps of these commits are needed, and their own blocks."""
    for cid, commit in commits:
        marker.block(cid)
        if commit.root is not None:
            marker.unixfs(commit.root)
        if commit.meta is not None:
            marker.map(commit.meta)


def open_contents(tree: Tree) -> Iterator[Content]:
    """The contents in memory that a commit may not have: of changed files, and of those that were unlinked."""
    for node in tree.dirty.values():
        if isinstance(node, File):
            yield node.content
    for node in tree.nodes.values():
        if not node.nlink and isinstance(node, File):
            yield node.content


def uncommitted(tree: Tree, journal: Journal) -> Iterator[CID]:
    """The CIDs that files in memory, and log records that still count, are made of."""
    for content in open_contents(tree):
        if content.base is not None:
            yield content.base
        for leaf in content.leaves.values():
            if leaf.pieces is None and leaf.link is not None:
                yield leaf.link.cid
    yield from journal.bases()
