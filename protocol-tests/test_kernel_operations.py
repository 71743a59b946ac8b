"""Every opcode comes through a real mount to the method that is named after it, as the request that is typed for it."""

from __future__ import annotations

import fcntl
import os
import select
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import pytest
import trio

from rawfuse import DeviceChannel, Filesystem, Server
from rawfuse import wire as w
from rawfuse.filesystem import Reply
from rawfuse.mount import DetachedMount, mount_detached, open_device
from rawfuse.session.negotiation import DEFAULT_WANTS
from rawfuse.tests.waiting import PATIENCE, until
from rawfuse.wire import constants as c
from rawfuse.wire.flags import InitFlags
from rawfuse.wire.opcodes import OPERATIONS, Operation
from tools.conform.linux.stage.calls import BLOCK_CALLS, BY_OPCODE, CALLS, PLUS, SystemCall, outcome
from tools.conform.linux.stage.fuseblk import mount_block_device
from tools.conform.linux.stage.made_up import usual

pytestmark = pytest.mark.kernel("root")

DEALT_WITH = {"INIT", "DESTROY", "FORGET", "BATCH_FORGET", "INTERRUPT", "NOTIFY_REPLY"}
"""By the server itself; `Filesystem` has `init`, `destroy`, `forget`, a cancelled task, `notify.retrieve`."""
NEVER_SENT = {"SETUPMAPPING", "REMOVEMAPPING", "CUSE_INIT"}
"""By virtiofs and CUSE, which no FUSE mount is."""
METHODS = [one for one in OPERATIONS if one.label not in DEALT_WITH | NEVER_SENT]


class Recording(Filesystem):
    """Answers from the made-up tree whatever comes, and remembers it. `absent` are opcodes it does not have."""

    def __init__(self, wants: InitFlags, absent: frozenset[int] = frozenset()) -> None:
        self.wants = wants  # type: ignore[misc]
        self.came: list[tuple[str, w.Request]] = []
        self.calls: list[str] = []
        for operation in METHODS:
            if operation.opcode not in absent:
                name = operation.label.lower()
                setattr(self, name, self._method(name))

    def _method(self, name: str) -> Callable[[w.Request], Reply]:
        def method(request: w.Request) -> Reply:
            self.came.append((name, request))
            answer = usual(request)
            if isinstance(answer, int):
                raise OSError(answer, os.strerror(answer))
            return answer

        return method

    def init(self, negotiated: object) -> None:
        self.calls.append("init")

    def destroy(self) -> None:
        self.calls.append("destroy")

    def forget(self, nodeid: int, nlookup: int) -> None:
        self.calls.append("forget")


@contextmanager
def served(filesystem: Filesystem, *, block: bool = False) -> Generator[DetachedMount, None, None]:
    fd = open_device()
    here = mount_block_device(fd) if block else mount_detached(fd=fd)
    server = Server(filesystem, DeviceChannel(fd))
    thread = threading.Thread(target=lambda: trio.run(server.serve), daemon=True)
    watchdog = threading.Timer(PATIENCE, here.abort)
    thread.start()
    watchdog.start()
    try:
        yield here
    finally:
        here.close()
        thread.join(PATIENCE)
        watchdog.cancel()
    assert not thread.is_alive()


RELEASES = {
    c.FUSE_RELEASE: BY_OPCODE[c.FUSE_OPEN],
    c.FUSE_RELEASEDIR: BY_OPCODE[c.FUSE_OPENDIR],
    c.FUSE_COPY_FILE_RANGE: BY_OPCODE[c.FUSE_COPY_FILE_RANGE_64],
}
"""Opcodes that other calls bring about."""
WANTS = DEFAULT_WANTS | InitFlags.FUSE_POSIX_LOCKS | InitFlags.FUSE_FLOCK_LOCKS
ABSENT = {
    c.FUSE_READDIR: frozenset({c.FUSE_READDIRPLUS}),
    c.FUSE_COPY_FILE_RANGE: frozenset({c.FUSE_COPY_FILE_RANGE_64}),
}


@pytest.mark.parametrize("operation", METHODS, ids=lambda operation: operation.label)
def test_every_opcode_the_kernel_sends_reaches_its_method(operation: Operation) -> None:
    call: SystemCall = {**BY_OPCODE, **RELEASES}[operation.opcode]
    wants = WANTS if operation.opcode == c.FUSE_READDIRPLUS else WANTS & ~InitFlags.FUSE_READDIRPLUS_AUTO
    filesystem = Recording(wants, ABSENT.get(operation.opcode, frozenset()))
    with served(filesystem, block=call in BLOCK_CALLS) as here:
        found = outcome(lambda: call.real(here.root_fd))
        assert not isinstance(found, str), found
        method = operation.label.lower()
        until(lambda: any(name == method for name, _ in filesystem.came))  # nobody waits for a RELEASE
    requests = [request for name, request in filesystem.came if name == method]
    assert requests and all(type(request) is getattr(w, operation.request) for request in requests)


