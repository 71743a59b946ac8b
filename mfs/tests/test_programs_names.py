"""What programs do to names: odd and long ones, links, renames, large directories."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mfs.tests.mounting import Mount
from mfs.tests.programs import run

pytestmark = pytest.mark.kernel("root")

MANY = 20_000
LISTED = 5000


def names(directory: Path) -> set[bytes]:
    """What a listing shows, each once."""
    found = os.listdir(os.fsencode(directory))
    assert len(found) == len(set(found))
    return set(found)


# -- names --------------------------------------------------------------------------------------------------------


def test_names_of_any_bytes_but_slash_and_nul(mfs_mount: Mount) -> None:
    top = os.fsencode(mfs_mount.path)
    wanted = {bytes([byte]) for byte in range(1, 256) if byte not in b"/."}
    wanted |= {b"...", b"\xff" * 255, b"\xc3\xa9", b"e\xcc\x81", b" ", b"-rf", b"%s", bytes(range(1, 47))}
    for name in wanted:
        with open(top + b"/" + name, "wb") as file:
            file.write(name)
    assert names(mfs_mount.path) == wanted
    os.getxattr(top, "ipfs.cid")
    mfs_mount.remount()
    assert names(mfs_mount.path) == wanted
    for name in wanted:
        with open(top + b"/" + name, "rb") as file:
            assert file.read() == name


def test_names_have_up_to_255_bytes_in_every_call(mfs_mount: Mount) -> None:
    good, bad = mfs_mount.path / ("n" * 255), mfs_mount.path / ("n" * 256)
    good.write_bytes(b"x")
    for call in (
        lambda: bad.stat(),
        lambda: bad.write_bytes(b""),
        lambda: bad.mkdir(),
        lambda: bad.symlink_to("x"),
        lambda: os.link(good, bad),
        lambda: good.rename(bad),
        lambda: bad.rename(good),
        lambda: os.mkfifo(bad),
        lambda: bad.unlink(),
        lambda: bad.rmdir(),
    ):
        with pytest.raises(OSError) as caught:
            call()
        assert caught.value.errno == errno.ENAMETOOLONG
    good.rename(mfs_mount.path / ("m" * 255))
    mfs_mount.remount()
    assert os.listdir(mfs_mount.path) == ["m" * 255]


def test_long_paths_and_deep_directories(mfs_mount: Mount) -> None:
    fds = [os.open(mfs_mount.path, os.O_RDONLY)]
    for _ in range(100):
        os.mkdir("d" * 200, dir_fd=fds[-1])
        fds.append(os.open("d" * 200, os.O_RDONLY, dir_fd=fds[-1]))
    with open(os.open("bottom", os.O_CREAT | os.O_WRONLY, dir_fd=fds[-1]), "wb") as file:
        file.write(b"deep")
    for fd in fds:
        os.close(fd)
    mfs_mount.remount()
    assert run("find", mfs_mount.path, "-name", "bottom", "-printf", "%d %s") == "101 4"
    run("rm", "-r", mfs_mount.path / ("d" * 200))
    assert os.listdir(mfs_mount.path) == []


# -- links --------------------------------------------------------------------------------------------------------


def test_symbolic_links_keep_their_targets_to_the_byte(mfs_mount: Mount) -> None:
    targets = [b"a", b"../up", b"/absolute//path/", b"\xff\x01", b"x" * 4095]
    for number, target in enumerate(targets):
        os.symlink(target, os.fsencode(mfs_mount.path) + b"/%d" % number)
    for _ in range(2):
        for number, target in enumerate(targets):
            link = os.fsencode(mfs_mount.path) + b"/%d" % number
            assert os.readlink(link) == target
            assert os.lstat(link).st_size == len(target)
        mfs_mount.remount()


def test_symbolic_links_are_followed_inside_and_out(mfs_mount: Mount, tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"outside")
    (mfs_mount.path / "directory").mkdir()
    (mfs_mount.path / "out").symlink_to(tmp_path)
    (mfs_mount.path / "in").symlink_to("directory")
    (mfs_mount.path / "in" / "file").write_bytes(b"inside")
    assert (mfs_mount.path / "out" / "outside").read_bytes() == b"outside"
    assert (mfs_mount.path / "directory" / "file").read_bytes() == b"inside"
    (mfs_mount.path / "loop").symlink_to("loop")
    with pytest.raises(OSError) as caught:
        (mfs_mount.path / "loop").read_bytes()
    assert caught.value.errno == errno.ELOOP


def test_hard_links_are_one_file_under_several_names(mfs_mount: Mount) -> None:
    top = mfs_mount.path
    (top / "sub").mkdir()
    one, two, three = top / "one", top / "sub" / "two", top / "three"
    one.write_bytes(b"first")
    os.link(one, two)
    os.link(two, three)
    assert one.stat() == two.stat() == three.stat()
    assert one.stat().st_nlink == 3
    two.write_bytes(b"second")
    three.chmod(0o600)
    assert one.read_bytes() == b"second"
    mfs_mount.remount()
    assert one.stat().st_ino == two.stat().st_ino == three.stat().st_ino
    one.unlink()
    three.rename(top / "sub" / "three")
    assert (two.stat().st_nlink, two.stat().st_mode & 0o777) == (2, 0o600)
    two.rename(top / "sub" / "three")  # Two names of one file: nothing happens.
    assert sorted(os.listdir(top / "sub")) == ["three", "two"]
    mfs_mount.remount()
    with open(two, "ab") as file:
        file.write(b" third")
    assert (top / "sub" / "three").read_bytes() == b"second third"
    two.unlink()
    assert (top / "sub" / "three").stat().st_nlink == 1
    with pytest.raises(PermissionError):
        os.link(top / "sub", top / "directory")


# -- renaming -----------------------------------------------------------------------------------------------------


def test_renaming_a_directory_in_use(mfs_mount: Mount) -> None:
    top = mfs_mount.path
    (top / "a" / "b").mkdir(parents=True)
    (top / "other").mkdir()
    (top / "a" / "b" / "file").write_bytes(b"one")
    code = """
