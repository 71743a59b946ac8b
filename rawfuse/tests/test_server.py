"""The server, driven by a kernel of our own over a socket pair."""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Callable

import pytest
import trio

from rawfuse import Filesystem, KernelTooOld, Server
from rawfuse import wire as w
from rawfuse.channel import seqpacket_pair
from rawfuse.errors import LocalProtocolError
from rawfuse.filesystem import Answer, Reply
from rawfuse.kernel import KEPT, Kernel
from rawfuse.session.kernel_session import KernelSession
from rawfuse.tests.memoryfs import ROOT, MemoryFs
from rawfuse.tests.served import errno_of, failing, served
from rawfuse.tests.waiting import PATIENCE
from rawfuse.wire.dirent import Dirent
from rawfuse.wire.flags import InitFlags
from rawfuse.wire.opcodes import OPERATIONS


async def test_files_are_made_written_read_and_removed() -> None:
    async with served(MemoryFs()) as kernel:
        made = await kernel.call(w.Create(nodeid=ROOT, arg=w.fuse_create_in(mode=0o644), name=b"f"))
        assert isinstance(made, tuple) and isinstance(made[0], w.fuse_entry_out)
        file = made[0].nodeid
        written = await kernel.call(w.Write(nodeid=file, arg=w.fuse_write_in(offset=2), data=b"hello"))
        assert written == w.fuse_write_out(size=5)
        assert await kernel.call(w.Read(nodeid=file, arg=w.fuse_read_in(size=100))) == b"\0\0hello"
        assert await kernel.call(w.Unlink(nodeid=ROOT, name=b"f")) is None
        assert await failing(kernel, w.Lookup(nodeid=ROOT, name=b"f")) == errno.ENOENT


async def test_large_payloads_go_both_ways() -> None:
    filesystem = MemoryFs()
    node = filesystem.add(ROOT, b"f", stat.S_IFREG | 0o644)
    data = os.urandom(1 << 20)
    async with served(filesystem) as kernel:
        await kernel.call(w.Write(nodeid=node.nodeid, data=data))
        assert await kernel.call(w.Read(nodeid=node.nodeid, arg=w.fuse_read_in(size=1 << 20))) == data


async def test_directories_are_listed_in_pieces() -> None:
    filesystem = MemoryFs()
    for number in range(50):
        filesystem.add(ROOT, b"%d" % number, stat.S_IFREG)
    names, offset = [], 0
    async with served(filesystem) as kernel:
        while entries := await kernel.call(w.ReadDir(nodeid=ROOT, arg=w.fuse_read_in(offset=offset, size=200))):
            assert isinstance(entries, list)
            names += [entry.name for entry in entries if isinstance(entry, Dirent)]
            offset = entries[-1].off if isinstance(entries[-1], Dirent) else 0
    assert names == [b".", b"..", *(b"%d" % number for number in range(50))]


async def test_xattrs_answer_size_value_and_absence() -> None:
    async with served(MemoryFs()) as kernel:
        await kernel.call(w.SetXAttr(nodeid=ROOT, name=b"user.a", value=b"12345"))
        ask = w.GetXAttr(nodeid=ROOT, name=b"user.a")
        assert await kernel.call(ask) == w.fuse_getxattr_out(size=5)
        ask = w.GetXAttr(nodeid=ROOT, arg=w.fuse_getxattr_in(size=64), name=b"user.a")
        assert await kernel.call(ask) == b"12345"
        ask = w.GetXAttr(nodeid=ROOT, arg=w.fuse_getxattr_in(size=2), name=b"user.a")
        assert await failing(kernel, ask) == errno.ERANGE


REQUESTS: dict[str, Callable[[], w.Request]] = {
    operation.request: getattr(w, operation.request)
    for operation in OPERATIONS
    if operation.reply.kind not in ("none", "optional") and operation.request not in ("Init", "CuseInit", "Destroy")
}
NAMES = {"name": b"n", "newname": b"m", "target": b"t"}


@pytest.mark.parametrize("name", REQUESTS)
async def test_an_absent_operation_is_enosys(name: str) -> None:
    request = REQUESTS[name]()
    for field, value in NAMES.items():
        if hasattr(request, field):
            setattr(request, field, value)
    async with served(Filesystem()) as kernel:
        assert await failing(kernel, request) == errno.ENOSYS


async def test_an_unknown_opcode_is_enosys() -> None:
    async with served(MemoryFs()) as kernel:
        assert await failing(kernel, w.UnknownRequest(0, 1, 0, 0, 0, 4000, b"junk")) == errno.ENOSYS


