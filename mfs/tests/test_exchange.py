"""Blocks in and out: what is exported comes back with its CIDs, and what is wrong stays outside."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from mfs.car import encode_header, encode_section
from mfs.control.reach import OperationFailed, Reached
from mfs.history.names import pins
from mfs.tests.controlling import Tree, fetched, put, served, tree_of
from mfs.tests.unixfs_build import Blocks
from mfs.unixfs.cid import CID, DAG_PB, cid_str, cid_v1, parse_cid
from mfs.unixfs.dagpb import PBLink, encode_node
from mfs.unixfs.data import DataType, UnixFSData, encode_data
from mfs.unixfs.layout import Link
from mfs.unixfs.profile import PROFILES, TEST_PROFILES


async def exported(asked: Reached, path: str) -> tuple[bytes, dict[str, Any]]:
    parts = []
    async with asked.call("export", path=path) as call:
        await call.end()
        async for data in call.answers():
            parts.append(data)
        return b"".join(parts), call.result


async def imported(asked: Reached, data: bytes, **arguments: Any) -> Any:
    async with asked.call("import", **arguments) as call:
        for start in range(0, len(data), 100_000):
            await call.send_data(data[start : start + 100_000])
        await call.end()
        return await call.finish()


async def refused(asked: Reached, data: bytes, **arguments: Any) -> OperationFailed:
    with pytest.raises(OperationFailed) as caught:
        await imported(asked, data, **arguments)
    return caught.value


def car(roots: list[CID], blocks: dict[CID, bytes]) -> bytes:
    return encode_header(roots) + b"".join(encode_section(*one) for one in blocks.items())


def below(tree: Tree, top: str) -> Tree:
    return {name.removeprefix(top).removeprefix("/"): what for name, what in tree.items()}


def many(count: int) -> Tree:
    tree: Tree = {"top": None}
    tree.update({f"top/{number:05}": b"%d" % number for number in range(count)})
    return tree


@pytest.mark.parametrize("profile", [*TEST_PROFILES, *PROFILES])
@pytest.mark.parametrize("tree", [tree_of(1), many(200), {"top": bytes(3_000_000)}], ids=["tree", "sharded", "zeros"])
async def test_what_is_exported_is_imported_with_its_cids(profile: str, tree: Tree) -> None:
    async with served(profile) as at, served(profile) as other:
        cids = await put(at.reached, "/", tree)
        data, result = await exported(at.reached, "/top")
        assert result["root"] == cids["top"]
        assert (await exported(at.reached, "/top"))[0] == data
        done = await imported(other.reached, data, to="/here")
        assert (done["roots"], done["blocks"]) == ([cids["top"]], result["blocks"])
        assert (await other.ask("describe", paths=["/here"]))[0]["cid"] == cids["top"]
        assert await fetched(other.reached, "/here") == below(tree, "top")
        assert (await exported(other.reached, "/here"))[0] == data
        again = await imported(other.reached, data, to="/again")
        assert again["new"] == 0


async def test_a_tree_of_another_profile_keeps_its_cids_until_it_is_changed() -> None:
    async with served("test-small-v0") as at, served("test-small-v1") as other:
        tree = tree_of(5)
        cids = await put(at.reached, "/", tree)
        data, _ = await exported(at.reached, "/top")
        await imported(other.reached, data, to="/here")
        assert (await other.ask("describe", paths=["/here"]))[0]["cid"] == cids["top"]
        await other.ask("copy", source="/here/deep/file-1", target="/alone")
        assert (await other.ask("describe", paths=["/alone"]))[0]["cid"] == cids["top/deep/file-1"]
        await put(other.reached, "/here", {"new": b"new"})
        deep = (await other.ask("describe", paths=["/here/deep"]))[0]["cid"]
        assert deep == cids["top/deep"]
        assert (await fetched(other.reached, "/here"))["deep/file-2"] == tree["top/deep/file-2"]
        native = await put(other.reached, "/", {**tree, "top/new": b"new"})
        assert native["top"] != (await other.ask("describe", paths=["/here"]))[0]["cid"]


async def test_without_a_place_the_roots_are_pinned() -> None:
    async with served() as at, served() as other:
        cids = await put(at.reached, "/", tree_of(6))
        data, _ = await exported(at.reached, "/top")
        for _ in range(2):
            await imported(other.reached, data)
        assert [(pin.name, cid_str(pin.cid)) for pin in pins(other.volume.store)] == [(cids["top"], cids["top"])]
        assert (await fetched(other.reached, f"/ipfs/{cids['top']}"))["empty"] == b""
        await other.ask("commit")


async def test_several_roots_are_entered_by_their_cids() -> None:
    blocks = Blocks()
    profile = TEST_PROFILES["test-small-v1"]
    files = [blocks.file(profile, text) for text in (b"one", b"two" * 1000)]
    async with served() as at:
        await imported(at.reached, car([link.cid for link in files], blocks), to="/both/of/them")
        tree = await fetched(at.reached, "/both/of/them")
        assert {name for name in tree if name} == {cid_str(link.cid) for link in files}


@pytest.mark.parametrize("name", [b"..", b".", b"", b"a/b", b"a\0b"])
@pytest.mark.parametrize("pin", [True, False])
async def test_names_that_cannot_be_are_refused_with_their_path(name: bytes, pin: bool) -> None:
    blocks = Blocks()
    profile = TEST_PROFILES["test-small-v1"]
    link = blocks.file(profile, b"x")
    node = encode_node([PBLink(link.cid, name, 1)], encode_data(UnixFSData(DataType.Directory)))
    bad = profile.node_cid(node)
    blocks[bad] = node
    outer = blocks.folder(profile, {b"inside": Link(bad, 0, len(node))})
    async with served() as at:
        error = await refused(at.reached, car([outer.cid], blocks), **({} if pin else {"to": "/x"}))
        assert error.errno == errno.EINVAL
        assert "inside/" in str(error.filename)
        assert await fetched(at.reached, "/") == {"": None}
        assert pins(at.volume.store) == []


async def test_missing_blocks_are_named_and_nothing_is_entered() -> None:
    blocks = Blocks()
    profile = TEST_PROFILES["test-small-v1"]
    file = blocks.file(profile, b"".join(b"%07d " % number for number in range(2000)))
    top = blocks.folder(profile, {b"f": file})
    gone = next(cid for cid in blocks if cid[1] == 0x55)
    del blocks[gone]
    async with served() as at:
        for arguments in ({}, {"to": "/x"}):
            error = await refused(at.reached, car([top.cid], blocks), **arguments)
            assert error.errno == errno.ENOENT
            assert cid_str(gone) in str(error.strerror)
        assert await fetched(at.reached, "/") == {"": None}


async def test_a_block_with_another_hash_is_refused() -> None:
    blocks = Blocks()
    file = blocks.file(TEST_PROFILES["test-small-v1"], b"x" * 100)
    blocks[file.cid] = b"y" * 100
    async with served() as at:
        error = await refused(at.reached, car([file.cid], blocks))
        assert error.errno == errno.EINVAL
        assert cid_str(file.cid) in str(error.strerror)
        assert not at.volume.store.has(file.cid)
        assert at.volume.store.keepers == 0


@pytest.mark.parametrize("data", [b"", b"nonsense", b"\0" * 1000, encode_header([]) + b"\x05abc"])
async def test_what_is_no_car_is_refused(data: bytes) -> None:
    async with served() as at:
        error = await refused(at.reached, data)
        assert error.errno == errno.EINVAL
        assert "malformed CAR" in str(error.strerror)


async def test_a_root_that_is_no_unixfs_is_refused() -> None:
    node = encode_node([], None)
    cid = cid_v1(DAG_PB, __import__("hashlib").sha256(node).digest())
    async with served() as at:
        error = await refused(at.reached, car([cid], {cid: node}), to="/x")
        assert error.errno in (errno.EINVAL, errno.EIO)


async def test_what_has_no_cid_is_not_exported() -> None:
    async with served() as at:
        for path in ("/none", "/ipfs/bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"):
            with pytest.raises(OperationFailed):
                await exported(at.reached, path)


async def test_blocks_that_occur_often_are_exported_once() -> None:
    async with served() as at:
        await put(at.reached, "/", {"top": None, **{f"top/{number}": b"the same" * 1000 for number in range(10)}})
        data, result = await exported(at.reached, "/top")
        assert len(data) < 10_000
        assert result["blocks"] < 15


async def test_a_directory_that_lists_two_entries_of_one_name_is_imported() -> None:
    blocks = Blocks()
    profile = TEST_PROFILES["test-small-v1"]
    one, two = blocks.file(profile, b"one"), blocks.file(profile, b"two")
    links = [PBLink(one.cid, b"n", 3), PBLink(two.cid, b"n", 3)]
    node = encode_node(links, encode_data(UnixFSData(DataType.Directory)))
    cid = profile.node_cid(node)
    async with served() as at:
        await imported(at.reached, car([cid], {**blocks, cid: node}), to="/x")
        assert (await fetched(at.reached, "/x"))["n"] == b"one"
        assert (await at.ask("describe", paths=["/x"]))[0]["cid"] == cid_str(cid)


async def test_links_without_a_size_keep_their_directorys_cid() -> None:
    blocks = Blocks()
    profile = TEST_PROFILES["test-small-v1"]
    file = blocks.file(profile, b"one")
    node = encode_node([PBLink(file.cid, b"n", None)], encode_data(UnixFSData(DataType.Directory)))
    cid = profile.node_cid(node)
    async with served() as at:
        await imported(at.reached, car([cid], {**blocks, cid: node}), to="/x")
        assert parse_cid((await at.ask("describe", paths=["/x"]))[0]["cid"]) == cid
