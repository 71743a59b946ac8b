"""INTERRUPT: the caller of a request got a signal. It waits on all the same until that request is answered."""

from __future__ import annotations

import errno
import fcntl
import os
from typing import Final

from rawfuse import wire
from rawfuse.wire.requests import encode_request

from ...kernel import ConformKernel, Made
from ...probe import Table, Tier

__all__ = ["TABLE"]

TABLE: Final = Table("interrupts", "INTERRUPT: a caller got a signal")

_SOURCE: Final = "fuse_kernel.h 7.7; measured on Linux 6.18"
_WAITING: Final = ("CREATE", "SETLK", "SETLKW", "FUSE_POSIX_LOCKS")
_END: Final = (1 << 63) - 1
_OUT_HEADER: Final = 16


def _lock(made: Made, owner: int, kind: int) -> wire.fuse_lk_in:
    return wire.fuse_lk_in(made.fh, owner, wire.fuse_file_lock(0, _END, kind, os.getpid()))


def _held(k: ConformKernel) -> tuple[Made, int]:
    """A file that is locked, and the unique of a SETLKW that waits for it."""
    made = k.file()
    k.need(wire.SetLk(nodeid=made.nodeid, arg=_lock(made, 1, fcntl.F_WRLCK)))
    unique = k.send(wire.SetLkW(nodeid=made.nodeid, arg=_lock(made, 2, fcntl.F_WRLCK)))
    k.settle()
    return made, unique


def _sound_answers(k: ConformKernel) -> None:
    k.settle()
    wrong = [answer for answer in k.interrupt_answers if answer.length != _OUT_HEADER]
    wrong_strays = [stray for stray in k.strays if stray.errno != errno.ENOENT]
    k.expect(not wrong and not wrong_strays, "a header alone, or nothing", f"{wrong[:2]} {wrong_strays[:2]}")


def _send(k: ConformKernel, target: int) -> None:
    request = wire.Interrupt(unique=target | 1, arg=wire.fuse_interrupt_in(target))
    k.raw(encode_request(request, k.session.minor))  # also after ENOSYS, when Linux sends no more


@TABLE.probe(
    "of_finished",
    Tier.MUST,
    "An INTERRUPT of a request that was answered already is passed over; a reply to it is allowed and says nothing.",
    _SOURCE,
    opcodes=("INTERRUPT",),
)
def of_finished(k: ConformKernel) -> None:
    unique = k.send(wire.GetAttr(nodeid=1, arg=wire.fuse_getattr_in()))
    k.wait(unique)
    _send(k, unique)
    k.serves()
    _sound_answers(k)


@TABLE.probe(
    "of_unknown",
    Tier.MUST,
    "An INTERRUPT of a request that has not come (by another descriptor it may come later) costs nothing.",
    _SOURCE,
    opcodes=("INTERRUPT",),
)
def of_unknown(k: ConformKernel) -> None:
    _send(k, 1 << 40)
    k.serves()
    _sound_answers(k)


@TABLE.probe(
    "before_its_request",
    Tier.MUST,
    "An INTERRUPT may be read before the request that it is about; that is answered all the same, with EINTR perhaps.",
    "measured on Linux 6.18: interrupts are read first",
    opcodes=("INTERRUPT",),
)
def before_its_request(k: ConformKernel) -> None:
    request = wire.GetAttr(nodeid=1, arg=wire.fuse_getattr_in())
    message = k.message(request)
    _send(k, request.unique)
    k.raw(message)
    answer = k.wait(request.unique, "GETATTR")
    k.expect(answer.errno in (0, errno.EINTR), "attributes, or EINTR", answer)


@TABLE.probe(
    "answered_once",
    Tier.MUST,
    "An interrupted request is answered once: the caller, even one that was killed, waits for that.",
    _SOURCE,
    opcodes=("INTERRUPT", "SETLKW"),
    needs=_WAITING,
    depends=("locks.waited_for",),
)
def answered_once(k: ConformKernel) -> None:
    made, unique = _held(k)
    k.interrupt(unique)
    reply = k.wait_within(unique, min(1.0, k.patience))
    k.need(wire.SetLk(nodeid=made.nodeid, arg=_lock(made, 1, fcntl.F_UNLCK)))
    if reply is None:
        reply = k.wait(unique, "SETLKW")
    k.settle()
    twice = [stray for stray in k.strays if stray.unique == unique]
    k.expect(not twice, "one reply", f"{1 + len(twice)}")


