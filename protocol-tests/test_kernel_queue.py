"""The device as a queue: what read(2), write(2) and poll(2) say, and in which order messages come.

Against the real kernel and against `rawfuse.session.device` (Linux 6.18, fs/fuse/dev.c).
"""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from typing import Any

import pytest
from calls import BY_OPCODE, F, SystemCall, lookup, outcome
from descriptors import FakeDescriptor, RealDescriptor, unmounted
from two_kernels import (
    BUFFER,
    DIR,
    FLAGS,
    KERNELS,
    Fake,
    Real,
    attr,
    connected,
    entry,
    error,
    init_answer,
    ok,
    said,
)

from rawfuse import wire as w
from rawfuse.session.device import Asleep
from rawfuse.wire import constants as c
from rawfuse.wire.flags import InitFlags

Kernel = Real | Fake
KINDS = [pytest.param("real", marks=pytest.mark.kernel("root")), "fake"]
GETATTR, FORGET, BATCH, INTERRUPT = c.FUSE_GETATTR, c.FUSE_FORGET, c.FUSE_BATCH_FORGET, c.FUSE_INTERRUPT


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def kernel(kind: str) -> Generator[Kernel, None, None]:
    with connected(kind) as one:
        yield one


@pytest.fixture
def fresh(kind: str) -> Generator[RealDescriptor | FakeDescriptor, None, None]:
    """A descriptor that nobody mounted."""
    descriptor = unmounted(kind)
    yield descriptor
    descriptor.close()


@pytest.fixture(autouse=True)
def harmless_signal() -> Generator[None, None, None]:
    before = signal.signal(signal.SIGUSR1, lambda number, frame: None)
    yield
    signal.signal(signal.SIGUSR1, before)


def asked(kernel: Kernel) -> Callable[[], object]:
    """A GETATTR is queued."""
    return kernel.call(BY_OPCODE[GETATTR])


def stale(request: w.Request) -> bytes:
    """Attributes that are asked for again at the next call."""
    return ok(request, w.fuse_attr_out(attr=attr(1, DIR | 0o755)).pack())


def taken(kernel: Kernel, descriptor: Any = None) -> w.Request:
    """The next message, read by that descriptor, whatever it is."""
    message = (kernel.descriptor if descriptor is None else descriptor).read(BUFFER)
    return w.decode_request(bytearray(message), len(message), kernel.minor, kernel.setxattr_ext)


def everything(kernel: Kernel) -> list[w.Request]:
    """All that is queued, answered where it can be."""
    found: list[w.Request] = []
    while (message := kernel.read()) is not None:
        request = w.decode_request(bytearray(message), len(message), kernel.minor, kernel.setxattr_ext)
        found.append(request)
        if request.opcode == GETATTR:
            kernel.write(stale(request))
    return found


def test_before_a_mount_nothing_may_be_read_or_written(fresh: RealDescriptor | FakeDescriptor) -> None:
    assert said(lambda: fresh.read(BUFFER)) == errno.EPERM
    assert said(lambda: fresh.write(bytes(16))) == errno.EPERM
    assert fresh.poll() == select.POLLERR


def test_with_synchronous_init_reading_sleeps_until_the_mount(kind: str) -> None:
    descriptor = unmounted(kind, sync_init=True)
    with pytest.raises(Asleep):
        descriptor.read(BUFFER)
    kernels: list[Kernel] = []
    mounting = threading.Thread(target=lambda: kernels.append(KERNELS[kind](descriptor)))  # type: ignore[arg-type]
    mounting.start()
    init = descriptor.woken(BUFFER)
    request = w.decode_request(bytearray(init), len(init), 0, False)
    assert isinstance(request, w.Init)
    descriptor.write(ok(request, init_answer()))
    mounting.join(5)
    (kernel,) = kernels
    descriptor._sleeps = False  # type: ignore[union-attr]
    assert outcome(kernel.call(BY_OPCODE[c.FUSE_LOOKUP])) == 2
    kernel.close()


def test_an_empty_queue_is_eagain_and_poll_says_so(kernel: Kernel) -> None:
    assert said(lambda: kernel.descriptor.read(BUFFER)) == errno.EAGAIN
    assert kernel.descriptor.poll() == select.POLLOUT
    finish = asked(kernel)
    kernel.queued(1)
    assert kernel.descriptor.poll() == select.POLLIN | select.POLLOUT
    request = taken(kernel)
    assert kernel.descriptor.poll() == select.POLLOUT
    kernel.write(stale(request))
    assert outcome(finish) == 1


