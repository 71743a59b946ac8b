"""The tree in memory: records as bytes, names against a model, listings that go on while names come and go."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfs.tests.volume_work import make, make_directory, opened, root
from mfs.tree.listing import Listing
from mfs.tree.node import Directory
from mfs.tree.record import (
    DamagedRecord,
    Entry,
    Inode,
    cookie_of,
    pack_attributes,
    pack_content,
    pack_entries,
    pack_references,
    unpack_entries,
    unpack_inode,
)
from mfs.unixfs.cid import RAW, cid_v1
from mfs.unixfs.directory import DirStats
from mfs.volume import Volume

U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)
TIME = st.integers(-(2**63), 2**63 - 1)
NAME = st.binary(min_size=1, max_size=255)
INODES = st.builds(
    Inode,
    st.integers(0, 2**31 - 1),
    U32,
    U32,
    U32,
    U32,
    TIME,
    TIME,
    TIME,
    TIME,
    U64,
    U64,
    U64,
    st.builds(DirStats, U64, U64),
    st.one_of(st.none(), st.binary(min_size=32, max_size=32).map(lambda digest: cid_v1(RAW, digest))),
    st.lists(st.tuples(U64, NAME), max_size=4).map(tuple),
    st.binary(max_size=100),
    st.booleans(),
)


def packed(inode: Inode) -> bytes:
    content = pack_content(inode.size, inode.tsize, inode.entries, inode.stats, inode.cid)
    return pack_attributes(*inode[:9], inode.has_xattrs) + content + pack_references(inode.references, inode.target)


@given(INODES)
def test_an_inode_comes_back_as_it_was(inode: Inode) -> None:
    assert unpack_inode(packed(inode)) == inode


@given(
    st.one_of(st.binary(max_size=200), st.builds(lambda inode, cut: packed(inode)[:cut], INODES, st.integers(0, 90)))
)
def test_what_is_no_inode_is_a_damaged_record(value: bytes) -> None:
    try:
        assert packed(unpack_inode(value)) == value
    except DamagedRecord:
        return


@given(st.dictionaries(NAME, st.builds(Entry, U64, st.integers(0, 15), st.just(77)), min_size=1, max_size=4))
def test_entries_come_back_as_they_were(entries: dict[bytes, Entry]) -> None:
    value = pack_entries(entries)
    assert value is not None
    assert unpack_entries(value, 77) == entries


@given(st.binary(max_size=60))
def test_what_are_no_entries_is_a_damaged_record(value: bytes) -> None:
    try:
        unpack_entries(value, 0)
    except DamagedRecord:
        return


def listed(volume: Volume, directory: Directory, listing: Listing | None = None, offset: int = 0) -> list[bytes]:
    """All names from `offset` on."""
    names = []
    listing = listing or Listing(volume.tree, directory)
    while part := listing.after(offset):
        names += [one.name for one in part]
        offset = part[-1].offset
    return names


def forget(volume: Volume, directory: Directory) -> Directory:
    """The same directory, of which nothing is in memory."""
    del volume.tree.nodes[directory.ino]
    return volume.tree.directory(directory.ino)


@pytest.mark.parametrize("count", [0, 1, 3000, 6000])
async def test_a_listing_has_every_name_once(tmp_path: Path, count: int) -> None:
    with opened(tmp_path / "repo") as volume:
        directory = make_directory(volume, "d")
        want = sorted(b"%d" % index for index in range(count))
        for name in want:
            make(volume, name.decode(), parent=directory)
        assert sorted(listed(volume, directory)) == want
        await volume.commit()
        directory = forget(volume, directory)
        assert sorted(listed(volume, directory)) == want
        assert sorted(volume.tree.names(directory)) == want


async def test_a_listing_goes_on_while_names_come_and_go(tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        directory = make_directory(volume, "d")
        for index in range(5000):
            make(volume, f"{index}", parent=directory)
        await volume.commit()
        directory = forget(volume, directory)
        listing = Listing(volume.tree, directory)
        first = listing.after(0)[:700]
        for index in range(0, 5000, 2):
            volume.tree.unlink(directory, b"%d" % index)
        for index in range(5000, 6000):
            make(volume, f"{index}", parent=directory)
        seen = [one.name for one in first] + listed(volume, directory, listing, first[-1].offset)
        assert len(seen) == len(set(seen))
        assert {b"%d" % index for index in range(1, 5000, 2)} <= set(seen)
        gone = {b"%d" % index for index in range(0, 5000, 2)}
        assert not gone & set(seen[len(first) :])


async def test_names_that_are_not_in_memory_are_found_removed_and_entered(tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        directory = make_directory(volume, "d")
        for index in range(5000):
            make(volume, f"{index}", parent=directory)
        await volume.commit()
        directory = forget(volume, directory)
        tree = volume.tree
        assert tree.entry(directory, b"4999") is not None
        assert tree.entry(directory, b"5000") is None
        tree.unlink(directory, b"4999")
        assert tree.entry(directory, b"4999") is None
        tree.rename(directory, b"4998", directory, b"4999")
        with pytest.raises(FileExistsError):
            make(volume, "17", parent=directory)
        await volume.commit()
        directory = forget(volume, directory)
        assert directory.entries == 4999
        assert tree.entry(directory, b"4998") is None
        found = tree.entry(directory, b"4999")
        assert found is not None
        assert found.cookie == cookie_of(b"4999")


async def test_nodes_that_leave_memory_come_back_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mfs.tree.tree.KEPT_NODES", 10)
    monkeypatch.setattr("mfs.tree.tree.KEPT_NAMES", 10)
    with opened(tmp_path / "repo") as volume:
        for index in range(100):
            make(volume, f"{index}", b"%d" % index)
        before = {ino: (node.mode, node.size, node.mtime, node.references) for ino, node in volume.tree.nodes.items()}
        await volume.commit()
        assert len(volume.tree.nodes) <= 10
        after = {ino: volume.tree.node(ino) for ino in before}
        assert {ino: (n.mode, n.size, n.mtime, n.references) for ino, n in after.items()} == before
        assert len(volume.tree.names(root(volume))) == 100


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (b"nothing", b"x", errno.ENOENT),
        (b"file", b"empty", errno.EISDIR),
        (b"empty", b"file", errno.ENOTDIR),
        (b"empty", b"full", errno.ENOTEMPTY),
        (b"file", b"n" * 256, errno.ENAMETOOLONG),
    ],
)
def test_a_rename_that_is_refused_changes_nothing(tmp_path: Path, old: bytes, new: bytes, code: int) -> None:
    with opened(tmp_path / "repo") as volume:
        top = root(volume)
        make(volume, "file")
        make_directory(volume, "empty")
        make(volume, "inside", parent=make_directory(volume, "full"))
        with pytest.raises(OSError) as caught:
            volume.tree.rename(top, old, top, new)
        assert caught.value.errno == code
        assert sorted(volume.tree.names(top)) == [b"empty", b"file", b"full"]
        assert (top.nlink, top.entries) == (4, 3)


def test_link_counts_and_references_follow_the_names(tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        tree, top = volume.tree, root(volume)
        file, below = make(volume, "a"), make_directory(volume, "d")
        inner = make_directory(volume, "inner", below)
        tree.link(file, below, b"b")
        assert (file.nlink, top.nlink, below.nlink) == (2, 3, 3)
        tree.rename(below, b"inner", top, b"inner")
        assert (top.nlink, below.nlink, inner.references) == (4, 2, ((1, b"inner"),))
        tree.exchange(top, b"inner", below, b"b")
        assert (top.nlink, below.nlink) == (3, 3)
        assert sorted(file.references) == [(1, b"a"), (1, b"inner")]
        tree.unlink(top, b"a")
        tree.unlink(top, b"inner")
        assert (file.nlink, file.references) == (0, ())
        tree.rmdir(below, b"b")
        tree.rmdir(top, b"d")
        assert (top.nlink, top.entries) == (2, 0)


def test_an_unlinked_file_lives_until_it_is_forgotten(tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        file = make(volume, "a", b"data")
        volume.tree.lookups.add(file.ino)
        volume.tree.lookups.add(file.ino)
        volume.tree.unlink(root(volume), b"a")
        assert volume.tree.node(file.ino) is file
        volume.tree.forget(file.ino, 1)
        assert file.size == 4
        volume.tree.forget(file.ino, 1)
        with pytest.raises(OSError, match="is gone"):
            volume.tree.node(file.ino)
