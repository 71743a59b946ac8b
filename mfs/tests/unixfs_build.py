"""Blocks in a dict, and files and directories built into it: what the UnixFS tests share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from mfs.unixfs.cid import CID
from mfs.unixfs.data import Mtime
from mfs.unixfs.directory import DirStats, update_directory
from mfs.unixfs.layout import Link, build_file, leaf_count, leaf_link, leaf_wrapping, zero_leaf
from mfs.unixfs.profile import Profile
from mfs.unixfs.symlink import symlink_block

T = TypeVar("T")

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "helia-vectors.json").read_text("utf-8"))


def drain(steps: Generator[None, None, T]) -> T:
    """Run a cooperative generator to its end and return its result."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            result: T = stop.value
            return result


class Blocks(dict[CID, bytes]):
    """A block store that counts what is asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.gets = 0
        self.puts = 0

    def get_block(self, cid: CID) -> bytes:
        self.gets += 1
        return self[cid]

    def put_block(self, cid: CID, block: bytes) -> None:
        self.puts += 1
        self[cid] = block

    def leaf(self, profile: Profile, data: bytes) -> Link:
        before, after = leaf_wrapping(profile, len(data))
        block = before + data + after
        link = leaf_link(profile, hashlib.sha256(block).digest(), len(data))
        self[link.cid] = block
        return link

    def zero_leaf(self, profile: Profile, n: int) -> Link:
        link = self.leaf(profile, bytes(n))
        assert link == zero_leaf(profile, n)[0]
        return link

    def file(self, profile: Profile, data: bytes) -> Link:
        """A file built from nothing."""
        return self.edit(profile, data, range(leaf_count(profile, len(data))), None, 0)

    def edit(self, profile: Profile, data: bytes, changed: Sequence[int], base: CID | None, base_leaves: int) -> Link:
        """A file of ``data``, built over a base of which the leaves ``changed`` are not to be used."""
        chunk = profile.chunk_size
        return drain(
            build_file(
                profile,
                len(data),
                changed,
                lambda index: self.leaf(profile, data[index * chunk : (index + 1) * chunk]),
                base,
                base_leaves,
                self.get_block,
                self.put_block,
                lambda n: self.zero_leaf(profile, n),
            )
        )

    def directory(
        self,
        profile: Profile,
        changes: Mapping[bytes, Link | None],
        root: CID | None = None,
        hint: DirStats | None = None,
        mode: int = 0,
        mtime: Mtime | None = None,
    ) -> tuple[CID, int, DirStats]:
        return drain(
            update_directory(profile, root, changes, hint, self.get_block, self.put_block, mode=mode, mtime=mtime)
        )

    def folder(self, profile: Profile, content: Mapping[bytes, Link | None]) -> Link:
        """The link to a directory of ``content``."""
        cid, tsize, _stats = self.directory(profile, content)
        return Link(cid, 0, tsize)

    def symlink(self, profile: Profile, target: bytes, mode: int = 0, mtime: Mtime | None = None) -> Link:
        block = symlink_block(target, mode, mtime)
        cid = profile.node_cid(block)
        self[cid] = block
        return Link(cid, len(target), len(block))