@pytest.mark.parametrize("size", [0, 1, 40, 8191])
def test_a_buffer_below_8192_bytes_is_einval_whatever_is_queued(kind: str, size: int) -> None:
    kernel = KERNELS[kind]()
    assert said(lambda: kernel.descriptor.read(size)) == errno.EINVAL, "INIT is queued"
    assert len(kernel.descriptor.read(8192)) == 104
    assert said(lambda: kernel.descriptor.read(size)) == errno.EINVAL, "nothing is queued"
    assert said(lambda: kernel.descriptor.read(8192)) == errno.EAGAIN
    kernel.close()


@pytest.mark.parametrize(("max_write", "least"), [(4096, 8192), (65536, 65616), (1 << 20, (1 << 20) + 80)])
def test_a_buffer_too_short_for_the_largest_write_is_einval(kind: str, max_write: int, least: int) -> None:
    with connected(kind, init_answer(max_write=max_write)) as kernel:
        assert said(lambda: kernel.descriptor.read(least - 1)) == errno.EINVAL
        assert said(lambda: kernel.descriptor.read(least)) == errno.EAGAIN


def test_each_read_brings_one_message(kernel: Kernel) -> None:
    finishes = [asked(kernel) for _ in range(3)]
    kernel.queued(3)
    requests = [taken(kernel) for _ in finishes]
    assert [one.opcode for one in requests] == [GETATTR] * 3
    for one in requests:
        kernel.write(stale(one))
    assert [outcome(finish) for finish in finishes] == [1] * 3


def test_a_signal_ends_a_read_that_sleeps_with_eintr(kind: str) -> None:
    descriptor = unmounted(kind, blocking=True)
    kernel = KERNELS[kind](descriptor)  # type: ignore[arg-type]
    init = descriptor.read(BUFFER)
    descriptor.write(ok(w.decode_request(bytearray(init), len(init), 0, False), init_answer()))
    with pytest.raises(Asleep):
        descriptor.read(BUFFER)
    descriptor.signal()
    assert said(lambda: descriptor.woken(BUFFER)) == errno.EINTR
    kernel.close()


LONG = b"n" * 4090


def rename_long(root: int) -> None:
    os.rename(LONG, b"m" * 4090, src_dir_fd=root, dst_dir_fd=root)


TOO_LARGE = [
    SystemCall(
        c.FUSE_SETXATTR,
        lambda root: os.setxattr(f"/proc/self/fd/{root}/f", "user.a", bytes(20000)),
        (F, lambda: w.SetXAttr(nodeid=2, name=b"user.a", value=bytes(20000))),
    ),
    SystemCall(
        c.FUSE_RENAME,
        rename_long,
        (
            lookup(LONG),
            lambda: w.Rename(nodeid=1, arg=w.fuse_rename_in(1), name=LONG, newname=b"m" * 4090),
        ),
    ),
]


@pytest.mark.parametrize(("call", "seen"), [(TOO_LARGE[0], "E2BIG"), (TOO_LARGE[1], "EIO")], ids=("SETXATTR", "RENAME"))
def test_a_request_larger_than_the_buffer_fails_and_the_next_one_is_read(
    kind: str, call: SystemCall, seen: str
) -> None:
    with connected(kind, init_answer(max_write=4096)) as kernel:
        finish = kernel.call(call)
        while (message := next_message(kernel, 8192)) is not None:
            request = w.decode_request(bytearray(message), len(message), 45, True)
            assert request.opcode != call.opcode
            absent = isinstance(request, w.Lookup) and request.name[:1] == b"m"
            kernel.write(error(request, errno.ENOENT) if absent else ok(request, entry(2, 0o100644)))
        assert outcome(finish) == seen
        assert outcome(kernel.call(BY_OPCODE[c.FUSE_STATFS])) == 10


def next_message(kernel: Kernel, size: int) -> bytes | None:
    """None when nothing comes."""
    if isinstance(kernel, Real):
        select.select([kernel.fd], [], [], 0.1)
    try:
        return kernel.descriptor.read(size)
    except BlockingIOError:
        return None


def named(count: int) -> SystemCall:
    """Looks up n0, n1 and so on."""

    def act(root: int) -> object:
        return [os.stat(b"n%d" % number, dir_fd=root).st_ino for number in range(count)]

    return SystemCall(c.FUSE_LOOKUP, act, tuple(lookup(b"n%d" % number) for number in range(count)))


def dropped(kernel: Kernel, count: int) -> None:
    kernel.run(named(count))
    kernel.drop([(100 + number, b"n%d" % number) for number in range(count)])


def test_interrupts_come_before_forgets_and_forgets_before_requests_in_their_turn(kind: str) -> None:
    """Below minor 16 each forget is a message of its own: sixteen of them come after every eight requests."""
    with connected(kind, init_answer(minor=15), minor=15) as kernel:
        kernel.run(named(37))
        finishes = [asked(kernel)]
        held = kernel.expect(GETATTR)
        kernel.signal(held)
        finishes += [asked(kernel) for _ in range(17)]
        kernel.queued(18)
        kernel.drop([(100 + number, b"n%d" % number) for number in range(37)])
        order = [one.opcode for one in everything(kernel)]
        assert order == [INTERRUPT, *([GETATTR] * 8 + [FORGET] * 16) * 2, GETATTR, *[FORGET] * 5]
        kernel.write(stale(held))
        assert [outcome(finish) for finish in finishes] == [1] * 18


