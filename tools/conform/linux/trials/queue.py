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
from collections.abc import Callable
from typing import Any

from rawfuse import wire as w
from rawfuse.session.device import Asleep
from rawfuse.wire import constants as c
from rawfuse.wire.flags import InitFlags

from ..stage.calls import BY_OPCODE, F, SystemCall, lookup, outcome
from ..stage.descriptors import FakeDescriptor, RealDescriptor, unmounted
from ..stage.fake import Fake
from ..stage.kernels import KERNELS, Kernel, connected, fresh, kind_alone
from ..stage.made_up import DIR, FLAGS, attr, entry, error, init_answer, ok
from ..stage.real import Real
from ..stage.script import BUFFER
from ..trial import holds, of, over, raises, said, same, trial

GETATTR, FORGET, BATCH, INTERRUPT = c.FUSE_GETATTR, c.FUSE_FORGET, c.FUSE_BATCH_FORGET, c.FUSE_INTERRUPT


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


@trial(on=fresh)
def before_a_mount_nothing_may_be_read_or_written(fresh: RealDescriptor | FakeDescriptor) -> None:
    same(said(lambda: fresh.read(BUFFER)), errno.EPERM)
    same(said(lambda: fresh.write(bytes(16))), errno.EPERM)
    same(fresh.poll(), select.POLLERR)


@trial(on=kind_alone)
def with_synchronous_init_reading_sleeps_until_the_mount(kind: str) -> None:
    descriptor = unmounted(kind, sync_init=True)
    with raises(Asleep):
        descriptor.read(BUFFER)
    kernels: list[Kernel] = []
    mounting = threading.Thread(target=lambda: kernels.append(KERNELS[kind](descriptor)))  # type: ignore[arg-type]
    mounting.start()
    init = descriptor.woken(BUFFER)
    request = of(w.Init, w.decode_request(bytearray(init), len(init), 0, False))
    descriptor.write(ok(request, init_answer()))
    mounting.join(5)
    (kernel,) = kernels
    descriptor._sleeps = False  # type: ignore[union-attr]
    same(outcome(kernel.call(BY_OPCODE[c.FUSE_LOOKUP])), 2)
    kernel.close()


@trial(on=connected)
def an_empty_queue_is_eagain_and_poll_says_so(kernel: Kernel) -> None:
    same(said(lambda: kernel.descriptor.read(BUFFER)), errno.EAGAIN)
    same(kernel.descriptor.poll(), select.POLLOUT)
    finish = asked(kernel)
    kernel.queued(1)
    same(kernel.descriptor.poll(), select.POLLIN | select.POLLOUT)
    request = taken(kernel)
    same(kernel.descriptor.poll(), select.POLLOUT)
    kernel.write(stale(request))
    same(outcome(finish), 1)


@trial(on=kind_alone)
@over("size", [0, 1, 40, 8191])
def a_buffer_below_8192_bytes_is_einval_whatever_is_queued(kind: str, size: int) -> None:
    kernel = KERNELS[kind]()
    same(said(lambda: kernel.descriptor.read(size)), errno.EINVAL, "INIT is queued")
    same(len(kernel.descriptor.read(8192)), 104)
    same(said(lambda: kernel.descriptor.read(size)), errno.EINVAL, "nothing is queued")
    same(said(lambda: kernel.descriptor.read(8192)), errno.EAGAIN)
    kernel.close()


@trial(on=kind_alone)
@over(("max_write", "least"), [(4096, 8192), (65536, 65616), (1 << 20, (1 << 20) + 80)])
def a_buffer_too_short_for_the_largest_write_is_einval(kind: str, max_write: int, least: int) -> None:
    with connected(kind, init_answer(max_write=max_write)) as kernel:
        same(said(lambda: kernel.descriptor.read(least - 1)), errno.EINVAL)
        same(said(lambda: kernel.descriptor.read(least)), errno.EAGAIN)


