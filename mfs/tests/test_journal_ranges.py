"""Which bytes a log record still has to hold."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mfs.journal.journal import _without

LENGTHS = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 6)), max_size=8)
WANTED = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 10)).map(lambda at: (at[0], at[0] + at[1])), max_size=8)


def rising(lengths: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges one behind the other, with gaps."""
    ranges = []
    at = 0
    for gap, length in lengths:
        ranges.append((at + gap, at + gap + length))
        at += gap + length
    return ranges


def numbers(ranges: list[tuple[int, int]]) -> set[int]:
    return {number for first, last in ranges for number in range(first, last)}


@given(WANTED, LENGTHS.map(rising))
def test_what_is_held_is_left_out_and_nothing_else(wanted: list[tuple[int, int]], held: list[tuple[int, int]]) -> None:
    left = _without(wanted, held)
    assert numbers(left) == numbers(wanted) - numbers(held)
    assert all(first < last for first, last in left)
    assert all(before[1] <= after[0] for before, after in pairwise(left))


def test_ranges_that_are_held_to_the_last_byte_leave_nothing() -> None:
    assert _without([(0, 4), (6, 8)], [(0, 4), (5, 9), (10, 12)]) == []