@TABLE.probe(
    "ends_the_wait",
    Tier.SHOULD,
    "An INTERRUPT ends the wait of a SETLKW with EINTR, soon: a program that waits for a lock can be stopped.",
    _SOURCE,
    opcodes=("INTERRUPT", "SETLKW"),
    needs=_WAITING,
    depends=("locks.waited_for",),
)
def ends_the_wait(k: ConformKernel) -> None:
    made, unique = _held(k)
    k.interrupt(unique)
    answer = k.wait_within(unique, min(2.0, k.patience))
    if answer is None:
        k.need(wire.SetLk(nodeid=made.nodeid, arg=_lock(made, 1, fcntl.F_UNLCK)))
        k.wait(unique, "SETLKW")
    k.expect(answer is not None and answer.errno == errno.EINTR, "EINTR", answer or "no reply until the lock was free")


@TABLE.probe(
    "takes_no_lock",
    Tier.SHOULD,
    "A SETLKW that was answered with EINTR has taken no lock.",
    "POSIX: fcntl(2)",
    opcodes=("INTERRUPT", "SETLKW"),
    needs=_WAITING,
    depends=("interrupts.ends_the_wait", "locks.waited_for"),
)
def takes_no_lock(k: ConformKernel) -> None:
    made, unique = _held(k)
    k.interrupt(unique)
    answer = k.wait_within(unique, min(2.0, k.patience))
    k.need(wire.SetLk(nodeid=made.nodeid, arg=_lock(made, 1, fcntl.F_UNLCK)))
    if answer is None:
        answer = k.wait(unique, "SETLKW")
    third = k.ask(wire.SetLk(nodeid=made.nodeid, arg=_lock(made, 3, fcntl.F_WRLCK)))
    free = not third.errno
    k.expect(free == bool(answer.errno), "the lock free after EINTR, taken after success", third)


@TABLE.probe(
    "others_go_on",
    Tier.MUST,
    "An INTERRUPT ends its own request and no other.",
    _SOURCE,
    opcodes=("INTERRUPT", "SETLKW"),
    needs=_WAITING,
    depends=("locks.waited_for",),
)
def others_go_on(k: ConformKernel) -> None:
    made, first = _held(k)
    second = k.send(wire.SetLkW(nodeid=made.nodeid, arg=_lock(made, 3, fcntl.F_WRLCK)))
    k.settle()
    k.interrupt(first)
    early = k.wait_within(second, 0.2)
    k.expect(early is None, "the other SETLKW still waiting", early)
    k.need(wire.SetLk(nodeid=made.nodeid, arg=_lock(made, 1, fcntl.F_UNLCK)))
    answers = [k.wait(first, "SETLKW")]
    k.need(wire.SetLk(nodeid=made.nodeid, arg=_lock(made, 2, fcntl.F_UNLCK)))
    answers.append(k.wait(second, "SETLKW"))
    k.expect(not answers[1].errno, "success of the other", answers[1])


@TABLE.probe(
    "storm",
    Tier.SHOULD,
    "A thousand INTERRUPTs of requests that are not there take no memory that lasts, nor the server's time.",
    "Linux sends one for each signal",
    opcodes=("INTERRUPT",),
)
def storm(k: ConformKernel) -> None:
    for number in range(1000):
        _send(k, (1 << 41) + 2 * number)
        if number % 50 == 0:
            k.alive()
    k.serves()
    _sound_answers(k)


@TABLE.probe(
    "in_time",
    Tier.MAY,
    "Whether answered by EINTR or not, an interrupted SETLKW is answered within a second.",
    "signal(7): nobody likes to press Ctrl-C twice",
    opcodes=("INTERRUPT", "SETLKW"),
    needs=_WAITING,
    depends=("locks.waited_for", "interrupts.ends_the_wait"),
)
def in_time(k: ConformKernel) -> None:
    made, unique = _held(k)
    k.interrupt(unique)
    answer = k.wait_within(unique, 1.0)
    if answer is None:
        k.need(wire.SetLk(nodeid=made.nodeid, arg=_lock(made, 1, fcntl.F_UNLCK)))
        k.wait(unique, "SETLKW")
    k.expect(answer is not None, "a reply within 1 s", "none")