@trial(on=connected)
def each_read_brings_one_message(kernel: Kernel) -> None:
    finishes = [asked(kernel) for _ in range(3)]
    kernel.queued(3)
    requests = [taken(kernel) for _ in finishes]
    same([one.opcode for one in requests], [GETATTR] * 3)
    for one in requests:
        kernel.write(stale(one))
    same([outcome(finish) for finish in finishes], [1] * 3)


@trial(on=kind_alone)
def a_signal_ends_a_read_that_sleeps_with_eintr(kind: str) -> None:
    descriptor = unmounted(kind, blocking=True)
    kernel = KERNELS[kind](descriptor)  # type: ignore[arg-type]
    init = descriptor.read(BUFFER)
    descriptor.write(ok(w.decode_request(bytearray(init), len(init), 0, False), init_answer()))
    with raises(Asleep):
        descriptor.read(BUFFER)
    descriptor.signal()
    same(said(lambda: descriptor.woken(BUFFER)), errno.EINTR)
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


@trial(on=kind_alone)
@over(("call", "seen"), [(TOO_LARGE[0], "E2BIG"), (TOO_LARGE[1], "EIO")], ids=("SETXATTR", "RENAME"))
def a_request_larger_than_the_buffer_fails_and_the_next_one_is_read(kind: str, call: SystemCall, seen: str) -> None:
    with connected(kind, init_answer(max_write=4096)) as kernel:
        finish = kernel.call(call)
        while (message := next_message(kernel, 8192)) is not None:
            request = w.decode_request(bytearray(message), len(message), 45, True)
            holds(request.opcode != call.opcode, "what is too large does not come")
            absent = isinstance(request, w.Lookup) and request.name[:1] == b"m"
            kernel.write(error(request, errno.ENOENT) if absent else ok(request, entry(2, 0o100644)))
        same(outcome(finish), seen)
        same(outcome(kernel.call(BY_OPCODE[c.FUSE_STATFS])), 10)


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


@trial(on=kind_alone)
def interrupts_come_before_forgets_and_forgets_before_requests_in_their_turn(kind: str) -> None:
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
        same(order, [INTERRUPT, *([GETATTR] * 8 + [FORGET] * 16) * 2, GETATTR, *[FORGET] * 5])
        kernel.write(stale(held))
        same([outcome(finish) for finish in finishes], [1] * 18)


@trial(on=connected)
def a_batch_takes_every_forget_there_is(kernel: Kernel) -> None:
    dropped(kernel, 10)
    (batch,) = everything(kernel)
    forgets = of(w.BatchForget, batch).forgets
    same([(one.nodeid, one.nlookup) for one in forgets], [(100 + number, 1) for number in range(10)])


@trial(on=connected)
def one_forget_alone_is_no_batch(kernel: Kernel) -> None:
    dropped(kernel, 1)
    (one,) = everything(kernel)
    same((one.nodeid, of(w.Forget, one).arg.nlookup), (100, 1))


@trial(on=kind_alone)
def a_batch_holds_what_the_buffer_holds(kind: str) -> None:
    with connected(kind, init_answer(max_write=4096)) as kernel:
        dropped(kernel, 512)
        lengths = []
        while (message := next_message(kernel, 8192)) is not None:
            lengths.append(len(message))
        same(lengths, [48 + 16 * 509, 48 + 16 * 3])


@trial(on=connected)
def an_interrupt_comes_only_after_its_request_was_read(kernel: Kernel) -> None:
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
    interrupt = of(w.Interrupt, kernel.next())
    same(interrupt.arg.unique, request.unique)
    kernel.write(stale(request))
    same(outcome(finish), 1)


@trial(on=connected)
def an_interrupt_that_nobody_read_goes_with_its_request(kernel: Kernel) -> None:
    finish = asked(kernel)
    request = kernel.expect(GETATTR)
    kernel.signal(request)
    kernel.queued(1)
    kernel.write(stale(request))
    same(outcome(finish), 1)
    same(everything(kernel), [])


