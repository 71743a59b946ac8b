"""What any CID names, under `.mfs/ipfs` in a mount: kubo's contracts, and copies that are pointers."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio

from mfs.tests.foreign import LAYOUTS, METADATA, PLAIN, TRICKLE, Foreign
from mfs.tests.mounting import Mount, mounted
from mfs.tests.programs import pattern
from mfs.tests.recording import Asked, asked
from mfs.tests.unixfs_build import Blocks
from mfs.unixfs.cid import CID, RAW, cid_str, cid_v1, multihash_of
from mfs.unixfs.data import Mtime
from mfs.unixfs.layout import Link
from mfs.unixfs.profile import DEFAULT_PROFILE, PROFILES, TEST_PROFILES
from mfs.volume import Volume
from rawfuse.tests.forgetting import forget_unused

pytestmark = pytest.mark.kernel("root")

DATA = pattern(9000)
LARGE = pattern(3 * (1 << 20) + 5)
SHARDED = {f"file{number}": pattern(number + 1) for number in range(120)}


def stored(repo: Path, blocks: Blocks) -> None:
    """Put blocks into a repository."""
    with Volume.open(repo) as volume:
        for cid, block in blocks.items():
            volume.store.put(cid, block)
        trio.run(volume.flush)
        trio.run(volume.commit)


class Shelf:
    """A mount, and what is stored in it."""

    def __init__(self, mount: Mount, blocks: Foreign) -> None:
        self.mount = mount
        self.blocks = blocks
        self.ipfs = mount.path / ".mfs" / "ipfs"

    def path(self, cid: CID) -> Path:
        return self.ipfs / cid_str(cid)


BLOCKS = Foreign()
FILES = {layout: BLOCKS.laid_out(layout, DATA) for layout in (*LAYOUTS, PLAIN)}
V0 = BLOCKS.file(PROFILES["unixfs-v0-2015"], LARGE)
OWN = BLOCKS.file(DEFAULT_PROFILE, LARGE)
LINK = BLOCKS.symlink(DEFAULT_PROFILE, b"file1")
SHARDS = BLOCKS.folder(
    TEST_PROFILES["test-small-v0"], {name.encode(): BLOCKS.raw(data) for name, data in SHARDED.items()}
)
DAMAGED = BLOCKS.node_of_bytes(b"\x0a\x03\x08")
GONE = Link(cid_v1(RAW, bytes(32)), 5, 5)
BESIDE = BLOCKS.listed(DEFAULT_PROFILE, {"damaged": DAMAGED, "fine": FILES[PLAIN], "gone": GONE, "link": LINK})
ODD = BLOCKS.named_oddly({b"..": FILES[PLAIN], b"a/b": FILES[PLAIN], b"fine": FILES[PLAIN], b"n" * 300: FILES[PLAIN]})
DATED = BLOCKS.directory(DEFAULT_PROFILE, {b"x": FILES[PLAIN]}, mode=0o700, mtime=Mtime(1_000_000_000, 7))[0]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    repo = tmp_path_factory.mktemp("views") / "repo"
    stored(repo, BLOCKS)
    with mounted(repo, filesystem="mfs.tests.recording:Recording") as mount:
        yield Shelf(mount, BLOCKS)
        # Damaged blocks are complained of, as they should be.
        assert all("malformed block" in line for line in mount.logged().splitlines())
        mount.log.unlink(missing_ok=True)


def failing(call: Callable[[], object]) -> int:
    with pytest.raises(OSError) as caught:
        call()
    return caught.value.errno or 0


def test_its_root_can_be_entered_and_not_listed(shelf: Shelf) -> None:
    assert stat.S_IMODE(shelf.ipfs.stat().st_mode) == 0o111
    assert failing(lambda: os.listdir(shelf.ipfs)) == errno.EPERM
    assert ".mfs" not in os.listdir(shelf.mount.path)
    assert sorted(os.listdir(shelf.mount.path / ".mfs")) == ["commits", "ipfs", "ipns", "snapshots"]


@pytest.mark.parametrize("layout", FILES)
def test_files_of_any_layout_are_read(shelf: Shelf, layout: str) -> None:
    path = shelf.path(FILES[layout].cid)
    assert path.read_bytes() == DATA
    with open(path, "rb", buffering=0) as file:
        assert os.pread(file.fileno(), 100, 8950) == DATA[8950:]
        assert os.lseek(file.fileno(), 0, os.SEEK_HOLE) == len(DATA)
    found = path.stat()
    assert (found.st_size, found.st_blocks, found.st_nlink) == (9000, 18, 1)


@pytest.mark.parametrize("link", [V0, OWN], ids=["v0", "own"])
def test_large_files_are_read(shelf: Shelf, link: Link) -> None:
    assert shelf.path(link.cid).read_bytes() == LARGE


def test_a_sharded_directory_of_another_fanout_is_listed_and_looked_up(shelf: Shelf) -> None:
    path = shelf.path(SHARDS.cid)
    assert sorted(os.listdir(path)) == sorted(SHARDED)
    assert {entry.name: entry.inode() for entry in os.scandir(path)} == {
        name: (path / name).stat().st_ino for name in SHARDED
    }
    assert all((path / name).read_bytes() == data for name, data in SHARDED.items())
    assert failing((path / "absent").stat) == errno.ENOENT


def test_modes_and_times_are_those_stored_or_kubos(shelf: Shelf) -> None:
    plain, dated = shelf.path(FILES[PLAIN].cid).stat(), shelf.path(FILES[METADATA].cid).stat()
    assert (plain.st_mode, plain.st_mtime_ns) == (stat.S_IFREG | 0o444, 0)
    assert (dated.st_mode, dated.st_mtime_ns) == (stat.S_IFREG | 0o751, 1_000_000_000_000_000_005)
    assert shelf.path(SHARDS.cid).stat().st_mode == stat.S_IFDIR | 0o555
    directory = shelf.path(DATED).stat()
    assert (directory.st_mode, directory.st_mtime_ns) == (stat.S_IFDIR | 0o700, 1_000_000_000_000_000_007)
    link = shelf.path(BESIDE.cid) / "link"
    assert (os.readlink(link), link.lstat().st_mode, link.lstat().st_size) == ("file1", stat.S_IFLNK | 0o777, 5)


def test_its_cid_is_an_extended_attribute(shelf: Shelf) -> None:
    for path, cid in (
        (shelf.path(FILES[TRICKLE].cid), FILES[TRICKLE].cid),
        (shelf.path(BESIDE.cid), BESIDE.cid),
        (shelf.path(BESIDE.cid) / "fine", FILES[PLAIN].cid),
    ):
        assert os.getxattr(path, "ipfs.cid") == cid_str(cid).encode()
        assert os.listxattr(path) == ["ipfs.cid"]
        assert failing(lambda path=path: os.getxattr(path, "user.x")) == errno.ENODATA  # type: ignore[misc]


def test_a_cid_may_be_written_in_any_way(shelf: Shelf) -> None:
    digest = multihash_of(FILES[TRICKLE].cid)
    as_v1 = CID(b"\x01\x70" + digest)
    for text in (cid_str(FILES[TRICKLE].cid), cid_str(as_v1), cid_str(as_v1).upper(), "f" + as_v1.hex()):
        assert (shelf.ipfs / text).read_bytes() == DATA
    empty = cid_str(CID(b"\x01\x55\x00\x03abc"))
    assert (shelf.ipfs / empty).read_bytes() == b"abc"


def test_what_is_no_cid_or_not_stored_is_not_there(shelf: Shelf) -> None:
    for name in ("nonsense", "bafy", "Qm" + "1" * 44, cid_str(GONE.cid)):
        assert failing((shelf.ipfs / name).stat) == errno.ENOENT
    foreign = cid_str(CID(b"\x01\x71\x12\x20" + bytes(32)))
    assert failing((shelf.ipfs / foreign).stat) == errno.EOPNOTSUPP


def test_what_is_damaged_or_missing_is_an_error_and_hides_nothing_else(shelf: Shelf) -> None:
    beside = shelf.path(BESIDE.cid)
    assert sorted(os.listdir(beside)) == ["damaged", "fine", "gone", "link"]
    assert failing(shelf.path(DAMAGED.cid).stat) == errno.EIO
    assert failing((beside / "damaged").stat) == errno.EIO
    assert failing((beside / "gone").stat) == errno.EIO
    assert (beside / "fine").read_bytes() == DATA


def test_names_that_cannot_be_are_not_shown(shelf: Shelf) -> None:
    assert os.listdir(shelf.path(ODD.cid)) == ["fine"]


@pytest.mark.parametrize(
    "change",
    [
        lambda path: (path / "new").touch(),
        lambda path: (path / "new").mkdir(),
        lambda path: (path / "new").symlink_to("x"),
        lambda path: (path / "fine").unlink(),
        lambda path: (path / "fine").rename(path / "other"),
        lambda path: os.link(path / "fine", path / "other"),
        lambda path: os.mkfifo(path / "new"),
        lambda path: (path / "fine").chmod(0o600),
        lambda path: os.chown(path / "fine", 1, 1),
        lambda path: os.utime(path / "fine"),
        lambda path: os.truncate(path / "fine", 0),
        lambda path: (path / "fine").open("r+b"),
        lambda path: os.setxattr(path / "fine", "user.x", b"y"),
        lambda path: os.removexattr(path / "fine", "user.x"),
        lambda path: (path / "fine").rename(path / ".." / ".." / ".." / "stolen"),
        lambda path: os.link(path / "fine", path / ".." / ".." / ".." / "stolen"),
    ],
)
def test_every_change_is_refused_as_on_a_read_only_file_system(shelf: Shelf, change: Callable[[Path], object]) -> None:
    assert failing(lambda: change(shelf.path(BESIDE.cid))) == errno.EROFS


def test_the_reserved_name_can_be_neither_made_nor_taken_away(shelf: Shelf) -> None:
    top, name = shelf.mount.path, shelf.mount.path / ".mfs"
    (top / "d").mkdir()
    assert failing(name.mkdir) == errno.EEXIST
    assert failing(lambda: (top / "d").rename(name)) == errno.EEXIST
    assert failing(name.rmdir) == errno.EPERM
    assert failing(lambda: name.rename(top / "other")) == errno.EPERM
    (top / "d" / ".mfs").mkdir()
    shutil.rmtree(top / "d")


@pytest.mark.parametrize("link", [*FILES.values(), V0, OWN], ids=[*FILES, "v0", "own"])
def test_a_copy_is_one_message_and_keeps_the_cid(shelf: Shelf, link: Link) -> None:
    target = shelf.mount.path / "copy"
    source = shelf.path(link.cid)
    before = _segments(shelf.mount)
    asked(shelf.mount)
    subprocess.run(["cp", source, target], check=True)
    assert asked(shelf.mount) == [Asked("copy_file_range_64", 0, link.size)]
    assert os.getxattr(target, "ipfs.cid") == cid_str(link.cid).encode()
    os.getxattr(shelf.mount.path, "ipfs.cid")
    assert _segments(shelf.mount) == before
    subprocess.run(["cmp", source, target], check=True)
    target.unlink()


@pytest.mark.parametrize("link", [*FILES.values(), V0, OWN], ids=[*FILES, "v0", "own"])
def test_a_copy_that_is_written_to_has_the_cid_of_its_bytes(shelf: Shelf, link: Link) -> None:
    target = shelf.mount.path / "copy"
    subprocess.run(["cp", shelf.path(link.cid), target], check=True)
    target.chmod(0o644)
    with open(target, "r+b") as file:
        file.seek(1234)
        file.write(b"changed")
    want = DATA if link.size == len(DATA) else LARGE
    want = want[:1234] + b"changed" + want[1241:]
    assert target.read_bytes() == want
    assert os.getxattr(target, "ipfs.cid") == cid_str(Blocks().file(DEFAULT_PROFILE, want).cid).encode()
    assert shelf.path(link.cid).read_bytes()[1234:1241] != b"changed"
    target.unlink()


def test_a_copied_directory_keeps_its_files(shelf: Shelf) -> None:
    target = shelf.mount.path / "tree"
    subprocess.run(["cp", "-r", shelf.path(SHARDS.cid), target], check=True)
    assert {path.name: path.read_bytes() for path in target.iterdir()} == SHARDED


def test_the_kernel_forgets_what_nobody_uses_and_finds_it_again(shelf: Shelf) -> None:
    path = shelf.path(SHARDS.cid)
    before = {name: (path / name).stat().st_ino for name in SHARDED}
    forget_unused(shelf.mount.path)
    assert {name: (path / name).stat().st_ino for name in SHARDED} == before
    assert (path / "file7").read_bytes() == SHARDED["file7"]


def test_a_file_is_one_inode_wherever_it_occurs(shelf: Shelf) -> None:
    assert (shelf.path(BESIDE.cid) / "fine").stat().st_ino == shelf.path(FILES[PLAIN].cid).stat().st_ino


def _segments(mount: Mount) -> int:
    return sum(path.stat().st_blocks for path in (mount.repo / "segments").rglob("*") if path.is_file())
