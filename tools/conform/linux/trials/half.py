"""The connection ends while a message is being copied: neither queued any more nor in flight yet.

The real kernel is stopped in the middle of its copy by memory that another FUSE mount has to fill: the buffer is a
mapped file of that mount, whose READ is held until the first connection was aborted.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

from rawfuse import wire as w
from rawfuse.wire import constants as c
from rawfuse.wire.flags import InitFlags

from ..stage.calls import BY_OPCODE, outcome
from ..stage.kernels import Kernel, connected, kind_alone, really
from ..stage.made_up import FLAGS, attr_out, init_answer, ok, open_buffered
from ..stage.real import Real
from ..stage.script import using
from ..trial import of, over, same, trial

SIZE = 8192
"""Bytes: the least that a device is read with, where max_write is 4096."""
LIBC = ctypes.CDLL(None, use_errno=True)


@contextmanager
def memory_that_waits(
    content: bytes,
) -> Generator[tuple[mmap.mmap, Callable[[], None], Callable[[], None]], None, None]:
    """Memory of SIZE bytes beginning with `content`, which whoever touches it first has to wait for.

    Beside it: a function that returns when somebody waits, and one that lets them go on.
    """
    with really("real") as other:
        opened: list[int] = []
        opener = threading.Thread(target=lambda: opened.append(os.open("f", os.O_RDONLY, dir_fd=other.root)))
        with using(other, {**open_buffered()}):
            opener.start()
            other.until(-1, done=lambda: not opener.is_alive())
        memory = mmap.mmap(opened[0], SIZE, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
        held: list[w.Read] = []

        def release() -> None:
            request = held.pop()
            other.answer(request, content.ljust(request.arg.size, b"\0"))

        yield memory, lambda: held.append(of(w.Read, other.expect(c.FUSE_READ))), release
        closer = threading.Thread(target=os.close, args=opened)
        closer.start()
        other.until(-1, done=lambda: not closer.is_alive())


def stopped_halfway(
    kernel: Real, call: Callable[..., int], content: bytes, length: int, action: Callable[[], None]
) -> int:
    """What `call(fd, memory, length)` says where `action` happens in the middle of its copy: 0 or an errno."""
    results: list[int] = []
    with memory_that_waits(content) as (memory, waited, release):
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))

        def run() -> None:
            done = call(kernel.fd, ctypes.c_void_p(address), ctypes.c_size_t(length))
            results.append(ctypes.get_errno() if done < 0 else 0)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        waited()
        action()
        release()
        thread.join(5)
    return results[0]


def half_read(kernel: Kernel, action: Callable[[], None]) -> int:
    if isinstance(kernel, Real):
        return stopped_halfway(kernel, LIBC.read, b"", SIZE, action)
    try:
        kernel.descriptor.read(SIZE, meanwhile=action)
    except OSError as error:
        return error.errno or 0
    return 0


def half_written(kernel: Kernel, message: bytes, action: Callable[[], None]) -> int:
    if isinstance(kernel, Real):
        return stopped_halfway(kernel, LIBC.write, message, len(message), action)
    try:
        kernel.descriptor.write(message, meanwhile=action)
    except OSError as error:
        return error.errno or 0
    return 0


@trial(on=kind_alone)
@over(("flag", "number"), [(True, errno.ECONNABORTED), (False, errno.ENODEV)])
def an_abort_while_a_request_is_read_ends_the_read_as_any_other(kind: str, flag: bool, number: int) -> None:
    """Older kernels said ENOENT here; since the connection's end is looked at after the copy nothing does any more.

    A server reads again after ENOENT all the same: what is said then is the end.
    """
    answer = init_answer(FLAGS | InitFlags.FUSE_ABORT_ERROR if flag else FLAGS, max_write=4096)
    with connected(kind, answer) as kernel:
        finish = kernel.call(BY_OPCODE[c.FUSE_GETATTR])
        kernel.queued(1)
        same(half_read(kernel, kernel.abort), number)
        settled(kernel)
        same(outcome(finish), "ECONNABORTED")


@trial(on=kind_alone)
def an_abort_while_a_reply_is_written_leaves_nothing_to_answer(kind: str) -> None:
    with connected(kind, init_answer(max_write=4096)) as kernel:
        finish = kernel.call(BY_OPCODE[c.FUSE_GETATTR])
        request = kernel.expect(c.FUSE_GETATTR)
        same(half_written(kernel, ok(request, attr_out(1, 0o40755)), kernel.abort), errno.ENOENT)
        settled(kernel)
        same(outcome(finish), "ECONNABORTED")


@trial(on=kind_alone)
def a_message_copied_slowly_is_copied_all_the_same(kind: str) -> None:
    with connected(kind, init_answer(max_write=4096)) as kernel:
        finish = kernel.call(BY_OPCODE[c.FUSE_GETATTR])
        kernel.queued(1)
        same(half_read(kernel, lambda: None), 0)
        first = kernel.requests[0].unique + 2
        request = w.GetAttr(unique=first)
        same(half_written(kernel, ok(request, attr_out(1, 0o40755)), lambda: None), 0)
        settled(kernel)
        same(outcome(finish), 1)


def settled(kernel: Kernel) -> None:
    """Waits until callers got what they get."""
    if isinstance(kernel, Real):
        for thread in kernel.threads:
            thread.join(5)
    else:
        kernel.settle()
