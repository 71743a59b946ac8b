"""Directories changed step by step are the directories built from nothing, in one block or sharded."""

from __future__ import annotations

import dataclasses
import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfs.tests.unixfs_build import Blocks, drain
from mfs.unixfs import hamt
from mfs.unixfs.cid import CID, RAW, cid_v1
from mfs.unixfs.dagpb import decode_node
from mfs.unixfs.data import DataType, Mtime, decode_data
from mfs.unixfs.directory import DirStats, directory_stats, entries, lookup, update_directory
from mfs.unixfs.errors import DirectoryTooDeep, MalformedBlock, WrongKind
from mfs.unixfs.layout import Link
from mfs.unixfs.murmur3 import murmur3_x64_64
from mfs.unixfs.nodes import NodeCache
from mfs.unixfs.profile import PROFILES, TEST_PROFILES, Profile

V1 = PROFILES["unixfs-v1-2025"]
SMALL = [
    *TEST_PROFILES.values(),
    # Narrow shards are deep ones: sub-shards come and go with a handful of names.
    dataclasses.replace(TEST_PROFILES["test-small-v1"], hamt_fanout=8, hamt_threshold=500),
    dataclasses.replace(TEST_PROFILES["test-small-v0"], hamt_fanout=16, hamt_threshold=-1),
]


def link(n: int) -> Link:
    return Link(cid_v1(RAW, hashlib.sha256(b"%d" % n).digest()), n, n)


def form(blocks: Blocks, root: CID) -> DataType:
    return decode_data(decode_node(blocks[root]).data or b"").type


CHANGES = st.dictionaries(
    st.integers(0, 70).map(lambda n: b"name-%d" % n), st.none() | st.integers(0, 300).map(link), max_size=40
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(SMALL), st.lists(CHANGES, min_size=1, max_size=6), st.booleans())
def test_any_way_to_a_content_gives_the_same_directory(
    profile: Profile, batches: list[dict[bytes, Link | None]], keep_hint: bool
) -> None:
    blocks, root = Blocks(), None
    stats: DirStats | None = None
    content: dict[bytes, Link] = {}
    for batch in batches:
        root, tsize, stats = blocks.directory(profile, batch, root, stats if keep_hint else None)
        for name, new in batch.items():
            if new is None:
                content.pop(name, None)
            else:
                content[name] = new
        fresh = Blocks().directory(profile, dict(content))
        assert (root, tsize, stats) == fresh
        nodes = NodeCache(blocks.get_block)
        assert {name: (found.hash, found.tsize) for name, found in entries(root, nodes)} == {
            name: (new.cid, new.tsize) for name, new in content.items()
        }
        assert drain(directory_stats(profile, root, nodes)) == stats
        for name in [*content, b"absent"]:
            found = lookup(root, name, nodes)
            expected = content.get(name)
            assert (found and (found.hash, found.name)) == (expected and (expected.cid, name))


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
def test_one_block_up_to_the_threshold_and_shards_above_it(profile: Profile) -> None:
    blocks = Blocks()
    one = link(1)
    if profile.estimation == "block":
        # 256 entries of 1000 bytes in all each, then one that fills the block to the byte.
        overhead = len(blocks[blocks.folder(profile, {}).cid])
        entry = len(blocks[blocks.folder(profile, {b"n" * 940: one}).cid]) - overhead
        rest = profile.hamt_threshold - overhead - 256 * entry
        last = rest - (entry - 940)
    else:
        entry = 940 + len(one.cid)
        last = profile.hamt_threshold - 256 * entry - len(one.cid)
    content: dict[bytes, Link | None] = {b"%0940d" % n: one for n in range(256)}
    full, _tsize, stats = blocks.directory(profile, {**content, b"x" * last: one})
    assert form(blocks, full) == DataType.Directory
    if profile.estimation == "block":
        assert len(blocks[full]) == profile.hamt_threshold
    over, _tsize, over_stats = blocks.directory(profile, {b"x" * last: None, b"x" * (last + 1): one}, full, stats)
    assert form(blocks, over) == DataType.HAMTShard
    assert blocks.directory(profile, {b"x" * (last + 1): None, b"x" * last: one}, over, over_stats)[0] == full


def test_a_small_change_to_a_sharded_directory_touches_only_its_path() -> None:
    blocks = Blocks()
    content: dict[bytes, Link | None] = {b"entry-%06d" % n: link(n) for n in range(20_000)}
    root, _tsize, stats = blocks.directory(V1, content)
    assert form(blocks, root) == DataType.HAMTShard
    blocks.gets = blocks.puts = 0
    changed, _tsize, _stats = blocks.directory(V1, {b"entry-000123": link(5)}, root, stats)
    assert changed != root
    assert blocks.gets == blocks.puts <= 3


