"""One script, two kernels: the real one behind /dev/fuse, and ours behind a device of its own.

A test plays a server byte by byte. It starts a call, reads the requests that the call brings about, writes what it
likes, is told what write(2) says, and sees what the call came to. Requests that the test is not about are answered
from the tree of `made_up`.
"""

from __future__ import annotations

import errno
import fcntl
import select
import signal
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
from made_up import (
    DIR,
    FLAGS,
    LNK,
    LONG,
    MODES,
    NODES,
    REG,
    SIZE,
    attr,
    attr_out,
    dirent,
    direntplus,
    entry,
    error,
    init_answer,
    ok,
    open_buffered,
    usual,
)

from rawfuse import wire as w
from rawfuse.mount import abort_connection, mount_detached
from rawfuse.mount.connections import FUSECTL
from rawfuse.mount.device import connection_of
from rawfuse.session import Answered, KernelSession
from rawfuse.session.device import Device
from rawfuse.wire import constants as c
from rawfuse.wire.flags import InitFlags as F

__all__ = [
    "BUFFER",
    "Call",
    "DIR",
    "FLAGS",
    "Fake",
    "KERNELS",
    "LNK",
    "LONG",
    "MODES",
    "NODES",
    "PATIENCE",
    "REG",
    "Real",
    "SIZE",
    "Script",
    "attr",
    "attr_out",
    "connected",
    "dirent",
    "direntplus",
    "entry",
    "error",
    "init_answer",
    "ok",
    "open_buffered",
    "said",
    "unmounting",
    "using",
    "usual",
]

PATIENCE: Final = 3.0
BUFFER: Final = (1 << 20) + 8192


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
