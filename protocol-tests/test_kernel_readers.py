"""Several readers of one connection, each by a clone of the device."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from typing import ClassVar

import pytest
import trio

from rawfuse import DeviceChannel, Negotiated, Server
from rawfuse import wire as w
from rawfuse.channel import seqpacket_pair
from rawfuse.filesystem import Answer
from rawfuse.mount import DetachedMount, mount_detached
from rawfuse.tests.memoryfs import MemoryFs
from rawfuse.tests.waiting import PATIENCE

pytestmark = pytest.mark.kernel("root")
READERS = 3


class Counting(DeviceChannel):
    """Keeps in mind what was read by each descriptor, and what was written."""

    read: ClassVar[Counter[int]] = Counter()
    written: ClassVar[Counter[int]] = Counter()

    def receive_nowait(self, buffer: bytearray | memoryview) -> int | None:
        length = super().receive_nowait(buffer)
        if length is not None:
            self.read[self.fileno()] += 1
        return length

    def send(self, parts: object) -> None:
        self.written[self.fileno()] += 1
        super().send(parts)  # type: ignore[arg-type]


class Waiting(MemoryFs):
    """STATFS takes a while, LISTXATTR until it is cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []
        self.interrupted: list[int] = []

    def init(self, negotiated: Negotiated) -> None:
        self.token = trio.lowlevel.current_trio_token()

    async def statfs(self, request: w.StatFs) -> Answer:
        await trio.sleep(0.001)
        return super().statfs(request)  # type: ignore[return-value]

    async def listxattr(self, request: w.ListXAttr) -> Answer:
        self.asked.append(request.pid)
        try:
            await trio.sleep_forever()
        finally:
            self.interrupted.append(request.pid)


@contextmanager
def served(filesystem: MemoryFs) -> Generator[DetachedMount, None, None]:
    Counting.read.clear()
    Counting.written.clear()
    with mount_detached() as here:
        server = Server(filesystem, Counting(here.fd), readers=READERS)
        thread = threading.Thread(target=lambda: trio.run(server.serve), daemon=True)
        thread.start()
        watchdog = threading.Timer(30, here.abort)
        watchdog.start()
        yield here
    thread.join(PATIENCE)
    watchdog.cancel()
    assert not thread.is_alive()


def test_each_answers_by_the_descriptor_it_has_read_from() -> None:
    with served(Waiting()) as here:
        callers = [
            threading.Thread(target=lambda: [os.fstatvfs(here.root_fd) for _ in range(50)]) for _ in range(2 * READERS)
        ]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(PATIENCE)
            assert not caller.is_alive(), "no reply went where its request was not known"
    assert len(Counting.read) == READERS
    assert sum(Counting.read.values()) >= 50 * len(callers)
    for fd in Counting.read:
        assert abs(Counting.read[fd] - Counting.written[fd]) <= 1, "INIT is not counted as written"


ASK = "import os, sys; os.listxattr(f'/proc/self/fd/{sys.argv[1]}')"


def test_an_interrupt_finds_its_request_whoever_has_read_it() -> None:
    filesystem = Waiting()
    with served(filesystem) as here:
        callers = [
            subprocess.Popen([sys.executable, "-c", ASK, str(here.root_fd)], pass_fds=(here.root_fd,))
            for _ in range(2 * READERS)
        ]
        pause = threading.Event()
        while len(filesystem.asked) < len(callers):
            pause.wait(0.01)
        for caller in callers:
            caller.send_signal(signal.SIGKILL)
        for caller in callers:
            assert caller.wait(PATIENCE) == -signal.SIGKILL
        assert os.fstatvfs(here.root_fd).f_blocks == 1000
    assert sorted(filesystem.interrupted) == sorted(filesystem.asked)


def test_only_a_device_has_several_readers() -> None:
    ours, theirs = seqpacket_pair()
    for readers, channel in ((2, ours), (0, theirs)):
        with pytest.raises(ValueError, match="readers"):
            Server(MemoryFs(), channel, readers=readers)
        channel.close()


def test_serving_ends_with_every_handler_answered() -> None:
    filesystem = Waiting()
    failed: list[int | None] = []

    def ask(root: int) -> None:
        try:
            os.listxattr(f"/proc/self/fd/{root}")
        except OSError as error:
            failed.append(error.errno)

    with served(filesystem) as here:
        callers = [threading.Thread(target=ask, args=(here.root_fd,), daemon=True) for _ in range(2 * READERS)]
        for caller in callers:
            caller.start()
        pause = threading.Event()
        while len(filesystem.asked) < len(callers):
            pause.wait(0.01)
        filesystem.token.run_sync_soon(filesystem.server.channel.close)
        for caller in callers:
            caller.join(PATIENCE)
            assert not caller.is_alive()
    assert set(failed) <= {errno.EINTR, errno.ECONNABORTED} and len(failed) == len(callers)
