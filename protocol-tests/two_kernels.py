"""One script, two kernels: the real one behind /dev/fuse, and ours behind a device of its own.

A test plays a server byte by byte. It starts a call, reads the requests that the call brings about, writes what it
likes, is told what write(2) says, and sees what the call came to. Requests that the test is not about are answered
from a small made-up tree: in the root the file "f" (inode 2), the directory "d" (3), the symbolic link "l" (4), and
files "n0" (100), "n1" (101) and so on.
"""

from __future__ import annotations

import errno
import fcntl
import select
import signal
import stat
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Protocol

from descriptors import Descriptor, RealDescriptor
from fuseblk import mount_block_device

from rawfuse import wire as w
from rawfuse.mount import abort_connection, mount_detached
from rawfuse.mount.connections import FUSECTL
from rawfuse.mount.device import connection_of
from rawfuse.session import Answered, KernelSession
from rawfuse.session.device import Device
from rawfuse.wire import constants as c
from rawfuse.wire.flags import InitFlags as F

PATIENCE: Final = 3.0
BUFFER: Final = (1 << 20) + 8192
FLAGS: Final = (
    F.FUSE_BIG_WRITES | F.FUSE_MAX_PAGES | F.FUSE_ATOMIC_O_TRUNC | F.FUSE_SETXATTR_EXT | F.FUSE_INIT_EXT
    | F.FUSE_HAS_RESEND | F.FUSE_HAS_EXPIRE_ONLY | F.FUSE_POSIX_LOCKS | F.FUSE_HAS_IOCTL_DIR
)  # fmt: skip
REG, DIR, LNK = stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK
NODES: Final = {b"f": (2, REG | 0o644), b"d": (3, DIR | 0o755), b"l": (4, LNK | 0o777)}
MODES: Final = {1: DIR | 0o755, **dict(NODES.values())}
SIZE: Final = 1 << 20
LONG: Final = 1000
"""Seconds that names and attributes stay valid."""


def init_answer(flags: F = FLAGS, *, minor: int = 45, max_write: int = 1 << 20, **fields: int) -> bytes:
    word = int(flags)
    fields = {"max_pages": 256, "max_readahead": 1 << 17, "time_gran": 1, **fields}
    return w.fuse_init_out(
        major=7, minor=minor, flags=word & 0xFFFFFFFF, flags2=word >> 32, max_write=max_write, **fields
    ).pack()


def ok(request: w.Request, body: bytes = b"", *, number: int = 0, length: int | None = None, unique: int = -1) -> bytes:
    """A reply, or something like one."""
    size = 16 + len(body) if length is None else length
    return w.fuse_out_header(size, -number, request.unique if unique < 0 else unique).pack() + body


def error(request: w.Request, number: int, body: bytes = b"") -> bytes:
    return ok(request, body, number=number)


def attr(nodeid: int, mode: int, size: int | None = None) -> w.fuse_attr:
    length = (SIZE if stat.S_ISREG(mode) else 5) if size is None else size
    return w.fuse_attr(ino=nodeid, size=length, blocks=length + 511 >> 9, mode=mode, nlink=1, blksize=4096)


def entry(nodeid: int, mode: int, size: int | None = None, valid: int = LONG) -> bytes:
    return w.fuse_entry_out(nodeid=nodeid, entry_valid=valid, attr_valid=LONG, attr=attr(nodeid, mode, size)).pack()


def attr_out(nodeid: int, mode: int, size: int | None = None) -> bytes:
    return w.fuse_attr_out(attr_valid=LONG, attr=attr(nodeid, mode, size)).pack()


def dirent(name: bytes, ino: int = 9, off: int = 1, kind: int = 8, namelen: int | None = None) -> bytes:
    head = w.fuse_dirent(ino=ino, off=off, namelen=len(name) if namelen is None else namelen, type=kind).pack()
    return head + name + bytes(-len(name) % 8)


def direntplus(name: bytes, nodeid: int, off: int = 1, mode: int = REG | 0o644, **fields: int) -> bytes:
    return (entry(nodeid, mode) if nodeid else bytes(128)) + dirent(name, fields.pop("ino", nodeid or 9), off, **fields)


def open_buffered() -> dict[int, bytes | int]:
    """Answers that let files use the page cache."""
    return {c.FUSE_OPEN: w.fuse_open_out(fh=7).pack()}


def _statx(request: w.Statx) -> bytes:
    mode = MODES.get(request.nodeid, REG)
    found = w.fuse_statx(mask=0xFFF, mode=mode, size=SIZE, blksize=4096, nlink=1, ino=request.nodeid)
    return w.fuse_statx_out(attr_valid=LONG, stat=found).pack()


