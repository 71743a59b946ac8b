"""The memory example: locks, poll, ioctl, space, sparse bytes."""

from __future__ import annotations

import errno
import os
import select
import stat
from fcntl import F_RDLCK, F_UNLCK, F_WRLCK
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from rawfuse import wire as w
from rawfuse.examples.memory import MemoryFS
from rawfuse.examples.memory.data import CHUNK, Memory, SparseBytes
from rawfuse.kernel import Kernel
from rawfuse.tests.faked import ROOT, failing, made, served, waiting
from rawfuse.tests.waiting import PATIENCE
from rawfuse.wire import constants as c
from rawfuse.wire.flags import InitFlags


def lock(file: int, owner: int, kind: int, start: int = 0, end: int = 99, *, flock: bool = False) -> w.fuse_lk_in:
    return w.fuse_lk_in(owner=owner, lk=w.fuse_file_lock(start, end, kind, owner), lk_flags=flock)


@pytest.mark.parametrize("flock", [False, True], ids=["POSIX", "flock"])
async def test_a_waiting_lock_is_had_when_the_other_is_dropped(flock: bool) -> None:
    async with served(MemoryFS()) as kernel:
        file = await made(kernel)
        await kernel.call(w.SetLk(nodeid=file, arg=lock(file, 1, F_WRLCK, flock=flock)))
        assert await failing(kernel, w.SetLk(nodeid=file, arg=lock(file, 2, F_RDLCK, flock=flock))) == errno.EAGAIN
        async with trio.open_nursery() as nursery:
            nursery.start_soon(kernel.call, w.SetLkW(nodeid=file, arg=lock(file, 2, F_WRLCK, flock=flock)))
            await waiting(kernel, w.SetLkW)
            await kernel.call(w.SetLk(nodeid=file, arg=lock(file, 1, F_UNLCK, flock=flock)))
        assert await failing(kernel, w.SetLk(nodeid=file, arg=lock(file, 1, F_RDLCK, flock=flock))) == errno.EAGAIN


async def test_an_interrupted_wait_takes_no_lock() -> None:
    async with served(MemoryFS()) as kernel:
        file = await made(kernel)
        await kernel.call(w.SetLk(nodeid=file, arg=lock(file, 1, F_WRLCK)))
        async with trio.open_nursery() as nursery:

            async def wait() -> None:
                assert await failing(kernel, w.SetLkW(nodeid=file, arg=lock(file, 2, F_WRLCK))) == errno.EINTR

            nursery.start_soon(wait)
            await kernel.interrupt(await waiting(kernel, w.SetLkW))
        await kernel.call(w.SetLk(nodeid=file, arg=lock(file, 1, F_UNLCK)))
        await kernel.call(w.SetLk(nodeid=file, arg=lock(file, 3, F_WRLCK)))


async def test_two_who_wait_for_each_other_are_told() -> None:
    async with served(MemoryFS()) as kernel:
        file = await made(kernel)
        await kernel.call(w.SetLk(nodeid=file, arg=lock(file, 1, F_WRLCK, 0, 9)))
        await kernel.call(w.SetLk(nodeid=file, arg=lock(file, 2, F_WRLCK, 10, 19)))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(kernel.call, w.SetLkW(nodeid=file, arg=lock(file, 1, F_WRLCK, 10, 19)))
            await waiting(kernel, w.SetLkW)
            assert await failing(kernel, w.SetLkW(nodeid=file, arg=lock(file, 2, F_WRLCK, 0, 9))) == errno.EDEADLK
            await kernel.call(w.Flush(nodeid=file, arg=w.fuse_flush_in(lock_owner=2)))


async def test_unlocking_the_middle_leaves_both_ends() -> None:
    async with served(MemoryFS()) as kernel:
        file = await made(kernel)
        await kernel.call(w.SetLk(nodeid=file, arg=lock(file, 1, F_WRLCK, 0, 99)))
        await kernel.call(w.SetLk(nodeid=file, arg=lock(file, 1, F_UNLCK, 40, 59)))
        found = []
        for start, end in ((0, 1000), (40, 59), (50, 1000)):
            reply: Any = await kernel.call(w.GetLk(nodeid=file, arg=lock(file, 2, F_RDLCK, start, end)))
            found.append((reply.lk.type, reply.lk.start, reply.lk.end))
        assert found == [(F_WRLCK, 0, 39), (F_UNLCK, 0, 0), (F_WRLCK, 60, 99)]


