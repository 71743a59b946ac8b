"""A thread that writes, by a descriptor that nobody else holds, what the kernel may hold back.

The kernel holds a notification's write(2) until requests on the same inode are answered, and the thread in it cannot be
killed meanwhile. Were its descriptors those of the program, as threads have it, then a program that is killed would
leave the device open: nobody would answer the requests, the write would wait for them, and they for the write (measured
on Linux 6.18: callers and a process in state Z stayed until the connection was aborted by hand). So this thread has a
table of descriptors of its own, with a clone of the device in it: the program's end closes the program's device, that
fails the requests in flight, that ends the write, and its end closes the clone.
"""

from __future__ import annotations

import ctypes
import errno
import os
import queue
import select
import signal
import threading
from collections.abc import Callable
from typing import Final

from rawfuse.mount import _syscalls

__all__ = ["ApartThread"]

_libc = ctypes.CDLL(None, use_errno=True)
_write: Final = _libc.write
_write.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t)
_write.restype = ctypes.c_ssize_t
_PATIENCE: Final = 30_000
"""Milliseconds that the other side of a socket has to make room; a device always has it."""


class ApartThread:
    """Writes the messages of `jobs`, one after another, until None comes.

    What became of each, 0 or an errno, is put into `results`, and 1 added to the eventfd `wake`.

    Args:
        fd: the channel's descriptor. It may be closed once this returns, like `wake`.
        another: makes of it the one to write to, e.g. a clone.
    """

    def __init__(self, fd: int, another: Callable[[int], int], wake: int) -> None:
        self.jobs: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.results: queue.SimpleQueue[int] = queue.SimpleQueue()
        ready = threading.Event()
        # A daemon: a held write does not keep the program from ending.
        threading.Thread(target=self._run, args=(fd, another, wake, ready), name="rawfuse notify", daemon=True).start()
        ready.wait()

    def _run(self, fd: int, another: Callable[[int], int], wake: int, ready: threading.Event) -> None:
        # Python's signal handlers write to a descriptor of the program's, which this thread has not.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            _syscalls.unshare(_syscalls.CLONE_FILES)
            private = True
        except OSError:  # a sandbox forbids it
            private = False
        if not private:
            fd, wake = os.dup(fd), os.dup(wake)
        ready.set()
        own = {wake}
        try:
            outlet = another(fd)
            own.add(outlet)
            _close(own if private else {fd}, all_but=private)
            self._serve(outlet, wake)
        except OSError as error:
            self._refuse(error.errno or errno.EIO, wake)
        finally:
            _close(own, all_but=False)

    def _serve(self, outlet: int, wake: int) -> None:
        """Makes no objects that the garbage collector counts, so that it does not run here: what it finds may own
        descriptors, which are not in this thread's table."""
        get, put, tell, last_error, write = (
            self.jobs.get,
            self.results.put,
            os.eventfd_write,
            ctypes.get_errno,
            _write,
        )
        while (message := get()) is not None:
            number = 0 if write(outlet, message, len(message)) >= 0 else last_error()
            if number == errno.EAGAIN and _has_room(outlet):
                number = 0 if write(outlet, message, len(message)) >= 0 else last_error()
            put(number)
            tell(wake, 1)

    def _refuse(self, number: int, wake: int) -> None:
        while self.jobs.get() is not None:
            self.results.put(number)
            os.eventfd_write(wake, 1)


def _has_room(socket: int) -> bool:
    poll = select.poll()
    poll.register(socket, select.POLLOUT)
    return bool(poll.poll(_PATIENCE))


def _close(fds: set[int], *, all_but: bool) -> None:
    """Closes `fds`, or all others that this thread has."""
    if all_but:
        try:
            fds = {*map(int, os.listdir("/proc/thread-self/fd"))} - fds
        except OSError:  # no /proc
            fds = {*range(min(os.sysconf("SC_OPEN_MAX"), 1 << 16))} - fds
    for fd in fds:
        try:
            os.close(fd)
        except OSError:  # the listing's own, or an error of a file that is the program's affair
            continue