def test_a_batch_takes_every_forget_there_is(kernel: Kernel) -> None:
    dropped(kernel, 10)
    (batch,) = everything(kernel)
    assert isinstance(batch, w.BatchForget)
    assert [(one.nodeid, one.nlookup) for one in batch.forgets] == [(100 + number, 1) for number in range(10)]


def test_one_forget_alone_is_no_batch(kernel: Kernel) -> None:
    dropped(kernel, 1)
    (one,) = everything(kernel)
    assert isinstance(one, w.Forget) and (one.nodeid, one.arg.nlookup) == (100, 1)


def test_a_batch_holds_what_the_buffer_holds(kind: str) -> None:
    with connected(kind, init_answer(max_write=4096)) as kernel:
        dropped(kernel, 512)
        lengths = []
        while (message := next_message(kernel, 8192)) is not None:
            lengths.append(len(message))
        assert lengths == [48 + 16 * 509, 48 + 16 * 3]


def test_an_interrupt_comes_only_after_its_request_was_read(kernel: Kernel) -> None:
    if isinstance(kernel, Real):
        finish = asked(kernel)
        kernel.queued(1)
        (thread,) = (one for one in kernel.threads if one.is_alive())
        signal.pthread_kill(thread.ident or 0, signal.SIGUSR1)
    else:
        finish = asked(kernel)
        (unread,) = kernel.session.pending.values()
        kernel.signal(unread)
    request = taken(kernel)
    interrupt = kernel.next()
    assert isinstance(interrupt, w.Interrupt) and interrupt.arg.unique == request.unique
    kernel.write(stale(request))
    assert outcome(finish) == 1


def test_an_interrupt_that_nobody_read_goes_with_its_request(kernel: Kernel) -> None:
    finish = asked(kernel)
    request = kernel.expect(GETATTR)
    kernel.signal(request)
    kernel.queued(1)
    kernel.write(stale(request))
    assert outcome(finish) == 1
    assert everything(kernel) == []


def test_only_the_first_signal_brings_an_interrupt(kernel: Kernel) -> None:
    finish = asked(kernel)
    request = kernel.expect(GETATTR)
    for _ in range(2):
        kernel.signal(request)
        kernel.expect(INTERRUPT) if not kernel.silent else None
        kernel.silent.append(request)
    assert kernel.next() is None
    kernel.write(stale(request))
    assert outcome(finish) == 1


STAT = "import os, sys; os.stat('never', dir_fd=int(sys.argv[1]))"


def test_a_caller_killed_before_its_request_was_read_takes_it_back(kernel: Kernel) -> None:
    if isinstance(kernel, Real):
        command = [sys.executable, "-c", STAT, str(kernel.root)]
        with subprocess.Popen(command, pass_fds=(kernel.root,)) as child:
            assert select.select([kernel.fd], [], [], 5)[0]
            child.kill()
            assert child.wait(5) == -signal.SIGKILL
    else:
        finish = asked(kernel)
        (unread,) = kernel.session.pending.values()
        kernel.signal(unread, fatal=True)
        assert outcome(finish) == "EINTR"
    assert everything(kernel) == []


@pytest.mark.parametrize(("flag", "number"), [(True, errno.ECONNABORTED), (False, errno.ENODEV)])
def test_after_an_abort_reading_says_what_was_agreed_and_callers_are_failed(kind: str, flag: bool, number: int) -> None:
    flags = FLAGS | InitFlags.FUSE_ABORT_ERROR if flag else FLAGS
    with connected(kind, init_answer(flags)) as kernel:
        finishes = [asked(kernel)]
        request = kernel.expect(GETATTR)
        finishes.append(asked(kernel))
        kernel.queued(2)
        kernel.abort()
        assert said(lambda: kernel.descriptor.read(BUFFER)) == number
        assert said(lambda: kernel.descriptor.read(100)) == errno.EINVAL
        assert kernel.descriptor.poll() == select.POLLERR
        assert kernel.write(stale(request)) == errno.ENOENT
        assert [ended(kernel, finish) for finish in finishes] == ["ECONNABORTED"] * 2
        assert ended(kernel, asked(kernel)) == "ENOTCONN"


def ended(kernel: Kernel, finish: Callable[[], object]) -> object:
    """What a call came to that nobody has to serve."""
    if isinstance(kernel, Real):
        for thread in kernel.threads:
            thread.join(5)
    return outcome(finish)


