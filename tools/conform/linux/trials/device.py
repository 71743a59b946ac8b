"""The device itself: ioctls, pipes, scattered reads, closing, passthrough, INIT before the mount returns.

Of the real kernel alone: ours copies no memory, has no files to put behind another, and begins where a mount is made.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
import tempfile
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import IO

from rawfuse import wire as w
from rawfuse.channel import DeviceChannel
from rawfuse.mount import MountError, mount_detached, set_sync_init
from rawfuse.session.device import Asleep
from rawfuse.wire import constants as c
from rawfuse.wire.flags import InitFlags

from ..stage.calls import BY_OPCODE, SystemCall, outcome
from ..stage.descriptors import RealDescriptor
from ..stage.kernels import device, kind_alone, really
from ..stage.made_up import FLAGS, init_answer, ok
from ..stage.real import Real
from ..stage.script import BUFFER, using
from ..trial import case, needs_root, over, raises, said, same, trial

CLONE = 0x8004E500
"""FUSE_DEV_IOC_CLONE."""


@trial(on=really)
def an_ioctl_that_is_none_is_enotty(kernel: Real) -> None:
    with device(kernel.name) as unmounted:
        for fd in (unmounted, kernel.fd):
            same(said(lambda fd=fd: fcntl.ioctl(fd, 0xE5FF)), errno.ENOTTY)  # type: ignore[misc]


@trial(on=kind_alone)
def a_descriptor_closed_under_a_read_that_sleeps_lives_on_and_takes_the_next_request(_: str) -> None:
    descriptor = RealDescriptor(blocking=True)
    kernel = Real(descriptor)
    init = w.decode_request(bytearray(message := descriptor.read(BUFFER)), len(message), 0, False)
    descriptor.write(ok(init, init_answer()))
    with raises(Asleep):
        descriptor.read(BUFFER)
    os.close(kernel.fd)
    descriptor.fd = -1
    finish = kernel.call(BY_OPCODE[c.FUSE_LOOKUP])
    same(b"f\0" in descriptor.woken(BUFFER), True, "the LOOKUP went to the reader that sleeps")
    kernel.threads[0].join(5)
    same(outcome(finish), "ECONNABORTED")
    kernel.mount.close()


@trial(on=kind_alone)
@over(("max_write", "number"), [(1 << 16, 0), (1 << 20, errno.EINVAL)])
def a_pipe_takes_a_request_when_it_holds_the_largest(kind: str, max_write: int, number: int) -> None:
    with really(kind, init_answer(max_write=max_write)) as kernel:
        fd = kernel.fd
        read, write = os.pipe()
        fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 1 << 20)
        finish = kernel.call(BY_OPCODE[c.FUSE_LOOKUP])
        kernel.queued(1)
        same(said(lambda: os.splice(fd, write, max_write + 80)), number)
        if not number:
            message = os.read(read, BUFFER)
            request = w.decode_request(bytearray(message), len(message), 45, True)
            reply = ok(request, w.fuse_entry_out(nodeid=2, attr=w.fuse_attr(ino=2, mode=0o100644)).pack())
            os.write(write, reply)
            same(os.splice(read, fd, len(reply)), len(reply))
            same(outcome(finish), 2)
        for end in (read, write):
            os.close(end)


@trial(on=really)
def a_read_brings_one_message_scattered_as_one_likes(kernel: Real) -> None:
    finishes = [kernel.call(BY_OPCODE[opcode]) for opcode in (c.FUSE_STATFS, c.FUSE_LOOKUP)]
    kernel.queued(2)
    head, rest = bytearray(40), bytearray(BUFFER)
    opcodes = set()
    for _ in finishes:
        length = os.readv(kernel.fd, [head, rest])
        request = w.decode_request(bytearray(head + rest[: length - 40]), length, 45, True)
        opcodes.add(request.opcode)
        kernel.answer(request)
    same(opcodes, {c.FUSE_STATFS, c.FUSE_LOOKUP})
    for finish in finishes:
        outcome(finish)


@trial(on=device)
def cloning_needs_a_mounted_device(unmounted: int) -> None:
    other = RealDescriptor()
    same(said(lambda: fcntl.ioctl(other.fd, CLONE, unmounted.to_bytes(4, sys.byteorder))), errno.EPERM)
    with open("/dev/null", "rb") as null:
        same(said(lambda: fcntl.ioctl(other.fd, CLONE, null.fileno().to_bytes(4, sys.byteorder))), errno.EINVAL)
    other.close()


class Backed:
    """A kernel that agreed on passthrough, and an ordinary file that the server has opened as a backing one."""

    def __init__(self, kernel: Real, file: IO[bytes]) -> None:
        self.kernel = kernel
        self.file = file
        needs_root("open backing files")
        self.channel = DeviceChannel(os.dup(kernel.fd))
        self.backing = self.channel.backing_open(file.fileno())

    def opening(self, flags: int) -> bytes:
        """An answer to OPEN."""
        backing = self.backing if flags & c.FOPEN_PASSTHROUGH else 0
        return w.fuse_open_out(fh=7, open_flags=flags, backing_id=backing).pack()


@contextmanager
def backed(kind: str) -> Generator[Backed, None, None]:
    """A Backed."""
    answer = init_answer(FLAGS | InitFlags.FUSE_PASSTHROUGH, max_stack_depth=1)
    with tempfile.TemporaryFile() as file, really(kind, answer) as kernel:
        file.write(b"from the backing file")
        file.flush()
        made = Backed(kernel, file)
        try:
            yield made
        finally:
            made.channel.close()


@trial(on=backed)
def a_backing_file_is_read_and_written_by_the_kernel_alone(one: Backed) -> None:
    kernel = one.kernel
    with using(kernel, {c.FUSE_OPEN: one.opening(c.FOPEN_PASSTHROUGH)}):
        same(outcome(kernel.call(BY_OPCODE[c.FUSE_READ])), b"from the backing file")
        same(outcome(kernel.call(BY_OPCODE[c.FUSE_WRITE])), 100)
        same({c.FUSE_READ, c.FUSE_WRITE} & {*kernel.opcodes}, set(), "READ or WRITE asked")
        same(os.pread(one.file.fileno(), 200, 0), bytes(100))
        one.channel.backing_close(one.backing)
        same(outcome(kernel.call(BY_OPCODE[c.FUSE_READ])), "EIO", "that number is nobody's any more")
    with raises(OSError):
        one.channel.backing_close(one.backing)


@trial(on=backed)
def a_device_backs_nothing(one: Backed) -> None:
    with open("/dev/null", "rb") as null, raises(OSError, errno.EINVAL):
        one.channel.backing_open(null.fileno())


PASSED, CACHED, DIRECT = c.FOPEN_PASSTHROUGH, 0, c.FOPEN_DIRECT_IO


@trial(on=backed)
@over(
    ("first", "second", "seen"),
    [
        case(PASSED, CACHED, "EIO", id="cached second"),
        case(PASSED, DIRECT, "EIO", id="direct second"),
        case(CACHED, PASSED, "EIO", id="cached first"),
        case(DIRECT, PASSED, None, id="direct first, which does no harm"),
    ],
)
def another_way_of_opening_beside_a_passthrough_open_is_eio(
    one: Backed, first: int, second: int, seen: str | None
) -> None:
    kernel = one.kernel
    opened: list[int] = []
    keep = SystemCall(c.FUSE_OPEN, lambda root: opened.append(os.open("f", os.O_RDONLY, dir_fd=root)), ())
    kernel.run(keep, {c.FUSE_OPEN: one.opening(first)})
    with using(kernel, {c.FUSE_OPEN: one.opening(second)}):
        same(outcome(kernel.call(BY_OPCODE[c.FUSE_OPEN])), seen)
    kernel.run(SystemCall(c.FUSE_FLUSH, lambda root: os.close(opened[0]), ()))


def _told_first(fd: int, number: int) -> threading.Thread:
    """Answers the INIT that a mount waits for."""

    def answer() -> None:
        message = os.read(fd, BUFFER)
        time.sleep(0.05)  # so that a mount which did not wait would be done
        request = w.decode_request(bytearray(message), len(message), 0, False)
        os.write(fd, ok(request, number=number) if number else ok(request, init_answer()))

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    return thread


@trial(on=device)
def a_mount_with_synchronous_init_waits_until_it_was_answered(fd: int) -> None:
    set_sync_init(fd)
    answering = _told_first(fd, 0)
    with mount_detached(fd=fd):
        answering.join(0.01)
        same(answering.is_alive(), False, "INIT is still to be answered")


@trial(on=device)
def a_failing_synchronous_init_fails_the_mount(fd: int) -> None:
    set_sync_init(fd)
    _told_first(fd, errno.EPROTO)
    with raises(MountError, errno.ENOTCONN):
        mount_detached(fd=fd)
