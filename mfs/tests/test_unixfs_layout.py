"""Files built over a base are the files built from nothing, and holes cost next to nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfs.tests.unixfs_build import Blocks, drain
from mfs.unixfs.cid import CID
from mfs.unixfs.dagpb import PBLink, encode_node
from mfs.unixfs.data import DataType, UnixFSData, encode_data
from mfs.unixfs.errors import MalformedBlock
from mfs.unixfs.layout import Link, build_file, leaf_count, leaf_length, zero_leaf, zero_subtrees
from mfs.unixfs.nodes import NodeCache
from mfs.unixfs.profile import PROFILES, TEST_PROFILES, Profile
from mfs.unixfs.reader import file_size, leaves, read_file

V1 = PROFILES["unixfs-v1-2025"]
CHUNK = 1024
PROFILES_BY_CHUNK = st.sampled_from(list(TEST_PROFILES.values()))
# Leaves are told apart by their first byte; 0 makes a hole. Up to five levels of three links.
FILES = st.tuples(st.lists(st.integers(0, 3), max_size=100), st.integers(0, CHUNK - 1))


def content(leaf_bytes: list[int], tail: int) -> bytes:
    return b"".join(bytes((byte,)) * CHUNK for byte in leaf_bytes) + b"\x07" * tail


def no_leaf(index: int) -> Link:
    raise AssertionError(f"leaf {index} was asked for and has not changed")


def differing(profile: Profile, old: bytes, new: bytes) -> list[int]:
    """The leaves of ``new`` that are not in ``old``; those past its end only where they are not zeros."""
    chunk = profile.chunk_size
    old_leaves = leaf_count(profile, len(old))
    changed = []
    for index in range(leaf_count(profile, len(new))):
        here = slice(index * chunk, (index + 1) * chunk)
        before = old[here] if index < old_leaves else bytes(leaf_length(profile, len(new), index))
        if new[here] != before:
            changed.append(index)
    return changed


@settings(max_examples=150, deadline=None)
@given(PROFILES_BY_CHUNK, FILES, FILES)
def test_a_file_built_over_any_base_is_the_file_built_from_nothing(
    profile: Profile, before: tuple[list[int], int], after: tuple[list[int], int]
) -> None:
    blocks, fresh = Blocks(), Blocks()
    old, new = content(*before), content(*after)
    base = blocks.file(profile, old)
    changed = differing(profile, old, new)
    built = blocks.edit(profile, new, changed, base.cid, leaf_count(profile, len(old)))
    assert built == fresh.file(profile, new)
    nodes = NodeCache(blocks.get_block)
    assert file_size(built.cid, nodes) == len(new)
    assert read_file(built.cid, 0, len(new) + 1, nodes) == new


@settings(max_examples=60, deadline=None)
@given(PROFILES_BY_CHUNK, FILES, st.data())
def test_a_small_edit_reads_only_the_path_to_it(
    profile: Profile, before: tuple[list[int], int], data: st.DataObject
) -> None:
    blocks = Blocks()
    old = bytearray(content(*before))
    if not old:
        return
    base = blocks.file(profile, bytes(old))
    at = data.draw(st.integers(0, len(old) - 1))
    old[at] ^= 0xFF
    blocks.gets = blocks.puts = 0
    built = blocks.edit(profile, bytes(old), [at // CHUNK], base.cid, leaf_count(profile, len(old)))
    assert built == Blocks().file(profile, bytes(old))
    assert blocks.gets <= 5
    assert blocks.puts <= 5


def test_an_unchanged_base_is_the_result_without_a_put() -> None:
    blocks, profile = Blocks(), TEST_PROFILES["test-small-v1"]
    data = content([1, 2, 3, 1, 2], 10)
    base = blocks.file(profile, data)
    blocks.puts = 0
    assert blocks.edit(profile, data, [], base.cid, 6) == base
    assert blocks.puts == 0


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
def test_a_petabyte_of_zeros_is_a_few_nodes(profile: Profile) -> None:
    blocks = Blocks()
    link = drain(
        build_file(
            profile,
            10**15,
            (),
            no_leaf,
            None,
            0,
            blocks.get_block,
            blocks.put_block,
            lambda n: zero_leaf(profile, n)[0],
        )
    )
    assert link.size == 10**15
    assert blocks.puts < 12
    assert file_size(link.cid, NodeCache(blocks.get_block)) == 10**15


def test_one_byte_in_a_petabyte_costs_its_path() -> None:
    blocks = Blocks()
    zeros = Blocks()
    steps = build_file(
        V1, 10**15, (), no_leaf, None, 0, zeros.get_block, zeros.put_block, lambda n: zero_leaf(V1, n)[0]
    )
    base = drain(steps)
    blocks.update(zeros)
    link = blocks.leaf(V1, b"x" * V1.chunk_size)
    where = 123_456_789
    built = drain(
        build_file(
            V1,
            10**15,
            [where],
            lambda _index: link,
            base.cid,
            leaf_count(V1, 10**15),
            blocks.get_block,
            blocks.put_block,
            lambda n: zero_leaf(V1, n)[0],
        )
    )
    assert blocks.gets == blocks.puts == 3
    found = list(leaves(built.cid, 0, 10**15, NodeCache(blocks.get_block), zero_subtrees(V1, 10**15)))
    assert [(leaf.offset, leaf.cid) for leaf in found] == [(where * V1.chunk_size, link.cid)]


@settings(max_examples=60, deadline=None)
@given(PROFILES_BY_CHUNK, st.lists(st.integers(0, 1), min_size=1, max_size=60), st.integers(0, CHUNK - 1))
def test_holes_are_passed_over_and_nothing_else(profile: Profile, leaf_bytes: list[int], tail: int) -> None:
    blocks = Blocks()
    data = content(leaf_bytes, tail)
    root = blocks.file(profile, data).cid
    found = [
        leaf.offset // CHUNK
        for leaf in leaves(root, 0, len(data), NodeCache(blocks.get_block), zero_subtrees(profile, len(data)))
    ]
    expected = [index for index, byte in enumerate(leaf_bytes) if byte]
    assert found == expected + ([len(leaf_bytes)] if tail else [])


def test_a_driver_gets_a_turn_after_every_node() -> None:
    blocks, profile = Blocks(), TEST_PROFILES["test-small-v1"]
    data = content([1] * 27, 0)
    steps = build_file(
        profile,
        len(data),
        range(27),
        lambda index: blocks.leaf(profile, data[index * CHUNK : (index + 1) * CHUNK]),
        None,
        0,
        blocks.get_block,
        blocks.put_block,
        no_leaf,
    )
    puts = [blocks.puts for _ in steps]
    assert puts == list(range(1, 14))


def test_a_base_of_another_shape_is_refused_by_name() -> None:
    blocks, profile = Blocks(), TEST_PROFILES["test-small-v1"]
    base = blocks.file(profile, content([1, 2], 0))
    with pytest.raises(MalformedBlock, match="2 links where a file of its size has 3") as caught:
        blocks.edit(profile, content([1, 2, 3], 0), [2], base.cid, 3)
    assert caught.value.cid == base.cid


def test_reading_a_tree_with_data_in_inner_nodes_and_uneven_depth() -> None:
    blocks, profile = Blocks(), TEST_PROFILES["test-small-v0"]
    deep = blocks.file(profile, b"d" * 5000)
    leaf = blocks.leaf(profile, b"leaf")
    message = UnixFSData(DataType.File, b"inline", 6 + 4 + 0 + 5000, [4, 0, 5000])
    empty = blocks.leaf(profile, b"")
    block = encode_node([PBLink(link.cid, b"", link.tsize) for link in (leaf, empty, deep)], encode_data(message))
    root = profile.node_cid(block)
    blocks[root] = block
    whole = b"inline" + b"leaf" + b"d" * 5000
    nodes = NodeCache(blocks.get_block)
    assert file_size(root, nodes) == len(whole)
    for start, stop in ((0, 9999), (3, 8), (6, 10), (5, 5), (9, 11), (1100, 3000), (5009, 5010)):
        assert read_file(root, start, stop, nodes) == whole[start:stop]


def test_a_child_of_another_size_than_its_parent_says_is_refused() -> None:
    blocks, profile = Blocks(), TEST_PROFILES["test-small-v0"]
    leaf = blocks.leaf(profile, b"leaf")
    block = encode_node([PBLink(leaf.cid, b"", leaf.tsize)], encode_data(UnixFSData(DataType.File, None, 5, [5])))
    root = profile.node_cid(block)
    blocks[root] = block
    with pytest.raises(MalformedBlock, match="4 bytes of file where its parent says 5"):
        read_file(root, 0, 5, NodeCache(blocks.get_block))


def test_leaves_that_the_store_knows_are_not_read() -> None:
    blocks, profile = Blocks(), TEST_PROFILES["test-small-v0"]
    data = content([1, 2, 3, 4, 5], 0)
    root = blocks.file(profile, data).cid
    sizes: dict[CID, int] = {blocks.leaf(profile, bytes((n,)) * CHUNK).cid: CHUNK for n in range(1, 6)}
    blocks.gets = 0
    assert len(list(leaves(root, 0, len(data), NodeCache(blocks.get_block, leaf_size=sizes.get)))) == 5
    assert blocks.gets == 3


def test_the_cache_stays_within_its_capacity() -> None:
    blocks, profile = Blocks(), TEST_PROFILES["test-small-v1"]
    nodes = NodeCache(blocks.get_block, capacity=40)
    roots = [blocks.file(profile, content([n, n + 1], 0)).cid for n in range(20)]
    for root in roots:
        nodes.node(root)
    blocks.gets = 0
    nodes.node(roots[-1])
    assert blocks.gets == 0
    nodes.node(roots[0])
    assert blocks.gets == 1
