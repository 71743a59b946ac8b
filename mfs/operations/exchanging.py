"""Blocks in and out, as CARs: what other implementations of IPFS read and write."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import Any

from mfs.blocks.errors import BlockNotFound
from mfs.car import Block, CARReader, Header, MalformedCAR, encode_header, encode_section
from mfs.control.frames import MAX_DATA, BrokenFrame
from mfs.history.names import NameTaken, add_pin
from mfs.operations.blocks import BadBlock, Walk, fetch_block, keep_block, links_of, verified
from mfs.operations.changing import mkdir
from mfs.operations.graft import check_name, graft, tsize_of
from mfs.operations.paths import at_path, directory_at, error, parts
from mfs.operations.places import Foreign, find, node_cache
from mfs.operations.session import Session
from mfs.pace import Pace
from mfs.tree.node import Directory
from mfs.unixfs.cid import CID, DAG_PB, RAW, cid_str, codec_of, identity_data, parse_cid
from mfs.unixfs.directory import entries
from mfs.unixfs.errors import InvalidCID, MalformedBlock, UnixFSError
from mfs.unixfs.nodes import DirectoryNode, NodeCache, ShardNode

__all__ = ["check_whole", "export_car", "import_car"]

_BATCH = 4 << 20
_BATCH_BLOCKS = 2000
_PENDING = 8 << 20
_PENDING_BLOCKS = 20_000
_NAMED = 10
"""Missing blocks that are named; the others are counted."""


async def export_car(session: Session, *, path: bytes) -> dict[str, Any]:
    """A CARv1 with everything at `path` (of the tree, or ``/ipfs/CID/...``): the root, then every block below it once,
    parents first and in the order of their links.  The result has the ``root`` and counts ``blocks`` and ``bytes``.

    The same tree is the same bytes.  OSError: EIO for blocks that are not here, or unsound.
    """
    volume = session.volume
    await volume.commit()
    cache = node_cache(volume.store)
    found = find(volume, path, cache)
    root = found.cid
    if root is None:
        raise error(errno.EINVAL, path, "has no CID: UnixFS has no such files")
    session.holding([root])
    blocks = size = 0
    gathered = [encode_header([root])]
    held = 0
    walk, pace = Walk([root]), Pace()
    for cid in walk:
        try:
            block = await fetch_block(volume.store, volume.profile, cid)
            walk.below(links_of(cid, block))
        except (BlockNotFound, UnixFSError) as wrong:
            raise error(errno.EIO, path, str(wrong)) from wrong
        if identity_data(cid) is not None:
            continue
        section = encode_section(cid, block)
        blocks += 1
        size += len(block)
        if held + len(section) > MAX_DATA:
            await _send(session, gathered)
            gathered, held = [], 0
        gathered.append(section)
        held += len(section)
        if pace.due:
            await pace.rest()
    await _send(session, gathered)
    return {"root": cid_str(root), "blocks": blocks, "bytes": size}


async def _send(session: Session, parts: list[bytes]) -> None:
    data = b"".join(parts)
    for start in range(0, len(data), MAX_DATA):
        await session.data(data[start : start + MAX_DATA])


async def import_car(session: Session, *, to: bytes | None, pin: bool, roots: list[str] | None) -> dict[str, Any]:
    """Take in the blocks of a CAR (version 1 or 2), each verified, and keep what its roots lead to.

    `to`: enter the root there; several of them in that directory, which is made, by their CIDs.  Else `pin`: under
    their CIDs as names.  `roots` are taken instead of those that the header names.  The result has the ``roots``, and
    counts ``blocks``, ``bytes`` and ``new`` blocks.

    OSError: EINVAL for what is no CAR, for a block with another hash, and for names that cannot be (with the path);
    ENOENT where blocks are missing below a root: then nothing is entered or pinned, and what came is garbage.
    """
    volume = session.volume
    if to is not None:
        # Before anything is taken in.
        _absent(session, to)
    taking = _Taking(session)
    with volume.store.keeping():
        try:
            await taking.run()
        except (MalformedCAR, BadBlock) as wrong:
            raise OSError(errno.EINVAL, str(wrong)) from wrong
        found = taking.roots if roots is None else [_parsed(text) for text in roots]
        cache = node_cache(volume.store)
        for root in found:
            await check_whole(session, root, cache)
        await volume.flush()
        if to is not None:
            await _enter(session, to, found, cache)
        elif pin:
            for root in found:
                try:
                    add_pin(volume.store, cid_str(root), root, volume.tree.clock())
                except NameTaken:
                    continue
            await volume.flush()
    return {"roots": [cid_str(root) for root in found], **taking.counts}


def _parsed(text: str) -> CID:
    try:
        return parse_cid(text)
    except InvalidCID as wrong:
        raise OSError(errno.EINVAL, str(wrong)) from None


class _Taking:
    """Blocks that stream in."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._volume = session.volume
        self._batch: list[tuple[CID, bytes]] = []
        self._held = 0
        self.roots: list[CID] = []
        self.counts = {"blocks": 0, "bytes": 0, "new": 0}

    async def run(self) -> None:
        reader = CARReader()
        async for item in self._session.input():
            if not isinstance(item, bytes):
                raise BrokenFrame("an item where bytes of a CAR were expected")
            reader.feed(item)
            while (found := reader.next()) is not None:
                await self._take(found)
        reader.finish()
        await self._keep()

    async def _take(self, found: Header | Block) -> None:
        if isinstance(found, Header):
            self.roots = list(dict.fromkeys(found.roots))
            return
        self._batch.append((found.cid, found.data))
        self._held += len(found.data)
        if self._held >= _BATCH or len(self._batch) >= _BATCH_BLOCKS:
            await self._keep()

    async def _keep(self) -> None:
        batch, self._batch, self._held = self._batch, [], 0
        await verified(batch)
        pace, store = Pace(), self._volume.store
        for cid, block in batch:
            self.counts["new"] += keep_block(store, self._volume.profile, cid, block)
            self.counts["blocks"] += 1
            self.counts["bytes"] += len(block)
            if pace.due:
                await pace.rest()
        if store.pending_bytes > _PENDING or store.pending_changes > _PENDING_BLOCKS:
            await self._volume.flush()


