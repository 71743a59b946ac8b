"""The kernel's role: a `KernelSession` that reads hostile replies and notifications.

Judged: only typed errors come of them; a request that a malformed reply has used up is named by the error, so that its
caller can be told; a request that is still pending can be answered afterwards.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator, Sequence
from random import Random
from struct import Struct
from typing import Final

from rawfuse.errors import LocalProtocolError, RemoteProtocolError
from rawfuse.session.kernel_session import Answered, KernelSession
from rawfuse.wire import Init, Notification, Request, decode_request, fuse_init_in, fuse_init_out
from rawfuse.wire.flags import InitFlags
from rawfuse.wire.opcodes import BY_OPCODE
from rawfuse.wire.replies import answered, reply_sizes

from .corpus import Corpus, edge, random_struct
from .life import Finding, Life
from .mutate import Mutator

__all__ = ["MESSAGES", "Answers", "again", "live"]

MESSAGES: Final = 1000
PRISTINE: Final = 0.2

_OUT: Final = Struct("=IiQ")
_MOST_PENDING: Final = 64
_LONGEST: Final = 20_000
_REPLIES: Final = 8


class Answers:
    """Bodies that are right for a request, some for each, made once."""

    def __init__(self, random: Random, asked: Sequence[Request]) -> None:
        self.asked = [(request, self._bodies(random, request)) for request in asked if answered(request.opcode)]

    def _bodies(self, random: Random, request: Request) -> list[bytes]:
        least, most = reply_sizes(request, 45)
        names = BY_OPCODE[request.opcode].reply.structs
        bodies = []
        for _ in range(_REPLIES):
            head = b"".join(random_struct(random, name).pack() for name in names)
            if BY_OPCODE[request.opcode].reply.kind == "dirents":
                head = b"".join(self._entry(head, b"e%d" % number) for number in range(random.randrange(4)))
            bodies.append((head + random.randbytes(min(most, 4096)))[: max(least, min(most, random.randrange(400)))])
        return bodies

    @staticmethod
    def _entry(head: bytes, name: bytes) -> bytes:
        entry = bytearray(head + name + bytes(-len(name) % 8))
        Struct("=I").pack_into(entry, len(head) - 8, len(name))
        return bytes(entry)


class Kernel:
    """One session, its life, and the judgement."""

    def __init__(self, life: Life, session: KernelSession) -> None:
        self.life = life
        self.session = session

    def ask(self, request: Request) -> None:
        """Sends a request, which sets its unique."""
        session = self.session
        try:
            self.life.script.append(("R", session.request(request)))
        except LocalProtocolError:
            session.pending.pop(request.unique, None)
        except Exception as error:  # noqa: BLE001 - it is what is looked for
            self.life.findings.append(Finding.of("request raised", error))

    def receive(self, message: bytes) -> None:
        """Takes what the server wrote, and judges what came of it."""
        life, session = self.life, self.session
        life.script.append(("W", message))
        pending = session.pending
        unique = int.from_bytes(message[8:16], sys.byteorder) if len(message) >= 16 else 0
        there = pending.get(unique)
        try:
            what = session.receive(message)
        except RemoteProtocolError as error:
            used_up = there is not None and unique not in pending
            life.outcomes["refused, the request used up" if used_up else "refused"] += 1
            if used_up and error.unique != unique:
                life.findings.append(Finding(f"request {unique} is used up, the error names {error.unique}: {error}"))
        except Exception as error:  # noqa: BLE001 - it is what is looked for
            life.findings.append(Finding.of("receive raised", error))
        else:
            if isinstance(what, Answered):
                life.outcomes["error reply" if what.errno else "not believed, EIO" if what.seen else "answered"] += 1
                if what.request is not there:
                    life.findings.append(Finding(f"a reply to {unique} answered {what.request!r}"[:300]))
            elif isinstance(what, Notification):
                life.outcomes["notification"] += 1
            else:
                life.outcomes["reply to an INTERRUPT"] += 1


def live(life: Life, random: Random, corpus: Corpus, answers: Answers, most: int) -> None:
    """The life `life.number`, of at most `most` messages."""
    for given, _ in enumerate(_messages(life, random, corpus, answers)):
        if given >= most or life.findings:
            return


def again(life: Life, script: Sequence[tuple[str, bytes]]) -> None:
    """The same with messages that are given."""
    first = decode_request(bytearray(script[0][1]), len(script[0][1]), 0, False)
    if not isinstance(first, Init):
        raise ValueError("the first message is not INIT")
    kernel = Kernel(life, KernelSession(minor=first.arg.minor))
    kernel.ask(first)
    for kind, message in script[1:]:
        if life.findings:
            return
        if kind == "W":
            kernel.receive(message)
        else:
            session = kernel.session
            ext = bool(session.flags & InitFlags.FUSE_SETXATTR_EXT)
            kernel.ask(decode_request(bytearray(message), len(message), session.minor, ext))


def _messages(life: Life, random: Random, corpus: Corpus, answers: Answers) -> Iterator[None]:
    """Says after each message that it was given."""
    kernel = Kernel(life, KernelSession(minor=random.choice((45, 45, 40, 28, 11, 8, 3))))
    mutator = Mutator(random, corpus.replies + corpus.notices, _OUT.size)
    yield from _initialize(kernel, random, mutator)
    session = kernel.session
    while session.agreed is not None and session.refused is None:
        if random.random() < 0.08:
            message = random.choice(corpus.notices)
            good = False
        else:
            asked, bodies = random.choice(answers.asked)
            if (BY_OPCODE[asked.opcode].since or 0) > session.minor:
                continue
            request = copy.copy(asked)
            kernel.ask(request)
            body = random.choice(bodies)
            number = -random.choice((2, 5, 38, 11, 511)) if random.random() < 0.05 else 0
            message = _OUT.pack(_OUT.size + len(body) * (not number), number, request.unique) + body * (not number)
            good = random.random() < PRISTINE
        made = message if good else bytes(mutator.mutated(message, _LONGEST))
        kernel.receive(made)
        yield
        session.take_outgoing()
        if len(session.pending) > _MOST_PENDING:
            yield from _settle(kernel)
    yield from _settle(kernel)


def _initialize(kernel: Kernel, random: Random, mutator: Mutator) -> Iterator[None]:
    init = Init(arg=fuse_init_in(7, kernel.session.minor, 1 << 20, 0x73FFFFFB, 0x7FD))
    kernel.ask(init)
    flags = random.getrandbits(43) & int(InitFlags(0x7FD_73FFFFFB))
    body = fuse_init_out(
        major=7,
        minor=random.choice((45, 45, 40, 28, 11, 8, 3)),
        flags=flags & 0xFFFFFFFF,
        flags2=flags >> 32,
        max_write=edge(random, 32),
        max_pages=edge(random, 16),
    ).pack()
    message = _OUT.pack(_OUT.size + len(body), 0, init.unique) + body
    if random.random() < 0.2:
        message = bytes(mutator.mutated(message, _LONGEST))
    kernel.receive(message)
    yield


def _settle(kernel: Kernel) -> Iterator[None]:
    """Who still waits is answered with an error; that must work."""
    for unique in list(kernel.session.pending):
        message = _OUT.pack(_OUT.size, -5, unique)
        kernel.receive(message)
        yield
        if unique in kernel.session.pending:
            kernel.life.findings.append(Finding(f"request {unique} cannot be answered any more"))
            return
