"""The ordered map against a dict, and the shape of the tree under it."""

from __future__ import annotations

import random
from bisect import bisect_left

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfs.meta import INLINE_VALUE, MAX_KEY, MAX_NODE, MAX_VALUE, BTree, NodeCache, check
from mfs.meta.node import block_cid, decode_node
from mfs.unixfs.cid import CID

Edits = list[tuple[bytes, bytes | None]]


class Blocks:
    """A block store in memory that counts."""

    def __init__(self) -> None:
        self.blocks: dict[CID, bytes] = {}
        self.reads = 0
        self.writes = 0

    def get(self, cid: CID) -> bytes:
        self.reads += 1
        return self.blocks[cid]

    def put(self, cid: CID, block: bytes) -> None:
        assert cid == block_cid(block)
        self.writes += 1
        self.blocks[cid] = block


class Map:
    """A tree over `Blocks` that moves to each new root, and the dict it must equal."""

    def __init__(self) -> None:
        self.blocks = Blocks()
        self.tree = BTree(self.blocks.get, self.blocks.put, None)
        self.model: dict[bytes, bytes] = {}

    def update(self, changes: dict[bytes, bytes | None]) -> int:
        """Applies the changes to both; how many blocks were written."""
        before = self.blocks.writes
        edits: Edits = sorted(changes.items())
        self.tree.root = drive(self.tree, edits)
        for key, value in edits:
            if value is None:
                self.model.pop(key, None)
            else:
                self.model[key] = value
        return self.blocks.writes - before

    def count(self) -> int:
        """How many entries the stored tree has, all of it held against the format."""
        checking = check(self.blocks.get, self.tree.root)
        while True:
            try:
                next(checking)
            except StopIteration as done:
                return int(done.value)

    def depth(self) -> int:
        root = self.tree.root
        return 0 if root is None else decode_node(root, self.blocks.blocks[root]).level + 1


def drive(tree: BTree, edits: Edits) -> CID | None:
    steps = tree.update(edits)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            root: CID | None = done.value
            return root


def numbers(count: int, seed: int = 1) -> list[bytes]:
    return [number.to_bytes(8, "big") for number in random.Random(seed).sample(range(10 * count), count)]


def filled(count: int, value: bytes = b"v" * 60) -> Map:
    made = Map()
    made.update(dict.fromkeys(numbers(count), value))
    return made


# Few distinct first bytes and lengths up to the limit: shared prefixes, neighbours, and nodes of a handful of entries.
KEYS = st.one_of(
    st.binary(max_size=3),
    st.builds(
        lambda head, fill, size: (head + fill * size)[:MAX_KEY],
        st.binary(max_size=2),
        st.binary(max_size=2),
        st.integers(0, 300),
    ),
)
VALUES = st.one_of(
    st.binary(max_size=8),
    st.builds(lambda byte, size: byte * size, st.sampled_from([b"x", b"y"]), st.integers(0, INLINE_VALUE + 300)),
)
BATCHES = st.lists(
    st.one_of(
        st.dictionaries(KEYS, st.one_of(st.none(), VALUES), max_size=40),
        # A stretch of keys that is filled or emptied at once.
        st.builds(
            lambda start, count, value: {b"%05d" % key: value for key in range(start, start + count)},
            st.integers(0, 400),
            st.integers(0, 400),
            st.one_of(st.none(), VALUES),
        ),
    ),
    max_size=8,
)


@settings(max_examples=150)
@given(BATCHES)
def test_the_map_equals_a_dict_after_every_batch(batches: list[dict[bytes, bytes | None]]) -> None:
    tested = Map()
    for batch in batches:
        tested.update(batch)
        assert list(tested.tree.items()) == sorted(tested.model.items())
        assert tested.count() == len(tested.model)
        for key in batch:
            assert tested.tree.get(key) == tested.model.get(key)
        assert (tested.tree.root is None) == (not tested.model)