def usual(request: w.Request) -> bytes | int:
    """What the made-up tree answers: a body, or an errno."""
    match request:
        case w.Lookup(name=name):
            found = (100 + int(name[1:]), REG | 0o644) if name[:1] == b"n" and name[1:].isdigit() else NODES.get(name)
            return entry(*found) if found else errno.ENOENT
        case w.GetAttr(nodeid=nodeid) | w.SetAttr(nodeid=nodeid):
            return attr_out(nodeid, MODES.get(nodeid, REG | 0o644))
        case w.Open() | w.OpenDir():
            return w.fuse_open_out(fh=7, open_flags=c.FOPEN_DIRECT_IO if isinstance(request, w.Open) else 0).pack()
        case w.Read(arg=arg):
            return b"x" * min(arg.size, max(0, SIZE - arg.offset))
        case w.Write(arg=arg):
            return w.fuse_write_out(size=arg.size).pack()
        case w.MkDir(arg=arg) | w.MkNod(arg=arg):
            return entry(11, arg.mode if isinstance(request, w.MkNod) else DIR | 0o755)
        case w.Symlink():
            return entry(12, LNK | 0o777)
        case w.Link(arg=arg):
            return entry(arg.oldnodeid, MODES[arg.oldnodeid])
        case w.Create() | w.TmpFile():
            return entry(13, REG | 0o644, 0) + w.fuse_open_out(fh=7).pack()
        case w.StatFs():
            return w.fuse_statfs_out(w.fuse_kstatfs(blocks=10, bsize=4096, namelen=255)).pack()
        case w.ReadLink():
            return b"target"
        case w.ReadDir(arg=arg):
            return b"" if arg.offset else dirent(b"one") + dirent(b"two", off=2)
        case w.ReadDirPlus(arg=arg):
            return b"" if arg.offset else direntplus(b"one", 9) + direntplus(b"two", 10, off=2)
        case w.BMap():
            return w.fuse_bmap_out(block=77).pack()
        case w.GetXAttr(arg=arg) | w.ListXAttr(arg=arg):
            value = b"user.a\0"
            return value if arg.size else w.fuse_getxattr_out(size=len(value)).pack()
        case w.LSeek():
            return w.fuse_lseek_out(offset=3).pack()
        case w.CopyFileRange(arg=arg):
            return w.fuse_write_out(size=min(arg.len, SIZE)).pack()
        case w.CopyFileRange64(arg=arg):
            return w.fuse_copy_file_range_out(bytes_copied=min(arg.len, SIZE)).pack()
        case w.Statx():
            return _statx(request)
        case w.Poll():
            return w.fuse_poll_out(revents=select.POLLIN).pack()
        case w.Ioctl():
            return w.fuse_ioctl_out(result=0).pack()
        case w.GetLk():
            return w.fuse_lk_out(w.fuse_file_lock(type=2)).pack()
    return b""


def said(call: Callable[[], object]) -> int:
    """What a system call says: 0 or an errno."""
    try:
        call()
    except OSError as failed:
        return failed.errno or errno.EIO
    return 0


class Call(Protocol):
    """One system call, said twice."""

    def real(self, root: int) -> object: ...

    def fake(self) -> Generator[w.Request, Answered, object]: ...