async def test_release_drops_flock_and_flush_drops_posix_locks() -> None:
    async with served(MemoryFS()) as kernel:
        file = await made(kernel)
        for flock in (False, True):
            await kernel.call(w.SetLk(nodeid=file, arg=lock(file, 1, F_WRLCK, flock=flock)))
        await kernel.call(w.Flush(nodeid=file, arg=w.fuse_flush_in(lock_owner=1)))
        await kernel.call(w.SetLk(nodeid=file, arg=lock(file, 2, F_WRLCK)))
        assert await failing(kernel, w.SetLk(nodeid=file, arg=lock(file, 2, F_WRLCK, flock=True))) == errno.EAGAIN
        arg = w.fuse_release_in(release_flags=c.FUSE_RELEASE_FLOCK_UNLOCK, lock_owner=1)
        await kernel.call(w.Release(nodeid=file, arg=arg))
        await kernel.call(w.SetLk(nodeid=file, arg=lock(file, 2, F_WRLCK, flock=True)))


async def test_poll_wakes_when_the_file_changes() -> None:
    async with served(MemoryFS()) as kernel:
        file = await made(kernel)
        events = select.POLLIN | select.POLLPRI
        arg = w.fuse_poll_in(fh=1, kh=77, flags=c.FUSE_POLL_SCHEDULE_NOTIFY, events=events)
        assert await kernel.call(w.Poll(nodeid=file, arg=arg)) == w.fuse_poll_out(select.POLLIN)
        assert not kernel.notifications
        await kernel.call(w.Write(nodeid=file, data=b"x"))
        with trio.fail_after(PATIENCE):
            while not kernel.notifications:
                await trio.sleep(0.001)
        assert list(kernel.notifications) == [w.NotifyPoll(w.fuse_notify_poll_wakeup_out(77))]
        assert await kernel.call(w.Poll(nodeid=file, arg=arg)) == w.fuse_poll_out(events)


GETFLAGS, SETFLAGS = 0x80086601, 0x40086602


async def test_a_restricted_ioctl_brings_its_data() -> None:
    async with served(MemoryFS()) as kernel:
        file = await made(kernel)
        await kernel.call(w.Ioctl(nodeid=file, arg=w.fuse_ioctl_in(cmd=SETFLAGS), data=b"\x40\0\0\0"))
        filesystem_flags = w.Ioctl(nodeid=file, arg=w.fuse_ioctl_in(cmd=GETFLAGS, out_size=8))
        assert await raw(kernel, filesystem_flags) == w.fuse_ioctl_out().pack() + b"\x40\0\0\0"
        assert await failing(kernel, w.Ioctl(nodeid=file, arg=w.fuse_ioctl_in(cmd=1))) == errno.ENOTTY


async def test_an_unrestricted_ioctl_comes_again_with_what_it_was_asked_for() -> None:
    async with served(MemoryFS()) as kernel:
        file = await made(kernel)
        free = c.FUSE_IOCTL_UNRESTRICTED
        first = await raw(kernel, w.Ioctl(nodeid=file, arg=w.fuse_ioctl_in(cmd=SETFLAGS, arg=0xABC, flags=free)))
        asked = w.fuse_ioctl_out(flags=c.FUSE_IOCTL_RETRY, in_iovs=1)
        assert first == asked.pack() + w.fuse_ioctl_iovec(0xABC, 8).pack()
        data = b"\x40" + bytes(7)
        await kernel.call(w.Ioctl(nodeid=file, arg=w.fuse_ioctl_in(cmd=SETFLAGS, arg=0xABC, flags=free), data=data))
        again = w.fuse_ioctl_in(cmd=GETFLAGS, arg=0xABC, flags=free, out_size=8)
        assert (await raw(kernel, w.Ioctl(nodeid=file, arg=again)))[16:] == b"\x40\0\0\0"


async def raw(kernel: Kernel, request: w.Request) -> bytes:
    """The body of the reply as it came."""
    bodies: list[bytes] = []
    receive = kernel.session.receive

    def listen(message: bytes) -> Any:
        bodies.append(message[16:])
        return receive(message)

    kernel.session.receive = listen  # type: ignore[method-assign, assignment]
    try:
        await kernel.call(request)
    finally:
        kernel.session.receive = receive  # type: ignore[method-assign]
    return bodies[-1]


async def test_a_read_does_not_stand_in_the_way_of_the_next_write() -> None:
    async with served(MemoryFS()) as kernel:
        file = await made(kernel)
        await kernel.call(w.Write(nodeid=file, data=bytes(CHUNK + 10)))
        await kernel.call(w.Read(nodeid=file, arg=w.fuse_read_in(size=2 * CHUNK)))
        await kernel.call(w.Write(nodeid=file, arg=w.fuse_write_in(offset=CHUNK + 10), data=b"grown"))
        read = w.Read(nodeid=file, arg=w.fuse_read_in(offset=CHUNK + 10, size=9))
        assert await kernel.call(read) == b"grown"


