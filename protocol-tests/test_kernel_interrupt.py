"""INTERRUPT and RESEND: uniques that are not plain, against the real kernel and against KernelSession."""

from __future__ import annotations

import errno
import signal
from collections.abc import Callable, Generator

import pytest
from calls import BY_OPCODE, outcome
from two_kernels import DIR, Fake, Real, attr, connected, error, ok

from rawfuse import wire as w
from rawfuse.wire import constants as c

Kernel = Real | Fake
KINDS = [pytest.param("real", marks=pytest.mark.kernel("root")), "fake"]
BIT63 = 1 << 63


@pytest.fixture(params=KINDS)
def kernel(request: pytest.FixtureRequest) -> Generator[Kernel, None, None]:
    with connected(request.param) as one:
        yield one


@pytest.fixture(autouse=True)
def harmless_signal() -> Generator[None, None, None]:
    before = signal.signal(signal.SIGUSR1, lambda number, frame: None)
    yield
    signal.signal(signal.SIGUSR1, before)


def held(kernel: Kernel) -> tuple[Callable[[], object], w.Request]:
    finish = kernel.call(BY_OPCODE[c.FUSE_GETATTR])
    return finish, kernel.expect(c.FUSE_GETATTR)


def interrupted(kernel: Kernel) -> tuple[Callable[[], object], w.Request, w.Request]:
    finish, request = held(kernel)
    kernel.signal(request)
    return finish, request, kernel.expect(c.FUSE_INTERRUPT)


def answer(kernel: Kernel, request: w.Request) -> int:
    """Attributes that are stale at once, so that the next call asks again."""
    return kernel.write(ok(request, w.fuse_attr_out(attr=attr(1, DIR | 0o755)).pack()))


def test_an_interrupt_names_its_target_and_nothing_else(kernel: Kernel) -> None:
    finish, request, interrupt = interrupted(kernel)
    assert isinstance(interrupt, w.Interrupt)
    assert interrupt.unique == request.unique | 1 and interrupt.arg.unique == request.unique
    assert (interrupt.nodeid, interrupt.uid, interrupt.gid, interrupt.pid) == (0, 0, 0, 0)
    answer(kernel, request)
    assert outcome(finish) == 1


@pytest.mark.parametrize("number", [0, errno.EINTR, errno.ENOENT, errno.EIO, 511])
def test_an_interrupt_may_be_answered_with_anything(kernel: Kernel, number: int) -> None:
    finish, request, interrupt = interrupted(kernel)
    assert kernel.write(error(interrupt, number)) == 0
    answer(kernel, request)
    assert outcome(finish) == 1


def test_an_interrupt_is_answered_with_a_header_alone(kernel: Kernel) -> None:
    finish, request, interrupt = interrupted(kernel)
    assert kernel.write(ok(interrupt, b"12345678")) == errno.EINVAL
    answer(kernel, request)
    assert outcome(finish) == 1


def test_an_answer_to_the_interrupt_of_a_finished_request_finds_nothing(kernel: Kernel) -> None:
    finish, request, interrupt = interrupted(kernel)
    answer(kernel, request)
    assert kernel.write(error(interrupt, errno.EAGAIN)) == errno.ENOENT
    assert outcome(finish) == 1


def test_eagain_brings_the_interrupt_again(kernel: Kernel) -> None:
    finish, request, interrupt = interrupted(kernel)
    assert kernel.write(error(interrupt, errno.EAGAIN)) == 0
    again = kernel.expect(c.FUSE_INTERRUPT)
    assert isinstance(again, w.Interrupt) and again.arg.unique == request.unique
    answer(kernel, request)
    assert outcome(finish) == 1


def test_enosys_ends_interrupts_on_the_connection(kernel: Kernel) -> None:
    finish, request, interrupt = interrupted(kernel)
    assert kernel.write(error(interrupt, errno.ENOSYS)) == 0
    answer(kernel, request)
    outcome(finish)
    finish, request = held(kernel)
    kernel.signal(request)
    assert kernel.next() is None
    answer(kernel, request)
    outcome(finish)


def test_the_caller_waits_until_its_own_request_is_answered(kernel: Kernel) -> None:
    finish, request, interrupt = interrupted(kernel)
    kernel.write(error(interrupt, 0))
    assert kernel.next() is None, "still waiting"
    assert kernel.write(error(request, errno.EPERM)) == 0
    assert outcome(finish) == "EPERM"


@pytest.mark.kernel("root")
def test_a_caller_that_asks_again_after_eintr_has_a_new_request() -> None:
    """os.pread does (PEP 475)."""
    with connected("real") as kernel:
        finish = kernel.call(BY_OPCODE[c.FUSE_READ])
        first = kernel.expect(c.FUSE_READ)
        kernel.signal(first)
        kernel.expect(c.FUSE_INTERRUPT)
        kernel.write(error(first, errno.EINTR))
        assert kernel.expect(c.FUSE_READ).unique > first.unique
        kernel.answer(kernel.requests[-1])
        assert outcome(finish) == b"x" * 100


def resend(kernel: Kernel) -> int:
    return kernel.write(w.fuse_out_header(16, w.NotifyResend.code, 0).pack())


def test_a_request_sent_again_has_bit_63_and_its_old_unique_is_dead(kernel: Kernel) -> None:
    finish, request = held(kernel)
    assert resend(kernel) == 0
    again = kernel.expect(c.FUSE_GETATTR)
    assert again.unique == request.unique | BIT63
    assert answer(kernel, request) == errno.ENOENT
    assert answer(kernel, again) == 0
    assert outcome(finish) == 1


def test_every_request_in_flight_is_sent_again(kernel: Kernel) -> None:
    calls = [held(kernel) for _ in range(3)]
    assert resend(kernel) == 0
    again = [kernel.expect(c.FUSE_GETATTR) for _ in calls]
    assert {one.unique for one in again} == {request.unique | BIT63 for _, request in calls}
    for one in again:
        answer(kernel, one)
    assert [outcome(finish) for finish, _ in calls] == [1, 1, 1]


def test_resending_twice_changes_nothing_more(kernel: Kernel) -> None:
    finish, request = held(kernel)
    again = request
    for _ in range(2):
        assert resend(kernel) == 0
        again = kernel.expect(c.FUSE_GETATTR)
        assert again.unique == request.unique | BIT63
    answer(kernel, again)
    assert outcome(finish) == 1
