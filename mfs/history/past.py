"""The tree of a commit, read from its metadata map: inodes, entries, paths."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mfs.meta.btree import BTree
from mfs.meta.cache import NodeCache
from mfs.tree.record import (
    ROOT_INO,
    DamagedRecord,
    Entry,
    Inode,
    cookie_of,
    entry_key,
    inode_key,
    unpack_entries,
    unpack_inode,
)

if TYPE_CHECKING:
    from mfs.blocks.store import EmbeddedStore
    from mfs.unixfs.cid import CID

__all__ = ["NAMES_INO", "Past", "reader"]

NAMES_INO = 3
"""The directory whose children are the trees of IPNS keys; no name leads to it from the root."""
NAMES_PATH = b".mfs/ipns"

_CACHE = 8 << 20
_DEEPEST = 1 << 16


def _put_nothing(cid: CID, block: bytes) -> None:
    raise TypeError("the past does not change")


def reader(store: EmbeddedStore, root: CID | None) -> BTree:
    """The metadata map at `root`, for reading, with a cache of its own."""
    return BTree(store.get, _put_nothing, root, cache=NodeCache(_CACHE))


class Past:
    """The tree of one commit; `meta` is its metadata map.

    Every method raises DamagedRecord, MalformedNode and BlockNotFound where the map is damaged.
    """

    def __init__(self, meta: BTree) -> None:
        self.meta = meta
        self._paths: dict[int, bytes] = {ROOT_INO: b"", NAMES_INO: NAMES_PATH}

    def inode(self, ino: int) -> Inode | None:
        """The inode, None where there is none."""
        kept = self.meta.get(inode_key(ino))
        return None if kept is None else unpack_inode(kept)

    def entry(self, directory: int, name: bytes) -> Entry | None:
        """The entry `name` of a directory, None where there is none."""
        cookie = cookie_of(name)
        kept = self.meta.get(entry_key(directory, cookie))
        return None if kept is None else unpack_entries(kept, cookie).get(name)

    def entries(self, directory: int) -> Iterator[tuple[bytes, Entry]]:
        """The entries of a directory, in the order of their cookies."""
        # Up to the next type of key of this inode, which may have others behind its entries.
        for key, value in self.meta.items(entry_key(directory, 0), directory.to_bytes(8, "big") + b"\x02"):
            yield from unpack_entries(value, int.from_bytes(key[9:], "big")).items()

    def extras(self, ino: int) -> dict[bytes, bytes]:
        """The extended attributes of an inode, as they are kept, by the end of their keys: 02 and the name."""
        start = ino.to_bytes(8, "big") + b"\x02"
        return {key[8:]: value for key, value in self.meta.items(start, inode_key(ino + 1))}

    def resolve(self, path: bytes) -> int | None:
        """The inode number at `path` (links are not followed), None where there is nothing."""
        ino = ROOT_INO
        for name in path.split(b"/"):
            if name not in (b"", b"."):
                entry = self.entry(ino, name)
                if entry is None:
                    return None
                ino = entry.ino
        return ino

    def path(self, directory: int, name: bytes = b"") -> bytes:
        """The path of a directory, or of `name` in it, from the root, without a slash in front."""
        passed: list[tuple[int, bytes]] = []
        ino = directory
        while (known := self._paths.get(ino)) is None:
            inode = self.inode(ino)
            if inode is None or not inode.references or len(passed) > _DEEPEST:
                raise DamagedRecord(f"directory {ino} is in no directory")
            ino, own = inode.references[0]
            passed.append((ino, own))
        for place in range(len(passed) - 1, -1, -1):
            own = passed[place][1]
            known = known + b"/" + own if known else own
            self._paths[passed[place - 1][0] if place else directory] = known
        if not name:
            return known
        return known + b"/" + name if known else name
