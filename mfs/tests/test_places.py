"""Paths that lead beside the tree: what was, what others named, and the trees of keys; with no mount to be seen in."""

from __future__ import annotations

import base64
import errno
from time import time_ns
from typing import Any

import pytest

from mfs.control.reach import OperationFailed
from mfs.ipns.ed25519 import public_of
from mfs.ipns.name import name_of
from mfs.ipns.record import make
from mfs.tests.controlling import Served, Tree, fetched, put, served

BEFORE: Tree = {"d": None, "d/file": b"before" * 2000, "d/empty": b"", "link": "d/file"}
AFTER: Tree = {"other": b"after"}
PRIVATE = bytes(range(32))
NAME = name_of(public_of(PRIVATE))


async def filled(on: Served) -> dict[str, Any]:
    """A tree that was, under the name `was`, and another one that is."""
    await put(on.reached, "/", BEFORE)
    found: dict[str, Any] = await on.ask("snapshot", name="was")
    for name in ("d", "link"):
        await on.ask("remove", path=f"/{name}", recursive=True)
    await put(on.reached, "/", AFTER)
    return found


async def failing(on: Served, operation: str, **arguments: Any) -> int | None:
    with pytest.raises(OperationFailed) as caught:
        await on.ask(operation, **arguments)
    return caught.value.errno


async def listed(on: Served, path: str) -> list[str]:
    async with on.reached.call("list", path=path) as call:
        await call.end()
        return sorted([entry["name"] async for part in call.answers() for entry in part])


async def test_what_a_snapshot_or_a_commit_had_is_given_out_whole() -> None:
    async with served() as on:
        was = await filled(on)
        for path in ("/.mfs/snapshots/was", f"/.mfs/commits/{was['commit']}", f"/.mfs/ipfs/{was['root']}"):
            assert await fetched(on.reached, path) == {"": None, **BEFORE}
            assert await fetched(on.reached, path + "/d/file") == {"": BEFORE["d/file"]}
            assert await listed(on, path) == ["d", "link"]
        assert await listed(on, "/.mfs/snapshots") == ["was"]
        assert await listed(on, "/") == ["other"]


async def test_a_snapshot_keeps_what_a_cid_has_not() -> None:
    async with served() as on:
        await put(on.reached, "/", BEFORE)
        file = on.volume.tree.child(on.volume.tree.directory(1), b"d")
        assert file is not None
        file.mode, file.uid = 0o40711, 12
        on.volume.tree.touched(file)
        await on.ask("snapshot", name="was")
        (found,) = await on.ask("describe", paths=["/.mfs/snapshots/was/d"])
        assert (found["mode"], found["uid"]) == (0o40711, 12)


async def test_what_was_is_copied_back_as_pointers() -> None:
    async with served() as on:
        await filled(on)
        await on.ask("copy", source="/.mfs/snapshots/was/d", target="/d", recursive=True)
        await on.ask("copy", source="/.mfs/snapshots/was/d/file", target="/other", replace=True)
        assert await fetched(on.reached, "/d") == {"": None, "file": BEFORE["d/file"], "empty": b""}
        assert await fetched(on.reached, "/other") == {"": BEFORE["d/file"]}
        paths = ["/other", "/d/file", "/.mfs/snapshots/was/d/file"]
        assert len({one["cid"] for one in await on.ask("describe", paths=paths)}) == 1


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/.mfs/nothing", errno.ENOENT),
        ("/.mfs/snapshots/nothing", errno.ENOENT),
        ("/.mfs/snapshots/was/nothing", errno.ENOENT),
        ("/.mfs/snapshots/was/d/file/x", errno.ENOTDIR),
        ("/.mfs/commits/nonsense", errno.ENOENT),
        ("/.mfs/commits/bafkqaaa", errno.ENOENT),
        ("/.mfs/ipfs/nonsense", errno.EINVAL),
        ("/.mfs/ipns/nothing", errno.ENOENT),
        ("/ipns/nothing", errno.ENOENT),
    ],
)
async def test_what_is_not_there(path: str, code: int) -> None:
    async with served() as on:
        await filled(on)
        assert await failing(on, "read", path=path) == code


@pytest.mark.parametrize("path", ["/.mfs/x", "/.mfs/snapshots/was/x", "/.mfs/commits/x", "/.mfs/ipns/x", "/ipns/x"])
async def test_nothing_is_changed_beside_the_tree(path: str) -> None:
    async with served() as on:
        await filled(on)
        assert await failing(on, "mkdir", path=path) in (errno.ENOENT, errno.EPERM)
        assert await failing(on, "move", source="/other", target=path) in (errno.ENOENT, errno.EPERM)
        assert await listed(on, "/") == ["other"]


async def test_the_tree_of_a_key_is_at_its_name() -> None:
    async with served() as on:
        name = (await on.ask("key-new", called="self"))["name"]
        await on.ask("mkdir", path=f"/ipns/{name}/a/b", parents=True)
        await put(on.reached, "/ipns/local/a", {"file": b"x" * 3000})
        await on.ask("copy", source=f"/.mfs/ipns/{name}/a", target="/here", recursive=True)
        await on.ask("move", source="/here/b", target=f"/.mfs/ipns/{name}/moved")
        assert await listed(on, "/ipns/local") == ["a", "moved"]
        assert await fetched(on.reached, f"/ipns/{name}/a/file") == {"": b"x" * 3000}
        assert await listed(on, "/.mfs/ipns") == sorted([name, "local"])
        for path in (f"/ipns/{name}", f"/.mfs/ipns/{name}", "/ipns/local"):
            assert await failing(on, "remove", path=path, recursive=True) == errno.EPERM
        assert await listed(on, "/ipns/local") == ["a", "moved"]
        await on.ask("remove", path="/ipns/local/a", recursive=True)
        assert await listed(on, "/ipns/local") == ["moved"]


async def test_a_directory_of_the_tree_may_be_called_ipns() -> None:
    async with served() as on:
        await on.ask("mkdir", path="/ipns/own", parents=True)
        await put(on.reached, "/ipns/own", AFTER)
        assert await listed(on, "/ipns/own") == ["other"]


@pytest.mark.parametrize("value", ["/ipfs/{root}", "/ipfs/{root}/d", f"/ipns/{NAME}/x", f"/ipns/{NAME}"])
async def test_a_name_of_somebody_else_leads_where_its_record_says(value: str) -> None:
    async with served() as on:
        was = await filled(on)
        record = make(PRIVATE, value.format(root=was["root"]), 0, time_ns() + 10**12)
        await on.ask("name-import", name=NAME, record=base64.b64encode(record.packed).decode())
        if "ipns" in value:
            assert await failing(on, "read", path=f"/ipns/{NAME}/d") == errno.ELOOP
        elif value.endswith("/d"):
            assert await listed(on, f"/ipns/{NAME}") == ["empty", "file"]
        else:
            assert await fetched(on.reached, f"/.mfs/ipns/{NAME}/d/file") == {"": BEFORE["d/file"]}
