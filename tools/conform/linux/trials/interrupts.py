"""INTERRUPT and RESEND: uniques that are not plain, against the real kernel and against KernelSession."""

from __future__ import annotations

import errno
from collections.abc import Callable

from rawfuse import wire as w
from rawfuse.wire import constants as c

from ..stage.calls import BY_OPCODE, outcome
from ..stage.kernels import Kernel, connected, kind_alone
from ..stage.made_up import DIR, attr, error, ok
from ..trial import holds, of, over, same, trial


def held(kernel: Kernel) -> tuple[Callable[[], object], w.Request]:
    finish = kernel.call(BY_OPCODE[c.FUSE_GETATTR])
    return finish, kernel.expect(c.FUSE_GETATTR)


def interrupted(kernel: Kernel) -> tuple[Callable[[], object], w.Request, w.Interrupt]:
    finish, request = held(kernel)
    kernel.signal(request)
    return finish, request, of(w.Interrupt, kernel.expect(c.FUSE_INTERRUPT))


def answer(kernel: Kernel, request: w.Request) -> int:
    """Attributes that are stale at once, so that the next call asks again."""
    return kernel.write(ok(request, w.fuse_attr_out(attr=attr(1, DIR | 0o755)).pack()))


@trial(on=connected)
def an_interrupt_names_its_target_and_nothing_else(kernel: Kernel) -> None:
    finish, request, interrupt = interrupted(kernel)
    same(interrupt.unique, request.unique | 1)
    same(interrupt.arg.unique, request.unique)
    same((interrupt.nodeid, interrupt.uid, interrupt.gid, interrupt.pid), (0, 0, 0, 0))
    answer(kernel, request)
    same(outcome(finish), 1)


@trial(on=connected)
@over("number", [0, errno.EINTR, errno.ENOENT, errno.EIO, 511])
def an_interrupt_may_be_answered_with_anything(kernel: Kernel, number: int) -> None:
    finish, request, interrupt = interrupted(kernel)
    same(kernel.write(error(interrupt, number)), 0)
    answer(kernel, request)
    same(outcome(finish), 1)


@trial(on=connected)
def an_interrupt_is_answered_with_a_header_alone(kernel: Kernel) -> None:
    finish, request, interrupt = interrupted(kernel)
    same(kernel.write(ok(interrupt, b"12345678")), errno.EINVAL)
    answer(kernel, request)
    same(outcome(finish), 1)


@trial(on=connected)
def an_answer_to_the_interrupt_of_a_finished_request_finds_nothing(kernel: Kernel) -> None:
    finish, request, interrupt = interrupted(kernel)
    answer(kernel, request)
    same(kernel.write(error(interrupt, errno.EAGAIN)), errno.ENOENT)
    same(outcome(finish), 1)


@trial(on=connected)
def eagain_brings_the_interrupt_again(kernel: Kernel) -> None:
    finish, request, interrupt = interrupted(kernel)
    same(kernel.write(error(interrupt, errno.EAGAIN)), 0)
    again = of(w.Interrupt, kernel.expect(c.FUSE_INTERRUPT))
    same(again.arg.unique, request.unique)
    answer(kernel, request)
    same(outcome(finish), 1)


@trial(on=connected)
def enosys_ends_interrupts_on_the_connection(kernel: Kernel) -> None:
    finish, request, interrupt = interrupted(kernel)
    same(kernel.write(error(interrupt, errno.ENOSYS)), 0)
    answer(kernel, request)
    outcome(finish)
    finish, request = held(kernel)
    kernel.signal(request)
    holds(kernel.next() is None, "no INTERRUPT any more")
    answer(kernel, request)
    outcome(finish)


@trial(on=connected)
def the_caller_waits_until_its_own_request_is_answered(kernel: Kernel) -> None:
    finish, request, interrupt = interrupted(kernel)
    kernel.write(error(interrupt, 0))
    holds(kernel.next() is None, "still waiting")
    same(kernel.write(error(request, errno.EPERM)), 0)
    same(outcome(finish), "EPERM")


@trial(on=kind_alone)
def a_caller_that_asks_again_after_eintr_has_a_new_request(_: str) -> None:
    """os.pread does (PEP 475)."""
    with connected("real") as kernel:
        finish = kernel.call(BY_OPCODE[c.FUSE_READ])
        first = kernel.expect(c.FUSE_READ)
        kernel.signal(first)
        kernel.expect(c.FUSE_INTERRUPT)
        kernel.write(error(first, errno.EINTR))
        holds(kernel.expect(c.FUSE_READ).unique > first.unique, "a new unique")
        kernel.answer(kernel.requests[-1])
        same(outcome(finish), b"x" * 100)


def resend(kernel: Kernel) -> int:
    return kernel.write(w.fuse_out_header(16, w.NotifyResend.code, 0).pack())


@trial(on=connected)
def a_request_sent_again_has_bit_63_and_its_old_unique_is_dead(kernel: Kernel) -> None:
    finish, request = held(kernel)
    same(resend(kernel), 0)
    again = kernel.expect(c.FUSE_GETATTR)
    same(again.unique, request.unique | c.FUSE_UNIQUE_RESEND)
    same(answer(kernel, request), errno.ENOENT)
    same(answer(kernel, again), 0)
    same(outcome(finish), 1)


@trial(on=connected)
def every_request_in_flight_is_sent_again(kernel: Kernel) -> None:
    calls = [held(kernel) for _ in range(3)]
    same(resend(kernel), 0)
    again = [kernel.expect(c.FUSE_GETATTR) for _ in calls]
    same({one.unique for one in again}, {request.unique | c.FUSE_UNIQUE_RESEND for _, request in calls})
    for one in again:
        answer(kernel, one)
    same([outcome(finish) for finish, _ in calls], [1, 1, 1])


@trial(on=connected)
def resending_twice_changes_nothing_more(kernel: Kernel) -> None:
    finish, request = held(kernel)
    again = request
    for _ in range(2):
        same(resend(kernel), 0)
        again = kernel.expect(c.FUSE_GETATTR)
        same(again.unique, request.unique | c.FUSE_UNIQUE_RESEND)
    answer(kernel, again)
    same(outcome(finish), 1)