class Script:
    """The server's side of a test, over either kernel."""

    name: str
    setxattr_ext = True

    def __init__(self) -> None:
        self.opcodes: list[int] = []
        self.requests: list[w.Request] = []
        self.lengths: list[int] = []
        self.silent: list[w.Request] = []
        self.minor = 45

    @property
    def descriptor(self) -> Descriptor | RealDescriptor:
        """The device that was mounted."""
        raise NotImplementedError

    def read(self) -> bytes | None:
        """The next message, None while there is none."""
        try:
            return self.descriptor.read(BUFFER)
        except BlockingIOError:
            return None

    def write(self, message: bytes) -> int:
        """What write(2) says: 0 or an errno."""
        return said(lambda: self.descriptor.write(message))

    def call(self, call: Call) -> Callable[[], object]:
        """Starts a call. The function returned serves until it ends; it gives its value, or raises its OSError."""
        raise NotImplementedError

    def signal(self, request: w.Request, *, fatal: bool = False) -> None:
        """The caller of `request` gets a signal. A fatal one is for a process: see `child`."""
        raise NotImplementedError

    def drop(self, names: list[tuple[int, bytes]]) -> None:
        """Nothing uses these inodes of the root any more: forgets are queued for them, one for each lookup."""
        raise NotImplementedError

    def queued(self, count: int) -> None:
        """Waits until so many requests are queued or in flight."""

    def abort(self) -> None:
        """As by fusectl."""
        raise NotImplementedError

    def unmount(self) -> None:
        raise NotImplementedError

    def clone(self) -> Descriptor | RealDescriptor:
        """Another descriptor of the same connection."""
        raise NotImplementedError

    def answer(self, request: w.Request, body: bytes | int | None = None) -> int:
        """Answers as usual, or as said."""
        value = usual(request) if body is None else body
        return self.write(error(request, value) if isinstance(value, int) else ok(request, value))

    def backing_open(self) -> int:
        """What FUSE_DEV_IOC_BACKING_OPEN of an ordinary file says: 0 or an errno."""
        raise NotImplementedError

    def next(self) -> w.Request | None:
        message = self.read()
        if message is None:
            return None
        request = w.decode_request(bytearray(message), len(message), self.minor, self.setxattr_ext)
        self.opcodes.append(request.opcode)
        self.requests.append(request)
        self.lengths.append(len(message))
        return request

    def until(self, opcode: int, *, done: Callable[[], bool] = lambda: False) -> w.Request | None:
        """Answers everything as usual up to the first request with that opcode, which it returns."""
        deadline = time.monotonic() + PATIENCE
        while not done():
            request = self.next()
            if request is None:
                if isinstance(self, Fake) or time.monotonic() > deadline:
                    raise TimeoutError(f"no {opcode} in {PATIENCE} s, only {self.opcodes}")
                continue
            if request.opcode == opcode:
                return request
            if request.opcode in (c.FUSE_FORGET, c.FUSE_BATCH_FORGET, c.FUSE_INTERRUPT, c.FUSE_NOTIFY_REPLY):
                self.silent.append(request)
            else:
                self.answer(request)
        return None

    def expect(self, opcode: int) -> w.Request:
        request = self.until(opcode)
        assert request is not None
        return request

    def run(self, call: Call, answers: dict[int, bytes | int] | None = None) -> object:
        """A whole call, with `answers` by opcode in place of the usual ones."""
        finish = self.call(call)
        with using(self, answers or {}):
            return finish()


@contextmanager
def using(script: Script, answers: dict[int, bytes | int]) -> Generator[None, None, None]:
    before = script.answer

    def answer(request: w.Request, body: bytes | int | None = None) -> int:
        return before(request, answers.get(request.opcode) if body is None else body)

    script.answer = answer  # type: ignore[method-assign]
    try:
        yield
    finally:
        script.answer = before  # type: ignore[method-assign]


class Real(Script):
    """The kernel of this machine, by a mount that hangs nowhere."""

    name = "real"

    def __init__(self, descriptor: RealDescriptor | None = None, *, block: bool = False, **options: Any) -> None:
        super().__init__()
        self._descriptor = RealDescriptor() if descriptor is None else descriptor
        self.mount = mount_block_device(self.fd) if block else mount_detached(fd=self.fd, **options)
        self._poll = select.poll()
        self._poll.register(self.fd, select.POLLIN)
        self.threads: list[threading.Thread] = []

    @property
    def descriptor(self) -> RealDescriptor:
        return self._descriptor

    @property
    def fd(self) -> int:
        return self._descriptor.fd

    @property
    def root(self) -> int:
        return self.mount.root_fd

    def read(self) -> bytes | None:
        return super().read() if self._poll.poll(20) else None

    def call(self, call: Call) -> Callable[[], object]:
        results: list[object] = []

        def run() -> None:
            try:
                results.append(call.real(self.root))
            except OSError as failed:
                results.append(failed)

        thread = threading.Thread(target=run, daemon=True)
        self.threads.append(thread)
        thread.start()

        def finish() -> object:
            self.until(-1, done=lambda: not thread.is_alive())
            if isinstance(results[0], OSError):
                raise results[0]
            return results[0]

        return finish

    def signal(self, request: w.Request, *, fatal: bool = False) -> None:
        (thread,) = (one for one in self.threads if one.is_alive())
        signal.pthread_kill(thread.ident or 0, signal.SIGUSR1)

    def drop(self, names: list[tuple[int, bytes]]) -> None:
        for _, name in names:
            gone = w.NotifyInvalEntry(w.fuse_notify_inval_entry_out(1, len(name), 0), name)
            self.write(w.encode_notification(gone))

    def abort(self) -> None:
        with self._fusectl() as directory:
            (directory / "abort").write_text("1")

    def queued(self, count: int) -> None:
        deadline = time.monotonic() + PATIENCE
        with self._fusectl() as directory:
            while int((directory / "waiting").read_bytes()) < count:
                assert time.monotonic() < deadline
                time.sleep(0.001)
        time.sleep(0.01)  # a request is counted just before it is queued

    @contextmanager
    def _fusectl(self) -> Generator[Path, None, None]:
        """The connection's directory, where it belongs or else where it can be mounted for a moment."""
        number = str(connection_of(self.fd))
        if (FUSECTL / number).exists():
            yield FUSECTL / number
            return
        with tempfile.TemporaryDirectory() as path:
            subprocess.run(["mount", "-t", "fusectl", "fusectl", path], check=True)
            try:
                yield Path(path) / number
            finally:
                subprocess.run(["umount", path], check=True)

    def unmount(self) -> None:
        self.mount.close()
        deadline = time.monotonic() + PATIENCE
        while self.descriptor.poll() != select.POLLERR and time.monotonic() < deadline:
            time.sleep(0.001)

    def clone(self) -> RealDescriptor:
        clone = RealDescriptor()
        clone.clone(self._descriptor)
        return clone

    def backing_open(self) -> int:
        with tempfile.TemporaryFile() as file:
            operation = bytearray(struct.pack("=iIQ", file.fileno(), 0, 0))
            return said(lambda: fcntl.ioctl(self.fd, 0x4010E501, operation))

    def close(self) -> None:
        # A call that still waits is failed by this; then nobody keeps the connection.
        with suppress(OSError):
            number = connection_of(self.fd)
            if number is not None:
                abort_connection(number)
        self._descriptor.close()
        self.mount.close()
        for thread in self.threads:
            thread.join(PATIENCE)


