"""`mfs mount --ipfs DIR --ipns DIR`: three places, one file system."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mfs.repo import holder_of
from mfs.tests.commanding import MFS, Place, new_place, until
from rawfuse.mount import find_mount

pytestmark = pytest.mark.kernel("root")


class Beside(Place):
    """A place with directories for CIDs and keys."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.ipfs, self.ipns = path / "ipfs", path / "ipns"
        self.ipfs.mkdir()
        self.ipns.mkdir()

    @property
    def all(self) -> tuple[Path, Path, Path]:
        return self.ipfs, self.ipns, self.mnt

    def standing(self) -> list[bool]:
        return [find_mount(path) is not None for path in self.all]

    def mount_all(self) -> subprocess.CompletedProcess[str]:
        ran = self.mfs("mount", "--ipfs", self.ipfs, "--ipns", self.ipns, self.mnt)
        assert (ran.returncode, ran.stderr) == (0, "")
        return ran


@pytest.fixture
def place() -> Iterator[Beside]:
    with new_place() as plain:
        plain.mnt.rmdir()
        plain.home.rmdir()
        yield Beside(plain.path)


def test_it_says_what_is_where_and_mounts_all(place: Beside) -> None:
    ran = place.mount_all()
    assert ran.stdout.splitlines() == [
        f"IPFS mounted at: {place.ipfs}",
        f"IPNS mounted at: {place.ipns}",
        f"MFS  mounted at: {place.mnt}",
    ]
    assert place.standing() == [True, True, True]
    assert len({os.stat(path).st_dev for path in place.all}) == 1


def test_a_copy_from_the_cids_stores_nothing_and_keeps_the_cid(place: Beside) -> None:
    place.mount_all()
    (place.mnt / "a").write_bytes(os.urandom(3 << 20))
    cid = os.getxattr(place.mnt / "a", "ipfs.cid").decode()
    before = _segments(place.repo)
    subprocess.run(["cp", place.ipfs / cid, place.mnt / "b"], check=True)
    assert os.getxattr(place.mnt / "b", "ipfs.cid").decode() == cid
    os.getxattr(place.mnt, "ipfs.cid")
    assert _segments(place.repo) == before


def test_the_cids_are_a_read_only_mount_and_a_link_across_is_another_device(place: Beside) -> None:
    place.mount_all()
    entry = find_mount(place.ipfs)
    assert entry is not None
    assert "ro" in entry.options
    (place.mnt / "a").write_bytes(b"x")
    cid = os.getxattr(place.mnt / "a", "ipfs.cid").decode()
    with pytest.raises(OSError, match="Invalid cross-device link"):
        os.link(place.ipfs / cid, place.mnt / "b")
    with pytest.raises(OSError, match="Invalid cross-device link"):
        os.rename(place.mnt / "a", place.ipns / "a")


def test_the_name_of_somebody_else_leads_to_the_place_of_the_cids(place: Beside) -> None:
    name = "k51qzi5uqu5dlkw8pxuw9qmqayfdeh4kfebhmreauqdc6a7c3y7d5i9fi8mk9w"
    records = json.loads((Path(__file__).parent / "data" / "ipns-records.json").read_text())["conformance"]
    record = next(one["record"] for one in records if one["name"] == name)
    (place.path / f"{name}.ipns-record").write_bytes(base64.b64decode(record))
    place.mount_all()
    ran = place.mfs("name", "import", f"{name}.ipns-record")
    cid = "bafkqaddwgevxmmraojswg33smq"
    assert (ran.returncode, ran.stdout) == (0, f"{name}\t/ipfs/{cid}\n")
    for keys in (place.ipns, place.mnt / ".mfs" / "ipns"):
        assert os.readlink(keys / name) == f"{place.ipfs}/{cid}"
        assert (keys / name).read_bytes() == b"v1+v2 record"


@pytest.mark.parametrize("which", [0, 1, 2])
def test_umount_of_one_is_umount_of_all(place: Beside, which: int) -> None:
    place.mount_all()
    ran = place.mfs("umount", place.all[which])
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert place.standing() == [False, False, False]
    assert holder_of(place.repo) is None


@pytest.mark.parametrize("which", [0, 1, 2])
def test_where_one_is_in_use_all_stay(place: Beside, which: int) -> None:
    place.mount_all()
    fd = os.open(place.all[which], os.O_RDONLY | os.O_DIRECTORY)
    try:
        ran = place.mfs("umount", place.mnt)
        assert ran.returncode == 1
        assert f"{place.all[which]} is busy" in ran.stderr
        assert f"process {os.getpid()}" in ran.stderr
        assert place.standing() == [True, True, True]
        entry = find_mount(place.ipfs)
        assert entry is not None
        assert "ro" in entry.options
    finally:
        os.close(fd)
    assert place.mfs("umount", place.mnt).returncode == 0


def test_a_signal_takes_all_away(place: Beside) -> None:
    place.mount_all()
    server = holder_of(place.repo)
    assert server is not None
    os.kill(server, signal.SIGTERM)
    assert until(lambda: holder_of(place.repo) is None)
    assert place.standing() == [False, False, False]


def test_dead_mounts_are_cleared_away(place: Beside) -> None:
    place.mount_all()
    server = holder_of(place.repo)
    assert server is not None
    os.kill(server, signal.SIGKILL)
    assert until(lambda: holder_of(place.repo) is None)
    place.mount_all()
    assert place.standing() == [True, True, True]
    os.listdir(place.mnt)
    assert place.mfs("umount", place.mnt).returncode == 0
    assert place.standing() == [False, False, False]


def test_what_cannot_be_mounted_leaves_nothing_mounted(place: Beside) -> None:
    for words, why in (
        (("--ipfs", place.path / "absent"), "does not exist"),
        (("--ipfs", place.ipfs, "--ipns", place.ipfs), "is named twice"),
        (("--ipfs", place.path), "lies beneath"),
    ):
        ran = place.mfs("mount", *words, place.mnt)
        assert ran.returncode == 1
        assert why in ran.stderr
        assert place.standing() == [False, False, False]


def test_run_has_places_of_its_own(place: Beside) -> None:
    cid = "import os, sys; print(os.getxattr(sys.argv[1], 'ipfs.cid').decode())"
    script = (
        f'echo hello > $MFS/a; cid=$("$PYTHON" -c "{cid}" $MFS/a);'
        " cat $IPFS/$cid; cp $IPFS/$cid $MFS/b; cat $MFS/b; ls $IPNS"
    )
    ran = place.mfs("run", "--ipfs", "--ipns", "--", "sh", "-c", script, PYTHON=MFS[0])
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "hello\nhello\n", "")


def _segments(repo: Path) -> int:
    return sum(path.stat().st_blocks for path in (repo / "segments").rglob("*") if path.is_file())


def test_run_has_them_without_root_too(place: Beside) -> None:
    place.home.mkdir(exist_ok=True)
    ran = place.ordinary("mfs run --ipfs --ipns -- sh -c 'ls -d $IPFS/bafkqaaa | grep -o bafkqaaa; ls -A $IPNS'")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "bafkqaaa\n", "")


@pytest.mark.kernel("root", programs=("fusermount3",))
def test_without_root_the_helper_mounts_nothing_beside(place: Beside) -> None:
    place.home.mkdir(exist_ok=True)
    ran = place.ordinary("mkdir m i; mfs mount --ipfs i m; grep -c $PWD /proc/self/mountinfo")
    assert "bind mount, which takes root" in ran.stderr
    assert ran.stdout == "0\n"