def test_after_an_unmount_reading_says_enodev(kernel: Kernel) -> None:
    kernel.unmount()
    assert said(lambda: kernel.descriptor.read(BUFFER)) == errno.ENODEV
    assert kernel.descriptor.poll() == select.POLLERR


def test_an_unmount_brings_neither_forgets_nor_destroy(kernel: Kernel) -> None:
    kernel.run(named(3))
    kernel.unmount()
    assert said(lambda: kernel.descriptor.read(BUFFER)) == errno.ENODEV


def test_closing_the_last_descriptor_fails_what_was_read_and_ends_the_connection(kernel: Kernel) -> None:
    finish = asked(kernel)
    kernel.expect(GETATTR)
    kernel.descriptor.close()
    if isinstance(kernel, Fake):
        kernel.settle()
    assert ended(kernel, finish) == "ECONNABORTED"
    assert ended(kernel, asked(kernel)) == "ENOTCONN"


def test_a_reply_goes_to_the_descriptor_its_request_came_from(kernel: Kernel) -> None:
    clone: Any = kernel.clone()
    finish = asked(kernel)
    kernel.queued(1)
    request = taken(kernel, clone)
    assert kernel.write(stale(request)) == errno.ENOENT
    clone.write(stale(request))
    assert outcome(finish) == 1
    clone.close()


def test_the_answer_to_an_interrupt_goes_where_its_request_came_from(kernel: Kernel) -> None:
    clone: Any = kernel.clone()
    finish = asked(kernel)
    kernel.queued(1)
    request = taken(kernel, clone)
    kernel.signal(request)
    interrupt = kernel.expect(INTERRUPT)
    again = error(interrupt, errno.EAGAIN)
    assert kernel.write(again) == errno.ENOENT
    clone.write(again)
    assert kernel.expect(INTERRUPT) == interrupt
    clone.write(stale(request))
    assert outcome(finish) == 1
    clone.close()


def test_any_descriptor_takes_notifications(kernel: Kernel) -> None:
    clone: Any = kernel.clone()
    clone.write(w.encode_notification(w.NotifyInvalInode(w.fuse_notify_inval_inode_out(1, 0, 0))))
    clone.close()


def test_closing_a_clone_fails_only_what_it_read(kernel: Kernel) -> None:
    clone: Any = kernel.clone()
    finishes = [asked(kernel) for _ in range(2)]
    kernel.queued(2)
    taken(kernel, clone)
    ours = taken(kernel)
    clone.close()
    if isinstance(kernel, Fake):
        kernel.settle()
    kernel.write(stale(ours))
    assert {outcome(finish) for finish in finishes} == {"ECONNABORTED", 1}


def test_cloning_needs_a_fresh_descriptor_and_a_mounted_one(
    kernel: Kernel, fresh: RealDescriptor | FakeDescriptor
) -> None:
    clone: Any = kernel.clone()
    assert said(lambda: clone.clone(kernel.descriptor)) == errno.EINVAL
    assert said(lambda: clone.clone(fresh)) in (errno.EINVAL, errno.EPERM)
    other: Any = unmounted(kernel.name)
    assert said(lambda: other.clone(fresh)) == errno.EPERM
    for one in (clone, other):
        one.close()


def test_resend_brings_what_any_descriptor_read_before_what_nobody_did(kernel: Kernel) -> None:
    clone: Any = kernel.clone()
    finishes = [asked(kernel) for _ in range(2)]
    kernel.queued(2)
    read = [taken(kernel), taken(kernel, clone)]
    finishes.append(asked(kernel))
    kernel.queued(3)
    assert kernel.write(w.encode_notification(w.NotifyResend())) == 0
    found = [taken(kernel) for _ in range(3)]
    assert {one.unique for one in found[:2]} == {one.unique | 1 << 63 for one in read}
    assert found[2].unique == max(one.unique for one in read) + 2
    for one in found:
        kernel.write(stale(one))
    assert [outcome(finish) for finish in finishes] == [1] * 3
    clone.close()


@pytest.mark.parametrize("read", [False, True], ids=["not read yet", "read"])
def test_an_interrupt_comes_behind_its_request_when_that_is_sent_again(kernel: Kernel, read: bool) -> None:
    finish = asked(kernel)
    request = kernel.expect(GETATTR)
    kernel.signal(request)
    if isinstance(kernel, Real):
        assert select.select([kernel.fd], [], [], 5)[0]
    if read:
        assert taken(kernel).opcode == INTERRUPT
    assert kernel.write(w.encode_notification(w.NotifyResend())) == 0
    again, interrupt = taken(kernel), taken(kernel)
    assert (again.opcode, again.unique) == (GETATTR, request.unique | 1 << 63)
    assert isinstance(interrupt, w.Interrupt) and interrupt.arg.unique == again.unique
    kernel.write(stale(again))
    assert outcome(finish) == 1
