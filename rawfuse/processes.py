"""Which program is behind a request's pid, even when it has ended since.

A request names the thread that made the call; a log or a trace that asks /proc for it later often finds nobody. The
kernel's process events (netlink connector, Linux 2.6.15, CAP_NET_ADMIN) tell of every start and end, and this module
remembers names for a while. pyroute2 decodes them; it is imported when the first watch begins.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

__all__ = ["Program", "Programs", "program_of"]

_NETLINK_CONNECTOR: Final = 11
_CN_IDX_PROC: Final = 1
_LISTEN: Final = 1
_IGNORE: Final = 2
_DONE: Final = 3  # NLMSG_DONE
_HEADER: Final = struct.Struct("=IHHIIIIIIHHI")  # nlmsghdr, cn_msg, the operation
_QUEUE: Final = 1 << 22
_MESSAGE: Final = 1 << 16


@dataclass(frozen=True)
class Program:
    """A process: its pid, the kernel's name for it (at most 15 bytes), its command line."""

    pid: int
    name: str
    command: tuple[str, ...]


def program_of(pid: int) -> Program | None:
    """What /proc says of a process or thread that is there now; None where there is none, as for pid 0."""
    if pid <= 0:
        return None
    directory = Path("/proc") / str(pid)
    try:
        name = os.fsdecode((directory / "comm").read_bytes().rstrip(b"\n"))
        words = (directory / "cmdline").read_bytes().split(b"\0")[:-1]
    except OSError:
        return None
    return Program(pid, name, tuple(map(os.fsdecode, words)))


class Programs:
    """Remembers programs, from `with` on: those that run, and the last `keep` that ended.

    A thread of its own reads the events, so that a program is looked at before it is gone; `of` may be called from
    anywhere. One that ends within microseconds of its start may still be known by its parent's name only.

    Events come in the first network namespace alone, and name pids as the first pid namespace does. Raises OSError
    (EPERM) on entering without CAP_NET_ADMIN, ImportError without pyroute2.
    """

    def __init__(self, *, keep: int = 4096) -> None:
        self._keep = keep
        self._lock = threading.Lock()
        self._running: dict[int, Program] = {}
        self._ended: OrderedDict[int, Program] = OrderedDict()

    def of(self, pid: int) -> Program | None:
        """The program whose process or thread `pid` is, or was last."""
        with self._lock:
            known = self._running.get(pid) or self._ended.get(pid)
        return known or program_of(pid)

    def __enter__(self) -> Programs:
        from pyroute2.netlink.connector.cn_proc import ProcEventMarshal

        self._marshal = ProcEventMarshal()
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_CONNECTOR)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _QUEUE)
            self._socket.bind((0, _CN_IDX_PROC))
            self._control(_LISTEN)
        except BaseException:
            self._socket.close()
            raise
        self._wake, self._waker = os.pipe2(os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._read, name="rawfuse process events", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.write(self._waker, b"x")
        self._thread.join()
        self._control(_IGNORE)
        self._socket.close()
        for fd in (self._wake, self._waker):
            os.close(fd)

    def _control(self, operation: int) -> None:
        size = _HEADER.size
        self._socket.send(_HEADER.pack(size, _DONE, 0, 0, 0, _CN_IDX_PROC, 1, 0, 0, 4, 0, operation))

    def _read(self) -> None:
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        while all(fd != self._wake for fd, _ in poll.poll()):
            try:
                data = self._socket.recv(_MESSAGE)
            except OSError as error:
                if error.errno == errno.ENOBUFS:  # events were lost; /proc still answers for who runs
                    continue
                return
            self._take(self._marshal.parse(data))

    def _take(self, events: Iterable[Mapping[str, Any]]) -> None:
        for event in events:
            match event.get("event"):
                case "PROC_EVENT_FORK":
                    self._started(event["child_pid"], event["parent_tgid"])
                case "PROC_EVENT_EXEC" | "PROC_EVENT_COMM":
                    self._started(event["process_pid"], event["process_tgid"])
                case "PROC_EVENT_EXIT":
                    self._gone(event["process_pid"])

    def _started(self, pid: int, like: int) -> None:
        """`pid` is as /proc says; where that is too late, as the process `like` is."""
        found = program_of(pid)
        with self._lock:
            before = self._running.get(like) or self._ended.get(like)
            if found is None and before is not None:
                found = Program(pid, before.name, before.command)
            if found is not None:
                self._running[pid] = found

    def _gone(self, pid: int) -> None:
        with self._lock:
            program = self._running.pop(pid, None)
            if program is not None:
                self._ended[pid] = program
                self._ended.move_to_end(pid)
                if len(self._ended) > self._keep:
                    self._ended.popitem(last=False)
