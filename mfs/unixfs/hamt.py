"""Sharded directories: a trie over the hash of the names (HAMT).

A name's hash is the first 64 bits of its murmur3 (x64, 128, seed 0). Each level takes log2(fanout) bits of it, from
the most significant end: with a fanout of 256, level i takes byte i. A bucket with one name holds the entry itself,
with more names a sub-shard; a sub-shard that is left with one entry gives it back to its parent. A node's Data holds
the bitfield of its buckets, big-endian without leading zero bytes, as boxo writes it. Canonical for its entries.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from mfs.unixfs.dagpb import TSIZE_RANGE, PBLink, decode_link, encode_frame, join_node, peek_frame
from mfs.unixfs.data import DataType, Mtime, UnixFSData, encode_data
from mfs.unixfs.errors import DirectoryTooDeep, MalformedBlock, WrongKind
from mfs.unixfs.murmur3 import murmur3_x64_64
from mfs.unixfs.nodes import MURMUR3_X64_64, NodeCache, ShardNode, decode_block

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from mfs.unixfs.cid import CID
    from mfs.unixfs.profile import Profile

__all__ = ["HAMTEditor", "hamt_entries", "hamt_lookup"]

_HASH_BITS = 64


def hamt_lookup(root: CID, shard: ShardNode, name: bytes, nodes: NodeCache) -> PBLink | None:
    """The entry ``name`` under ``shard`` (the node of ``root``), its name without the bucket prefix."""
    key = murmur3_x64_64(name)
    shift = _HASH_BITS
    cid = root
    while True:
        shift -= shard.bits
        if shift < 0:
            raise MalformedBlock("sharded directory is deeper than its hash is long", cid)
        bucket = key >> shift & shard.fanout - 1
        frame = shard.frames.get(bucket)
        if frame is None:
            return None
        link = _link(cid, frame, bucket, shard.prefix)
        found = link.name[shard.prefix :]
        if found == name:
            return link._replace(name=name)
        if found:
            return None
        shard = _sub_shard(nodes.node(link.hash), link.hash, shard.fanout)
        cid = link.hash


def hamt_entries(root: CID, shard: ShardNode, nodes: NodeCache) -> Iterator[tuple[bytes, PBLink]]:
    """All entries in bucket order, sub-shards read as they are reached; links carry the name without the prefix."""
    path = [(root, iter(shard.frames.items()))]
    deepest = _HASH_BITS // shard.bits
    prefix = shard.prefix
    while path:
        cid, frames = path[-1]
        for bucket, frame in frames:
            link = _link(cid, frame, bucket, prefix)
            name = link.name[prefix:]
            if name:
                yield name, PBLink(link.hash, name, link.tsize)
                continue
            if len(path) == deepest:
                raise MalformedBlock("sharded directory is deeper than its hash is long", link.hash)
            below = _sub_shard(nodes.node(link.hash, keep=False), link.hash, shard.fanout)
            path.append((link.hash, iter(below.frames.items())))
            break
        else:
            path.pop()


def _link(cid: CID | None, frame: bytes, bucket: int, prefix: int) -> PBLink:
    try:
        link = decode_link(frame)
    except MalformedBlock as error:
        raise MalformedBlock(error.why, cid) from None
    if link.name[:prefix] != b"%0*X" % (prefix, bucket):
        raise MalformedBlock(f"entry {link.name!r} stands in bucket {bucket} of a sharded directory", cid)
    return link


def _sub_shard(node: object, cid: CID, fanout: int) -> ShardNode:
    if not isinstance(node, ShardNode):
        raise WrongKind(cid, "shard of a directory", "node of another kind")
    if node.fanout != fanout:
        raise MalformedBlock(f"shard with a fanout of {node.fanout} under one of {fanout}", cid)
    return node


class _Shard:
    """A shard in memory: by bucket a frame as it is written, or a sub-shard that was loaded because it changes."""

    __slots__ = ("cid", "slots")

    def __init__(self, slots: dict[int, bytes | _Shard], cid: CID | None = None) -> None:
        self.slots = slots
        self.cid = cid


# A change as the trie sorts it: hash of the name, name, and the entry's new link (None: no such entry).
_Change = tuple[int, bytes, "PBLink | None"]


class HAMTEditor:
    """Changes to a sharded directory: first in memory (`apply`), then written (`store`), or read back (`entries`).

    Only shards on the way to a changed name are read and written. ``count`` and ``entry_bytes`` are what the changes
    added to the number of entries and to the sum of ``entry_size(name, cid, tsize)``.
    """

    def __init__(
        self,
        profile: Profile,
        root: tuple[CID, ShardNode] | None,
        get: Callable[[CID], bytes],
        entry_size: Callable[[bytes, CID, int | None], int],
    ) -> None:
        self._fanout = profile.hamt_fanout
        self._bits = self._fanout.bit_length() - 1
        self._prefix = len(f"{self._fanout - 1:X}")
        self._prefixes = [b"%0*X" % (self._prefix, bucket) for bucket in range(self._fanout)]
        self._profile = profile
        self._get = get
        self._entry_size = entry_size
        self._root = _Shard({}) if root is None else _Shard(dict(root[1].frames), root[0])
        self.count = 0
        self.entry_bytes = 0

    def apply(
        self, changes: list[tuple[bytes, PBLink | None]], put: Callable[[CID, bytes], object] | None = None
    ) -> Generator[None, None, None]:
        """Make the changes, each name at most once; a link of None removes. Yields after every shard it went through.

        With `put` a shard right below the root is stored as soon as its changes are made, so that no more than one of
        these is in memory with what is below it: of a large directory each of thousands of changes needs another shard.

        Raises:
            DirectoryTooDeep: two names have the same hash.
            MalformedBlock, WrongKind: a shard on the way is unsound.
        """
        keyed: list[_Change] = []
        for name, link in changes:
            keyed.append((murmur3_x64_64(name), name, link))
            if len(keyed) & 255 == 0:
                yield
        keyed.sort(key=lambda change: change[0])
        shift, root = _HASH_BITS - self._bits, self._root
        if put is None:
            yield from self._apply(root, shift, keyed)
            return
        for bucket, group in groupby(keyed, lambda change: change[0] >> shift):
            yield from self._apply_to_bucket(root, bucket, shift, list(group))
            slot = root.slots.get(bucket)
            if isinstance(slot, _Shard):
                cid, tsize = yield from self._store(slot, put)
                root.slots[bucket] = encode_frame(cid, self._prefixes[bucket], tsize)

    def _apply(self, shard: _Shard, shift: int, changes: list[_Change]) -> Generator[None, None, None]:
        if shift < 0:
            names = b", ".join(name for _hash, name, _link in changes[:2])
            raise DirectoryTooDeep(f"names {names!r} have the same 64 hash bits: no sharded directory can hold both")
        mask = self._fanout - 1
        if len(changes) == 1:
            yield from self._apply_to_bucket(shard, changes[0][0] >> shift & mask, shift, changes)
        else:
            for bucket, group in groupby(changes, lambda change: change[0] >> shift & mask):
                yield from self._apply_to_bucket(shard, bucket, shift, list(group))
        yield

    def _apply_to_bucket(
        self, shard: _Shard, bucket: int, shift: int, changes: list[_Change]
    ) -> Generator[None, None, None]:
        slots = shard.slots
        slot = slots.get(bucket)
        if isinstance(slot, _Shard):
            raise MalformedBlock("bucket changed twice in one pass", shard.cid)
        if slot is not None:
            old = _link(shard.cid, slot, bucket, self._prefix)
            old_name = old.name[self._prefix :]
            if not old_name:
                below = self._load(old.hash)
                yield from self._apply(below, shift - self._bits, changes)
                self._put_back(slots, bucket, below)
                return
            if len(changes) == 1 and changes[0][1] == old_name:
                new = changes[0][2]
                self._count(old, old_name, -1)
                if new is None:
                    del slots[bucket]
                else:
                    slots[bucket] = self._frame(bucket, old_name, new)
                return
            # The old entry joins the changes as if it were new, unless one of them is about it.
            self._count(old, old_name, -1)
            if all(name != old_name for _key, name, _link in changes):
                changes = changes + [(murmur3_x64_64(old_name), old_name, old)]
                changes.sort(key=lambda change: change[0])
            del slots[bucket]
        added = [change for change in changes if change[2] is not None]
        if len(added) == 1:
            _key, name, link = added[0]
            if link is not None:
                slots[bucket] = self._frame(bucket, name, link)
        elif added:
            below = _Shard({})
            yield from self._apply(below, shift - self._bits, added)
            slots[bucket] = below

    def _put_back(self, slots: dict[int, bytes | _Shard], bucket: int, below: _Shard) -> None:
        """Hang a changed sub-shard into its bucket, or what is left of it."""
        if not below.slots:
            del slots[bucket]
            return
        slots[bucket] = below
        if len(below.slots) == 1:
            ((last_bucket, last),) = below.slots.items()
            if isinstance(last, bytes):
                link = _link(below.cid, last, last_bucket, self._prefix)
                name = link.name[self._prefix :]
                if name:
                    slots[bucket] = encode_frame(link.hash, self._prefixes[bucket] + name, link.tsize)

    def _load(self, cid: CID) -> _Shard:
        return _Shard(dict(_sub_shard(decode_block(cid, self._get(cid)), cid, self._fanout).frames), cid)

    def _frame(self, bucket: int, name: bytes, link: PBLink) -> bytes:
        self._count(link, name, 1)
        return encode_frame(link.hash, self._prefixes[bucket] + name, link.tsize)

    def _count(self, link: PBLink, name: bytes, sign: int) -> None:
        self.count += sign
        self.entry_bytes += sign * self._entry_size(name, link.hash, link.tsize)

    def entries(self) -> Iterator[tuple[bytes, PBLink]]:
        """All entries with the changes made, names without prefix."""
        nodes = NodeCache(self._get, 0)
        stack: list[_Shard] = [self._root]
        while stack:
            shard = stack.pop()
            for bucket, slot in shard.slots.items():
                if isinstance(slot, _Shard):
                    stack.append(slot)
                    continue
                link = _link(shard.cid, slot, bucket, self._prefix)
                name = link.name[self._prefix :]
                if name:
                    yield name, PBLink(link.hash, name, link.tsize)
                else:
                    node = _sub_shard(nodes.node(link.hash, keep=False), link.hash, self._fanout)
                    yield from hamt_entries(link.hash, node, nodes)

    def store(
        self, put: Callable[[CID, bytes], object], mode: int, mtime: Mtime | None
    ) -> Generator[None, None, tuple[CID, int]]:
        """Put every changed shard; returns the root's CID and the bytes of all blocks of the directory and below."""
        return (yield from self._store(self._root, put, mode, mtime))

    def _store(
        self, shard: _Shard, put: Callable[[CID, bytes], object], mode: int = 0, mtime: Mtime | None = None
    ) -> Generator[None, None, tuple[CID, int]]:
        frames = []
        tsize = bitfield = 0
        for bucket, slot in sorted(shard.slots.items()):
            bitfield |= 1 << bucket
            if isinstance(slot, _Shard):
                cid, size = yield from self._store(slot, put)
                slot = encode_frame(cid, self._prefixes[bucket], size)
                tsize += size
            else:
                seen = peek_frame(slot)
                tsize += (_link(shard.cid, slot, bucket, self._prefix).tsize or 0) if seen is None else seen[1]
            frames.append(slot)
        message = UnixFSData(
            DataType.HAMTShard,
            bitfield.to_bytes((bitfield.bit_length() + 7) // 8, "big"),
            hash_type=MURMUR3_X64_64,
            fanout=self._fanout,
            mode=mode,
            mtime=mtime,
        )
        block = join_node(frames, encode_data(message))
        cid = self._profile.node_cid(block)
        put(cid, block)
        yield
        return cid, (tsize + len(block)) % TSIZE_RANGE