import os, sys
os.chdir(sys.argv[1])
print(flush=True)
sys.stdin.read(1)
print(os.getcwd(), open("file").read())
"""
    with open(top / "a" / "b" / "file", "r+b", buffering=0) as file:
        with subprocess.Popen(
            [sys.executable, "-c", code, top / "a" / "b"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as inside:
            assert inside.stdout is not None
            inside.stdout.readline()
            (top / "a").rename(top / "other" / "moved")
            file.write(b"two")
            said, _ = inside.communicate("x")
        assert said.split() == [str(top / "other" / "moved" / "b"), "two"]
        (top / "other" / "moved" / "b" / "new").write_bytes(b"new")
    assert os.listdir(top) == ["other"]
    assert (top.stat().st_nlink, (top / "other").stat().st_nlink) == (3, 3)
    assert (top / "other" / "moved" / "b" / "..").stat().st_ino == (top / "other" / "moved").stat().st_ino
    mfs_mount.remount()
    assert sorted(os.listdir(top / "other" / "moved" / "b")) == ["file", "new"]


def test_renaming_over_existing_targets(mfs_mount: Mount, tmp_path: Path) -> None:
    outcomes = []
    for top in (mfs_mount.path, tmp_path):
        for name in ("file", "other", "empty", "full", "link"):
            for into in ("file", "empty", "full", "link", "missing", "full/inside"):
                place = top / f"{name} {into.replace('/', ' ')}"
                place.mkdir()
                (place / "full" / "inside").mkdir(parents=True)
                (place / "empty").mkdir()
                (place / "file").write_bytes(b"file")
                (place / "other").write_bytes(b"other")
                (place / "link").symlink_to("file")
                try:
                    os.rename(place / name, place / into)
                except OSError as error:
                    outcomes.append((top, name, into, error.errno, 0))
                else:
                    outcomes.append((top, name, into, 0, place.stat().st_nlink))
    half = len(outcomes) // 2
    assert [one[1:] for one in outcomes[:half]] == [one[1:] for one in outcomes[half:]]
    listing = run("find", ".", "-printf", "%P %y %n %l\\n", cwd=tmp_path).splitlines()
    assert sorted(run("find", ".", "-printf", "%P %y %n %l\\n", cwd=mfs_mount.path).splitlines()) == sorted(listing)
    mfs_mount.remount()
    assert sorted(run("find", ".", "-printf", "%P %y %n %l\\n", cwd=mfs_mount.path).splitlines()) == sorted(listing)


def test_a_name_is_there_at_every_moment_while_it_is_replaced(mfs_mount: Mount) -> None:
    path = mfs_mount.path / "file"
    path.write_bytes(b"0")
    code = "import sys\nwhile True:\n  open(sys.argv[1]).read()\n  sys.stdout.write('.'); sys.stdout.flush()"
    with subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        reader.stdout.read(10)
        for number in range(300):
            new = mfs_mount.path / f"new{number}"
            new.write_bytes(b"%d" % number)
            new.rename(path)
        assert reader.poll() is None
        reader.kill()


# -- large directories --------------------------------------------------------------------------------------------


def fill(directory: Path, count: int) -> set[bytes]:
    directory.mkdir()
    made = {b"entry %d" % number for number in range(count)}
    fd = os.open(directory, os.O_RDONLY)
    for name in made:
        os.close(os.open(name, os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
    return made


def test_a_directory_of_20_000_entries_is_listed_walked_and_removed(mfs_mount: Mount) -> None:
    directory = mfs_mount.path / "many"
    made = fill(directory, MANY)
    assert names(directory) == made
    assert len(run("find", directory, "-type", "f", "-size", "0").splitlines()) == MANY
    os.getxattr(directory, "ipfs.cid")
    assert names(directory) == made
    mfs_mount.remount()
    assert names(directory) == made
    assert len(run("ls", "-lU", directory).splitlines()) == MANY + 1
    run("rm", "-r", directory)
    assert os.listdir(mfs_mount.path) == []


def test_a_listing_shows_what_stays_once_while_others_come_and_go(mfs_mount: Mount) -> None:
    directory = mfs_mount.path / "many"
    stays = fill(directory, LISTED)
    code = """
import os, sys
os.chdir(sys.argv[1])
number = 0
print(flush=True)
while True:
    number += 1
    os.close(os.open("passing %d" % number, os.O_CREAT | os.O_WRONLY))
    if number > 50:
        os.unlink("passing %d" % (number - 50))
"""
    with subprocess.Popen([sys.executable, "-c", code, directory], stdout=subprocess.PIPE) as changing:
        assert changing.stdout is not None
        changing.stdout.readline()
        until = time.monotonic() + 2
        while time.monotonic() < until:
            found = os.listdir(os.fsencode(directory))
            assert len(found) == len(set(found))
            assert stays <= set(found)
        assert changing.poll() is None
        changing.kill()
    mfs_mount.remount()
    assert stays <= names(directory)


def test_deleting_while_listing_misses_nothing(mfs_mount: Mount) -> None:
    directory = mfs_mount.path / "many"
    fill(directory, LISTED)
    with os.scandir(directory) as entries:
        for entry in entries:
            os.unlink(entry.path)
    assert os.listdir(directory) == []
    directory.rmdir()