async def test_forgets_reach_the_filesystem_and_get_no_reply() -> None:
    filesystem = MemoryFs()
    one, two = filesystem.add(ROOT, b"1", stat.S_IFREG), filesystem.add(ROOT, b"2", stat.S_IFREG)
    async with served(filesystem) as kernel:
        for name in (b"1", b"2", b"2"):
            await kernel.call(w.Lookup(nodeid=ROOT, name=name))
        assert (one.nlookup, two.nlookup) == (1, 2)
        kernel.post(w.Forget(nodeid=one.nodeid, arg=w.fuse_forget_in(1)))
        kernel.post(w.BatchForget(forgets=[w.fuse_forget_one(two.nodeid, 2)]))
        await kernel.call(w.StatFs(nodeid=ROOT))
        assert (one.nlookup, two.nlookup) == (0, 0)
        assert not kernel.refused


class Broken(MemoryFs):
    """lookup does what the test says."""

    def __init__(self, answer: Callable[[], Reply]) -> None:
        super().__init__()
        self.answer = answer

    def lookup(self, request: w.Lookup) -> Reply:
        return self.answer()


def raising(error: Exception) -> Callable[[], Reply]:
    def answer() -> Reply:
        raise error

    return answer


@pytest.mark.parametrize(
    "error",
    [ZeroDivisionError(), OSError("no errno"), OSError(errno.ENOSYS, "one file"), OSError(512, "beyond")],
    ids=repr,
)
async def test_an_unforeseen_failure_is_eio_logged_with_its_cause(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(Broken(raising(error))) as kernel:
        assert await failing(kernel, w.Lookup(nodeid=ROOT, name=b"x")) == errno.EIO
        assert isinstance(await kernel.call(w.StatFs(nodeid=ROOT)), w.fuse_statfs_out)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR and "Lookup" in record.message
    assert record.exc_info is not None and record.exc_info[1] is error


async def test_a_failure_after_waiting_is_eio_and_logged_too(caplog: pytest.LogCaptureFixture) -> None:
    class Late(MemoryFs):
        async def lookup(self, request: w.Lookup) -> Answer:
            await trio.lowlevel.checkpoint()
            raise ZeroDivisionError

    async with served(Late()) as kernel:
        assert await failing(kernel, w.Lookup(nodeid=ROOT, name=b"x")) == errno.EIO
        assert isinstance(await kernel.call(w.StatFs(nodeid=ROOT)), w.fuse_statfs_out)
    assert "Lookup(" in caplog.text and "name=b'x'" in caplog.text and "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("answer", [b"short", None, [b"a", b"b"], bytearray(129), memoryview(bytes(4)), 7, ("x",)])
async def test_a_reply_that_does_not_fit_is_eio(answer: Answer, caplog: pytest.LogCaptureFixture) -> None:
    async with served(Broken(lambda: answer)) as kernel:
        assert await failing(kernel, w.Lookup(nodeid=ROOT, name=b"x")) == errno.EIO
        assert not kernel.refused
    assert "cannot be sent" in caplog.text


async def test_a_reply_longer_than_asked_is_eio(caplog: pytest.LogCaptureFixture) -> None:
    class Generous(MemoryFs):
        def read(self, request: w.Read) -> Answer:
            return bytes(request.arg.size + 1)

    async with served(Generous()) as kernel:
        assert await failing(kernel, w.Read(nodeid=ROOT, arg=w.fuse_read_in(size=10))) == errno.EIO
    assert "Read" in caplog.text


async def test_a_handler_that_waits_does_not_hold_up_others() -> None:
    gate = trio.Event()

    class Slow(MemoryFs):
        async def lookup(self, request: w.Lookup) -> Answer:
            await gate.wait()
            return bytes(128)

    async with served(Slow()) as kernel, trio.open_nursery() as nursery:
        nursery.start_soon(kernel.call, w.Lookup(nodeid=ROOT, name=b"x"))
        await kernel.call(w.StatFs(nodeid=ROOT))
        assert not gate.is_set()
        gate.set()


async def test_interrupt_cancels_the_handler_and_the_caller_gets_eintr() -> None:
    cancelled = trio.Event()

    class Stuck(MemoryFs):
        async def lookup(self, request: w.Lookup) -> Answer:
            try:
                await trio.sleep_forever()
            finally:
                cancelled.set()
            return None

    async with served(Stuck()) as kernel, trio.open_nursery() as nursery:

        async def ask() -> None:
            assert await failing(kernel, w.Lookup(nodeid=ROOT, name=b"x")) == errno.EINTR

        nursery.start_soon(ask)
        await kernel.call(w.StatFs(nodeid=ROOT))
        (target,) = (unique for unique in kernel.session.pending)
        await kernel.interrupt(target)
        await cancelled.wait()


async def test_interrupt_of_an_answered_request_is_passed_over() -> None:
    async with served(MemoryFs()) as kernel:
        await kernel.interrupt(4)
        await kernel.call(w.StatFs(nodeid=ROOT))
        assert not kernel.refused


async def test_a_waiting_write_keeps_its_payload() -> None:
    gate = trio.Event()
    seen: list[bytes] = []

    class SlowWrite(MemoryFs):
        async def write(self, request: w.Write) -> Answer:
            await gate.wait()
            seen.append(bytes(request.data))
            return w.fuse_write_out(size=len(request.data))

    async with served(SlowWrite()) as kernel, trio.open_nursery() as nursery:
        for letter in (b"a", b"b", b"c"):
            nursery.start_soon(kernel.call, w.Write(nodeid=ROOT, data=letter * 5000))
        await kernel.call(w.StatFs(nodeid=ROOT))
        gate.set()
    assert sorted(seen) == [letter * 5000 for letter in (b"a", b"b", b"c")]


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(lambda good: good[:40] + b"no end", id="no NUL"),
        pytest.param(lambda good: good[:40], id="no name"),
    ],
)
async def test_a_malformed_request_is_eio_and_serving_goes_on(
    message: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    async with served(MemoryFs()) as kernel:
        request = w.Lookup(nodeid=ROOT, name=b"x")
        bad = bytearray(message(kernel.session.request(request)))
        bad[0:4] = len(bad).to_bytes(4, "little")
        kernel.channel.send_bytes(bytes(bad))
        await kernel.call(w.StatFs(nodeid=ROOT))
        assert request.unique not in kernel.session.pending
    assert "malformed" in caplog.text


@pytest.mark.parametrize("length", [16, 39])
async def test_a_request_shorter_than_its_header_is_eio(length: int, caplog: pytest.LogCaptureFixture) -> None:
    async with served(MemoryFs()) as kernel:
        request = w.Lookup(nodeid=ROOT, name=b"x")
        kernel.channel.send_bytes(kernel.session.request(request)[:length])
        await kernel.call(w.StatFs(nodeid=ROOT))
        assert request.unique not in kernel.session.pending and not kernel.refused
    assert "shorter than its header" in caplog.text


@pytest.mark.parametrize("length", [1, 10, 15])
async def test_junk_is_not_answered_and_serving_goes_on(length: int, caplog: pytest.LogCaptureFixture) -> None:
    async with served(MemoryFs()) as kernel:
        kernel.channel.send_bytes(b"\0" * length)
        await kernel.call(w.StatFs(nodeid=ROOT))
        assert not kernel.refused
    assert "malformed" in caplog.text


async def test_serving_ends_when_the_peer_goes_and_destroys_once() -> None:
    filesystem = MemoryFs()
    async with served(filesystem):
        pass
    assert filesystem.destroyed == 1


async def test_cancelling_the_server_answers_who_waits() -> None:
    class Stuck(MemoryFs):
        async def lookup(self, request: w.Lookup) -> Answer:
            await trio.sleep_forever()
            return None

    ours, theirs = seqpacket_pair()
    async with trio.open_nursery() as nursery, Kernel(ours) as kernel:
        serving = await nursery.start(serve_cancellable, Stuck(), theirs)
        await kernel.init()

        answered = trio.Event()

        async def ask() -> None:
            assert await failing(kernel, w.Lookup(nodeid=ROOT, name=b"x")) == errno.EINTR
            answered.set()

        nursery.start_soon(ask)
        await kernel.call(w.StatFs(nodeid=ROOT))
        serving.cancel()
        await answered.wait()


async def serve_cancellable(
    filesystem: Filesystem, channel: object, *, task_status: trio.TaskStatus[trio.CancelScope]
) -> None:
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            await nursery.start(Server(filesystem, channel).serve)  # type: ignore[arg-type]
            task_status.started(scope)


async def test_an_old_kernel_is_refused_on_both_sides() -> None:
    ours, theirs = seqpacket_pair()
    filesystem = MemoryFs()
    async with Kernel(ours, KernelSession(minor=27)) as kernel, trio.open_nursery() as nursery:

        async def serve() -> None:
            with pytest.raises(KernelTooOld, match=r"7\.27.*newer kernel"):
                await Server(filesystem, theirs).serve()

        nursery.start_soon(serve)
        with pytest.raises(OSError) as call:
            await kernel.init()
        assert errno_of(call) == errno.EPROTO
    assert filesystem.destroyed == 0


async def test_a_later_major_is_answered_with_ours() -> None:
    ours, theirs = seqpacket_pair()
    async with trio.open_nursery() as nursery, Kernel(ours, KernelSession(major=8, minor=0)) as kernel:
        nursery.start_soon(Server(MemoryFs(), theirs).serve)
        answer = await kernel.init()
        assert answer.major == 7


async def test_requests_before_init_and_a_second_init_fail() -> None:
    ours, theirs = seqpacket_pair()
    async with trio.open_nursery() as nursery, Kernel(ours) as kernel:
        nursery.start_soon(Server(MemoryFs(), theirs).serve)
        kernel.session.agreed = w.fuse_init_out(major=7, minor=45)
        assert await failing(kernel, w.StatFs(nodeid=ROOT)) == errno.EIO
        kernel.session.agreed = None
        await kernel.init()
        with pytest.raises(OSError) as call:
            await kernel.init()
        assert errno_of(call) == errno.EIO


async def test_notifications_are_written_while_serving() -> None:
    filesystem = MemoryFs()
    async with served(filesystem) as kernel:
        notify = filesystem.server.notify
        assert await notify.inval_inode(5, 0, 10)
        assert await notify.inval_entry(1, b"gone", expire_only=True)
        await notify.store(5, 4096, b"data")
        with trio.fail_after(PATIENCE):
            while len(kernel.notifications) < 3:
                await trio.sleep(0.001)
    kinds = [type(message) for message in kernel.notifications]
    assert kinds == [w.NotifyInvalInode, w.NotifyInvalEntry, w.NotifyStore]


async def test_a_kernel_remembers_what_a_server_says_without_end_in_bounds() -> None:
    ours, theirs = seqpacket_pair()
    async with Kernel(ours) as kernel:
        for number in range(KEPT + 10):
            theirs.send_bytes(w.encode_notification(w.NotifyPoll(w.fuse_notify_poll_wakeup_out(number))))
            theirs.send_bytes(b"junk")
            await trio.lowlevel.checkpoint()
        with trio.fail_after(PATIENCE):
            while len(kernel.refused) < KEPT or kernel.notifications[-1] != w.NotifyPoll(
                w.fuse_notify_poll_wakeup_out(KEPT + 9)
            ):
                await trio.sleep(0.001)
        assert len(kernel.notifications) == len(kernel.refused) == KEPT
        theirs.close()


async def test_a_handler_can_queue_a_notification_about_its_own_inode() -> None:
    class Telling(MemoryFs):
        def getattr(self, request: w.GetAttr) -> Reply:
            self.server.notify.soon(self.server.notify.inval_inode, request.nodeid)
            return super().getattr(request)

    async with served(Telling()) as kernel:
        await kernel.call(w.GetAttr(nodeid=ROOT))
        with trio.fail_after(PATIENCE):
            while not kernel.notifications:
                await trio.sleep(0.001)


async def test_retrieved_bytes_come_back_to_who_asked() -> None:
    filesystem = MemoryFs()
    async with served(filesystem) as kernel, trio.open_nursery() as nursery:
        got: list[bytes] = []

        async def retrieve() -> None:
            got.append(await filesystem.server.notify.retrieve(5, 0, 4))

        nursery.start_soon(retrieve)
        while not kernel.notifications:
            await trio.sleep(0.001)
        (asked,) = kernel.notifications
        assert isinstance(asked, w.NotifyRetrieve)
        reply = w.NotifyReply(nodeid=5, arg=w.fuse_notify_retrieve_in(), data=b"page")
        message = bytearray(kernel.session.request(reply))
        message[8:16] = asked.arg.notify_unique.to_bytes(8, "little")
        kernel.channel.send_bytes(bytes(message))
    assert got == [b"page"]


async def test_a_notification_that_was_not_agreed_on_is_refused_here() -> None:
    filesystem = MemoryFs()
    offered = InitFlags.FUSE_ASYNC_READ
    async with served(filesystem, KernelSession(minor=31, flags=offered)):
        with pytest.raises(LocalProtocolError, match="EXPIRE_ONLY"):
            await filesystem.server.notify.inval_entry(1, b"x", expire_only=True)
        with pytest.raises(LocalProtocolError, match=r"7\.44.*7\.31"):
            await filesystem.server.notify.inc_epoch()
