"""Decoded nodes, and a bounded cache of them for everything that reads."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, TypeAlias

from mfs.unixfs.cid import CID, DAG_PB, RAW, codec_of, identity_data
from mfs.unixfs.dagpb import TSIZE_RANGE, PBLink, decode_node, split_node
from mfs.unixfs.data import DataType, Mtime, UnixFSData, decode_data
from mfs.unixfs.errors import MalformedBlock, WrongKind
from mfs.unixfs.varint import read_uvarint

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "DirectoryNode",
    "FileNode",
    "Node",
    "NodeCache",
    "ShardNode",
    "SymlinkNode",
    "decode_block",
    "leaf_data",
    "leaf_span",
]

MURMUR3_X64_64 = 0x22
"""The one hash function of sharded directories (multihash code)."""
_FANOUTS = frozenset((8, 16, 32, 64, 128, 256, 512, 1024))


class FileNode:
    """A file, or a part of one: ``inline`` bytes of its own first, then its children's, ``size`` bytes in all.

    ``ends[i]`` is the offset, from the node's first byte, at which child ``i`` ends. A leaf has no children. The bytes
    themselves are not kept (`leaf_data` cuts them from the block). ``tsize`` is the bytes of its block and, by the word
    of its links, of all below; None where the block was not read.
    """

    __slots__ = ("children", "ends", "inline", "mode", "mtime", "size", "tsize")
    kind = "file"

    def __init__(
        self,
        inline: int,
        children: Sequence[CID],
        blocksizes: Sequence[int],
        mode: int = 0,
        mtime: Mtime | None = None,
        tsize: int | None = None,
    ) -> None:
        self.inline = inline
        self.children = children
        self.ends: Sequence[int] = list(accumulate(blocksizes, initial=inline))[1:]
        self.size = self.ends[-1] if self.ends else inline
        self.mode = mode
        self.mtime = mtime
        self.tsize = tsize

    @property
    def weight(self) -> int:
        return len(self.children)


class DirectoryNode:
    """A directory in one block. Of two links with one name, which no sound writer makes, the first counts."""

    __slots__ = ("entries", "mode", "mtime")
    kind = "directory"

    def __init__(self, links: Sequence[PBLink], mode: int, mtime: Mtime | None) -> None:
        entries: dict[bytes, PBLink] = {}
        for link in links:
            entries.setdefault(link.name, link)
        self.entries = entries
        self.mode = mode
        self.mtime = mtime

    @property
    def weight(self) -> int:
        return len(self.entries)


class ShardNode:
    """One node of a sharded directory: the link frames (`dagpb.decode_link`) by bucket number, in rising order.

    A frame's name begins with the bucket in upper-case hexadecimal, ``prefix`` characters long; behind that stands
    the entry's name, or nothing where the link leads to a sub-shard. Each level takes ``bits`` of the name's hash.
    """

    __slots__ = ("bits", "fanout", "frames", "mode", "mtime", "prefix")
    kind = "directory"

    def __init__(self, fanout: int, frames: dict[int, bytes], mode: int, mtime: Mtime | None) -> None:
        self.fanout = fanout
        self.bits = fanout.bit_length() - 1
        self.prefix = len(f"{fanout - 1:X}")
        self.frames = frames
        self.mode = mode
        self.mtime = mtime

    @property
    def weight(self) -> int:
        return len(self.frames)


class SymlinkNode:
    """A symbolic link: its target as it was written, which nobody has checked."""

    __slots__ = ("mode", "mtime", "target")
    kind = "symlink"
    weight = 0

    def __init__(self, target: bytes, mode: int, mtime: Mtime | None) -> None:
        self.target = target
        self.mode = mode
        self.mtime = mtime


Node: TypeAlias = FileNode | DirectoryNode | ShardNode | SymlinkNode


def decode_block(cid: CID, block: bytes) -> Node:
    """What a block is in UnixFS.

    Raises:
        MalformedBlock: it is not what its codec promises.
        WrongKind: it is no UnixFS at all (another codec).
    """
    codec = codec_of(cid)
    if codec == RAW:
        return FileNode(len(block), (), ())
    if codec != DAG_PB:
        raise WrongKind(cid, "UnixFS node", f"block of codec 0x{codec:x}")
    try:
        return _decode(block)
    except MalformedBlock as error:
        raise MalformedBlock(error.why, cid) from None


def _decode(block: bytes) -> Node:
    frames, data = split_node(block)
    if data is None:
        raise MalformedBlock("dag-pb node without a UnixFS message")
    message = decode_data(data)
    kind = message.type
    if kind == DataType.File or kind == DataType.Raw:
        return _file(block, message)
    if kind == DataType.Directory:
        return DirectoryNode(decode_node(block).links, message.mode, message.mtime)
    if kind == DataType.HAMTShard:
        return _shard(frames, message)
    if kind == DataType.Symlink:
        return SymlinkNode(message.data or b"", message.mode, message.mtime)
    raise MalformedBlock(f"UnixFS type {kind.name} is obsolete and not read")


def _file(block: bytes, message: UnixFSData) -> FileNode:
    links = decode_node(block).links
    if len(links) != len(message.blocksizes):
        raise MalformedBlock(f"file node with {len(links)} links and {len(message.blocksizes)} block sizes")
    inline = len(message.data) if message.data is not None else 0
    tsize = (len(block) + sum([link.tsize or 0 for link in links])) % TSIZE_RANGE
    node = FileNode(inline, [link.hash for link in links], message.blocksizes, message.mode, message.mtime, tsize)
    if message.filesize is not None and message.filesize != node.size:
        raise MalformedBlock(f"file node says it has {message.filesize} bytes, its parts have {node.size}")
    if node.size >= 1 << 63:
        raise MalformedBlock(f"file of {node.size} bytes")
    return node


def _shard(frames: list[bytes], message: UnixFSData) -> ShardNode:
    if message.hash_type != MURMUR3_X64_64:
        raise MalformedBlock(f"shard hashed with function {message.hash_type}, not murmur3 (0x22)")
    if message.fanout not in _FANOUTS:
        raise MalformedBlock(f"shard with a fanout of {message.fanout}")
    bitfield = int.from_bytes(message.data or b"", "big")
    if bitfield >> message.fanout:
        raise MalformedBlock(f"shard's bitfield has bits beyond its fanout of {message.fanout}")
    if bitfield.bit_count() != len(frames):
        raise MalformedBlock(f"shard with {len(frames)} links and {bitfield.bit_count()} bits set")
    buckets = [bucket for bucket, bit in enumerate(f"{bitfield:b}"[::-1]) if bit == "1"]
    return ShardNode(message.fanout, dict(zip(buckets, frames, strict=True)), message.mode, message.mtime)


def leaf_data(cid: CID, block: bytes) -> bytes:
    """The file bytes that a block itself holds (those of its children are elsewhere).

    Raises:
        MalformedBlock, WrongKind: it is no part of a file.
    """
    if codec_of(cid) == RAW:
        return block
    try:
        _frames, data = split_node(block)
        message = decode_data(data) if data is not None else None
    except MalformedBlock as error:
        raise MalformedBlock(error.why, cid) from None
    if message is None or message.type not in (DataType.File, DataType.Raw):
        raise WrongKind(cid, "file", "node without UnixFS message" if message is None else message.type.name)
    return message.data or b""


def leaf_span(cid: CID, block: bytes) -> tuple[int, int]:
    """Where in a block the file bytes lie that it holds itself (`leaf_data`): the first, and the one behind the last.

    Raises:
        MalformedBlock, WrongKind: it is no part of a file.
    """
    data = leaf_data(cid, block)
    if codec_of(cid) == RAW or not data:
        return 0, len(data)
    # The block is sound, so its message can be found field by field; of a field that is there twice the last counts.
    return _find(block, *_find(block, 0, len(block), 0x0A), 0x12)


def _find(block: bytes, position: int, end: int, wanted: int) -> tuple[int, int]:
    """The span of the last field with the tag `wanted` in a message known to be sound."""
    span = (0, 0)
    while position < end:
        tag, behind = read_uvarint(block, position)
        if tag & 7 == 2:
            length, start = read_uvarint(block, behind)
            position = start + length
            if tag == wanted:
                span = (start, position)
        elif tag & 7 == 0:
            position = read_uvarint(block, behind)[1]
        else:
            position = behind + (8 if tag & 7 == 1 else 4)
    return span


class NodeCache:
    """Decoded nodes by CID, the least recently used leaving first.

    Args:
        get: gives a block (what it raises passes through). Not called for identity CIDs.
        capacity: how much is kept, counted in links (about 100 bytes each) plus 8 a node.
        leaf_size: says how many file bytes a block holds when it knows that it is a leaf, else None. It spares
            reading a leaf of hundreds of kilobytes to learn that it has no children.
    """

    def __init__(
        self,
        get: Callable[[CID], bytes],
        capacity: int = 1 << 17,
        leaf_size: Callable[[CID], int | None] | None = None,
    ) -> None:
        self._get = get
        self._capacity = capacity
        self._leaf_size = leaf_size
        self._nodes: dict[CID, Node] = {}
        self._weight = 0

    def block(self, cid: CID) -> bytes:
        """The block, never cached here."""
        data = identity_data(cid)
        return self._get(cid) if data is None else data

    def leaf_size(self, cid: CID) -> int | None:
        """The file bytes in the block when it is known to be a leaf, without reading it."""
        return None if self._leaf_size is None else self._leaf_size(cid)

    def node(self, cid: CID, *, keep: bool = True) -> Node:
        """The decoded node; with ``keep`` false it does not displace others (a walk over everything).

        Raises:
            MalformedBlock, WrongKind: as `decode_block`.
        """
        nodes = self._nodes
        node = nodes.pop(cid, None)
        if node is not None:
            nodes[cid] = node
            return node
        size = self.leaf_size(cid)
        if size is not None:
            return FileNode(size, (), ())
        node = decode_block(cid, self.block(cid))
        if keep:
            nodes[cid] = node
            self._weight += node.weight + 8
            while self._weight > self._capacity:
                oldest = next(iter(nodes))
                self._weight -= nodes.pop(oldest).weight + 8
        return node

    def file(self, cid: CID) -> FileNode:
        """The node, which must be a file.

        Raises:
            WrongKind: it is not.
        """
        node = self.node(cid)
        if isinstance(node, FileNode):
            return node
        raise WrongKind(cid, "file", node.kind)
