"""What programs may rely on below /ipfs, and cannot with every mount of kubo: calls as they are made, one by one."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio

from mfs.fuse import MFS
from mfs.tests.foreign import Foreign
from mfs.tests.mounting import mounted
from mfs.tests.programs import pattern
from mfs.tests.recording import Recording, asked
from mfs.unixfs.cid import CID, cid_str
from mfs.unixfs.data import DataType, Mtime, UnixFSData
from mfs.unixfs.profile import DEFAULT_PROFILE
from mfs.volume import Volume
from rawfuse import wire
from rawfuse.filesystem import Reply

pytestmark = pytest.mark.kernel("root")

BLOCKS = Foreign()
DATA = pattern(5000)
FILE = BLOCKS.raw(DATA)
SET_USER_ID = BLOCKS.over([BLOCKS.raw(DATA)], mode=0o6751, mtime=Mtime(-5, 7))
NO_MODE = BLOCKS.over([BLOCKS.raw(DATA)], mode=0, mtime=Mtime(1 << 62, 0))
DEEP = BLOCKS.listed(DEFAULT_PROFILE, {"b": BLOCKS.listed(DEFAULT_PROFILE, {"c": FILE})})
TOP = BLOCKS.listed(DEFAULT_PROFILE, {"a": DEEP, "file": FILE, "link": BLOCKS.symlink(DEFAULT_PROFILE, b"a/b/c")})
STICKY = BLOCKS.node([], UnixFSData(DataType.Directory, mode=0o1777))


class Looking(Recording):
    """Writes down what the kernel asks about names and attributes as well."""

    def lookup(self, request: wire.Lookup) -> Reply:
        self.record("lookup", 0, 0)
        return MFS.lookup(self, request)

    def getattr(self, request: wire.GetAttr) -> Reply:
        self.record("getattr", 0, 0)
        return MFS.getattr(self, request)


class Shelf:
    def __init__(self, path: Path) -> None:
        self.ipfs = path / ".mfs" / "ipfs"

    def path(self, cid: CID) -> Path:
        return self.ipfs / cid_str(cid)

    @property
    def top(self) -> Path:
        return self.path(TOP.cid)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    repo = tmp_path_factory.mktemp("contracts") / "repo"
    with Volume.open(repo) as volume:
        for cid, block in BLOCKS.items():
            volume.store.put(cid, block)
        trio.run(volume.flush)
        trio.run(volume.commit)
    with mounted(repo) as mount:
        yield Shelf(mount.path)


def failing(call: Callable[[], object]) -> int:
    with pytest.raises(OSError) as caught:
        call()
    return caught.value.errno or 0


@pytest.mark.parametrize(
    "change",
    [
        lambda top: (top / "new").mkdir(),
        lambda top: (top / "new").touch(),
        lambda top: (top / "new").symlink_to("x"),
        lambda top: os.mknod(top / "new", stat.S_IFIFO | 0o644),
        lambda top: (top / cid_str(FILE.cid)).unlink(),
        lambda top: (top / cid_str(TOP.cid)).rmdir(),
        lambda top: (top / cid_str(FILE.cid)).rename(top / "new"),
        lambda top: os.link(top / cid_str(FILE.cid), top / "new"),
        lambda top: top.chmod(0o755),
        lambda top: os.utime(top),
        lambda top: os.setxattr(top, "user.x", b"y"),
        lambda top: os.open(top, os.O_TMPFILE | os.O_RDWR),
    ],
)
def test_the_root_refuses_every_change(shelf: Shelf, change: Callable[[Path], object]) -> None:
    assert failing(lambda: change(shelf.ipfs)) == errno.EROFS


@pytest.mark.parametrize(
    "flags", [os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_TRUNC, os.O_WRONLY | os.O_APPEND, os.O_RDWR | os.O_CREAT]
)
def test_no_file_is_opened_for_writing(shelf: Shelf, flags: int) -> None:
    assert failing(lambda: os.open(shelf.top / "file", flags)) == errno.EROFS
    assert (shelf.top / "file").read_bytes() == DATA


@pytest.mark.parametrize(
    ("call", "name"), [(os.unlink, "file"), (os.unlink, "link"), (os.rmdir, "a"), (os.remove, "a/b/c")]
)
def test_nothing_is_removed_and_that_is_said(shelf: Shelf, call: Callable[[Path], object], name: str) -> None:
    assert failing(lambda: call(shelf.top / name)) == errno.EROFS
    assert (shelf.top / name).lstat()


def test_the_cid_cannot_be_set_or_removed_and_says_when_a_buffer_is_short(shelf: Shelf) -> None:
    path = shelf.top / "file"
    assert failing(lambda: os.setxattr(path, "ipfs.cid", b"x")) == errno.EROFS
    assert failing(lambda: os.removexattr(path, "ipfs.cid")) == errno.EROFS
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(100)
    size = len(cid_str(FILE.cid))
    for length, result in ((0, size), (size, size), (100, size), (size - 1, -1)):
        assert libc.getxattr(os.fsencode(path), b"ipfs.cid", buffer, length) == result
    assert ctypes.get_errno() == errno.ERANGE
    assert libc.listxattr(os.fsencode(path), buffer, 3) == -1
    assert ctypes.get_errno() == errno.ERANGE


def test_nobody_gets_other_rights_by_what_was_stored(shelf: Shelf) -> None:
    assert stat.S_IMODE(shelf.path(SET_USER_ID.cid).stat().st_mode) == 0o751
    assert stat.S_IMODE(shelf.path(STICKY.cid).stat().st_mode) == 0o1777
    assert stat.S_IMODE(shelf.path(NO_MODE.cid).stat().st_mode) == 0o444


def test_a_time_before_1970_is_0_and_one_too_late_is_the_last(shelf: Shelf) -> None:
    assert shelf.path(SET_USER_ID.cid).stat().st_mtime_ns == 0
    assert shelf.path(NO_MODE.cid).stat().st_mtime_ns == (1 << 63) - 1


def test_sizes_are_as_programs_count_them(shelf: Shelf) -> None:
    found = (shelf.top / "file").stat()
    assert (found.st_size, found.st_blocks, found.st_blksize) == (5000, 10, 1 << 20)
    assert os.statvfs(shelf.top).f_blocks == os.statvfs(shelf.ipfs / ".." / "..").f_blocks


def test_paths_links_and_working_directories_lead_on(shelf: Shelf) -> None:
    assert (shelf.top / "a" / "b" / "c").read_bytes() == DATA
    assert (shelf.top / "link").read_bytes() == DATA
    assert failing(lambda: (shelf.top / "file" / "x").stat()) == errno.ENOTDIR
    before = os.getcwd()
    try:
        os.chdir(shelf.top / "a" / "b")
        assert os.getcwd() == str(shelf.top / "a" / "b")
        assert os.listdir(".") == ["c"]
    finally:
        os.chdir(before)


def test_reading_in_every_way(shelf: Shelf) -> None:
    with (shelf.top / "file").open("rb") as file:
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            assert mapped[:] == DATA
        fcntl.flock(file, fcntl.LOCK_EX)
        fcntl.lockf(file, fcntl.LOCK_SH)
        os.fsync(file.fileno())
        assert os.pread(file.fileno(), 100, 4990) == DATA[4990:]
        assert os.pread(file.fileno(), 100, 6000) == b""
    directory = os.open(shelf.top, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
        assert sorted(os.listdir(directory)) == ["a", "file", "link"]
        assert os.stat("file", dir_fd=directory).st_size == 5000
    finally:
        os.close(directory)


def test_what_the_kernel_knows_it_does_not_ask_again(tmp_path: Path) -> None:
    with Volume.open(tmp_path / "repo") as volume:
        for cid, block in BLOCKS.items():
            volume.store.put(cid, block)
        trio.run(volume.flush)
        trio.run(volume.commit)
    with mounted(tmp_path / "repo", filesystem="mfs.tests.test_views_contracts:Looking") as mount:
        path = Shelf(mount.path).top / "a" / "b" / "c"
        assert path.stat().st_size == len(DATA)
        assert not (path.parent / "absent").exists()
        asked(mount)
        assert path.stat().st_size == len(DATA)
        assert not (path.parent / "absent").exists()
        assert asked(mount) == []
