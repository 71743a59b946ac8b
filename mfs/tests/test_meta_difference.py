"""What differs between two states of the metadata map: every key, and nothing that they share is read."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from mfs.meta.btree import BTree
from mfs.meta.cache import NodeCache
from mfs.meta.difference import Difference, difference
from mfs.unixfs.cid import CID

VALUES = st.sampled_from([b"", b"x", b"y" * 300, b"z" * 1500, b"w" * 1500])
STATES = st.dictionaries(st.integers(0, 400).map(lambda n: b"%04d" % n), VALUES, max_size=150)


class Counting:
    """Blocks in a dictionary, and how often they were read."""

    def __init__(self) -> None:
        self.blocks: dict[CID, bytes] = {}
        self.reads = 0

    def get(self, cid: CID) -> bytes:
        self.reads += 1
        return self.blocks[cid]

    def put(self, cid: CID, block: bytes) -> None:
        self.blocks[cid] = block

    def tree(self, root: CID | None = None) -> BTree:
        return BTree(self.get, self.put, root, cache=NodeCache(0))


def updated(tree: BTree, edits: dict[bytes, bytes | None]) -> CID | None:
    steps = tree.update(sorted(edits.items()))
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            root: CID | None = stop.value
            return root


@settings(max_examples=150, deadline=None)
@given(STATES, STATES, st.booleans())
def test_every_key_that_differs_is_found(old: dict[bytes, bytes], new: dict[bytes, bytes], from_it: bool) -> None:
    store = Counting()
    before = updated(store.tree(), dict(old))
    if from_it:
        edits: dict[bytes, bytes | None] = {**dict.fromkeys(old), **new}
        after = updated(store.tree(before), edits)
    else:
        after = updated(store.tree(), dict(new))
    expected = [
        Difference(key, old.get(key), new.get(key)) for key in sorted({*old, *new}) if old.get(key) != new.get(key)
    ]
    assert [one for one in difference(store.tree(), before, after) if one is not None] == expected


def test_what_both_states_share_is_not_read() -> None:
    store = Counting()
    before = updated(store.tree(), {b"%06d" % n: b"v" * 50 for n in range(20_000)})
    after = updated(store.tree(before), {b"%06d" % 7_777: b"changed", b"%06d" % 15_000: None})
    store.reads = 0
    found = [one for one in difference(store.tree(), before, after) if one is not None]
    assert [one.key for one in found] == [b"007777", b"015000"]
    assert store.reads < 40