@trial(on=connected)
def only_the_first_signal_brings_an_interrupt(kernel: Kernel) -> None:
    finish = asked(kernel)
    request = kernel.expect(GETATTR)
    for _ in range(2):
        kernel.signal(request)
        kernel.expect(INTERRUPT) if not kernel.silent else None
        kernel.silent.append(request)
    holds(kernel.next() is None, "one INTERRUPT alone")
    kernel.write(stale(request))
    same(outcome(finish), 1)


STAT = "import os, sys; os.stat('never', dir_fd=int(sys.argv[1]))"


@trial(on=connected)
def a_caller_killed_before_its_request_was_read_takes_it_back(kernel: Kernel) -> None:
    if isinstance(kernel, Real):
        command = [sys.executable, "-c", STAT, str(kernel.root)]
        with subprocess.Popen(command, pass_fds=(kernel.root,)) as child:
            holds(select.select([kernel.fd], [], [], 5)[0], "a message comes")
            child.kill()
            same(child.wait(5), -signal.SIGKILL)
    else:
        finish = asked(kernel)
        (unread,) = kernel.session.pending.values()
        kernel.signal(unread, fatal=True)
        same(outcome(finish), "EINTR")
    same(everything(kernel), [])


@trial(on=kind_alone)
@over(("flag", "number"), [(True, errno.ECONNABORTED), (False, errno.ENODEV)])
def after_an_abort_reading_says_what_was_agreed_and_callers_are_failed(kind: str, flag: bool, number: int) -> None:
    flags = FLAGS | InitFlags.FUSE_ABORT_ERROR if flag else FLAGS
    with connected(kind, init_answer(flags)) as kernel:
        finishes = [asked(kernel)]
        request = kernel.expect(GETATTR)
        finishes.append(asked(kernel))
        kernel.queued(2)
        kernel.abort()
        same(said(lambda: kernel.descriptor.read(BUFFER)), number)
        same(said(lambda: kernel.descriptor.read(100)), errno.EINVAL)
        same(kernel.descriptor.poll(), select.POLLERR)
        same(kernel.write(stale(request)), errno.ENOENT)
        same([ended(kernel, finish) for finish in finishes], ["ECONNABORTED"] * 2)
        same(ended(kernel, asked(kernel)), "ENOTCONN")


def ended(kernel: Kernel, finish: Callable[[], object]) -> object:
    """What a call came to that nobody has to serve."""
    if isinstance(kernel, Real):
        for thread in kernel.threads:
            thread.join(5)
    return outcome(finish)


@trial(on=connected)
def after_an_unmount_reading_says_enodev(kernel: Kernel) -> None:
    kernel.unmount()
    same(said(lambda: kernel.descriptor.read(BUFFER)), errno.ENODEV)
    same(kernel.descriptor.poll(), select.POLLERR)


@trial(on=connected)
def an_unmount_brings_neither_forgets_nor_destroy(kernel: Kernel) -> None:
    kernel.run(named(3))
    kernel.unmount()
    same(said(lambda: kernel.descriptor.read(BUFFER)), errno.ENODEV)


@trial(on=connected)
def closing_the_last_descriptor_fails_what_was_read_and_ends_the_connection(kernel: Kernel) -> None:
    finish = asked(kernel)
    kernel.expect(GETATTR)
    kernel.descriptor.close()
    if isinstance(kernel, Fake):
        kernel.settle()
    same(ended(kernel, finish), "ECONNABORTED")
    same(ended(kernel, asked(kernel)), "ENOTCONN")


@trial(on=connected)
def a_reply_goes_to_the_descriptor_its_request_came_from(kernel: Kernel) -> None:
    clone: Any = kernel.clone()
    finish = asked(kernel)
    kernel.queued(1)
    request = taken(kernel, clone)
    same(kernel.write(stale(request)), errno.ENOENT)
    clone.write(stale(request))
    same(outcome(finish), 1)
    clone.close()