@settings(max_examples=60)
@given(BATCHES, KEYS, st.one_of(st.none(), KEYS))
def test_a_range_is_that_of_the_sorted_dict(
    batches: list[dict[bytes, bytes | None]], start: bytes, stop: bytes | None
) -> None:
    tested = Map()
    for batch in batches:
        tested.update(batch)
    expected = [(k, v) for k, v in sorted(tested.model.items()) if k >= start and (stop is None or k < stop)]
    assert list(tested.tree.items(start, stop)) == expected


def test_many_random_batches_keep_a_large_tree_whole() -> None:
    rng = random.Random(7)
    keys = numbers(20_000)
    tested = Map()
    for _ in range(60):
        first = rng.randrange(len(keys))
        chosen = keys[first : first + rng.choice((1, 10, 1000, 5000))]
        value = rng.choice((None, None, b"", b"a" * 40, b"b" * 900))
        tested.update(dict.fromkeys(chosen, value))
        assert tested.count() == len(tested.model)
    assert dict(tested.tree.items()) == tested.model


def test_an_empty_map_has_no_root_and_no_entries() -> None:
    tested = Map()
    assert tested.update({b"absent": None}) == 0
    assert tested.tree.root is None
    assert tested.tree.get(b"absent") is None
    assert list(tested.tree.items()) == []
    assert list(tested.tree.cids()) == []


def test_a_map_that_loses_everything_has_no_root_again() -> None:
    tested = filled(5000)
    tested.update(dict.fromkeys(tested.model))
    assert tested.tree.root is None


def test_losing_nearly_everything_leaves_one_leaf() -> None:
    tested = filled(5000)
    kept = sorted(tested.model)[2500]
    tested.update({key: None for key in tested.model if key != kept})
    assert tested.depth() == 1
    assert list(tested.tree.items()) == [(kept, tested.model[kept])]


def test_entries_removed_one_by_one_leave_every_node_large_enough() -> None:
    tested = filled(600)
    keys = list(tested.model)
    random.Random(3).shuffle(keys)
    for key in keys:
        tested.update({key: None})
        assert tested.count() == len(tested.model)


def test_an_update_leaves_the_former_state_readable() -> None:
    tested = filled(3000)
    former, entries = tested.tree.root, sorted(tested.model.items())
    iterator = tested.tree.items()
    assert next(iterator) == entries[0]
    tested.update(dict.fromkeys(list(tested.model)[::2]))
    assert [entries[0], *iterator] == entries
    assert list(BTree(tested.blocks.get, tested.blocks.put, former).items()) == entries


def test_an_update_does_not_move_the_tree_by_itself() -> None:
    tested = filled(10)
    root = tested.tree.root
    assert drive(tested.tree, [(b"new", b"value")]) != root
    assert tested.tree.root == root
    assert tested.tree.get(b"new") is None


def test_what_changes_nothing_writes_nothing() -> None:
    tested = filled(3000)
    root = tested.tree.root
    absent: dict[bytes, bytes | None] = {b"absent": None}
    same: dict[bytes, bytes | None] = dict(list(tested.model.items())[:100])
    assert tested.update(absent | same) == 0
    assert tested.tree.root == root


def test_one_edit_costs_one_node_of_each_level() -> None:
    tested = filled(20_000)
    depth = tested.depth()
    assert depth == 3
    for key in list(tested.model)[:200]:
        assert tested.update({key: b"w" * 60}) == depth


def test_inserts_and_removals_cost_at_most_a_neighbour_more_at_each_level() -> None:
    tested = filled(20_000)
    depth = tested.depth()
    for key in list(tested.model)[:500]:
        assert tested.update({key: None}) <= 2 * depth
    for key in numbers(500, seed=2):
        assert tested.update({key: b"w" * 900}) <= 2 * depth + 1


def test_a_point_read_reads_one_node_of_each_level() -> None:
    tested = filled(20_000)
    cold = BTree(tested.blocks.get, tested.blocks.put, tested.tree.root)
    before = tested.blocks.reads
    assert cold.get(next(iter(tested.model))) is not None
    assert tested.blocks.reads - before == tested.depth()


