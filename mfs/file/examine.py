"""Looking a foreign file over before it is changed for the first time.

A file that came by its CID may be laid out as the profile would do it, or otherwise, and blocks of it may be absent.
As long as it stays what it is, neither matters.  Who changes it has to know both: what is laid out alike is changed
like any other file, what is not will be cut anew by the commit, and that must not find a block missing then.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Generator

from mfs.blocks.errors import BlockNotFound
from mfs.blocks.pieces import total_length
from mfs.blocks.store import EmbeddedStore
from mfs.file.content import Content
from mfs.file.medium import StoreMedium, reading
from mfs.unixfs.cid import CID, DAG_PB, codec_of
from mfs.unixfs.dagpb import decode_node
from mfs.unixfs.layout import Link, encode_file_node, leaf_count, leaf_wrapping
from mfs.unixfs.profile import Profile

__all__ = ["LEAVES_MAX", "examine"]

LEAVES_MAX = 1 << 22
"""A foreign file of more leaves, its own or the profile's, is not cut anew: it can be read, copied and replaced."""
_REMEMBERED = 1 << 16


def examine(content: Content, medium: StoreMedium) -> Generator[None, None, None]:
    """Learn whether `content` may be changed, and mark it accordingly; yields where others may run.

    Reads its nodes; of leaves it looks at the place alone.  If the content became another meanwhile, nothing is marked.

    OSError: EIO with the reason where a block is missing or unsound, EFBIG where it is too large to be cut anew.
    """
    base, size, epoch = content.base, content.base_size, content.epoch
    if base is None:
        return
    with reading():
        own = yield from _Layout(medium.store, medium.profile).is_own(base, size)
        if not own:
            yield from _whole(base, size, medium)
    if content.base == base and content.epoch == epoch:
        content.foreign = not own
        content.examined = True


class _Layout:
    """Whether a tree of file nodes is the very one that `profile` makes of its bytes."""

    def __init__(self, store: EmbeddedStore, profile: Profile) -> None:
        self._store = store
        self._profile = profile
        self._node_prefix = b"\x01\x70\x12\x20" if profile.cid_version else b"\x12\x20"
        self._leaf_prefix = b"\x01\x55\x12\x20" if profile.raw_leaves else self._node_prefix
        # Subtrees of zeros, and of whatever else repeats, are looked at once.
        self._known: dict[tuple[CID, int], int | None] = {}

    def is_own(self, root: CID, size: int) -> Generator[None, None, bool]:
        height, count = 0, leaf_count(self._profile, size)
        while count > 1:
            count = -(-count // self._profile.max_links)
            height += 1
        return (yield from self._tree(root, height, size)) is not None

    def _tree(self, cid: CID, height: int, size: int) -> Generator[None, None, int | None]:
        """The bytes of all blocks of a subtree of `size` file bytes; None where it is another's."""
        if not height:
            return self._leaf(cid, size)
        key = (cid, size)
        if key in self._known:
            return self._known[key]
        tsize = yield from self._node(cid, height, size)
        yield
        if len(self._known) >= _REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[key] = tsize
        return tsize

    def _node(self, cid: CID, height: int, size: int) -> Generator[None, None, int | None]:
        if not cid.startswith(self._node_prefix):
            return None
        block = self._store.get(cid)
        links = decode_node(block).links
        span = self._profile.chunk_size * self._profile.max_links ** (height - 1)
        if len(links) != -(-size // span):
            return None
        children: list[Link] = []
        for place, link in enumerate(links):
            part = min(span, size - place * span)
            tsize = yield from self._tree(link.hash, height - 1, part)
            if tsize is None:
                return None
            children.append(Link(link.hash, part, tsize))
        if encode_file_node(children) != block:
            return None
        return len(block) + sum(child.tsize for child in children)

    def _leaf(self, cid: CID, size: int) -> int | None:
        if not cid.startswith(self._leaf_prefix):
            return None
        before, after = leaf_wrapping(self._profile, size)
        tsize = len(before) + size + len(after)
        pieces = self._store.leaf_pieces(cid)
        if pieces is not None:
            return tsize if total_length(pieces) == size else None
        inline, pieces = self._store.places(cid)
        if inline + total_length(pieces) != tsize:
            return None
        if pieces:
            segments = self._store.segments
            head = segments.read(pieces, 0, len(before))
            tail = segments.read(pieces, tsize - len(after), tsize)
        else:
            block = self._store.get(cid)
            head, tail = block[: len(before)], block[tsize - len(after) :]
        return tsize if (head, tail) == (before, after) else None


def _whole(root: CID, size: int, medium: StoreMedium) -> Generator[None, None, None]:
    """Look whether every block of a file is there.  BlockNotFound, MalformedBlock, WrongKind; OSError: EFBIG."""
    if -(-size // medium.chunk) > LEAVES_MAX:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    store, nodes = medium.store, medium.cache
    seen: set[CID] = set()
    waiting = [root]
    count = 0
    while waiting:
        cid = waiting.pop()
        count += 1
        if count > LEAVES_MAX:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        if codec_of(cid) != DAG_PB or nodes.leaf_size(cid) is not None:
            if not store.has(cid):
                raise BlockNotFound(cid)
        elif cid not in seen:
            if len(seen) < _REMEMBERED:
                seen.add(cid)
            waiting += nodes.file(cid).children
        if not count & 63:
            yield
