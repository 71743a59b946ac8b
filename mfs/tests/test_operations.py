"""Operations on names and files, asked over the control socket."""

from __future__ import annotations

import errno
from typing import Any

import pytest
import trio

from mfs.control.frames import to_text
from mfs.control.reach import OperationFailed, Reached
from mfs.operations.table import OPERATIONS
from mfs.tests.controlling import fetched, put, served, tree_of
from mfs.tree.node import File
from mfs.unixfs.cid import cid_str
from rawfuse.tests.waiting import PATIENCE


async def fails(reached: Reached, operation: str, **arguments: Any) -> int:
    with pytest.raises(OperationFailed) as caught:
        await reached.ask(operation, **arguments)
    assert caught.value.filename is not None
    return caught.value.errno or 0


async def listed(reached: Reached, path: str, *, cids: bool = False) -> dict[str, dict[str, Any]]:
    found = {}
    async with reached.call("list", path=path, cids=cids) as call:
        await call.end()
        async for entries in call.answers():
            found.update({entry["name"]: entry for entry in entries})
    return found


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_has_a_handler_and_says_what_it_does(name: str) -> None:
    operation = OPERATIONS[name]
    assert callable(operation.resolve())
    assert operation.about


async def test_directories_are_made_and_listed() -> None:
    async with served() as at:
        await at.ask("mkdir", path="/a/b/c", parents=True)
        await at.ask("mkdir", path="a/b/c/", parents=True)
        await at.ask("mkdir", path="/a/d")
        assert set(await listed(at.reached, "/a")) == {"b", "d"}
        assert await fails(at.reached, "mkdir", path="/a") == errno.EEXIST
        assert await fails(at.reached, "mkdir", path="/x/y") == errno.ENOENT
        assert await fails(at.reached, "mkdir", path="/" + "n" * 256) == errno.ENAMETOOLONG
        assert await fails(at.reached, "mkdir", path="/") == errno.EEXIST


async def test_names_of_any_bytes() -> None:
    async with served() as at:
        name = to_text(b"\xff\n\x01 name")
        await at.ask("mkdir", path=f"/{name}")
        assert set(await listed(at.reached, "/")) == {name}


async def test_what_a_cid_names_does_not_change() -> None:
    async with served() as at:
        await put(at.reached, "/", {"d": None, "d/f": b"bytes"})
        cid = (await listed(at.reached, "/", cids=True))["d"]["cid"]
        for operation, arguments in (
            ("mkdir", {"path": f"/ipfs/{cid}/new", "parents": True}),
            ("remove", {"path": f"/ipfs/{cid}", "recursive": True}),
            ("move", {"source": f"/ipfs/{cid}/f", "target": "/f"}),
            ("move", {"source": "/d/f", "target": f"/ipfs/{cid}/g"}),
            ("copy", {"source": "/d/f", "target": f"/ipfs/{cid}/g"}),
        ):
            assert await fails(at.reached, operation, **arguments) == errno.EROFS, operation
        assert set(await listed(at.reached, "/")) == {"d"}


async def test_dot_dot_stays_in_the_tree() -> None:
    async with served() as at:
        await at.ask("mkdir", path="/a/../../b", parents=True)
        assert set(await listed(at.reached, "/")) == {"b"}


async def test_what_was_added_comes_back() -> None:
    async with served() as at:
        tree = tree_of(1)
        cids = await put(at.reached, "/", tree)
        assert set(cids) == set(tree)
        assert await fetched(at.reached, "/top") == {
            name.removeprefix("top").removeprefix("/"): what for name, what in tree.items()
        }
        found = await listed(at.reached, "/top/deep", cids=True)
        assert {f"top/deep/{name}": entry["cid"] for name, entry in found.items()}.items() <= cids.items()
        assert found["link"]["target"] == "../empty"