def test_every_opcode_has_a_documented_method_with_a_type() -> None:
    for operation in METHODS:
        method = getattr(Filesystem, operation.label.lower())
        assert operation.label in (method.__doc__ or ""), "it says which opcode it is"
        assert "Replies:" in method.__doc__ and method.__annotations__ == {
            "request": operation.request,
            "return": "Reply",
        }


def test_a_mount_of_a_block_device_ends_with_destroy() -> None:
    filesystem = Recording(WANTS)
    with served(filesystem, block=True) as here:
        BY_OPCODE[c.FUSE_STATFS].real(here.root_fd)
    assert filesystem.calls == ["init", "destroy"]


def test_dropped_inodes_come_to_forget() -> None:
    filesystem = Recording(WANTS)
    with served(filesystem) as here:
        os.stat("n1", dir_fd=here.root_fd)
        trio.run(_until_forgotten, filesystem)
    assert "forget" in filesystem.calls


async def _until_forgotten(filesystem: Recording) -> None:
    message = w.encode_notification(w.NotifyInvalEntry(w.fuse_notify_inval_entry_out(1, 2, 0), b"n1"))
    await trio.to_thread.run_sync(filesystem.server.channel.send_bytes, message)
    with trio.fail_after(PATIENCE):
        while "forget" not in filesystem.calls:
            await trio.sleep(0.001)


def test_flock_waits_through_setlkw_and_tries_through_setlk() -> None:
    filesystem = Recording(WANTS)
    with served(filesystem) as here:
        fd = os.open("f", os.O_RDWR, dir_fd=here.root_fd)
        fcntl.flock(fd, fcntl.LOCK_EX)
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(fd, fcntl.LOCK_UN)
        os.close(fd)
    locks: list[Any] = [request for _, request in filesystem.came if isinstance(request, w.SetLk | w.SetLkW)]
    assert [type(one) for one in locks] == [w.SetLkW, w.SetLk, w.SetLkW], "LOCK_UN without LOCK_NB is a wait in name"
    assert all(one.arg.lk_flags & c.FUSE_LK_FLOCK for one in locks)
    assert [one.arg.lk.type for one in locks] == [fcntl.F_WRLCK, fcntl.F_RDLCK, fcntl.F_UNLCK]


def test_an_ioctl_to_a_directory_says_so() -> None:
    filesystem = Recording(WANTS)
    with served(filesystem) as here:
        fd = os.open("d", os.O_RDONLY, dir_fd=here.root_fd)
        fcntl.ioctl(fd, 0x80087801, bytearray(8))
        os.close(fd)
    (ioctl,) = (request for _, request in filesystem.came if isinstance(request, w.Ioctl))
    assert ioctl.arg.flags & c.FUSE_IOCTL_DIR and ioctl.arg.out_size == 8 and ioctl.data == b""


def test_an_ioctl_that_writes_brings_its_data() -> None:
    filesystem = Recording(WANTS)
    with served(filesystem) as here:
        fd = os.open("f", os.O_RDONLY, dir_fd=here.root_fd)
        fcntl.ioctl(fd, 0xC0087801, bytearray(b"8 bytes!"))
        os.close(fd)
    (ioctl,) = (request for _, request in filesystem.came if isinstance(request, w.Ioctl))
    assert (ioctl.arg.in_size, ioctl.arg.out_size, bytes(ioctl.data)) == (8, 8, b"8 bytes!")


def test_poll_says_what_it_waits_for_and_who_is_to_be_told() -> None:
    filesystem = Recording(WANTS)
    with served(filesystem) as here:
        fd = os.open("f", os.O_RDONLY, dir_fd=here.root_fd)
        poller = select.poll()
        poller.register(fd, select.POLLIN | select.POLLPRI)
        assert poller.poll(PATIENCE * 1000) == [(fd, select.POLLIN)]
        os.close(fd)
    polls: list[Any] = [request for _, request in filesystem.came if isinstance(request, w.Poll)]
    assert polls[0].arg.flags & c.FUSE_POLL_SCHEDULE_NOTIFY
    assert polls[0].arg.events & (select.POLLIN | select.POLLPRI) == select.POLLIN | select.POLLPRI


def test_every_call_has_an_opcode_of_its_own() -> None:
    opcodes = [call.opcode for call in (*CALLS, PLUS, *BLOCK_CALLS)]
    assert len({*opcodes}) == len(opcodes)
    assert {one.opcode for one in METHODS} == {*opcodes} | {*RELEASES}
