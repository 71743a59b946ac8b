"""cp, mv, rm, tar, rsync, find and dd: inside the mount as on the local disk."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from mfs.tests.mounting import Mount
from mfs.tests.programs import pattern, plant, run, tree

pytestmark = pytest.mark.kernel("root", programs=("cp", "mv", "rm", "find", "dd"))


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """One of everything, on the local disk."""
    return plant(tmp_path / "planted")


def test_cp_a_brings_everything_in_and_out_again(mfs_mount: Mount, planted: Path, tmp_path: Path) -> None:
    run("cp", "-a", planted, mfs_mount.path / "in")
    assert tree(mfs_mount.path / "in") == tree(planted)
    run("cp", "-a", mfs_mount.path / "in", tmp_path / "out")
    assert tree(tmp_path / "out") == tree(planted)


def test_cp_a_inside_the_mount_and_across_a_remount(mfs_mount: Mount, planted: Path) -> None:
    run("cp", "-a", planted, mfs_mount.path / "in")
    run("cp", "-a", mfs_mount.path / "in", mfs_mount.path / "again")
    assert tree(mfs_mount.path / "again") == tree(planted)
    mfs_mount.remount()
    assert tree(mfs_mount.path / "in") == tree(mfs_mount.path / "again") == tree(planted)


def test_cp_over_an_existing_file_of_any_length(mfs_mount: Mount, tmp_path: Path) -> None:
    for top in (mfs_mount.path, tmp_path):
        for number, (old, new) in enumerate([(0, 5000), (3 << 20, 5000), (5000, 3 << 20), (5000, 0)]):
            source, target = top / f"source{number}", top / f"target{number}"
            source.write_bytes(pattern(new, number))
            target.write_bytes(pattern(old, number + 10))
            run("cp", source, target)
    assert tree(mfs_mount.path, times=False) == tree(tmp_path, times=False)


def test_mv_inside_out_and_in(mfs_mount: Mount, planted: Path, tmp_path: Path) -> None:
    before = tree(planted)
    shutil.copytree(planted, tmp_path / "kept", symlinks=True, ignore=shutil.ignore_patterns("fifo"))
    run("mv", planted, mfs_mount.path / "in")
    assert not planted.exists()
    run("mv", mfs_mount.path / "in", mfs_mount.path / "inside")
    run("mv", mfs_mount.path / "inside" / "a", mfs_mount.path / "inside" / "sticky" / "moved")
    run("mv", mfs_mount.path / "inside" / "sticky" / "moved", mfs_mount.path / "inside" / "a")
    after = tree(mfs_mount.path / "inside")
    # The directories that had an entry moved have another time now.
    for name in (b"sticky",):
        before[name] = before[name]._replace(mtime=0)
        after[name] = after[name]._replace(mtime=0)
    assert after == before
    run("mv", mfs_mount.path / "inside", tmp_path / "out")
    assert tree(tmp_path / "out", times=False) == {n: f._replace(mtime=0) for n, f in before.items()}
    assert os.listdir(mfs_mount.path) == []


def test_rm_r_leaves_an_empty_directory(mfs_mount: Mount, planted: Path) -> None:
    run("cp", "-a", planted, mfs_mount.path / "in")
    run("rm", "-r", mfs_mount.path / "in")
    assert os.listdir(mfs_mount.path) == []
    assert os.stat(mfs_mount.path).st_nlink == 2


@pytest.mark.kernel(programs=("tar",))
def test_tar_creates_extracts_and_extracts_over_what_is_there(mfs_mount: Mount, planted: Path, tmp_path: Path) -> None:
    run("tar", "-C", planted, "-cf", mfs_mount.path / "archive.tar", ".")
    for top in (mfs_mount.path / "in", tmp_path / "out"):
        top.mkdir()
        run("tar", "-C", top, "-xpf", mfs_mount.path / "archive.tar")
        (top / "leaves").write_bytes(b"something else")
        (top / "link").unlink()
        (top / "link").write_bytes(b"a file where a link was")
        run("tar", "-C", top, "-xpf", mfs_mount.path / "archive.tar")
    # An archive without --format=posix has whole seconds.
    expected = tree(tmp_path / "out")
    assert tree(mfs_mount.path / "in") == expected
    assert {n: f._replace(mtime=0) for n, f in expected.items()} == tree(planted, times=False)
    run("tar", "-C", mfs_mount.path / "in", "-cf", tmp_path / "from-mount.tar", "--sort=name", ".")
    run("tar", "-C", tmp_path / "out", "-cf", tmp_path / "from-disk.tar", "--sort=name", ".")
    assert (tmp_path / "from-mount.tar").read_bytes() == (tmp_path / "from-disk.tar").read_bytes()


@pytest.mark.kernel(programs=("tar",))
def test_tar_notices_no_file_that_changed_while_it_reads(mfs_mount: Mount, planted: Path) -> None:
    run("cp", "-a", planted, mfs_mount.path / "in")
    assert run("tar", "-C", mfs_mount.path, "-cf", mfs_mount.path / "a.tar", "in") == ""
    assert run("tar", "-C", mfs_mount.path, "-df", mfs_mount.path / "a.tar") == ""


@pytest.mark.kernel(programs=("rsync",))
def test_rsync_a_in_and_out_and_finds_nothing_to_do_again(mfs_mount: Mount, planted: Path, tmp_path: Path) -> None:
    run("rsync", "-aH", f"{planted}/", mfs_mount.path / "in")
    assert tree(mfs_mount.path / "in") == tree(planted)
    assert run("rsync", "-aHi", f"{planted}/", mfs_mount.path / "in") == ""
    assert run("rsync", "-aHic", f"{planted}/", mfs_mount.path / "in") == ""
    run("rsync", "-aH", f"{mfs_mount.path}/in/", tmp_path / "out")
    assert tree(tmp_path / "out") == tree(planted)


@pytest.mark.kernel(programs=("rsync",))
@pytest.mark.parametrize("how", ["--inplace", "--no-inplace", "--append-verify"])
def test_rsync_updates_changed_files(mfs_mount: Mount, tmp_path: Path, how: str) -> None:
    source = tmp_path / "source"
    source.mkdir()
    old = pattern(3 << 20)
    (source / "file").write_bytes(old)
    run("rsync", "-a", f"{source}/", mfs_mount.path / "in")
    changed = old + b"more" if how == "--append-verify" else old[:100] + b"new" + old[200:-5] + old[: 1 << 19]
    (source / "file").write_bytes(changed)
    (source / "second").write_bytes(b"2")
    run("rsync", "-a", "--no-whole-file", how, f"{source}/", mfs_mount.path / "in")
    assert tree(mfs_mount.path / "in") == tree(source)


@pytest.mark.kernel(programs=("rsync",))
def test_rsync_deletes_and_backs_up(mfs_mount: Mount, planted: Path, tmp_path: Path) -> None:
    for top in (mfs_mount.path / "in", tmp_path / "out"):
        run("rsync", "-aH", f"{planted}/", top)
    (planted / "one").unlink()
    shutil.rmtree(planted / "a")
    (planted / "leaf").write_bytes(b"short")
    for top in (mfs_mount.path / "in", tmp_path / "out"):
        run("rsync", "-aH", "--delete", "--backup", "--suffix=.old", f"{planted}/", top)
    assert tree(mfs_mount.path / "in", times=False) == tree(tmp_path / "out", times=False)


def test_find_sees_the_same_as_on_disk(mfs_mount: Mount, planted: Path) -> None:
    run("cp", "-a", planted, mfs_mount.path / "in")
    for tests in (
        ["-printf", "%P %y %m %n %l %T@ %U %G\\0"],
        ["-type", "l", "-print0"],
        ["-size", "+100k", "-type", "f", "-print0"],
        ["-newermt", "2001-09-09 01:47:30", "-print0"],
        ["-perm", "-111", "-print0"],
        ["-empty", "-print0"],
        ["-samefile", "one", "-print0"],
    ):
        on_mount = run("find", ".", *tests, cwd=mfs_mount.path / "in").split("\0")
        assert sorted(on_mount) == sorted(run("find", ".", *tests, cwd=planted).split("\0")), tests


def test_find_delete_removes_a_tree(mfs_mount: Mount, planted: Path) -> None:
    run("cp", "-a", planted, mfs_mount.path / "in")
    run("find", mfs_mount.path / "in", "-delete")
    assert os.listdir(mfs_mount.path) == []


@pytest.mark.parametrize(
    "options",
    [
        ["bs=64k"],
        ["bs=4097", "count=300"],
        ["bs=4k", "count=300", "conv=notrunc", "seek=77"],
        ["bs=1M", "conv=fsync"],
        ["bs=512", "count=9", "oflag=append", "conv=notrunc"],
        ["bs=4k", "conv=sparse"],
        ["bs=4k", "count=64", "iflag=direct", "oflag=direct"],
        ["bs=4k", "count=1", "seek=500", "oflag=sync,dsync"],
    ],
    ids=lambda options: " ".join(options),
)
def test_dd(mfs_mount: Mount, tmp_path: Path, options: list[str]) -> None:
    for top in (mfs_mount.path, tmp_path):
        (top / "in").write_bytes(pattern(1 << 20) + bytes(1 << 20) + pattern(1 << 20, 1))
        (top / "out").write_bytes(pattern(100_000, 2))
        run("dd", f"if={top}/in", f"of={top}/out", "status=none", *options)
    assert (mfs_mount.path / "out").read_bytes() == (tmp_path / "out").read_bytes()
