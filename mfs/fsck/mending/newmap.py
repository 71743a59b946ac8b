"""A metadata map from its parts."""

from __future__ import annotations

import stat
from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING

from mfs.meta.btree import BTree
from mfs.tree.record import (
    Entry,
    Inode,
    cookie_of,
    entry_key,
    inode_key,
    pack_attributes,
    pack_content,
    pack_entries,
    pack_references,
)

if TYPE_CHECKING:
    from mfs.blocks.store import EmbeddedStore
    from mfs.unixfs.cid import CID

__all__ = ["write_map"]

_BATCH = 5000


def write_map(
    store: EmbeddedStore,
    inodes: Mapping[int, Inode],
    names: Mapping[int, Mapping[bytes, int]],
    extras: Mapping[bytes, bytes],
) -> CID | None:
    """Put a map with these inodes by number, the names in each directory, and records of other kinds by their keys.

    Records of inodes that are not among them are left out.  Returns its root.
    """
    tree = BTree(store.get, store.put, None)
    batch: list[tuple[bytes, bytes | None]] = []
    for item in sorted(_items(inodes, names, extras)):
        batch.append(item)
        if len(batch) == _BATCH:
            tree.root = _finished(tree.update(batch))
            batch = []
    return _finished(tree.update(batch)) if batch else tree.root


def _items(
    inodes: Mapping[int, Inode], names: Mapping[int, Mapping[bytes, int]], extras: Mapping[bytes, bytes]
) -> Iterator[tuple[bytes, bytes]]:
    for ino, inode in inodes.items():
        yield inode_key(ino), _packed(inode)
        slots: dict[int, dict[bytes, Entry]] = {}
        for name, child in names.get(ino, {}).items() if stat.S_ISDIR(inode.mode) else ():
            cookie = cookie_of(name)
            slots.setdefault(cookie, {})[name] = Entry(child, inodes[child].mode >> 12, cookie)
        for cookie, slot in slots.items():
            value = pack_entries(slot)
            if value is not None:
                yield entry_key(ino, cookie), value
    for key, value in extras.items():
        if int.from_bytes(key[:8], "big") in inodes:
            yield key, value


def _packed(inode: Inode) -> bytes:
    return b"".join(
        (
            pack_attributes(*inode[:9], inode.has_xattrs),
            pack_content(inode.size, inode.tsize, inode.entries, inode.stats, inode.cid),
            pack_references(inode.references, inode.target),
        )
    )


def _finished(steps: Generator[None, None, CID | None]) -> CID | None:
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            root: CID | None = stop.value
            return root
