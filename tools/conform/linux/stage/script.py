"""One script, two kernels: the server's side of a trial, over either.

A trial plays a server byte by byte. It starts a call, reads the requests that the call brings about, writes what it
likes, is told what write(2) says, and sees what the call came to. Requests that the trial is not about are answered
from the tree of `made_up`.
"""

from __future__ import annotations

import struct
import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final, Protocol

from rawfuse import wire as w
from rawfuse.session import Answered
from rawfuse.session.device import Descriptor
from rawfuse.wire import constants as c
from rawfuse.wire.opcodes import OPERATIONS

from ..trial import Broken, Said, said
from .descriptors import RealDescriptor
from .made_up import error, ok, usual

__all__ = ["BUFFER", "Call", "PATIENCE", "STANDING", "Script", "Standing", "using"]

PATIENCE: Final = 3.0
BUFFER: Final = (1 << 20) + 8192


_LABELS: Final = {one.opcode: one.label for one in OPERATIONS}
_HEAD: Final = struct.Struct("=IiQ")


class Standing(Protocol):
    """Something of a trial that may hang: `end` fails whatever waits, and may be called by another thread."""

    transcript: deque[str]

    def end(self) -> None: ...


STANDING: Final[list[Standing]] = []
"""What the trial that is running has made: what a watchdog ends, and whose last messages a report quotes."""


class Call(Protocol):
    """One system call, said twice."""

    def real(self, root: int) -> object: ...

    def fake(self) -> Generator[w.Request, Answered, object]: ...


class Script:
    """The server's side of a trial, over either kernel.

    Attributes:
        name: "real" or "fake".
        patience: seconds after which a request that does not come is missed.
        transcript: the last messages, a line each.
    """

    name: str
    patience = PATIENCE
    setxattr_ext = True

    def __init__(self) -> None:
        self.opcodes: list[int] = []
        self.requests: list[w.Request] = []
        self.lengths: list[int] = []
        self.silent: list[w.Request] = []
        self.minor = 45
        self.transcript: deque[str] = deque(maxlen=12)
        STANDING.append(self)

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

    def write(self, message: bytes) -> Said:
        """What write(2) says: 0 or an errno."""
        says = said(lambda: self.descriptor.write(message))
        self.transcript.append(f"wrote {_described(message)}: {says!r}")
        return says

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

    def answer(self, request: w.Request, body: bytes | int | None = None) -> Said:
        """Answers as usual, or as said."""
        value = usual(request) if body is None else body
        return self.write(error(request, value) if isinstance(value, int) else ok(request, value))

    def backing_open(self) -> Said:
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
        label = _LABELS.get(request.opcode, request.opcode)
        self.transcript.append(f"read {label} unique {request.unique} nodeid {request.nodeid}, {len(message)} bytes")
        return request

    def until(self, opcode: int, *, done: Callable[[], bool] = lambda: False) -> w.Request | None:
        """Answers everything as usual up to the first request with that opcode, which it returns."""
        deadline = time.monotonic() + self.patience
        while not done():
            request = self.next()
            if request is None:
                if time.monotonic() >= deadline:
                    seen = ", ".join(str(_LABELS.get(one, one)) for one in self.opcodes[-8:])
                    raise Broken("requests", str(_LABELS.get(opcode, "the call's end")), f"none more after {seen}")
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

    def ended(self, finish: Callable[[], object]) -> Callable[[], object]:
        """Waits for calls that nobody has to serve any more."""
        return finish

    def run(self, call: Call, answers: dict[int, bytes | int] | None = None) -> object:
        """A whole call, with `answers` by opcode in place of the usual ones."""
        finish = self.call(call)
        with using(self, answers or {}):
            return finish()

    def end(self) -> None:
        """Fails whatever waits. For a watchdog: may be called from another thread, at any moment."""

    def close(self) -> None:
        """Ends the connection, however the trial left it. May be called twice."""
        raise NotImplementedError


def _described(message: bytes) -> str:
    if len(message) < _HEAD.size:
        return f"{len(message)} bytes"
    length, number, unique = _HEAD.unpack_from(message)
    said_length = "" if length == len(message) else f" saying {length}"
    what = f"notification {number}" if not unique else f"error {number}, unique {unique:#x}"
    return f"{len(message)} bytes{said_length}, {what}"


@contextmanager
def using(script: Script, answers: dict[int, bytes | int]) -> Generator[None, None, None]:
    before = script.answer

    def answer(request: w.Request, body: bytes | int | None = None) -> Said:
        return before(request, answers.get(request.opcode) if body is None else body)

    script.answer = answer  # type: ignore[method-assign]
    try:
        yield
    finally:
        script.answer = before  # type: ignore[method-assign]
