"""Counting what the kernel refers to."""

from __future__ import annotations

import tracemalloc
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from mfs.tree.lookups import Lookups

_INOS = st.integers(1, 2000) | st.integers(1, (1 << 63) - 1)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([1, 2, 255, 256, 257, 1 << 40]) | _INOS, st.integers(1, 3))))
def test_counts_are_those_of_a_dictionary(steps: list[tuple[bool, int, int]]) -> None:
    lookups = Lookups()
    counts: Counter[int] = Counter()
    for adds, ino, number in steps:
        if adds:
            lookups.add(ino)
            counts[ino] += 1
        else:
            counts[ino] = max(0, counts[ino] - number)
            assert lookups.forget(ino, number) == (not counts[ino])
        assert lookups[ino] == counts[ino]


def test_a_forgotten_inode_takes_no_memory() -> None:
    lookups = Lookups()
    for ino in range(16, 5000):
        lookups.add(ino)
    for ino in range(16, 5000):
        assert lookups.forget(ino, 1)
    assert not lookups._pages
    assert not lookups._used


def test_a_million_inodes_take_less_than_ten_bytes_each() -> None:
    tracemalloc.start()
    lookups = Lookups()
    for ino in range(16, 100_016):
        lookups.add(ino)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken < 100_000 * 10
