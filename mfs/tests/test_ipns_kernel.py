"""The trees of keys in a mount, and copies between three places of one connection."""

from __future__ import annotations

import base64
import errno
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from mfs.binds import IPFS_ROOT, IPNS_ROOT, Bind, Binds
from mfs.control.reach import reached
from mfs.ipns.ed25519 import public_of
from mfs.ipns.name import name_of
from mfs.ipns.record import make
from mfs.tests.mounting import Mount, mounted
from mfs.tests.recording import Asked, asked

pytestmark = pytest.mark.kernel("root")

DATA = os.urandom(3 * (1 << 20) + 5)
PRIVATE = bytes(range(32))
NAME = name_of(public_of(PRIVATE))


class Places:
    """A mount, and what is mounted beside it: CIDs at `ipfs`, keys at `ipns`; `own` and `other` are keys' trees."""

    def __init__(self, mount: Mount, ipfs: Path, ipns: Path) -> None:
        self.mount, self.mfs, self.ipfs, self.ipns = mount, mount.path, ipfs, ipns
        self.own, self.other = (ipns / self.ask("key-new", called=called)["name"] for called in ("self", "other"))

    def ask(self, operation: str, **arguments: Any) -> Any:
        async def main() -> Any:
            async with reached(os.fspath(self.mount.repo)) as found:
                return await found.ask(operation, **arguments)

        return trio.run(main)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    place = tmp_path_factory.mktemp("keys")
    for name in ("ipfs", "ipns"):
        (place / name).mkdir()
    with mounted(place / "repo", filesystem="mfs.tests.recording:Recording") as mount:
        binds = [Bind(IPFS_ROOT, str(place / "ipfs"), True), Bind(IPNS_ROOT, str(place / "ipns"), False)]
        beside = Binds(str(mount.path), binds)
        beside.attach()
        try:
            yield Places(mount, place / "ipfs", place / "ipns")
        finally:
            beside.detach()


def cid_of(path: Path) -> str:
    return os.getxattr(path, "ipfs.cid").decode()


def failing(call: Callable[[], object]) -> int:
    with pytest.raises(OSError) as caught:
        call()
    return caught.value.errno or 0


def test_a_key_made_while_it_is_mounted_is_there_at_once(places: Places) -> None:
    assert failing((places.ipns / "k51nobody").stat) == errno.ENOENT
    before = set(os.listdir(places.ipns))
    name = places.ask("key-new", called="third")["name"]
    assert set(os.listdir(places.ipns)) == before | {name}
    assert os.readlink(places.ipns / "local") == places.own.name
    places.ask("key-remove", called="third")
    assert failing((places.ipns / name / "x").stat) == errno.ENOENT


def test_what_is_published_is_what_is_in_the_tree(places: Places) -> None:
    (places.ipns / "local" / "page").write_bytes(b"hello")
    wanted = f"/ipfs/{cid_of(places.own)}"
    places.ask("name-publish", called="self")
    assert places.ask("name-resolve", name="self")["value"] == wanted
    assert (places.ipfs / wanted.removeprefix("/ipfs/") / "page").read_bytes() == b"hello"
    (places.own / "page").write_bytes(b"changed")
    # Without being asked, by the commit that comes when somebody asks for the CID.
    wanted = f"/ipfs/{cid_of(places.own)}"
    until = time.monotonic() + 20
    while places.ask("name-resolve", name="self")["value"] != wanted:
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.parametrize("source", ["mfs", "ipfs", "own"])
@pytest.mark.parametrize("target", ["mfs", "own", "other"])
def test_a_copy_between_places_is_one_message(places: Places, source: str, target: str) -> None:
    original, copy = getattr(places, source) / "original", getattr(places, target) / "copy"
    if source == "ipfs":
        (places.mfs / "stored").write_bytes(DATA)
        original = places.ipfs / cid_of(places.mfs / "stored")
    else:
        original.write_bytes(DATA)
    wanted = cid_of(original)
    asked(places.mount)
    subprocess.run(["cp", original, copy], check=True)
    assert asked(places.mount) == [Asked("copy_file_range_64", 0, len(DATA))]
    assert (cid_of(copy), copy.read_bytes() == DATA) == (wanted, True)
    copy.unlink()


def test_names_of_others_lead_to_what_is_mounted(places: Places) -> None:
    (places.mfs / "theirs").mkdir()
    (places.mfs / "theirs" / "x").write_bytes(b"theirs")
    cid = cid_of(places.mfs / "theirs")
    record = make(PRIVATE, f"/ipfs/{cid}", 0, time.time_ns() + (3600 * 10**9))
    places.ask("name-import", name=NAME, record=base64.b64encode(record.packed).decode())
    inside = places.mfs / ".mfs" / "ipns" / NAME
    assert os.readlink(inside) == f"../ipfs/{cid}"
    assert (inside / "x").read_bytes() == b"theirs"
    places.ask("name-forget", name=NAME)
    assert failing(inside.lstat) == errno.ENOENT


@pytest.mark.parametrize(
    "change",
    [
        lambda places: (places.ipns / "new").mkdir(),
        lambda places: (places.ipns / "new").touch(),
        lambda places: (places.ipns / "new").symlink_to("x"),
        lambda places: os.link(places.own / "original", places.ipns / "new"),
        lambda places: places.other.rmdir(),
        lambda places: (places.ipns / "local").unlink(),
        lambda places: places.other.rename(places.ipns / "new"),
        lambda places: (places.mfs / "original").rename(places.mfs / ".mfs" / "ipns" / "new"),
        lambda places: (places.ipns / "new").open("w"),
    ],
)
def test_the_names_of_keys_are_not_changed_by_hand(places: Places, change: Callable[[Places], object]) -> None:
    for place in (places.mfs, places.own):
        (place / "original").touch()
    before = set(os.listdir(places.ipns))
    assert failing(lambda: change(places)) == errno.EPERM
    assert set(os.listdir(places.ipns)) == before


def test_files_move_between_keys_and_the_tree(places: Places) -> None:
    inside = places.mfs / ".mfs" / "ipns" / places.own.name
    (places.mfs / "moved").write_bytes(b"whole")
    (places.mfs / "moved").rename(inside / "moved")
    assert (places.own / "moved").read_bytes() == b"whole"
    os.link(inside / "moved", places.mfs / "again")
    assert (places.mfs / "again").stat().st_ino == (places.own / "moved").stat().st_ino


def test_what_was_fsynced_in_a_keys_tree_is_there_after_a_crash(tmp_path: Path) -> None:
    with mounted(tmp_path / "repo") as mount:

        async def main() -> Any:
            async with reached(os.fspath(mount.repo)) as found:
                return await found.ask("key-new", called="self")

        name = trio.run(main)["name"]
        path = mount.path / ".mfs" / "ipns" / name / "file"
        with path.open("wb", buffering=0) as file:
            file.write(b"fsynced")
            os.fsync(file.fileno())
        mount.kill()
        mount.remount()
        assert path.read_bytes() == b"fsynced"
        assert os.readlink(mount.path / ".mfs" / "ipns" / "local") == name
