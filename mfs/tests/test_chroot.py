"""`mfs chroot`: any directory becomes the root, whole or not at all, and can be left again."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest
import trio

from mfs.control.reach import OperationFailed, reached
from mfs.operations import chroot as operation
from mfs.tests.controlling import Served, fetched, put, served, tree_of
from mfs.tests.foreign import LAYOUTS, PLAIN, Foreign
from mfs.tests.mounting import mounted
from mfs.tree.numbers import IPNS_INO
from mfs.unixfs.cid import RAW, cid_str, cid_v1
from mfs.unixfs.data import DataType, Mtime, UnixFSData
from mfs.unixfs.layout import Link
from mfs.unixfs.profile import PROFILES, TEST_PROFILES

DATA = bytes(range(256)) * 30
BLOCKS = Foreign()
FILES = {layout: BLOCKS.laid_out(layout, DATA) for layout in (*LAYOUTS, PLAIN)}
OWN = TEST_PROFILES["test-small-v1"]
MANY = {f"{number:04}": BLOCKS.raw(b"%d" % number) for number in range(150)}
BELOW = BLOCKS.listed(PROFILES["unixfs-v0-2015"], {"many": BLOCKS.listed(TEST_PROFILES["test-small-v0"], MANY)})
TREES = {
    "own": BLOCKS.listed(OWN, {**FILES, "below": BELOW}),
    "version 0": BLOCKS.listed(PROFILES["unixfs-v0-2015"], FILES),
    "not sharded here": BLOCKS.listed(PROFILES["unixfs-v1-2025"], MANY),
    "sharded elsewhere": BLOCKS.listed(TEST_PROFILES["test-small-v0"], MANY),
    "empty": BLOCKS.listed(OWN, {}),
}
GONE = Link(cid_v1(RAW, bytes(32)), 5, 5)
FILE_OF_GONE = BLOCKS.over([GONE, BLOCKS.raw(b"here!")])
WRONG = {
    "file": (FILES[PLAIN], errno.ENOTDIR, "it is a file"),
    "symlink": (BLOCKS.symlink(OWN, b"x"), errno.ENOTDIR, "it is a symlink"),
    "absent": (Link(cid_v1(0x70, bytes(32)), 0, 0), errno.EIO, "is not stored here"),
    "leaf absent": (
        BLOCKS.listed(OWN, {"d": BLOCKS.listed(OWN, {"f": FILE_OF_GONE})}),
        errno.ENOENT,
        cid_str(GONE.cid),
    ),
    "name that cannot be": (BLOCKS.named_oddly({b"..": FILES[PLAIN]}), errno.EINVAL, "no file can be"),
    "reserved name": (BLOCKS.listed(OWN, {".mfs": FILES[PLAIN]}), errno.EINVAL, "a name that a root has not"),
    "no directory at all": (BLOCKS.node_of_bytes(b"\x0a\x03\x08"), errno.EIO, "malformed"),
}


def stored(on: Served) -> None:
    for cid, block in BLOCKS.items():
        on.volume.store.put(cid, block)


async def filled(on: Served) -> str:
    """Fill the tree with something, and say its root CID."""
    stored(on)
    await put(on.reached, "/", tree_of(1))
    return str((await on.ask("commit"))["root"])


async def refused(on: Served, path: str) -> tuple[int | None, str]:
    with pytest.raises(OperationFailed) as caught:
        await on.ask("chroot", path=path)
    return caught.value.errno, caught.value.strerror or ""


def nothing_left(on: Served) -> bool:
    return list(on.volume.tree.names(on.volume.tree.directory(IPNS_INO))) == []


@pytest.mark.parametrize("which", TREES)
async def test_the_root_is_that_directory_byte_for_byte(which: str) -> None:
    async with served() as on:
        was = await filled(on)
        cid = cid_str(TREES[which].cid)
        done = await on.ask("chroot", path=f"/ipfs/{cid}")
        assert (done["root"], done["was"]) == (cid, was)
        assert (await on.ask("commit"))["root"] == cid
        assert await fetched(on.reached, "/") == await fetched(on.reached, f"/ipfs/{cid}")
        assert nothing_left(on)


async def test_restore_leads_back_with_the_names_that_the_tree_had() -> None:
    async with served() as on:
        was = await filled(on)
        before = await fetched(on.reached, "/")
        done = await on.ask("chroot", path=f"/ipfs/{cid_str(TREES['own'].cid)}")
        await on.ask("restore", commit=done["before"])
        assert await fetched(on.reached, "/") == before
        assert (await on.ask("commit"))["root"] == was


async def test_the_root_goes_on_from_there() -> None:
    async with served() as on:
        await filled(on)
        await on.ask("chroot", path=f"/ipfs/{cid_str(TREES['sharded elsewhere'].cid)}")
        await put(on.reached, "/", {"one more": b"x"})
        await on.ask("remove", path="/one more")
        await on.ask("commit")
        await on.ask("move", source="/0001", target="/renamed")
        assert set(await fetched(on.reached, "/")) - {""} == {*MANY, "renamed"} - {"0001"}


async def test_a_directory_below_a_cid_and_the_same_one_again() -> None:
    async with served() as on:
        await filled(on)
        path = f"/ipfs/{cid_str(TREES['own'].cid)}/below"
        assert (await on.ask("chroot", path=path))["root"] == cid_str(BELOW.cid)
        again = await on.ask("chroot", path=path)
        assert again["root"] == again["was"] == cid_str(BELOW.cid)


async def test_without_a_directory_the_root_is_empty() -> None:
    async with served() as on:
        await filled(on)
        assert (await on.ask("chroot"))["root"] == cid_str(TREES["empty"].cid)
        assert await fetched(on.reached, "/") == {"": None}


async def test_mode_and_time_that_are_stored_are_the_roots() -> None:
    dated = BLOCKS.node([], UnixFSData(DataType.Directory, mode=0o1770, mtime=Mtime(1_000_000_000, 7)))
    async with served() as on:
        await filled(on)
        await on.ask("chroot", path=f"/ipfs/{cid_str(dated.cid)}")
        root = on.volume.tree.directory(1)
        assert (root.mode, root.mtime) == (stat.S_IFDIR | 0o1770, 1_000_000_000_000_000_007)


async def test_where_modes_and_times_are_stored_the_root_keeps_those_that_it_has() -> None:
    async with served("test-small-v1+mode+mtime") as on:
        await filled(on)
        (top,) = await on.ask("describe", paths=["/top"])
        done = await on.ask("chroot", path=f"/ipfs/{top['cid']}")
        assert done["root"] == top["cid"]


@pytest.mark.parametrize("which", WRONG)
async def test_what_cannot_be_the_root_changes_nothing(which: str) -> None:
    link, code, why = WRONG[which]
    async with served() as on:
        was = await filled(on)
        found, said = await refused(on, f"/ipfs/{cid_str(link.cid)}")
        assert found == code
        assert why in said
        assert (await on.ask("commit"))["root"] == was
        assert nothing_left(on)


async def test_a_path_of_the_tree_is_no_cid() -> None:
    async with served() as on:
        await filled(on)
        assert await refused(on, "/top") == (errno.EINVAL, "not the path of a CID")


async def test_what_fails_before_the_step_leaves_the_tree_and_no_litter(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "no space")

    async with served() as on:
        was = await filled(on)
        monkeypatch.setattr(operation, "_swap", failing)
        assert (await refused(on, f"/ipfs/{cid_str(TREES['own'].cid)}"))[0] == errno.ENOSPC
        assert (await on.ask("commit"))["root"] == was
        assert nothing_left(on)


async def test_what_a_crash_left_goes_the_next_time() -> None:
    async with served() as on:
        await filled(on)
        tree, above = on.volume.tree, on.volume.tree.directory(IPNS_INO)
        with on.volume.naming.opened():
            place = tree.create(above, b".chroot", 0o40700, 0, 0)
        old = tree.create(tree.directory(place.ino), b"old", 0o40700, 0, 0)
        tree.create(tree.directory(old.ino), b"left", 0o40700, 0, 0)
        await on.ask("chroot", path=f"/ipfs/{cid_str(TREES['own'].cid)}")
        assert nothing_left(on)


async def test_trees_of_keys_stay() -> None:
    async with served() as on:
        await filled(on)
        name = (await on.ask("key-new", called="self"))["name"]
        await on.ask("chroot")
        assert sorted(on.volume.tree.names(on.volume.tree.directory(IPNS_INO))) == sorted([name.encode(), b"local"])


@pytest.mark.kernel("root")
def test_a_mount_shows_it_at_once_and_who_has_files_open_keeps_them(tmp_path: Path) -> None:
    with mounted(tmp_path / "repo") as mount:
        wanted = mount.path / "wanted"
        wanted.mkdir()
        (wanted / "file").write_bytes(b"new")
        (mount.path / "file").write_bytes(b"old")
        cid = os.getxattr(wanted, "ipfs.cid").decode()
        assert not (mount.path / "later").exists()
        (wanted / "later").write_bytes(b"later")
        whole = os.getxattr(wanted, "ipfs.cid").decode()
        assert whole != cid

        async def main() -> Any:
            async with reached(os.fspath(mount.repo)) as found:
                return await found.ask("chroot", path=f"/ipfs/{whole}")

        with (mount.path / "file").open("rb") as file:
            trio.run(main)
            assert sorted(os.listdir(mount.path)) == ["file", "later"]
            assert [(mount.path / name).read_bytes() for name in ("file", "later")] == [b"new", b"later"]
            assert file.read() == b"old"
        assert not wanted.exists()
        assert os.getxattr(mount.path, "ipfs.cid").decode() == whole
        mount.kill()
        mount.remount()
        assert os.getxattr(mount.path, "ipfs.cid").decode() == whole
        (mount.path / "file").write_bytes(b"goes on")
