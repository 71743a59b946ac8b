"""The stored form of a node: vectors, and what is refused."""

from __future__ import annotations

import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfs.meta import MAX_NODE, MIN_NODE, BTree, MalformedNode, check
from mfs.meta.node import Far, block_cid, decode_node, encode_node
from mfs.unixfs.cid import CID

CHILD = bytes(block_cid(b"child"))
LEAF = encode_node(0, [b"a", b"bc"], [b"", b"xyz"])
INNER = encode_node(1, [b"", b"m"], [CHILD, CHILD])


def decode(block: bytes) -> object:
    return decode_node(block_cid(block), block)


def node(level: int, count: int, lengths: list[int], body: bytes, magic: bytes = b"mBt\x01", zero: int = 0) -> bytes:
    return magic + struct.pack("<BBH", level, zero, count) + struct.pack(f"<{len(lengths)}H", *lengths) + body


def test_a_leaf_is_these_bytes() -> None:
    assert LEAF == bytes.fromhex("6d427401 00 00 0200 0100 0200 0000 0300") + b"abc" + b"xyz"


def test_an_inner_node_is_these_bytes() -> None:
    assert INNER == bytes.fromhex("6d427401 01 00 0200 0000 0100 2400 2400") + b"m" + CHILD + CHILD


def test_a_far_value_is_marked_in_its_length() -> None:
    block = encode_node(0, [b"a"], [Far(CHILD)])
    assert block == bytes.fromhex("6d427401 00 00 0100 0100 2480") + b"a" + CHILD
    assert [type(value) for value in decode_node(block_cid(block), block).values] == [Far]


def test_a_block_is_named_by_a_raw_sha2_256_cid() -> None:
    assert block_cid(b"x") == b"\x01\x55\x12\x20" + hashlib.sha256(b"x").digest()


@given(st.dictionaries(st.binary(max_size=20), st.binary(max_size=50), min_size=1, max_size=60))
def test_a_leaf_comes_back_as_it_went(entries: dict[bytes, bytes]) -> None:
    keys = sorted(entries)
    block = encode_node(0, keys, [entries[key] for key in keys])
    back = decode_node(block_cid(block), block)
    assert (back.level, back.keys, back.values) == (0, keys, [entries[key] for key in keys])


@pytest.mark.parametrize(
    ("block", "said"),
    [
        (b"", "0 bytes long"),
        (LEAF[:7], "7 bytes long"),
        (bytes(MAX_NODE + 1), "8193 bytes long"),
        (b"PK" + LEAF[2:], "begins with"),
        (b"mBt\x02" + LEAF[4:], "format 2"),
        (node(0, 0, [], b""), "0 entries"),
        (node(1, 1, [0, 36], CHILD), "1 entries"),
        (node(0, 1, [1, 0], b"a", zero=1), "reserved byte 1"),
        (node(0, 4000, [0] * 8, b""), "do not fit"),
        (LEAF[:-1], "its entries end at"),
        (LEAF + b"\0", "its entries end at"),
        (node(0, 1, [301, 0], b"k" * 301), "a key over"),
        (node(0, 1, [1, 1025], b"k" * 1026), "a value over"),
        (node(0, 2, [1, 1, 0, 0], b"ba"), "strictly increasing"),
        (node(0, 2, [1, 1, 0, 0], b"aa"), "strictly increasing"),
        (node(0, 1, [1, 3 | 1 << 15], b"axyz"), "kept elsewhere"),
        (node(1, 2, [1, 1, 36, 36], b"ab" + CHILD * 2), "an inner node"),
        (node(1, 2, [0, 1, 36, 36], b"b" + CHILD + b"\x01\x70" + CHILD[2:]), "an inner node"),
        (node(1, 2, [0, 1, 36, 3], b"b" + CHILD + b"xyz"), "an inner node"),
        (node(1, 2, [0, 1, 36, 36 | 1 << 15], b"b" + CHILD * 2), "an inner node"),
    ],
)
def test_a_malformed_node_is_refused(block: bytes, said: str) -> None:
    with pytest.raises(MalformedNode, match=said):
        decode(block)


@given(st.sampled_from([LEAF, INNER]), st.data())
def test_a_damaged_node_is_refused_or_is_another_sound_one(block: bytes, data: st.DataObject) -> None:
    damaged = bytearray(block)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(block) - 1))] = data.draw(st.integers(0, 255))
    damaged = damaged[: data.draw(st.integers(0, len(block)))] + data.draw(st.binary(max_size=4))
    try:
        back = decode_node(CID(CHILD), bytes(damaged))
    except MalformedNode:
        return
    assert encode_node(back.level, back.keys, back.values) == damaged


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_sound(block: bytes) -> None:
    try:
        decode(b"mBt\x01" + block)
    except MalformedNode as error:
        assert error.why in str(error)


def large_leaf(first: bytes) -> bytes:
    return encode_node(0, [first + bytes([index]) for index in range(3)], [b"v" * 1000] * 3)


def stored(*blocks: bytes) -> tuple[dict[CID, bytes], list[bytes]]:
    return {block_cid(block): block for block in blocks}, [bytes(block_cid(block)) for block in blocks]


def refuse(blocks: dict[CID, bytes], root: bytes) -> MalformedNode:
    with pytest.raises(MalformedNode) as caught:
        for _ in check(blocks.__getitem__, CID(root)):
            pass
    return caught.value


def test_a_child_of_the_wrong_level_is_refused_by_every_reader() -> None:
    blocks, (left, right) = stored(large_leaf(b"a"), large_leaf(b"m"))
    root = encode_node(2, [b"", b"m"], [left, right])
    blocks[block_cid(root)] = root
    tree = BTree(blocks.__getitem__, blocks.__setitem__, block_cid(root))
    with pytest.raises(MalformedNode, match="level 0, its parent is of level 2"):
        tree.get(b"a")
    with pytest.raises(MalformedNode, match="level 0, its parent is of level 2"):
        list(tree.items())
    with pytest.raises(MalformedNode, match="level 0, its parent is of level 2"):
        list(tree.cids())
    with pytest.raises(MalformedNode, match="level 0, its parent is of level 2"):
        list(tree.update([(b"a", b"")]))
    assert "level 0" in refuse(blocks, block_cid(root)).why


@pytest.mark.parametrize(("bound", "wrong"), [(b"z", "right"), (b"a\x01", "left")])
def test_check_refuses_keys_outside_their_bounds(bound: bytes, wrong: str) -> None:
    blocks, (left, right) = stored(large_leaf(b"a"), large_leaf(b"m"))
    root = encode_node(1, [b"", bound], [left, right])
    blocks[block_cid(root)] = root
    error = refuse(blocks, block_cid(root))
    assert "outside its bounds" in error.why
    assert error.cid == {"left": left, "right": right}[wrong]


def test_check_refuses_a_small_node_below_the_root() -> None:
    blocks, (left, right) = stored(LEAF, large_leaf(b"m"))
    root = encode_node(1, [b"", b"m"], [left, right])
    blocks[block_cid(root)] = root
    assert f"a node below the root has {MIN_NODE}" in refuse(blocks, block_cid(root)).why


def test_check_refuses_a_far_value_that_is_short() -> None:
    blocks, (short,) = stored(b"short")
    root = encode_node(0, [b"a"], [Far(short)])
    blocks[block_cid(root)] = root
    assert "would fit its leaf" in refuse(blocks, block_cid(root)).why