def test_a_short_range_reads_no_more_than_its_leaves() -> None:
    tested = filled(20_000)
    keys = sorted(tested.model)
    cold = BTree(tested.blocks.get, tested.blocks.put, tested.tree.root)
    before = tested.blocks.reads
    assert len(list(cold.items(keys[9000], keys[9010]))) == 10
    assert tested.blocks.reads - before <= tested.depth() + 2


def test_an_update_pauses_after_every_block_it_puts() -> None:
    tested = filled(20_000)
    before = tested.blocks.writes
    pauses = 0
    for _ in tested.tree.update([(key, b"w") for key in sorted(tested.model)]):
        assert tested.blocks.writes <= before + 1
        before = tested.blocks.writes
        pauses += 1
    assert pauses > 200


def test_a_value_too_long_for_its_leaf_is_a_block_of_its_own() -> None:
    tested = Map()
    long = bytes(range(256)) * 4096
    assert tested.update({b"short": b"s" * INLINE_VALUE, b"long": long, b"longer": b"l" * (INLINE_VALUE + 1)}) == 3
    assert len(long) == MAX_VALUE
    assert dict(tested.tree.items()) == tested.model
    assert tested.tree.get(b"long") == long
    assert tested.update({b"long": long}) == 1  # the value's block; the node stays as it is
    assert max(map(len, (block for cid, block in tested.blocks.blocks.items() if cid == tested.tree.root))) <= MAX_NODE


def test_a_value_that_looks_like_the_name_of_a_long_one_is_told_apart() -> None:
    tested = Map()
    long = b"l" * 5000
    tested.update({b"key": long})
    tested.update({b"key": bytes(block_cid(long))})
    assert tested.tree.get(b"key") == bytes(block_cid(long))
    tested.update({b"key": long})
    assert tested.tree.get(b"key") == long


def test_cids_lists_exactly_the_blocks_of_the_state() -> None:
    tested = filled(3000)
    tested.update({b"long": b"l" * 5000, b"other": b"o" * 3000})
    listed = list(tested.tree.cids())
    fresh = BTree({cid: tested.blocks.blocks[cid] for cid in listed}.__getitem__, tested.blocks.put, tested.tree.root)
    assert dict(fresh.items()) == tested.model
    assert len(set(listed)) == len(listed)
    read: set[CID] = set()

    def get(cid: CID) -> bytes:
        read.add(cid)
        return tested.blocks.blocks[cid]

    assert len(list(BTree(get, tested.blocks.put, tested.tree.root).items())) == 3002
    assert read == set(listed)


@pytest.mark.parametrize(
    ("edits", "said"),
    [
        ([(b"b", b""), (b"a", b"")], "out of order"),
        ([(b"a", b""), (b"a", None)], "out of order"),
        ([(b"k" * (MAX_KEY + 1), b"")], "a key of 301 bytes"),
        ([(b"a", bytes(MAX_VALUE + 1))], "a value of 1048577 bytes"),
    ],
)
def test_edits_that_cannot_be_are_refused_before_anything_is_written(edits: Edits, said: str) -> None:
    tested = Map()
    with pytest.raises(ValueError, match=said):
        drive(tested.tree, edits)
    assert tested.blocks.writes == 0


def test_the_longest_keys_and_values_fit() -> None:
    tested = Map()
    keys = [bytes([index]) * MAX_KEY for index in range(100)]
    tested.update(dict.fromkeys(keys, b"v" * INLINE_VALUE))
    assert tested.count() == 100


def test_the_cache_stays_within_its_capacity() -> None:
    tested = filled(20_000)
    cache = NodeCache(200_000)
    small = BTree(tested.blocks.get, tested.blocks.put, tested.tree.root, cache=cache)
    assert sum(1 for _ in small.items()) == 20_000
    assert 0 < cache.weight <= cache.capacity
    assert len(cache) < 40


def test_a_cache_too_small_for_any_node_still_serves() -> None:
    tested = filled(5000)
    small = BTree(tested.blocks.get, tested.blocks.put, tested.tree.root, cache=NodeCache(0))
    key = sorted(tested.model)[bisect_left(sorted(tested.model), b"\x00" * 8)]
    assert small.get(key) == tested.model[key]
