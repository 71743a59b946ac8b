"""What differs between two UnixFS trees, found by comparing CIDs: for directories that are in no commit.

What one has and the other lacks, and what is at one place in both with another CID.  Nothing that has one CID on both
sides is read, nor are equal shards of sharded directories.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

from mfs.history.changes import Change
from mfs.unixfs.dagpb import PBLink, decode_link
from mfs.unixfs.directory import entries
from mfs.unixfs.errors import MalformedBlock
from mfs.unixfs.hamt import hamt_entries
from mfs.unixfs.metadata import same_but_for_metadata
from mfs.unixfs.nodes import DirectoryNode, Node, NodeCache, ShardNode

if TYPE_CHECKING:
    from mfs.unixfs.cid import CID

__all__ = ["tree_changes"]

_DEEPEST = 1000
_Names = dict[bytes, "CID"]


def tree_changes(old: CID, new: CID, nodes: NodeCache) -> Generator[None, None, list[Change]]:
    """What has to be done to the tree `old` to make it `new`, sorted by path; yields where others may run.

    What went from one place and came at another with the same CID was renamed.

    Raises MalformedBlock, WrongKind (something is no UnixFS), and what the store raises.
    """
    lost: dict[bytes, CID] = {}
    gained: dict[bytes, CID] = {}
    made: list[Change] = []
    waiting: list[tuple[bytes, CID, CID]] = [(b"", old, new)]
    while waiting:
        path, one, other = waiting.pop()
        if one == other:
            continue
        before, after = nodes.node(one), nodes.node(other)
        yield
        if not isinstance(before, DirectoryNode | ShardNode) or not isinstance(after, DirectoryNode | ShardNode):
            what = _what(one, before, other, after, nodes) if before.kind == after.kind else ("type", "content")
            made.append(Change("changed", path, after.kind, what=what))
            if isinstance(before, DirectoryNode | ShardNode):
                lost.update(_below(path, _names(one, before, nodes)))
            if isinstance(after, DirectoryNode | ShardNode):
                gained.update(_below(path, _names(other, after, nodes)))
            continue
        if path.count(b"/") > _DEEPEST:
            raise MalformedBlock(f"directories nested more than {_DEEPEST} deep", other)
        had, has = yield from _differing(one, before, other, after, nodes)
        for name, cid in had.items():
            if name in has:
                waiting.append((_join(path, name), cid, has[name]))
            else:
                lost[_join(path, name)] = cid
        gained.update({_join(path, name): cid for name, cid in has.items() if name not in had})
    made += yield from _moved(lost, gained, nodes)
    return sorted(made, key=lambda change: (change.path, change.kind != "removed"))


def _what(one: CID, before: Node, other: CID, after: Node, nodes: NodeCache) -> tuple[str, ...]:
    """What differs between two files, or two symbolic links."""
    what = [] if same_but_for_metadata(one, other, nodes.block) else ["content"]
    if before.mode != after.mode:
        what.append("mode")
    if before.mtime != after.mtime:
        what.append("mtime")
    return tuple(what)


def _moved(lost: _Names, gained: _Names, nodes: NodeCache) -> Generator[None, None, list[Change]]:
    made = []
    places: dict[CID, list[bytes]] = {}
    for path, cid in sorted(lost.items(), reverse=True):
        places.setdefault(cid, []).append(path)
    for path, cid in sorted(gained.items()):
        if places.get(cid):
            made.append(Change("renamed", path, nodes.node(cid, keep=False).kind, places[cid].pop()))
        else:
            made += yield from _all("added", path, cid, nodes)
    for cid, paths in places.items():
        for path in paths:
            made += yield from _all("removed", path, cid, nodes)
    return made


def _all(kind: str, path: bytes, cid: CID, nodes: NodeCache) -> Generator[None, None, list[Change]]:
    """A change for everything at and below `path`."""
    made = []
    waiting = [(path, cid)]
    while waiting:
        path, cid = waiting.pop()
        node = nodes.node(cid, keep=False)
        made.append(Change(kind, path, node.kind))
        if isinstance(node, DirectoryNode | ShardNode):
            if path.count(b"/") > _DEEPEST:
                raise MalformedBlock(f"directories nested more than {_DEEPEST} deep", cid)
            waiting += [(_join(path, name), link.hash) for name, link in entries(cid, nodes)]
        yield
    return made


def _differing(
    one: CID, before: Node, other: CID, after: Node, nodes: NodeCache
) -> Generator[None, None, tuple[_Names, _Names]]:
    """The names that two directories do not have in common, or not with the same CID."""
    had: _Names = {}
    has: _Names = {}
    pairs = [(one, before, other, after)]
    while pairs:
        one, before, other, after = pairs.pop()
        if not (isinstance(before, ShardNode) and isinstance(after, ShardNode) and before.fanout == after.fanout):
            had.update(_names(one, before, nodes))
            has.update(_names(other, after, nodes))
            continue
        for bucket in before.frames.keys() | after.frames.keys():
            mine, theirs = before.frames.get(bucket), after.frames.get(bucket)
            if mine == theirs:
                continue
            left = decode_link(mine) if mine is not None else None
            right = decode_link(theirs) if theirs is not None else None
            if left is not None and right is not None and _is_shard(left, before) and _is_shard(right, after):
                if left.hash != right.hash:
                    pairs.append((left.hash, nodes.node(left.hash), right.hash, nodes.node(right.hash)))
                    yield
                continue
            had.update(_bucket(left, before, nodes))
            has.update(_bucket(right, after, nodes))
    for name in had.keys() & has.keys():
        if had[name] == has[name]:
            del had[name], has[name]
    return had, has


def _is_shard(link: PBLink, shard: ShardNode) -> bool:
    return len(link.name) == shard.prefix


def _bucket(link: PBLink | None, shard: ShardNode, nodes: NodeCache) -> Iterator[tuple[bytes, CID]]:
    if link is None:
        return
    if not _is_shard(link, shard):
        yield link.name[shard.prefix :], link.hash
        return
    yield from _names(link.hash, nodes.node(link.hash), nodes).items()


def _names(cid: CID, node: Node, nodes: NodeCache) -> _Names:
    if isinstance(node, ShardNode):
        return {name: link.hash for name, link in hamt_entries(cid, node, nodes)}
    return {name: link.hash for name, link in entries(cid, nodes)}


def _below(path: bytes, names: _Names) -> Iterator[tuple[bytes, CID]]:
    for name, cid in names.items():
        yield _join(path, name), cid


def _join(path: bytes, name: bytes) -> bytes:
    return path + b"/" + name if path else name
