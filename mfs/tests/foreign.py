"""Files as others lay them out: trickle, other sizes and widths, bytes inline, metadata; and a store to put them in."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from mfs.tests.unixfs_build import Blocks
from mfs.unixfs.cid import DAG_PB, RAW, cid_v0, cid_v1
from mfs.unixfs.dagpb import PBLink, encode_node
from mfs.unixfs.data import DataType, Mtime, UnixFSData, encode_data
from mfs.unixfs.layout import Link
from mfs.unixfs.profile import Profile

TRICKLE = "trickle, UnixFS leaves of type Raw, CIDs of version 0"
NARROW = "balanced, leaves of 700 bytes, two links a node"
RAW_LEAVES = "one node over raw leaves of 3000 bytes"
INLINE = "bytes in the inner nodes as well"
NO_TSIZE = "links that do not say how much is below them"
METADATA = "mode and mtime in the root"
PLAIN = "one block with the bytes inline"
LAYOUTS = (TRICKLE, NARROW, RAW_LEAVES, INLINE, NO_TSIZE, METADATA)


class Foreign(Blocks):
    """Blocks of files in other layouts."""

    def node(
        self,
        links: list[PBLink],
        data: UnixFSData,
        version: int = 1,
    ) -> Link:
        block = encode_node(links, encode_data(data))
        digest = hashlib.sha256(block).digest()
        cid = cid_v1(DAG_PB, digest) if version else cid_v0(digest)
        self[cid] = block
        return Link(cid, data.filesize or 0, len(block) + sum(link.tsize or 0 for link in links))

    def raw(self, data: bytes) -> Link:
        cid = cid_v1(RAW, hashlib.sha256(data).digest())
        self[cid] = data
        return Link(cid, len(data), len(data))

    def over(
        self,
        children: list[Link],
        inline: bytes | None = None,
        *,
        version: int = 1,
        tsizes: bool = True,
        mode: int = 0,
        mtime: Mtime | None = None,
    ) -> Link:
        """A file node over `children`."""
        links = [PBLink(child.cid, b"", child.tsize if tsizes else None) for child in children]
        size = len(inline or b"") + sum(child.size for child in children)
        sizes = [child.size for child in children]
        data = UnixFSData(DataType.File, inline, filesize=size, blocksizes=sizes, mode=mode, mtime=mtime)
        return self.node(links, data, version)

    def leaf_of_type(self, data: bytes, kind: DataType, version: int) -> Link:
        return self.node([], UnixFSData(kind, data, filesize=len(data)), version)

    def laid_out(self, layout: str, data: bytes) -> Link:
        """The file of these bytes in one of the layouts."""
        cut = {TRICKLE: 900, NARROW: 700, RAW_LEAVES: 3000}.get(layout, 800)
        parts = [data[at : at + cut] for at in range(0, len(data), cut)]
        if layout == TRICKLE:
            leaves = [self.leaf_of_type(part, DataType.Raw, 0) for part in parts]
            below = [self.over(leaves[at : at + 2], version=0) for at in range(4, len(leaves), 2)]
            return self.over(leaves[:4] + below, version=0)
        if layout == NARROW:
            level = [self.raw(part) for part in parts]
            while len(level) > 1:
                level = [self.over(level[at : at + 2]) for at in range(0, len(level), 2)]
            return level[0]
        if layout == INLINE:
            first, second, *rest = parts
            return self.over([self.over([self.raw(part) for part in rest], second)], first)
        if layout == PLAIN:
            return self.leaf_of_type(data, DataType.File, 1)
        leaves = [self.raw(part) for part in parts]
        if layout == METADATA:
            return self.over(leaves, mode=0o751, mtime=Mtime(1_000_000_000, 5))
        return self.over(leaves, tsizes=layout != NO_TSIZE)

    def listed(self, profile: Profile, content: Mapping[str, Link]) -> Link:
        """A directory."""
        return self.folder(profile, {name.encode(): link for name, link in content.items()})

    def named_oddly(self, content: Mapping[bytes, Link]) -> Link:
        """A directory with names that no file system would let anybody make."""
        links = [PBLink(link.cid, name, link.tsize) for name, link in sorted(content.items())]
        return self.node(links, UnixFSData(DataType.Directory))

    def node_of_bytes(self, block: bytes) -> Link:
        """What claims to be a dag-pb node."""
        cid = cid_v1(DAG_PB, hashlib.sha256(block).digest())
        self[cid] = block
        return Link(cid, 0, len(block))