async def test_a_cid_depends_on_the_content_alone() -> None:
    async with served() as at, served() as other:
        large = bytes(range(256)) * 500
        first = await put(at.reached, "/", {"f": large})
        await put(other.reached, "/", {"f": b"something longer" * 9000, "g": b"x"})
        assert await put(other.reached, "/", {"f": large}) == first
        assert await fetched(other.reached, "/f") == {"": large}


async def test_adding_replaces_files_keeps_their_inode_and_merges_directories() -> None:
    async with served() as at:
        await put(at.reached, "/", {"d": None, "d/old": b"old", "d/kept": b"kept", "d/l": "old"})
        before = await listed(at.reached, "/d")
        await put(at.reached, "/", {"d": None, "d/old": b"new", "d/l": b"a file now"})
        after = await listed(at.reached, "/d")
        assert after["old"]["ino"] == before["old"]["ino"]
        assert after["l"]["type"] == "file"
        assert (await fetched(at.reached, "/d"))["old"] == b"new"


async def test_a_file_takes_no_directorys_place_and_the_other_way_round() -> None:
    async with served() as at:
        await put(at.reached, "/", {"d": None, "f": b"x"})
        with pytest.raises(OperationFailed, match="Is a directory"):
            await put(at.reached, "/", {"d": b"x"})
        with pytest.raises(OperationFailed, match="Not a directory"):
            await put(at.reached, "/", {"f": None})


@pytest.mark.parametrize("name", ["..", "a/../b", "", ".", "x" * 256, "missing/f"])
async def test_names_that_cannot_be_are_not_added(name: str) -> None:
    async with served() as at:
        with pytest.raises(OperationFailed):
            await put(at.reached, "/", {name: b"x"})
        assert await listed(at.reached, "/") == {}


async def test_a_file_that_is_replaced_stays_as_it_was_until_all_has_come() -> None:
    async with served() as at:
        old, new = bytes(30_000), b"new" * 10_000
        await put(at.reached, "/", {"f": old})
        async with at.reached.call("add", path="/") as call:
            await call.send({"file": "f", "mode": 0o644, "mtime": None})
            await call.send_data(new)
            assert await fetched(at.reached, "/f") == {"": old}
            await call.send({"close": True})
            await call.end()
            await call.finish()
        assert await fetched(at.reached, "/f") == {"": new}
        assert at.volume.store.keepers == 0


async def test_who_breaks_off_leaves_the_old_file_and_nothing_held() -> None:
    async with served() as at:
        await put(at.reached, "/", {"f": b"old"})
        async with at.reached.call("add", path="/") as call:
            await call.send({"file": "f", "mode": 0o644, "mtime": None})
            await call.send_data(b"new")
        with trio.fail_after(PATIENCE):
            while at.volume.store.keepers:
                await trio.sleep(0.01)
        assert await fetched(at.reached, "/f") == {"": b"old"}


async def test_removing() -> None:
    async with served() as at:
        await put(at.reached, "/", tree_of(2))
        assert await fails(at.reached, "remove", path="/top") == errno.EISDIR
        assert await fails(at.reached, "remove", path="/none") == errno.ENOENT
        assert await fails(at.reached, "remove", path="/", recursive=True) == errno.EBUSY
        await at.ask("remove", path="/none/deeper", force=True)
        await at.ask("remove", path="/top/empty")
        await at.ask("remove", path="/top", recursive=True)
        assert await listed(at.reached, "/") == {}


async def test_renaming() -> None:
    async with served() as at:
        await put(at.reached, "/", {"a": b"a", "b": b"b", "d": None, "e": None, "e/x": b"x"})
        await at.ask("move", source="/a", target="/d")
        await at.ask("move", source="/b", target="/c")
        assert set(await listed(at.reached, "/")) == {"c", "d", "e"}
        assert set(await listed(at.reached, "/d")) == {"a"}
        assert await fails(at.reached, "move", source="/d", target="/d/inside") == errno.EINVAL
        assert await fails(at.reached, "move", source="/c", target="/d/a", replace=False) == errno.EEXIST
        await at.ask("move", source="/c", target="/d/a")
        assert await fetched(at.reached, "/d/a") == {"": b"b"}
        assert await fails(at.reached, "move", source="/none", target="/x") == errno.ENOENT
        assert await fails(at.reached, "move", source="/d/a", target="/y/") == errno.ENOTDIR