class Fake(Script):
    """KernelSession behind a device of our own."""

    name = "fake"

    def __init__(self, descriptor: Descriptor | None = None, *, block: bool = False, **options: Any) -> None:
        super().__init__()
        options.pop("allow_other", None)
        self.session = KernelSession(**options)
        self.device = Device(self.session, block=block)
        self._descriptor = Descriptor() if descriptor is None else descriptor
        self.device.mount(self._descriptor)
        self._running: dict[int, tuple[Generator[w.Request, Answered, object], list[object]]] = {}

    @property
    def descriptor(self) -> Descriptor:
        return self._descriptor

    def call(self, call: Call) -> Callable[[], object]:
        results: list[object] = []
        self._step(call.fake(), results, None)
        self.settle()

        def finish() -> object:
            self.settle()
            self.until(-1, done=lambda: bool(results))
            if isinstance(results[0], OSError):
                raise results[0]
            return results[0]

        return finish

    def write(self, message: bytes) -> int:
        number = super().write(message)
        self.settle()
        return number

    def settle(self) -> None:
        """Hands callers what they got."""
        while ended := self.device.take_ended():
            for answered in ended:
                waiting = self._running.pop(id(answered.request), None)
                if waiting is not None:
                    self._step(*waiting, answered)

    def _step(
        self, steps: Generator[w.Request, Answered, object], results: list[object], answered: Answered | None
    ) -> None:
        try:
            request = next(steps) if answered is None else steps.send(answered)
        except StopIteration as end:
            results.append(end.value)
        except OSError as failed:
            results.append(failed)
        else:
            self._running[id(request)] = (steps, results)
            self.device.call(request)

    def signal(self, request: w.Request, *, fatal: bool = False) -> None:
        self.device.signal(self.session.pending[request.unique], fatal=fatal)
        self.settle()

    def drop(self, names: list[tuple[int, bytes]]) -> None:
        for nodeid, _ in names:
            self.device.forget(nodeid, self.session.known.lookups(nodeid))

    def abort(self) -> None:
        self.device.abort()
        self.settle()

    def unmount(self) -> None:
        self.device.unmount()
        self.settle()

    def clone(self) -> Descriptor:
        clone = Descriptor()
        clone.clone(self._descriptor)
        return clone

    def backing_open(self) -> int:
        return 0 if self.session.flags & F.FUSE_PASSTHROUGH else errno.EPERM

    def close(self) -> None:
        self._descriptor.close()


def unmounting(kernel: Real | Fake) -> Callable[[], None]:
    """Begins an unmount that waits for the server; what is returned waits for its end."""
    if isinstance(kernel, Fake):
        kernel.unmount()
        return kernel.settle
    thread = threading.Thread(target=kernel.mount.close)
    thread.start()
    return lambda: thread.join(PATIENCE)


KERNELS: Final[dict[str, type[Real] | type[Fake]]] = {"real": Real, "fake": Fake}


@contextmanager
def connected(
    kind: str, answer: bytes | None = None, *, minor: int = 45, setxattr_ext: bool = True, **options: Any
) -> Generator[Real | Fake, None, None]:
    """A kernel that has had `answer` to its INIT."""
    script = KERNELS[kind](**options)
    try:
        script.answer(script.expect(c.FUSE_INIT), init_answer(minor=minor) if answer is None else answer)
        script.minor, script.setxattr_ext = minor, setxattr_ext
        script.opcodes.clear()
        script.lengths.clear()
        yield script
    finally:
        script.close()
