from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfs.blocks.pieces import Piece, coalesce, pack_pieces, slice_pieces, total_length, unpack_pieces, zeros

PIECES = st.lists(
    st.one_of(
        st.tuples(st.integers(1, 3), st.integers(0, 20), st.integers(0, 9)),
        st.tuples(st.just(0), st.just(0), st.integers(0, 9)),
    ),
    max_size=8,
)


def spelled(pieces: list[Piece] | tuple[Piece, ...]) -> list[tuple[int, int]]:
    """Every byte by its place; zeros are all alike."""
    return [(s, o + i if s else 0) for s, o, n in pieces for i in range(n)]


@given(PIECES, st.integers(0, 80), st.integers(0, 80))
def test_a_slice_has_the_bytes_between(pieces: list[Piece], start: int, stop: int) -> None:
    assert spelled(slice_pieces(pieces, start, stop)) == spelled(pieces)[start:stop]


@given(PIECES, st.integers(0, 80), st.integers(0, 80))
def test_a_slice_has_no_empty_piece(pieces: list[Piece], start: int, stop: int) -> None:
    assert all(piece[2] for piece in slice_pieces(pieces, start, stop))


@given(PIECES)
def test_coalescing_keeps_the_bytes_and_leaves_no_neighbours(pieces: list[Piece]) -> None:
    joined = coalesce(pieces)
    assert spelled(joined) == spelled(pieces)
    for (s, o, n), (t, p, m) in itertools.pairwise(joined):
        assert n and m and not (s == t and (s == 0 or o + n == p))


@given(PIECES)
def test_total_length(pieces: list[Piece]) -> None:
    assert total_length(pieces) == len(spelled(pieces))


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)), max_size=5))
def test_packing_keeps_pieces(pieces: list[Piece]) -> None:
    packed = b"head" + pack_pieces(pieces)
    assert len(packed) == 4 + 20 * len(pieces)
    assert unpack_pieces(packed, 4) == tuple(pieces)
    assert unpack_pieces(memoryview(packed), 4) == tuple(pieces)


@pytest.mark.parametrize("size", [1, 19, 21, 39])
def test_a_broken_packing_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="whole number"):
        unpack_pieces(bytes(size))


def test_zeros() -> None:
    assert zeros(0) == ()
    assert zeros(10**15) == ((0, 0, 10**15),)
