"""The examples under the real kernel."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import select
import shutil
import signal
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from rawfuse import Reply, wire
from rawfuse.examples.hello import TEXT, Hello
from rawfuse.examples.memory import MemoryFS
from rawfuse.examples.memory.nodes import File
from rawfuse.examples.passthrough import Passthrough
from rawfuse.testing import mounted
from rawfuse.tests.forgetting import forget_unused
from rawfuse.tests.waiting import PATIENCE, until

pytestmark = pytest.mark.kernel("root")

RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT = 1, 2, 4
KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 16
AT_FDCWD = -100
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long)


@pytest.fixture
def filesystem() -> MemoryFS:
    return MemoryFS(1 << 28)


@pytest.fixture
def root(filesystem: MemoryFS) -> Generator[Path, None, None]:
    with mounted(filesystem, default_permissions=True, options=("dev", "suid")) as path:
        yield path


def renameat2(old: Path, new: Path, flags: int) -> None:
    if LIBC.renameat2(AT_FDCWD, os.fsencode(old), AT_FDCWD, os.fsencode(new), flags):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def fallocate(fd: int, mode: int, offset: int, length: int) -> None:
    if LIBC.fallocate(fd, mode, offset, length):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def test_hello_is_read() -> None:
    with mounted(Hello()) as path:
        assert os.listdir(path) == ["hello"]
        assert (path / "hello").read_bytes() == TEXT
        assert not (path / "other").exists()


def test_a_waiting_flock_is_had_when_the_other_is_dropped(root: Path, filesystem: MemoryFS) -> None:
    (root / "f").touch()
    with open(root / "f") as one, open(root / "f") as two:
        fcntl.flock(one, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError):
            fcntl.flock(two, fcntl.LOCK_SH | fcntl.LOCK_NB)
        waiter = threading.Thread(target=fcntl.flock, args=(two, fcntl.LOCK_SH))
        waiter.start()
        time.sleep(0.05)
        assert waiter.is_alive()
        one.close()
        waiter.join(PATIENCE)
        assert not waiter.is_alive()


LOCK = "import fcntl, sys; f = open(sys.argv[1], 'r+'); print('waits', flush=True); fcntl.lockf(f, fcntl.LOCK_EX)"


def test_a_signal_ends_the_wait_for_a_posix_lock_and_none_is_taken(root: Path, filesystem: MemoryFS) -> None:
    (root / "f").touch()
    with open(root / "f", "r+") as ours:
        fcntl.lockf(ours, fcntl.LOCK_EX)
        command = [sys.executable, "-c", LOCK, str(root / "f")]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None and child.stdout.readline() == b"waits\n"
            until(lambda: bool(filesystem.lock_waits))
            child.send_signal(signal.SIGTERM)
            assert child.wait(PATIENCE) == -signal.SIGTERM
        node = filesystem.root.children[b"f"]
        assert isinstance(node, File) and node.locks is not None
        assert not filesystem.lock_waits and [held.pid for held in node.locks.posix.held] == [os.getpid()]
    assert node.locks.posix.held == [], "closing drops it"
    assert subprocess.run(command, stdout=subprocess.DEVNULL, timeout=PATIENCE, check=False).returncode == 0


def test_poll_wakes_when_the_file_changes(root: Path) -> None:
    (root / "f").touch()
    # What is written is one change; a file that is opened to be written anew has two.
    with open(root / "f", "rb") as file, open(root / "f", "r+b", buffering=0) as other:
        poll = select.poll()
        poll.register(file, select.POLLPRI)
        assert poll.poll(0) == []
        timer = threading.Timer(0.05, other.write, (b"x",))
        timer.start()
        assert poll.poll(PATIENCE * 1000) == [(file.fileno(), select.POLLPRI)]
        timer.join()
        assert poll.poll(0) == [], "each change is told once"


def test_ioctls_reach_the_file(root: Path) -> None:
    (root / "f").touch()
    with open(root / "f", "rb") as file:
        fcntl.ioctl(file, 0x40086602, struct.pack("=Q", 0x40))
        got = bytearray(8)
        fcntl.ioctl(file, 0x80086601, got)
        assert got[0] == 0x40
        with pytest.raises(OSError) as refused:
            fcntl.ioctl(file, 0x12345678)
    assert refused.value.errno == errno.ENOTTY


def test_a_file_without_a_name_gets_one(root: Path, filesystem: MemoryFS) -> None:
    fd = os.open(root, os.O_TMPFILE | os.O_RDWR, 0o600)
    os.write(fd, b"kept")
    assert os.fstat(fd).st_nlink == 0 and os.listdir(root) == []
    directory = os.open(root, os.O_PATH)
    os.link(f"/proc/self/fd/{fd}", "n", dst_dir_fd=directory, follow_symlinks=True)
    os.close(directory)
    os.close(fd)
    assert (root / "n").read_bytes() == b"kept" and (root / "n").stat().st_nlink == 1


def test_names_are_exchanged_kept_and_whited_out(root: Path) -> None:
    (root / "d").mkdir()
    (root / "f").write_text("file")
    with pytest.raises(FileExistsError):
        renameat2(root / "f", root / "d", RENAME_NOREPLACE)
    renameat2(root / "f", root / "d", RENAME_EXCHANGE)
    assert (root / "f").is_dir() and (root / "d").read_text() == "file"
    renameat2(root / "d", root / "g", RENAME_WHITEOUT)
    left = (root / "d").stat()
    assert stat.S_ISCHR(left.st_mode) and left.st_rdev == 0
    (root / "e").mkdir()
    renameat2(root / "f", root / "e" / "f", RENAME_NOREPLACE)
    assert ((root).stat().st_nlink, (root / "e").stat().st_nlink) == (3, 3)


def test_a_program_that_runs_is_neither_written_nor_emptied(root: Path) -> None:
    program = root / "sleep"
    shutil.copy("/usr/bin/sleep", program)
    with subprocess.Popen([program, "60"]) as running:
        try:
            for flags in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC, os.O_RDONLY | os.O_TRUNC):
                with pytest.raises(OSError) as busy:
                    os.open(program, flags)
                assert busy.value.errno == errno.ETXTBSY
            assert program.read_bytes() == Path("/usr/bin/sleep").read_bytes()
        finally:
            running.kill()


def test_holes_are_found_made_and_free(root: Path, filesystem: MemoryFS) -> None:
    size = 999_999_999_999_999
    fd = os.open(root / "f", os.O_RDWR | os.O_CREAT)
    os.truncate(fd, size)
    os.pwrite(fd, b"x" * (1 << 18), 1 << 40)
    assert os.lseek(fd, 0, os.SEEK_DATA) == 1 << 40
    assert os.lseek(fd, 1 << 40, os.SEEK_HOLE) == (1 << 40) + (1 << 18)
    assert os.fstat(fd).st_blocks == (1 << 18) // 512
    fallocate(fd, PUNCH_HOLE | KEEP_SIZE, (1 << 40) + 1000, (1 << 18) - 2000)
    assert os.pread(fd, 1002, (1 << 40) - 1) == b"\0" + b"x" * 1000 + b"\0"
    assert os.fstat(fd).st_blocks < (1 << 18) // 512 and os.fstat(fd).st_size == size
    fallocate(fd, ZERO_RANGE, size - 1, 11)
    assert os.fstat(fd).st_size == size + 10
    with pytest.raises(OSError) as full:
        os.posix_fallocate(fd, 0, 1 << 30)
    assert full.value.errno == errno.ENOSPC
    os.close(fd)


def test_a_copy_in_the_mount_is_asked_for(root: Path) -> None:
    data = os.urandom(300_001)
    (root / "a").write_bytes(data)
    with open(root / "a", "rb") as source, open(root / "b", "wb") as target:
        assert os.copy_file_range(source.fileno(), target.fileno(), 1 << 30, 1, 10) == 300_000
    assert (root / "b").read_bytes() == bytes(10) + data[1:]


def test_attributes_of_a_file_are_kept(root: Path) -> None:
    file = root / "f"
    file.write_bytes(b"x")
    os.setxattr(file, "user.a", b"1")
    with pytest.raises(FileExistsError):
        os.setxattr(file, "user.a", b"2", os.XATTR_CREATE)
    assert os.listxattr(file) == ["user.a"] and os.getxattr(file, "user.a") == b"1"
    os.utime(file, ns=(-1_500_000_000, 1_700_000_000_123_456_789))
    found = file.stat()
    assert (found.st_atime_ns, found.st_mtime_ns) == (-1_500_000_000, 1_700_000_000_123_456_789)
    born = subprocess.run(["stat", "-c", "%W", file], capture_output=True, text=True, check=True).stdout
    assert abs(int(born) - time.time()) < 100


def test_a_tree_is_made_listed_and_removed_and_nothing_is_left(root: Path, filesystem: MemoryFS) -> None:
    for directory in range(3):
        (root / f"{directory}").mkdir()
        for number in range(400):
            (root / f"{directory}" / f"name-{number}").touch()
    assert sum(len(files) for _, _, files in os.walk(root)) == 1200
    for directory in range(3):
        shutil.rmtree(root / f"{directory}")
    forget_unused(root)
    until(lambda: len(filesystem.nodes) == 1)
    assert filesystem.memory.free == filesystem.memory.capacity


class Counting(Passthrough):
    """How many bytes went through this program."""

    passed = 0

    def read(self, request: wire.Read) -> Reply:
        self.passed += request.arg.size
        return super().read(request)

    def write(self, request: wire.Write) -> Reply:
        self.passed += len(request.data)
        return super().write(request)


class WithoutPassthrough(Counting):
    def _backing(self, fd: int) -> int:
        return 0


@pytest.mark.parametrize("kind", [Counting, WithoutPassthrough])
def test_passthrough_shows_another_directory(kind: type[Counting], tmp_path: Path) -> None:
    data = os.urandom(1 << 20)
    filesystem = kind(str(tmp_path))
    with mounted(filesystem, default_permissions=True) as root:
        (root / "d").mkdir()
        (root / "d" / "f").write_bytes(data)
        assert (root / "d" / "f").read_bytes() == (tmp_path / "d" / "f").read_bytes() == data
        with open(root / "d" / "f", "rb") as one, open(root / "d" / "f", "r+b") as two:
            two.write(b"changed")
            two.flush()
            assert one.read(7) == b"changed"
        os.symlink("d/f", root / "l")
        os.rename(root / "d" / "f", root / "d" / "g")
        assert os.readlink(tmp_path / "l") == "d/f" and os.listdir(root / "d") == ["g"]
        (tmp_path / "theirs").touch()
        assert sorted(os.listdir(root)) == ["d", "l", "theirs"]
        shutil.rmtree(root / "d")
        assert not (tmp_path / "d").exists()
    assert (filesystem.passed == 0) == (kind is Counting and filesystem.passes)


def test_passthrough_renames_as_asked(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    libc = ctypes.CDLL(None, use_errno=True)
    with mounted(Passthrough(str(tmp_path)), default_permissions=True) as root:
        a, b = bytes(root / "a"), bytes(root / "b")
        assert libc.renameat2(-1, a, -1, b, 1) == -1 and ctypes.get_errno() == errno.EEXIST  # RENAME_NOREPLACE
        assert libc.renameat2(-1, a, -1, b, 2) == 0  # RENAME_EXCHANGE
        assert (root / "a").read_text() == "b"
    assert ((tmp_path / "a").read_text(), (tmp_path / "b").read_text()) == ("b", "a")


def test_passthrough_lists_with_attributes_and_forgets_what_it_listed(tmp_path: Path) -> None:
    looked_up: list[bytes] = []

    class Seen(Passthrough):
        def lookup(self, request: wire.Lookup) -> Reply:
            looked_up.append(request.name)
            return super().lookup(request)

    for number in range(700):
        (tmp_path / f"name-{number}").write_bytes(bytes(number))
    filesystem = Seen(str(tmp_path))
    with mounted(filesystem, default_permissions=True) as root:
        with os.scandir(root) as entries:
            sizes = sorted(entry.stat().st_size for entry in entries)
        assert sizes == list(range(700))
        assert len(looked_up) < 350, "most came with the listing"
        assert len(filesystem.inodes) == 701
        forget_unused(root)
        until(lambda: len(filesystem.inodes) == 1)
