"""Random steps on a mount and on the model of it, kills among them."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import random
import stat
import threading
import time
from collections.abc import Callable, Iterator

from mfs.tests.allocating import FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE, FALLOC_ZERO_RANGE, fallocate
from mfs.tests.crash_model import XATTR, Model, Node, look
from mfs.tests.mounting import Mount
from mfs.tests.unixfs_build import Blocks
from mfs.unixfs.cid import cid_str
from mfs.unixfs.layout import Link
from mfs.unixfs.profile import TEST_PROFILES

PROFILE = TEST_PROFILES["test-small-v1"]
CHUNK = PROFILE.chunk_size
LARGEST = 12 * CHUNK
MANY = 24
"""So many names, and no more are made."""
NAMES = [*"abcdefgh", "a longer name that takes a while"]

ALLOCATE = (
    0,
    FALLOC_KEEP_SIZE,
    FALLOC_KEEP_SIZE | FALLOC_PUNCH_HOLE,
    FALLOC_ZERO_RANGE,
    FALLOC_KEEP_SIZE | FALLOC_ZERO_RANGE,
)
"""The modes of fallocate(2) that there are."""

DEAD = (errno.ENOTCONN, errno.ECONNABORTED, errno.EIO, errno.ENODEV)
"""What callers see when the server is gone."""

_libc = ctypes.CDLL(None, use_errno=True)


class Died(Exception):
    """The server was killed before it answered."""


class Actor:
    """Plays `seed` on `mount`; complains with an AssertionError that tells the steps since the last crash."""

    def __init__(self, mount: Mount, seed: int) -> None:
        self.mount = mount
        self.random = random.Random(seed)
        self.seed = seed
        self.model = Model(look(mount.path))
        self.told: list[str] = []
        self.kills = 0
        self._killer: threading.Thread | None = None
        self._held: dict[Node, int] = {}
        self._steps: list[tuple[int, Callable[[], None]]] = [
            (10, self.create),
            (5, self.mkdir),
            (2, self.symlink),
            (2, self.link),
            (22, self.write),
            (9, self.truncate),
            (5, self.allocate),
            (9, self.copy),
            (12, self.rename),
            (2, self.exchange),
            (5, self.unlink),
            (2, self.rmdir),
            (1, self.remove_tree),
            (2, self.chmod),
            (4, self.set_xattr),
            (3, self.hold),
            (9, self.fsync),
            (2, self.fsync_directory),
            (3, self.commit),
            (1, self.remount),
            (2, self.kill),
            (3, self.kill_soon),
            (4, self.read),
        ]

    def play(self, steps: int) -> None:
        """Do so many random steps, and end with a kill."""
        weights = [weight for weight, _ in self._steps]
        try:
            for _ in range(steps):
                (_, step) = self.random.choices(self._steps, weights)[0]
                try:
                    step()
                except Died:
                    self.recover()
            self.kill()
        finally:
            self._close()
            if self._killer is not None:
                self._killer.join()

    # -- doing ----------------------------------------------------------------------------------------------------

    def tell(self, what: str) -> None:
        """For the complaint."""
        self.told.append(f"{self.model.step}: {what}")

    @contextlib.contextmanager
    def _alive(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if self._killer is not None and error.errno in DEAD:
                self.tell(f"died: {error}")
                raise Died from error
            raise AssertionError(self.complaint(f"{error}")) from error

    def complaint(self, why: str) -> str:
        """With everything needed to see what happened."""
        return f"seed {self.seed}: {why}\n" + "\n".join(self.told) + f"\n{self.mount.logged()}"

    def _at(self, path: str) -> str:
        return os.path.join(self.mount.path, path)

    def _some(self, *kinds: int) -> str | None:
        paths = self.model.paths_of(*kinds)
        return self.random.choice(paths) if paths else None

    def _new_path(self) -> str:
        """A path in a directory that there is; maybe taken."""
        parent = self.random.choice(["", *self.model.paths_of(stat.S_IFDIR)])
        name = self.random.choice(NAMES)
        return f"{parent}/{name}" if parent else name

    def _free_path(self) -> str | None:
        path = self._new_path()
        return path if path not in self.model.paths and len(self.model.paths) < MANY else None

    @contextlib.contextmanager
    def _open(self, path: str) -> Iterator[int]:
        """The handle that is held on this file, or one for now."""
        fd = self._held.get(self.model.paths[path])
        if fd is not None:
            yield fd
            return
        fd = os.open(self._at(path), os.O_RDWR)
        try:
            yield fd
        finally:
            os.close(fd)

    def create(self) -> None:
        path = self._free_path()
        if path is None:
            return
        mode = self.random.choice([0o644, 0o600, 0o755])
        self.tell(f"create {path!r}")
        node = self.model.put(path, stat.S_IFREG, mode)
        with self._alive():
            fd = os.open(self._at(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
            node.ino = os.fstat(fd).st_ino
            os.close(fd)

    def mkdir(self) -> None:
        path = self._free_path()
        if path is None or path.count("/") > 3:
            return
        self.tell(f"mkdir {path!r}")
        node = self.model.put(path, stat.S_IFDIR, 0o755)
        with self._alive():
            os.mkdir(self._at(path), 0o755)
            node.ino = os.stat(self._at(path)).st_ino

    def symlink(self) -> None:
        path = self._free_path()
        if path is None:
            return
        target = self.random.choice(NAMES)
        self.tell(f"symlink {path!r} -> {target!r}")
        node = self.model.put(path, stat.S_IFLNK, 0o777, target)
        with self._alive():
            os.symlink(target, self._at(path))
            node.ino = os.lstat(self._at(path)).st_ino

    def link(self) -> None:
        old, path = self._some(stat.S_IFREG, stat.S_IFLNK), self._free_path()
        if old is None or path is None:
            return
        self.tell(f"link {old!r} {path!r}")
        self.model.link(old, path)
        with self._alive():
            os.link(self._at(old), self._at(path), follow_symlinks=False)

    def chmod(self) -> None:
        path = self._some(stat.S_IFREG, stat.S_IFDIR)
        if path is None:
            return
        mode = self.random.choice([0o700, 0o755, 0o711])
        self.tell(f"chmod {path!r} {mode:o}")
        self.model.chmod(path, mode)
        with self._alive():
            os.chmod(self._at(path), mode)

    def write(self) -> None:
        path = self._some(stat.S_IFREG)
        if path is None:
            return
        node = self.model.paths[path]
        data = self.random.randbytes(self.random.choice([1, 100, CHUNK, CHUNK + 1, 3 * CHUNK, 700]))
        if self.random.random() < 0.1:
            data = bytes(len(data))
        at = self.random.choice([0, len(node.data), self.random.randrange(LARGEST), CHUNK * self.random.randrange(8)])
        if at + len(data) > LARGEST:
            return
        self.tell(f"write {path!r} {len(data)} at {at} of {len(node.data)}")
        old = node.data.ljust(at, b"\0")
        with self._alive(), self._open(path) as fd:
            self.model.write(node, old[:at] + data + old[at + len(data) :])
            done = os.pwrite(fd, data, at)
        if done != len(data):
            self.cut_short(node, old[:at] + data[:done] + old[at + done :])

    def cut_short(self, node: Node, data: bytes) -> None:
        """A write was done in part; `data` is what the file ought to be then."""
        if self._killer is not None:
            raise Died
        raise AssertionError(self.complaint("a write was cut short"))

    def truncate(self) -> None:
        path = self._some(stat.S_IFREG)
        if path is None:
            return
        node = self.model.paths[path]
        now = len(node.data)
        size = self.random.choice([0, now // 2, now // CHUNK * CHUNK, CHUNK, self.random.randrange(LARGEST)])
        self.tell(f"truncate {path!r} {now} to {size}")
        with self._alive(), self._open(path) as fd:
            self.model.write(node, node.data[:size].ljust(size, b"\0"))
            os.ftruncate(fd, size)

    def allocate(self) -> None:
        """Punch a hole, or zero or allocate a range."""
        path = self._some(stat.S_IFREG)
        if path is None:
            return
        node = self.model.paths[path]
        data = node.data
        mode = self.random.choice(ALLOCATE)
        start = self.random.choice([0, CHUNK, self.random.randrange(len(data) + 1)])
        length = self.random.choice([1, CHUNK, 700, 3 * CHUNK, LARGEST])
        stop = min(start + length, LARGEST)
        if stop <= start:
            return
        self.tell(f"fallocate {path!r} {mode:#x} {start} to {stop} of {len(data)}")
        if mode & (FALLOC_PUNCH_HOLE | FALLOC_ZERO_RANGE):
            data = data[:start] + bytes(max(0, min(stop, len(data)) - start)) + data[stop:]
        if not mode & FALLOC_KEEP_SIZE:
            data = data.ljust(stop, b"\0")
        with self._alive(), self._open(path) as fd:
            self.model.write(node, data)
            fallocate(fd, mode, start, stop - start)

    def copy(self) -> None:
        old, new = self._some(stat.S_IFREG), self._some(stat.S_IFREG)
        if old is None or new is None:
            return
        source, target = self.model.paths[old], self.model.paths[new]
        size = len(source.data)
        start = self.random.choice([0, 0, CHUNK, self.random.randrange(size + 1)])
        at = self.random.choice([0, start, CHUNK, len(target.data), self.random.randrange(len(target.data) + 1)])
        length = self.random.choice([size, CHUNK, self.random.randrange(1, 4 * CHUNK)])
        taken = source.data[start : start + length]
        if not taken or at + len(taken) > LARGEST or (source is target and abs(start - at) < length):
            return
        self.tell(f"copy {old!r} {start} {length} of {size} to {new!r} {at} of {len(target.data)}")
        with self._alive(), self._open(old) as reading, self._open(new) as writing:
            before = target.data.ljust(at, b"\0")
            self.model.write(target, before[:at] + taken + before[at + len(taken) :])
            copied = os.copy_file_range(reading, writing, length, start, at)
        if copied != len(taken):
            if self._killer is not None:
                raise Died
            raise AssertionError(self.complaint(f"copied {copied} of {len(taken)}"))

    def rename(self) -> None:
        old, new = self._some(stat.S_IFREG, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK), self._new_path()
        if old is None or old == new or new.startswith(f"{old}/"):
            return
        node, replaced = self.model.paths[old], self.model.paths.get(new)
        if replaced is not None:
            # POSIX: two names of one file, and then nothing happens at all.
            if replaced is node or (replaced.kind == stat.S_IFDIR) != (node.kind == stat.S_IFDIR):
                return
            if replaced.kind == stat.S_IFDIR and not self.model.empty(new):
                return
        self.tell(f"rename {old!r} {new!r}")
        self.model.rename(old, new)
        with self._alive():
            os.rename(self._at(old), self._at(new))

    def exchange(self) -> None:
        kinds = (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)
        one, other = self._some(*kinds), self._some(*kinds)
        if one is None or other is None or f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/"):
            return
        if self.model.paths[one] is self.model.paths[other]:
            return
        self.tell(f"exchange {one!r} {other!r}")
        self.model.exchange(one, other)
        with self._alive():
            if _libc.renameat2(-100, os.fsencode(self._at(one)), -100, os.fsencode(self._at(other)), 2):
                raise OSError(ctypes.get_errno(), "renameat2")

    def unlink(self) -> None:
        path = self._some(stat.S_IFREG, stat.S_IFLNK)
        if path is None:
            return
        self.tell(f"unlink {path!r}")
        self.model.remove(path)
        with self._alive():
            os.unlink(self._at(path))

    def rmdir(self) -> None:
        path = self._some(stat.S_IFDIR)
        if path is None or not self.model.empty(path):
            return
        self.tell(f"rmdir {path!r}")
        self.model.remove(path)
        with self._alive():
            os.rmdir(self._at(path))

    def remove_tree(self) -> None:
        """As `rm -r`."""
        top = self._some(stat.S_IFDIR)
        if top is None:
            return
        for path in sorted(self.model.paths, reverse=True):
            if path == top or path.startswith(f"{top}/"):
                directory = self.model.paths[path].kind == stat.S_IFDIR
                self.tell(f"remove {path!r}")
                self.model.remove(path)
                with self._alive():
                    (os.rmdir if directory else os.unlink)(self._at(path))

    def set_xattr(self) -> None:
        """Set, replace or remove an extended attribute."""
        path = self._some(stat.S_IFREG, stat.S_IFDIR)
        if path is None:
            return
        value = self.random.choice([None, b"", self.random.randbytes(10), self.random.randbytes(5000)])
        if value is None and self.model.paths[path].xattr is None:
            return
        self.tell(f"set the attribute of {path!r} to {value if value is None else len(value)}")
        self.model.set_xattr(path, value)
        with self._alive():
            if value is None:
                os.removexattr(self._at(path), XATTR)
            else:
                os.setxattr(self._at(path), XATTR, value)

    def hold(self) -> None:
        """Open a file and go on writing to that handle, whatever the file is called then; or close it."""
        path = self._some(stat.S_IFREG)
        if path is None:
            return
        node = self.model.paths[path]
        with self._alive():
            if node in self._held:
                self.tell(f"close {path!r}")
                os.close(self._held.pop(node))
            else:
                self.tell(f"open {path!r}")
                self._held[node] = os.open(self._at(path), os.O_RDWR)

    def read(self) -> None:
        path = self._some(stat.S_IFREG)
        if path is None:
            return
        with self._alive(), self._open(path) as fd:
            data = os.pread(fd, 2 * LARGEST, 0)
        if data != (want := self.model.paths[path].data):
            if self._killer is not None and want.startswith(data):
                # What is in the page cache is given also when the rest fails.
                raise Died
            raise AssertionError(self.complaint(f"{path!r} reads as something else"))

    # -- making durable -------------------------------------------------------------------------------------------

    def fsync(self) -> None:
        path = self._some(stat.S_IFREG)
        if path is None:
            return
        self.tell(f"fsync {path!r}")
        with self._alive(), self._open(path) as fd:
            os.fsync(fd)
        self.model.synced(self.model.paths[path])

    def fsync_directory(self) -> None:
        path = self.random.choice(["", *self.model.paths_of(stat.S_IFDIR)])
        self.tell(f"fsync {path!r}")
        with self._alive():
            fd = os.open(self._at(path), os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        self.model.synced(self.model.paths[path])

    def commit(self) -> None:
        self.tell("commit")
        with self._alive():
            found = os.getxattr(self.mount.path, "ipfs.cid").decode()
        self.model.committed()
        if found != cid_str(self.built("").cid):
            wrong = [
                path
                for path in self.model.paths
                if os.getxattr(self._at(path), "ipfs.cid", follow_symlinks=False).decode()
                != cid_str(self.built(path).cid)
            ]
            raise AssertionError(self.complaint(f"not the CIDs of what is there: {wrong}"))

    def built(self, path: str) -> Link:
        """The DAG of what the model has at `path`, built from nothing."""
        node = self.model.paths[path]
        blocks = Blocks()
        if node.kind == stat.S_IFREG:
            return blocks.file(PROFILE, node.data)
        if node.kind == stat.S_IFLNK:
            return blocks.symlink(PROFILE, node.target.encode())
        below = [name for name in self.model.paths if name and os.path.dirname(name) == path]
        return blocks.folder(PROFILE, {os.path.basename(name).encode(): self.built(name) for name in below})

    # -- dying ----------------------------------------------------------------------------------------------------

    def remount(self) -> None:
        self.tell("remount")
        self._close()
        if self._killer is not None:
            raise Died
        self.mount.remount()
        self.model.committed()

    def kill(self) -> None:
        if self._killer is None:
            self.tell("kill")
            self.mount.kill()
        self.recover()

    def kill_soon(self) -> None:
        """Kill the server while the next steps are done."""
        if self._killer is not None:
            return
        after = self.random.choice([0.0, 0.0005, 0.002, 0.01])
        self.tell(f"kill in {after * 1000} ms")
        self._killer = threading.Thread(target=self._kill_in, args=(after,))
        self._killer.start()
        if self.random.random() < 0.5:
            # That is where a kill has the most to do harm to.
            self.random.choice([self.commit, self.fsync])()

    def _kill_in(self, seconds: float) -> None:
        time.sleep(seconds)
        self.mount.kill()

    def _close(self) -> None:
        for fd in self._held.values():
            try:
                os.close(fd)
            except OSError as error:
                if error.errno not in DEAD:
                    raise
        self._held = {}

    def recover(self) -> None:
        """Mount again after a kill, judge what is there, and go on from it."""
        if self._killer is not None:
            self._killer.join()
            self._killer = None
        self.kills += 1
        self._close()
        self.mount.remount()
        try:
            found = look(self.mount.path)
        except (OSError, ValueError) as error:
            raise AssertionError(self.complaint(f"after a kill the tree cannot be read: {error}")) from error
        if complaint := self.model.judge(found):
            raise AssertionError(self.complaint(complaint))
        self.model = Model(found)
        # The life before belongs to the story too: what is wrong now may have begun there.
        ended = max((i for i, one in enumerate(self.told) if one.startswith("recovered")), default=0)
        self.told = [*self.told[ended:], f"recovered {sorted(found)}"]