def test_many_changes_of_a_large_directory_are_never_in_memory_together() -> None:
    blocks = Blocks()
    content: dict[bytes, Link | None] = {b"entry-%06d" % n: link(n) for n in range(20_000)}
    root, _tsize, stats = blocks.directory(V1, content)
    changes: dict[bytes, Link | None] = {b"entry-%06d" % n: link(n + 1) for n in range(0, 20_000, 10)}
    loaded: set[CID] = set()
    most = 0

    def get(cid: CID) -> bytes:
        nonlocal most
        loaded.add(cid)
        most = max(most, len(loaded))
        return blocks[cid]

    def put(cid: CID, block: bytes) -> None:
        blocks[cid] = block
        loaded.clear()

    changed, _tsize, _stats = drain(update_directory(V1, root, changes, stats, get, put))
    assert most < 10
    assert changed == blocks.directory(V1, {**content, **changes})[0]


def test_removing_what_is_not_there_changes_nothing() -> None:
    blocks = Blocks()
    for profile in (V1, SMALL[3]):
        root, tsize, stats = blocks.directory(profile, {b"a": link(1), b"b": link(2)})
        assert blocks.directory(profile, {b"c": None}, root, stats) == (root, tsize, stats)


def test_metadata_stands_in_the_root_shard_only() -> None:
    blocks, profile = Blocks(), SMALL[3]
    content: dict[bytes, Link | None] = {b"%d" % n: link(n) for n in range(100)}
    root, _tsize, _stats = blocks.directory(profile, content, mode=0o750, mtime=Mtime(5, 6))
    messages = {cid: decode_data(decode_node(block).data or b"") for cid, block in blocks.items()}
    assert (messages.pop(root).mode, len(messages) > 5) == (0o750, True)
    assert all(not message.mode and message.mtime is None for message in messages.values())


def test_a_directory_sharded_at_another_width_becomes_canonical() -> None:
    blocks = Blocks()
    content: dict[bytes, Link | None] = {b"%d" % n: link(n) for n in range(100)}
    foreign, _tsize, _stats = blocks.directory(dataclasses.replace(SMALL[3], hamt_fanout=64), content)
    changed = blocks.directory(SMALL[3], {b"7": None}, foreign)
    del content[b"7"]
    assert changed == Blocks().directory(SMALL[3], content)


def test_names_that_share_their_whole_hash_are_a_typed_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hamt, "murmur3_x64_64", lambda _name: 42)
    with pytest.raises(DirectoryTooDeep, match="same 64 hash bits"):
        Blocks().directory(SMALL[3], {b"a": link(1), b"b": link(2)})


def test_a_file_is_no_directory() -> None:
    blocks = Blocks()
    file = blocks.file(V1, b"text")
    nodes = NodeCache(blocks.get_block)
    with pytest.raises(WrongKind, match="is a file, not a directory"):
        lookup(file.cid, b"x", nodes)
    with pytest.raises(WrongKind, match="is a file, not a directory"):
        list(entries(file.cid, nodes))
    with pytest.raises(WrongKind, match="is a file, not a directory"):
        blocks.directory(V1, {b"x": file}, file.cid)


def test_an_entry_in_a_bucket_that_is_not_its_own_is_malformed() -> None:
    blocks, profile = Blocks(), SMALL[3]
    root, _tsize, _stats = blocks.directory(profile, {b"a": link(1)})
    bucket = murmur3_x64_64(b"a") >> 60
    block = blocks[root].replace(b"%Xa" % bucket, b"%Xa" % (bucket ^ 1))
    moved = profile.node_cid(block)
    blocks[moved] = block
    with pytest.raises(MalformedBlock, match="stands in bucket"):
        list(entries(moved, NodeCache(blocks.get_block)))


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a name"):
        Blocks().directory(V1, {b"": link(1)})


@pytest.mark.parametrize("profile", SMALL, ids=lambda profile: f"{profile.name}-{profile.hamt_fanout}")
def test_an_entry_that_is_malformed_is_an_error_that_names_the_block(profile: Profile) -> None:
    blocks = Blocks()
    root, _tsize, stats = blocks.directory(profile, {b"a": link(1), b"bb": link(2)})
    block = blocks[root].replace(b"bb\x18\x02", b"bb\x18\x82")
    bad = profile.node_cid(block)
    blocks[bad] = block
    for hint in (None, stats):
        with pytest.raises(MalformedBlock) as caught:
            blocks.directory(profile, {b"a": link(3)}, bad, hint)
        assert caught.value.cid == bad