async def test_a_copy_is_pointers_with_the_same_cid() -> None:
    async with served() as at:
        await put(at.reached, "/", tree_of(3))
        (before,) = await at.ask("describe", paths=["/top"])
        blocks = set(at.volume.store.multihashes())
        await at.ask("copy", source="/top", target="/again", recursive=True)
        (after,) = await at.ask("describe", paths=["/again"])
        assert after["cid"] == before["cid"]
        leaves = {entry["cid"] for entry in (await listed(at.reached, "/again/deep", cids=True)).values()}
        assert leaves == {entry["cid"] for entry in (await listed(at.reached, "/top/deep", cids=True)).values()}
        assert len(blocks) <= len(set(at.volume.store.multihashes()))


async def test_copying_what_is_still_being_written_takes_what_there_is() -> None:
    async with served() as at:
        await put(at.reached, "/", {"f": b"committed"})
        file = at.volume.tree.resolve(b"/f")
        assert isinstance(file, File)
        file.content.write(0, at.volume.store.segments.shared.append(b"CHANGED"))
        at.volume.tree.touched(file)
        await at.ask("copy", source="/f", target="/g")
        assert await fetched(at.reached, "/g") == {"": b"CHANGEDed"}


async def test_copies_that_are_refused() -> None:
    async with served() as at:
        await put(at.reached, "/", {"d": None, "f": b"f", "g": b"g", "l": "f"})
        assert await fails(at.reached, "copy", source="/d", target="/x") == errno.EISDIR
        assert await fails(at.reached, "copy", source="/d", target="/d/x", recursive=True) == errno.EINVAL
        assert await fails(at.reached, "copy", source="/f", target="/g", replace=False) == errno.EEXIST
        assert await fails(at.reached, "copy", source="/l", target="/g") == errno.EEXIST
        assert await fails(at.reached, "copy", source="/none", target="/g") == errno.ENOENT
        await at.ask("copy", source="/f", target="/f/../g")
        assert await fetched(at.reached, "/g") == {"": b"f"}


async def test_a_cid_is_listed_read_and_copied_by_pointers() -> None:
    async with served() as at:
        tree = tree_of(4)
        cids = await put(at.reached, "/", tree)
        top = cids["top"]
        await at.ask("remove", path="/top", recursive=True)
        assert set(await listed(at.reached, f"/ipfs/{top}")) == {"deep", "empty"}
        assert (await fetched(at.reached, f"/ipfs/{top}"))["deep/file-1"] == tree["top/deep/file-1"]
        await at.ask("copy", source=f"/ipfs/{top}", target="/back", recursive=True)
        assert (await at.ask("describe", paths=["/back"]))[0]["cid"] == top
        assert await fails(at.reached, "copy", source="/ipfs/nonsense", target="/x") == errno.EINVAL
        assert await fails(at.reached, "copy", source=f"/ipfs/{top}/none", target="/x") == errno.ENOENT
        absent = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
        assert await fails(at.reached, "copy", source=f"/ipfs/{absent}", target="/x") == errno.EIO


async def test_a_listing_of_many_entries_comes_in_parts() -> None:
    async with served() as at:
        await put(at.reached, "/", {"d": None, **{f"d/{number:04}": b"" for number in range(1200)}})
        parts = []
        async with at.reached.call("list", path="/d") as call:
            await call.end()
            async for entries in call.answers():
                parts.append(len(entries))
        assert sum(parts) == 1200 and max(parts) <= 500


async def test_commit_tells_the_root() -> None:
    async with served() as at:
        await put(at.reached, "/", {"f": b"x"})
        result = await at.ask("commit")
        assert at.volume.head.root is not None
        assert result["root"] == cid_str(at.volume.head.root)
