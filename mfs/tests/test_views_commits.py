"""Any commit that is kept, read-only, under `.mfs/commits` in a mount; and snapshots beside them."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from mfs.control.reach import reached
from mfs.tests.mounting import Mount, mounted
from mfs.tests.recording import Asked, asked

pytestmark = pytest.mark.kernel("root")

DATA = os.urandom(1_500_000)


class Past:
    """A mount with three commits, of which `second` has a name, and `path` leads to each by its CID."""

    def __init__(self, mount: Mount) -> None:
        self.mount = mount
        self.live = mount.path
        (self.live / "file").write_bytes(b"first")
        (self.live / "d").mkdir()
        (self.live / "d" / "large").write_bytes(DATA)
        os.chown(self.live / "d", 7, 8)
        self.first = self.newest()
        (self.live / "file").write_bytes(b"second")
        (self.live / "d" / "large").unlink()
        self.second = self.ask("snapshot", name="named")["commit"]
        (self.live / "file").write_bytes(b"third")
        self.third = self.newest()

    def ask(self, operation: str, **arguments: Any) -> Any:
        async def main() -> Any:
            async with reached(os.fspath(self.mount.repo)) as found:
                return await found.ask(operation, **arguments)

        return trio.run(main)

    def newest(self) -> str:
        async def main() -> str:
            async with reached(os.fspath(self.mount.repo)) as found, found.call("log", count=1) as call:
                await call.end()
                (commits,) = [part async for part in call.answers()]
                return str(commits[0]["commit"])

        return trio.run(main)

    def path(self, commit: str) -> Path:
        return self.live / ".mfs" / "commits" / commit


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Past]:
    repo = tmp_path_factory.mktemp("commits") / "repo"
    with mounted(repo, filesystem="mfs.tests.recording:Recording") as mount:
        yield Past(mount)


def failing(call: Callable[[], object]) -> int:
    with pytest.raises(OSError) as caught:
        call()
    return caught.value.errno or 0


def test_every_commit_is_there_by_its_cid_the_newest_too(past: Past) -> None:
    found = [(past.path(commit) / "file").read_bytes() for commit in (past.first, past.second, past.third)]
    assert found == [b"first", b"second", b"third"]
    assert (past.path(past.first) / "d" / "large").read_bytes() == DATA
    assert sorted(os.listdir(past.path(past.first))) == ["d", "file"]
    assert (past.path(past.first) / "d").stat().st_gid == 8
    assert (past.live / ".mfs" / "snapshots" / "named" / "file").read_bytes() == b"second"


def test_the_newest_stays_what_it_was_when_another_comes(past: Past) -> None:
    (past.live / "more").write_bytes(b"more")
    commit = past.newest()
    assert (past.path(commit) / "more").read_bytes() == b"more"
    (past.live / "more").unlink()
    assert past.newest() != commit
    assert (past.path(commit) / "more").read_bytes() == b"more"


def test_they_are_not_listed_and_lead_back_up(past: Past) -> None:
    assert failing(lambda: os.listdir(past.live / ".mfs" / "commits")) == errno.EPERM
    before = os.getcwd()
    try:
        os.chdir(past.path(past.first) / "d")
        assert os.getcwd() == str(past.path(past.first) / "d")
        os.chdir("../../..")
        assert os.getcwd() == str(past.live / ".mfs")
    finally:
        os.chdir(before)


def test_the_trees_of_keys_are_in_there_as_they_were(past: Past) -> None:
    name = past.ask("key-new", called="self")["name"]
    page = past.live / ".mfs" / "ipns" / name / "page"
    page.write_bytes(b"then")
    commit = past.newest()
    page.write_bytes(b"now")
    past.newest()
    assert (past.path(commit) / ".mfs" / "ipns" / name / "page").read_bytes() == b"then"
    assert os.listdir(past.path(commit) / ".mfs") == ["ipns"]
    assert os.listdir(past.path(past.first) / ".mfs") == []
    assert ".mfs" not in os.listdir(past.path(commit))
    shutil.copyfile(past.path(commit) / ".mfs" / "ipns" / "local" / "page", page)
    assert page.read_bytes() == b"then"
    page.unlink()
    past.ask("key-remove", called="self")


@pytest.mark.parametrize(
    "change",
    [
        lambda top: (top / "file").write_bytes(b""),
        lambda top: (top / "file").unlink(),
        lambda top: (top / "file").chmod(0o600),
        lambda top: (top / "new").mkdir(),
        lambda top: (top.parent / "new").mkdir(),
        lambda top: top.rmdir(),
    ],
)
def test_nothing_in_them_can_be_changed(past: Past, change: Callable[[Path], object]) -> None:
    assert failing(lambda: change(past.path(past.first))) == errno.EROFS


def test_a_copy_out_of_one_is_one_message(past: Past) -> None:
    source, target = past.path(past.first) / "d" / "large", past.live / "back"
    asked(past.mount)
    subprocess.run(["cp", source, target], check=True)
    assert asked(past.mount) == [Asked("copy_file_range_64", 0, len(DATA))]
    assert target.read_bytes() == DATA


def test_what_only_looks_like_a_commit_is_none(past: Past) -> None:
    another = "a" if past.first[-1] != "a" else "e"
    for name in ("head", "named", "bafkqaaa", past.first[:20], past.first[:-1] + another):
        assert failing((past.live / ".mfs" / "commits" / name).stat) == errno.ENOENT
    forged = {"root": "bafkqaaa", "meta": None, "previous": past.first, "time": 1, "next_ino": 99, "log": 1}
    (past.live / "forged").write_text(json.dumps(forged))
    cid = os.getxattr(past.live / "forged", "ipfs.cid").decode()
    assert failing(past.path(cid).stat) == errno.ENOENT


def test_one_that_somebody_looks_at_outlives_garbage_collection(past: Past) -> None:
    (past.live / "kept").write_bytes(b"kept")
    commit = past.newest()
    (past.live / "kept").unlink()
    other = past.newest()
    (past.live / "another").touch()
    past.newest()
    with (past.path(commit) / "kept").open("rb") as file:
        past.ask("collect")
        assert file.read() == b"kept"
    assert (past.path(commit) / "kept").read_bytes() == b"kept"
    assert failing(past.path(other).stat) == errno.ENOENT
