"""The server's role: a `Server` whose channel has hostile requests, and whose file system is erratic.

Judged is what the server writes, message by message. Each request that can be answered is answered once, with what its
handler was bound to cause or, where no handler was called, with EIO or EINVAL; what has no reply gets none; nothing
ends the serving but the channel's end.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from random import Random
from struct import Struct
from typing import Final

import trio

from rawfuse import Filesystem, Server
from rawfuse.channel.base import ChannelClosed, Parts
from rawfuse.errors import ForeignByteOrder, RemoteProtocolError
from rawfuse.session.negotiation import KernelTooOld
from rawfuse.wire import (
    Init,
    Interrupt,
    Request,
    decode_notification,
    encode_request,
    fuse_init_in,
    fuse_interrupt_in,
)
from rawfuse.wire.opcodes import BY_OPCODE

from .corpus import Corpus, edge
from .erratic import Erratic, Expected
from .life import Finding, Life
from .mutate import Mutator

__all__ = ["MESSAGES", "HostileChannel", "again", "live", "serve"]

MESSAGES: Final = 1000
"""In one life."""

PRISTINE: Final = 0.2
"""The share of messages that are left as they are."""

_HEADER: Final = Struct("=IIQ")
_OUT: Final = Struct("=IiQ")
_IN_HEADER: Final = 40
_ANSWERABLE: Final = 16
"""Bytes from which on a message says to what unique it wants an answer."""

_OFFERED: Final = (1 << 43) - 1
_INTERRUPT: Final = Interrupt.opcode
_NEVER: Final = frozenset(opcode for opcode, operation in BY_OPCODE.items() if operation.reply.kind == "none")
_PATIENCE: Final = 200
_MALFORMED: Final = Expected((errno.EIO, errno.EINVAL), "malformed request")
_UNTOLD: Final = Expected((0, errno.EIO, errno.EINVAL, errno.ENOSYS), "no handler")
_INIT: Final = Expected((0, errno.EIO, errno.EINVAL, errno.EPROTO), "INIT")


def init_message(random: Random) -> bytes:
    """INIT of some kernel that is served."""
    offered = _OFFERED if random.random() < 0.5 else random.getrandbits(43) | 1 << 30
    minor = random.choice((45, 45, 45, 44, 36, 28, 60))
    arg = fuse_init_in(7, minor, edge(random, 32), offered & 0xFFFFFFFF, offered >> 32)
    return encode_request(Init(unique=2, arg=arg))


def script(random: Random, corpus: Corpus, most: int) -> Iterator[bytes]:
    """INIT, then what is not to be trusted."""
    mutator = Mutator(random, corpus.requests)
    first = init_message(random)
    yield bytes(mutator.mutated(first, most)) if random.random() < 0.1 else first
    requests = corpus.requests
    pack_unique = Struct("=Q").pack_into
    unique = 4
    while True:
        message = bytearray(random.choice(requests))
        unique += 2
        pack_unique(message, 8, unique)
        if message[4:8] == b"\x24\0\0\0":  # INTERRUPT: of something that was asked lately
            pack_unique(message, 8, unique | 1)
            pack_unique(message, 40, max(2, unique - 2 * random.randrange(60)))
        yield bytes(message) if random.random() < PRISTINE else bytes(mutator.mutated(bytes(message), most))


class HostileChannel:
    """A channel that reads a script and judges what is written. It ends when every request had its reply."""

    def __init__(
        self,
        life: Life,
        messages: Iterator[bytes],
        most: int,
        *,
        untold: Expected = _UNTOLD,
        patience: int = _PATIENCE,
    ) -> None:
        self._life = life
        self._messages = messages
        self._left = most
        self._due: dict[int, Expected] = {}
        self._ambiguous: set[int] = set()
        self._untold = untold
        self._patience = patience
        self._interrupted = False
        self._last: Sequence[int] = ()
        self.now = 0
        """How many messages were given."""

    def told(self, request: Request, expected: Expected) -> None:
        """A handler was called."""
        if request.unique in self._due:
            self._due[request.unique] = expected

    def receive_nowait(self, buffer: bytearray | memoryview) -> int | None:
        if self._life.findings:
            raise ChannelClosed("something was found")
        if self._left:
            self._left -= 1
            message = next(self._messages, None)
            if message is not None:
                return self._give(message, buffer)
            self._left = 0
        return self._finish(buffer)

    def _give(self, message: bytes, buffer: bytearray | memoryview) -> int:
        life, due = self._life, self._due
        self.now += 1
        life.script.append(("R", message))
        length = min(len(message), len(buffer))
        buffer[:length] = message[:length]
        if length < _ANSWERABLE:
            life.outcomes["too short to be answered"] += 1
            return length
        size, opcode, unique = _HEADER.unpack_from(message)
        if opcode in _NEVER:
            life.outcomes["takes no reply"] += 1
        elif unique == 0:
            life.outcomes["unique 0: a reply to it is none"] += 1
        elif unique in due:
            self._ambiguous.add(unique)
            life.outcomes["unique in use already"] += 1
        elif opcode == _INTERRUPT:
            life.outcomes["INTERRUPT"] += 1
            self._ambiguous.add(unique)
        else:
            broken = size != length or length < _IN_HEADER
            due[unique] = _MALFORMED if broken else _INIT if opcode == Init.opcode else self._untold
        return length

    def _finish(self, buffer: bytearray | memoryview) -> int | None:
        """Who waits for good is interrupted; then all must be answered."""
        self._patience -= 1
        due = self._due
        if not self._interrupted:
            self._interrupted = True
            self._last = list(due)
        if self._last:
            unique, *self._last = self._last
            message = encode_request(Interrupt(unique=unique | 1, arg=fuse_interrupt_in(unique)))
            buffer[: len(message)] = message
            return len(message)
        lost = [unique for unique in due if unique not in self._ambiguous]
        if not lost:
            raise ChannelClosed("the script is at its end")
        if self._patience <= 0:
            self._wrong(f"requests were never answered: {lost[:5]}, {due[lost[0]]}")
        return None

    def poll(self, milliseconds: int) -> bool:
        return False

    async def wait(self) -> None:
        await trio.lowlevel.checkpoint()

    def send(self, parts: Parts) -> None:
        self.send_bytes(b"".join(parts))

    def send_bytes(self, message: bytes | bytearray | memoryview) -> None:
        length = len(message)
        if length < _OUT.size:
            self._wrong(f"a message of {length} bytes was written")
            return
        size, error, unique = _OUT.unpack_from(message)
        if unique == 0 and error > 0:
            self._notified(bytes(message))
            return
        if size != length or not -512 < error <= 0 or (error and length != _OUT.size):
            self._wrong(f"a malformed reply was written: length {length}, said {size}, error {error}")
            return
        expected = self._due.pop(unique, None)
        if expected is None:
            if unique and unique not in self._ambiguous:
                self._wrong(f"a reply to {unique}, which waits for none, error {error}")
        elif -error in expected.errnos or unique in self._ambiguous:
            self._life.outcomes[self._label(expected, -error)] += 1
        else:
            self._wrong(f"errno {-error} answers {unique}, {expected} was expected")

    def _notified(self, message: bytes) -> None:
        try:
            decode_notification(message)
        except RemoteProtocolError as error:
            self._wrong(f"a malformed notification was written: {error}")
        else:
            self._life.outcomes["notification sent"] += 1

    def _label(self, expected: Expected, number: int) -> str:
        if expected is not self._untold:
            return "interrupted, EINTR" if number == errno.EINTR else expected.label
        if number == errno.ENOSYS:
            return "absent, ENOSYS"
        if self._untold is not _UNTOLD and number not in (0, errno.EIO):
            return "error " + errno.errorcode.get(number, str(number))
        return "answered" if number == 0 else _MALFORMED.label

    def _wrong(self, what: str) -> None:
        self._life.findings.append(Finding(what))

    def close(self) -> None: ...


async def serve(life: Life, channel: HostileChannel, filesystem: Filesystem) -> None:
    """One life to its end; what the server raises is a finding."""
    try:
        await Server(filesystem, channel).serve()
    except (KernelTooOld, ForeignByteOrder):
        return
    except Exception as error:  # noqa: BLE001 - it is what is looked for
        life.findings.append(Finding.of("serving ended", error))


def _channel(life: Life, messages: Iterator[bytes], most: int, salt: int) -> tuple[HostileChannel, Filesystem]:
    channel = HostileChannel(life, messages, most)
    return channel, Erratic(salt, channel.told)


async def live(life: Life, random: Random, corpus: Corpus, most: int) -> None:
    """The life `life.number`, of at most `most` messages."""
    channel, filesystem = _channel(life, script(random, corpus, Erratic.max_write), most, life.number)
    await serve(life, channel, filesystem)


async def again(life: Life, messages: Sequence[bytes]) -> None:
    """The same with messages that are given."""
    channel, filesystem = _channel(life, iter(messages), len(messages), life.number)
    await serve(life, channel, filesystem)
