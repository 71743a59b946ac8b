"""Directories: reading and changing them, in one block or sharded.

A directory's form follows from its content and the profile: one block while its estimated size is at most the
profile's threshold, sharded when it is more. Whatever way led to the content, the CID is the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mfs.unixfs.cid import CID, DAG_PB, codec_of
from mfs.unixfs.dagpb import TSIZE_RANGE, PBLink, decode_link, encode_frame, join_node, peek_frame, split_node
from mfs.unixfs.data import DataType, Mtime, UnixFSData, decode_data, encode_data
from mfs.unixfs.errors import MalformedBlock, WrongKind
from mfs.unixfs.hamt import HAMTEditor, hamt_entries, hamt_lookup
from mfs.unixfs.nodes import DirectoryNode, NodeCache, ShardNode, decode_block

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping

    from mfs.unixfs.layout import Link
    from mfs.unixfs.profile import Profile

__all__ = ["DirStats", "directory_stats", "entries", "lookup", "update_directory"]


@dataclass(frozen=True, slots=True)
class DirStats:
    """What decides a directory's form, kept by the caller so that nobody needs to walk a large one to learn it.

    ``count`` is the number of entries, ``entry_bytes`` the sum over them of what the profile's estimation counts (of
    names and CIDs, or of whole links). Valid for one profile.
    """

    count: int
    entry_bytes: int


def lookup(root: CID, name: bytes, nodes: NodeCache) -> PBLink | None:
    """The entry ``name`` of the directory ``root``, or None.

    Raises:
        WrongKind: ``root`` is no directory.
        MalformedBlock: a node on the way is unsound.
    """
    node = nodes.node(root)
    if isinstance(node, DirectoryNode):
        return node.entries.get(name)
    if isinstance(node, ShardNode):
        return hamt_lookup(root, node, name, nodes) if name else None
    raise WrongKind(root, "directory", node.kind)


def entries(root: CID, nodes: NodeCache) -> Iterator[tuple[bytes, PBLink]]:
    """All entries as (name, link), in the order of the blocks: by name, or by hash in a sharded directory.

    A stream: a large directory is read shard by shard as the iterator comes to them. The names are as they were
    written; nobody has checked that they are fit for a file system.

    Raises:
        WrongKind, MalformedBlock: as `lookup`.
    """
    node = nodes.node(root)
    if isinstance(node, DirectoryNode):
        yield from node.entries.items()
    elif isinstance(node, ShardNode):
        yield from hamt_entries(root, node, nodes)
    else:
        raise WrongKind(root, "directory", node.kind)


def directory_stats(profile: Profile, root: CID, nodes: NodeCache) -> Generator[None, None, DirStats]:
    """Count a directory by walking all of it; yields every few hundred entries."""
    entry_size = _entry_size(profile)
    count = entry_bytes = 0
    for name, link in entries(root, nodes):
        count += 1
        entry_bytes += entry_size(name, link.hash, link.tsize)
        if count & 255 == 0:
            yield
    return DirStats(count, entry_bytes)


def update_directory(
    profile: Profile,
    root: CID | None,
    changes: Mapping[bytes, Link | None],
    hint: DirStats | None,
    get: Callable[[CID], bytes],
    put: Callable[[CID, bytes], object],
    mode: int = 0,
    mtime: Mtime | None = None,
) -> Generator[None, None, tuple[CID, int, DirStats]]:
    """Change entries of a directory; returns its new CID, the bytes of all its blocks and those below, and stats.

    Args:
        root: the directory as it is; None is the empty one.
        changes: by name the new link, or None to remove the entry (removing what is not there changes nothing).
        hint: the stats that the last update of ``root`` gave. Without it a sharded ``root`` is walked whole.
        mode, mtime: what the directory's own node is to carry (0 and None: nothing); what ``root`` has is not kept.

    The cost for a sharded directory is proportional to the changes and its depth, except when it crosses the
    threshold; for one block, to its entries. Yields after nodes read and written.

    Raises:
        WrongKind: ``root`` is no directory.
        MalformedBlock: a node of it is unsound.
        DirectoryTooDeep: names collide in all hash bits of a sharded directory.
        ValueError: a name is empty.
    """
    if b"" in changes:
        raise ValueError("a directory entry needs a name")
    links = {name: None if link is None else PBLink(link.cid, name, link.tsize) for name, link in changes.items()}
    if root is None:
        return (yield from _from_frames(profile, {}, 0, links, get, put, mode, mtime))
    block = get(root)
    frames, kind = _split(root, block)
    if kind == DataType.Directory:
        old, below = _named(root, frames)
        return (yield from _from_frames(profile, old, below, links, get, put, mode, mtime))
    node = decode_block(root, block)
    if isinstance(node, ShardNode):
        return (yield from _update_sharded(profile, root, node, links, hint, get, put, mode, mtime))
    raise WrongKind(root, "directory", node.kind)


def _split(root: CID, block: bytes) -> tuple[list[bytes], DataType | None]:
    """The link frames and the kind of a node; None of what has no UnixFS message."""
    if codec_of(root) != DAG_PB:
        return [], None
    try:
        frames, data = split_node(block)
        return frames, None if data is None else decode_data(data).type
    except MalformedBlock as error:
        raise MalformedBlock(error.why, root) from None


def _named(root: CID, frames: Iterable[bytes]) -> tuple[dict[bytes, bytes], int]:
    """The frames of a directory by name, each as it is written here, and the bytes of all blocks below them.

    Most stay as they are while one entry changes, so they are looked into and not taken apart.
    """
    named: dict[bytes, bytes] = {}
    below = 0
    for frame in frames:
        seen = peek_frame(frame)
        if seen is not None:
            name, tsize = seen
            if name not in named:
                named[name] = frame
                below += tsize
            continue
        try:
            link = decode_link(frame)
        except MalformedBlock as error:
            raise MalformedBlock(error.why, root) from None
        if link.name not in named:
            named[link.name] = encode_frame(*link)
            below += link.tsize or 0
    return named, below


def _update_sharded(
    profile: Profile,
    root: CID,
    shard: ShardNode,
    links: Mapping[bytes, PBLink | None],
    hint: DirStats | None,
    get: Callable[[CID], bytes],
    put: Callable[[CID, bytes], object],
    mode: int,
    mtime: Mtime | None,
) -> Generator[None, None, tuple[CID, int, DirStats]]:
    if shard.fanout != profile.hamt_fanout:
        # Somebody else's choice of width: nothing of it can stay.
        old, below = _encoded(hamt_entries(root, shard, NodeCache(get, 0)))
        return (yield from _from_frames(profile, old, below, links, get, put, mode, mtime))
    if hint is None:
        hint = yield from directory_stats(profile, root, NodeCache(get, 0))
    editor = HAMTEditor(profile, (root, shard), get, _entry_size(profile))
    # Where it may turn out that one block is enough, shards that were stored would be nobody's.
    stays = hint.count > 2 * len(links) and hint.entry_bytes > 4 * profile.hamt_threshold
    yield from editor.apply(list(links.items()), put if stays else None)
    stats = DirStats(hint.count + editor.count, hint.entry_bytes + editor.entry_bytes)
    message = _message(mode, mtime)
    if _is_sharded(profile, stats, message):
        cid, tsize = yield from editor.store(put, mode, mtime)
        return cid, tsize, stats
    frames, below = _encoded(editor.entries())
    return (yield from _put_block(profile, frames, below, message, stats, put))


def _encoded(links: Iterable[tuple[bytes, PBLink]]) -> tuple[dict[bytes, bytes], int]:
    frames: dict[bytes, bytes] = {}
    below = 0
    for name, link in links:
        frames[name] = encode_frame(*link)
        below += link.tsize or 0
    return frames, below


def _from_frames(
    profile: Profile,
    frames: dict[bytes, bytes],
    below: int,
    links: Mapping[bytes, PBLink | None],
    get: Callable[[CID], bytes],
    put: Callable[[CID, bytes], object],
    mode: int,
    mtime: Mtime | None,
) -> Generator[None, None, tuple[CID, int, DirStats]]:
    """A directory whose entries are all at hand, ``below`` bytes of blocks under them."""
    for name, link in links.items():
        old = frames.pop(name, None)
        if old is not None:
            below -= decode_link(old).tsize or 0
        if link is not None:
            frames[name] = encode_frame(*link)
            below += link.tsize or 0
    if profile.estimation == "block":
        stats = DirStats(len(frames), sum(map(len, frames.values())))
    else:
        stats = DirStats(len(frames), sum(len(name) + _cid_length(frame) for name, frame in frames.items()))
    message = _message(mode, mtime)
    if not _is_sharded(profile, stats, message):
        return (yield from _put_block(profile, frames, below, message, stats, put))
    editor = HAMTEditor(profile, None, get, _entry_size(profile))
    yield from editor.apply([(name, decode_link(frame)) for name, frame in frames.items()])
    cid, tsize = yield from editor.store(put, mode, mtime)
    return cid, tsize, stats


def _put_block(
    profile: Profile,
    frames: Mapping[bytes, bytes],
    below: int,
    message: bytes,
    stats: DirStats,
    put: Callable[[CID, bytes], object],
) -> Generator[None, None, tuple[CID, int, DirStats]]:
    block = join_node([frames[name] for name in sorted(frames)], message)
    cid = profile.node_cid(block)
    put(cid, block)
    yield
    return cid, (len(block) + below) % TSIZE_RANGE, stats


def _cid_length(frame: bytes) -> int:
    # Tag and length, tag and length, CID: one byte each unless the name is long.
    return frame[3] if frame[1] < 128 else len(decode_link(frame).hash)


def _message(mode: int, mtime: Mtime | None) -> bytes:
    return encode_data(UnixFSData(DataType.Directory, mode=mode, mtime=mtime))


def _is_sharded(profile: Profile, stats: DirStats, message: bytes) -> bool:
    size = stats.entry_bytes
    if profile.estimation == "block":
        size += len(join_node((), message))
    return size > profile.hamt_threshold


def _entry_size(profile: Profile) -> Callable[[bytes, CID, int | None], int]:
    """What the profile's estimation counts for an entry."""
    if profile.estimation == "links":
        return lambda name, cid, _tsize: len(name) + len(cid)
    return lambda name, cid, tsize: len(encode_frame(cid, name, tsize))
