"""A good server with one thing broken: someone in the middle of its channel, or other methods in its file system."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import trio

from rawfuse import Filesystem, Server
from rawfuse import wire as w
from rawfuse.channel import ChannelClosed, SeqpacketChannel
from rawfuse.errors import ProtocolError
from rawfuse.examples.memory import MemoryFS
from rawfuse.wire.flags import InitFlags
from rawfuse.wire.opcodes import OPERATIONS
from tools.conform.servers import Launch
from tools.trace.relay import room_for_messages

__all__ = ["Asked", "Broken", "END", "Kept", "Said", "launched"]

_HEAD: Final = struct.Struct("=IiQ")
_IN: Final = struct.Struct("=IIQQIIIHH")
_LABELS: Final = {one.opcode: one.label for one in OPERATIONS}


class END(Exception):
    """Raised in the middle: the server ends here."""


@dataclass
class Asked:
    """A message on its way to the server.

    Attributes:
        label: of its opcode, or the number as text; "short" where not even the header is whole, which `body` then is.
        request: decoded, None where that cannot be.
        body: what follows the header, to be changed.
        came: bytes of the message as it came.
    """

    label: str
    unique: int
    nodeid: int
    request: Any
    header: list[int]
    body: bytearray
    came: int

    @property
    def whole(self) -> bool:
        """Its header says how long it is."""
        return bool(self.header) and self.header[0] == self.came

    def arg(self) -> Any:
        """The request's struct."""
        return self.request.arg

    def message(self) -> bytes:
        """With the length that it has now, where it had its own before."""
        if not self.header:
            return bytes(self.body)
        header = [*self.header]
        if self.whole:
            header[0] = _IN.size + len(self.body)
        return _IN.pack(*header) + bytes(self.body)


@dataclass
class Said:
    """A reply on its way to the kernel; `asked` is what it answers, None for a notification."""

    errno: int
    unique: int
    body: bytearray
    asked: Asked | None

    @property
    def ok(self) -> bool:
        return not self.errno

    def take(self, cls: Any, offset: int = 0) -> Any:
        """A struct in the body."""
        return cls.unpack_from(self.body, offset)

    def put(self, value: Any, offset: int = 0) -> None:
        """Another one in its place."""
        self.body[offset : offset + value.SIZE] = value.pack()

    def fail(self, number: int) -> None:
        self.errno, self.body = number, bytearray()

    def succeed(self, body: bytes = b"") -> None:
        self.errno, self.body = 0, bytearray(body)

    def message(self) -> bytes:
        return _HEAD.pack(_HEAD.size + len(self.body), -self.errno, self.unique) + bytes(self.body)


@dataclass
class Kept:
    """What a breaker remembers of one connection: anything by name."""

    files: dict[Any, Any] = field(default_factory=dict)


Ask = Callable[[Asked, Kept], "Iterable[Said] | None"]
Say = Callable[[Said, Kept], "Iterable[bytes] | None"]


@dataclass(frozen=True)
class Broken:
    """One way to be broken.

    Attributes:
        ask: sees each message to the server; may change it, or give replies in the server's place (none: it is lost).
        say: sees each reply; may change it, or give the messages that are sent in its place.
        filesystem: the one that is served.
        first: a message that is sent before anything was asked.
        also: probes that fail too by the nature of this breakage, beside those that are declared to depend.
    """

    ask: Ask | None = None
    say: Say | None = None
    filesystem: Callable[[], Filesystem] = MemoryFS
    first: bytes = b""
    also: tuple[str, ...] = ()


class _Channel(SeqpacketChannel):
    """The server's end, with someone in the middle."""

    def __init__(self, sock: socket.socket, broken: Broken) -> None:
        super().__init__(sock)
        self._broken = broken
        self._kept = Kept()
        self._asked: dict[int, Asked] = {}
        self._ext = False
        self._minor = 45
        if broken.first:
            super().send_bytes(broken.first)

    def receive_nowait(self, buffer: Any) -> int | None:
        while True:
            length = super().receive_nowait(buffer)
            if not length:
                return length
            asked = self._seen(bytes(memoryview(buffer)[:length]))
            self._asked[asked.unique] = asked
            try:
                instead = self._broken.ask(asked, self._kept) if self._broken.ask else None
            except END:
                self.close()
                raise ChannelClosed("broken") from None
            if instead is None:
                message = asked.message()
                memoryview(buffer)[: len(message)] = message
                return len(message)
            for said in instead:
                super().send_bytes(said.message())

    def _seen(self, message: bytes) -> Asked:
        if len(message) < _IN.size:
            return Asked("short", 0, 0, None, [], bytearray(message), len(message))
        header = [*_IN.unpack_from(message)]
        try:
            request: Any = w.decode_request(bytearray(message), len(message), self._minor, self._ext)
        except (ProtocolError, ValueError):
            request = None
        label = _LABELS.get(header[1], str(header[1]))
        return Asked(label, header[2], header[3], request, header, bytearray(message[_IN.size :]), len(message))

    def send(self, parts: Any) -> None:
        self.send_bytes(b"".join(bytes(part) for part in parts))

    def send_bytes(self, message: bytes) -> None:
        message = bytes(message)
        _, number, unique = _HEAD.unpack_from(message)
        asked = self._asked.pop(unique, None) if unique else None
        said = Said(-number if unique else number, unique, bytearray(message[_HEAD.size :]), asked)
        if asked is not None and asked.label == "INIT" and said.ok and len(said.body) >= 64:
            self._agreed(said)
        if not unique:
            said.errno = -number  # message() turns it round again
        try:
            instead = self._broken.say(said, self._kept) if self._broken.say else None
        except END:
            self.close()
            raise ChannelClosed("broken") from None
        for one in (said.message(),) if instead is None else instead:
            super().send_bytes(one)

    def _agreed(self, said: Said) -> None:
        out = said.take(w.fuse_init_out)
        self._minor = out.minor
        self._ext = bool(out.flags & InitFlags.FUSE_SETXATTR_EXT)


class _Server:
    """Runs in a thread of this process."""

    def __init__(self, broken: Broken) -> None:
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        room_for_messages(self.socket)
        room_for_messages(theirs)
        self._problem = ""
        self._thread = threading.Thread(target=self._serve, args=(broken, theirs), daemon=True)
        self._thread.start()

    def _serve(self, broken: Broken, theirs: socket.socket) -> None:
        try:
            trio.run(Server(broken.filesystem(), _Channel(theirs, broken)).serve)
        except BaseException as error:  # noqa: BLE001 - told by `end`
            self._problem = f"{type(error).__name__}: {error}"

    def end(self) -> str:
        self.socket.close()
        self._thread.join(1.0)
        return self._problem or "it ended"


def launched(broken: Broken) -> Launch:
    """Starts it anew each time."""
    return lambda: _Server(broken)