@trial(on=connected)
def the_answer_to_an_interrupt_goes_where_its_request_came_from(kernel: Kernel) -> None:
    clone: Any = kernel.clone()
    finish = asked(kernel)
    kernel.queued(1)
    request = taken(kernel, clone)
    kernel.signal(request)
    interrupt = kernel.expect(INTERRUPT)
    again = error(interrupt, errno.EAGAIN)
    same(kernel.write(again), errno.ENOENT)
    clone.write(again)
    same(kernel.expect(INTERRUPT), interrupt)
    clone.write(stale(request))
    same(outcome(finish), 1)
    clone.close()


@trial(on=connected)
def any_descriptor_takes_notifications(kernel: Kernel) -> None:
    clone: Any = kernel.clone()
    clone.write(w.encode_notification(w.NotifyInvalInode(w.fuse_notify_inval_inode_out(1, 0, 0))))
    clone.close()


@trial(on=connected)
def closing_a_clone_fails_only_what_it_read(kernel: Kernel) -> None:
    clone: Any = kernel.clone()
    finishes = [asked(kernel) for _ in range(2)]
    kernel.queued(2)
    taken(kernel, clone)
    ours = taken(kernel)
    clone.close()
    if isinstance(kernel, Fake):
        kernel.settle()
    kernel.write(stale(ours))
    same({outcome(finish) for finish in finishes}, {"ECONNABORTED", 1})


@trial(on=connected)
def cloning_needs_a_fresh_descriptor_and_a_mounted_one(kernel: Kernel) -> None:
    clone: Any = kernel.clone()
    unfit: Any = unmounted(kernel.name)
    same(said(lambda: clone.clone(kernel.descriptor)), errno.EINVAL)
    says = said(lambda: clone.clone(unfit))
    holds(says in (errno.EINVAL, errno.EPERM), f"EINVAL or EPERM, and not {says!r}")
    other: Any = unmounted(kernel.name)
    same(said(lambda: other.clone(unfit)), errno.EPERM)
    for one in (clone, unfit, other):
        one.close()


@trial(on=connected)
def resend_brings_what_any_descriptor_read_before_what_nobody_did(kernel: Kernel) -> None:
    clone: Any = kernel.clone()
    finishes = [asked(kernel) for _ in range(2)]
    kernel.queued(2)
    read = [taken(kernel), taken(kernel, clone)]
    finishes.append(asked(kernel))
    kernel.queued(3)
    same(kernel.write(w.encode_notification(w.NotifyResend())), 0)
    found = [taken(kernel) for _ in range(3)]
    same({one.unique for one in found[:2]}, {one.unique | c.FUSE_UNIQUE_RESEND for one in read})
    same(found[2].unique, max(one.unique for one in read) + 2)
    for one in found:
        kernel.write(stale(one))
    same([outcome(finish) for finish in finishes], [1] * 3)
    clone.close()


@trial(on=connected)
@over("read", [False, True], ids=["not read yet", "read"])
def an_interrupt_comes_behind_its_request_when_that_is_sent_again(kernel: Kernel, read: bool) -> None:
    finish = asked(kernel)
    request = kernel.expect(GETATTR)
    kernel.signal(request)
    if isinstance(kernel, Real):
        holds(select.select([kernel.fd], [], [], 5)[0], "a message comes")
    if read:
        same(taken(kernel).opcode, INTERRUPT)
    same(kernel.write(w.encode_notification(w.NotifyResend())), 0)
    again, interrupt = taken(kernel), taken(kernel)
    same((again.opcode, again.unique), (GETATTR, request.unique | c.FUSE_UNIQUE_RESEND))
    same(of(w.Interrupt, interrupt).arg.unique, again.unique)
    kernel.write(stale(again))
    same(outcome(finish), 1)