async def check_whole(session: Session, root: CID, cache: NodeCache) -> None:
    """ENOENT: blocks below `root` are missing; EINVAL: one is unsound, or a directory has a name that cannot be."""
    store, pace = session.volume.store, Pace()
    missing: list[CID] = []
    count = 0
    walk = Walk([root])
    names: dict[CID, bytes] = {root: cid_str(root).encode()}
    for cid in walk:
        if not store.has(cid):
            count += 1
            missing += [cid] if len(missing) < _NAMED else []
            continue
        if codec_of(cid) == RAW or store.leaf_pieces(cid) is not None:
            continue
        try:
            block = cache.block(cid)
            walk.below(links_of(cid, block))
            path = names.pop(cid, None)
            if path is not None and codec_of(cid) == DAG_PB:
                _check_names(cid, path, names, cache)
        except UnixFSError as wrong:
            raise OSError(errno.EINVAL, str(wrong)) from wrong
        except BlockNotFound:
            # A shard, which is counted when the walk comes to it.
            continue
        if pace.due:
            await pace.rest()
    if missing:
        named = ", ".join(map(cid_str, missing)) + (" ..." if count > len(missing) else "")
        raise OSError(errno.ENOENT, f"{count} blocks below {cid_str(root)} are missing: {named}")


def _check_names(cid: CID, path: bytes, names: dict[CID, bytes], cache: NodeCache) -> None:
    node = cache.node(cid, keep=False)
    if isinstance(node, DirectoryNode | ShardNode):
        for name, link in entries(cid, cache):
            below = path + b"/" + name
            check_name(name, below)
            if codec_of(link.hash) == DAG_PB:
                names.setdefault(link.hash, below)


def _absent(session: Session, to: bytes) -> tuple[bytes, bytes] | None:
    """The directory and the name of a place where nothing is; None for a directory that is there.

    EEXIST, ENOTDIR for anything else.
    """
    names = parts(to)
    try:
        there = at_path(session.volume.tree, to)
    except FileNotFoundError:
        return b"/" + b"/".join(names[:-1]), names[-1]
    if not isinstance(there, Directory):
        raise error(errno.EEXIST, to)
    return None


async def _enter(session: Session, to: bytes, roots: Sequence[CID], cache: NodeCache) -> None:
    tree = session.volume.tree
    name = b""
    if len(roots) == 1 and (single := _absent(session, to)) is not None:
        to, name = single
    await mkdir(session, path=to, parents=True)
    parent = directory_at(tree, to)
    for root in roots:
        try:
            foreign = Foreign(root, tsize_of(root, cache))
            await graft(session.volume, parent, name or cid_str(root).encode(), foreign, cache, session.caches)
        except MalformedBlock as wrong:
            raise OSError(errno.EINVAL, str(wrong)) from wrong
    await session.settled_all()