async def test_a_tmpfile_gets_a_name_by_link() -> None:
    async with served(MemoryFS()) as kernel:
        made: Any = await kernel.call(
            w.TmpFile(nodeid=ROOT, arg=w.fuse_create_in(mode=stat.S_IFREG | 0o600), name=b"/")
        )
        assert made[0].attr.nlink == 0
        linked: Any = await kernel.call(w.Link(nodeid=ROOT, arg=w.fuse_link_in(made[0].nodeid), name=b"n"))
        assert (linked.nodeid, linked.attr.nlink) == (made[0].nodeid, 1)


async def test_statx_tells_the_time_of_birth() -> None:
    async with served(MemoryFS()) as kernel:
        reply: Any = await kernel.call(w.Statx(nodeid=ROOT))
        assert reply.stat.btime.tv_sec > 0 and reply.stat.mode == stat.S_IFDIR | 0o755


async def test_access_goes_by_owner_group_and_others() -> None:
    async with served(MemoryFS()) as kernel:
        reply: Any = await kernel.call(
            w.Create(nodeid=ROOT, uid=5, gid=6, arg=w.fuse_create_in(mode=stat.S_IFREG | 0o640), name=b"f")
        )

        async def may(uid: int, gid: int, mask: int) -> bool:
            request = w.Access(nodeid=reply[0].nodeid, uid=uid, gid=gid, arg=w.fuse_access_in(mask))
            try:
                await kernel.call(request)
            except PermissionError:
                return False
            return True

        assert [await may(5, 0, os.R_OK | os.W_OK), await may(9, 6, os.R_OK), await may(0, 0, os.W_OK)] == [True] * 3
        assert [await may(9, 6, os.W_OK), await may(9, 9, os.R_OK), await may(0, 0, os.X_OK)] == [False] * 3


async def test_a_full_file_system_says_so_and_frees_what_is_removed() -> None:
    filesystem = MemoryFS(3 * CHUNK)
    async with served(filesystem) as kernel:
        file = await made(kernel)
        await kernel.call(w.Write(nodeid=file, data=bytes(3 * CHUNK)))
        assert await failing(kernel, w.Write(nodeid=file, arg=w.fuse_write_in(offset=3 * CHUNK), data=b"x")) == (
            errno.ENOSPC
        )
        await kernel.call(w.Unlink(nodeid=ROOT, name=b"f"))
        assert filesystem.memory.free == 0, "the file is still open"
        kernel.post(w.Forget(nodeid=file, arg=w.fuse_forget_in(1)))
        await kernel.call(w.StatFs(nodeid=ROOT))
    assert filesystem.memory.free == 3 * CHUNK


async def test_locks_are_asked_for_at_init() -> None:
    async with served(MemoryFS()) as kernel:
        assert kernel.session.flags & InitFlags.FUSE_POSIX_LOCKS and kernel.session.flags & InitFlags.FUSE_FLOCK_LOCKS


PLACES = st.integers(min_value=0, max_value=3 * CHUNK)


@settings(max_examples=150)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["write", "truncate", "punch", "allocate"]), PLACES, PLACES, st.binary(min_size=1)),
        max_size=12,
    )
)
def test_sparse_bytes_are_bytes(steps: list[tuple[str, int, int, bytes]]) -> None:
    memory = Memory(100 * CHUNK)
    sparse, plain = SparseBytes(memory), bytearray()
    for what, offset, length, data in steps:
        if what == "write":
            written = data * (1 + length // len(data) // 2)
            sparse.write(offset, written)
            plain.extend(bytes(max(0, offset + len(written) - len(plain))))
            plain[offset : offset + len(written)] = written
        elif what == "truncate":
            sparse.truncate(offset)
            plain = plain[:offset].ljust(offset, b"\0")
        elif what == "punch":
            sparse.punch(offset, length)
            stop = min(offset + length, len(plain))
            plain[offset:stop] = bytes(max(0, stop - offset))
        else:
            sparse.allocate(offset, length)
        assert sparse.size == len(plain) and sparse.copy(0, len(plain) + 1) == plain
        assert memory.free == memory.capacity - sparse.allocated
    position = 0
    while position < sparse.size:
        start = sparse.find_data(position)
        start = sparse.size if start is None else start
        assert not any(plain[position:start]), "a hole is zeros"
        position = sparse.find_hole(start) if start < sparse.size else start
    sparse.truncate(0)
    assert memory.free == memory.capacity and sparse.allocated == 0


async def test_a_read_that_no_kernel_asks_for_is_refused() -> None:
    async with served(MemoryFS(1 << 20)) as kernel:
        file = await made(kernel)
        await kernel.call(w.SetAttr(nodeid=file, arg=w.fuse_setattr_in(valid=c.FATTR_SIZE, size=5 << 30)))
        for size in (1 << 28, 2 << 30, (1 << 32) - 1):
            assert await failing(kernel, w.Read(nodeid=file, arg=w.fuse_read_in(size=size))) == errno.EINVAL
