"""Each notification of a running server under the real kernel, and those that the kernel holds back."""

from __future__ import annotations

import ctypes
import errno
import os
import select
import stat
import threading
from typing import Any, ClassVar

import pytest
import trio

from rawfuse import wire as w
from rawfuse.filesystem import Answer, Reply
from rawfuse.tests.memoryfs import ROOT, MemoryFs, Node
from rawfuse.tests.mounted import Mounted, mounted
from rawfuse.tests.waiting import PATIENCE, until
from rawfuse.wire.constants import FUSE_POLL_SCHEDULE_NOTIFY
from rawfuse.wire.flags import InitFlags

pytestmark = pytest.mark.kernel("root")
FILE = stat.S_IFREG | 0o644
LONG = 1000
_libc = ctypes.CDLL(None, use_errno=True)


class Lasting(MemoryFs):
    """Names and attributes stay valid, so that only a notification makes the kernel ask again."""

    wants: ClassVar[InitFlags] = MemoryFs.wants | InitFlags.FUSE_HAS_RESEND

    def __init__(self) -> None:
        super().__init__()
        self.looked_up: list[bytes] = []
        self.forgotten: list[int] = []

    def entry(self, node: Node) -> w.fuse_entry_out:
        entry = super().entry(node)
        entry.entry_valid = entry.attr_valid = LONG
        return entry

    def lookup(self, request: w.Lookup) -> Reply:
        self.looked_up.append(request.name)
        return super().lookup(request)

    def forget(self, nodeid: int, nlookup: int) -> None:
        self.forgotten.append(nodeid)
        super().forget(nodeid, nlookup)


def notify(mount: Mounted) -> Any:
    return mount.server.notify


def exists(mount: Mounted, name: str) -> bool:
    try:
        os.stat(name, dir_fd=mount.root)
    except FileNotFoundError:
        return False
    return True


@pytest.mark.parametrize("expire_only", [False, True])
def test_inval_entry_makes_the_kernel_look_again(expire_only: bool) -> None:
    filesystem = Lasting()
    filesystem.add(ROOT, b"f", FILE)
    with mounted(filesystem) as mount:

        async def tell() -> bool:
            return bool(await notify(mount).inval_entry(ROOT, b"f", expire_only=expire_only))

        assert exists(mount, "f")
        del filesystem.nodes[ROOT].children[b"f"]
        assert exists(mount, "f"), "from the cache"
        assert mount.run(tell)
        assert not exists(mount, "f")
        assert not mount.run(notify(mount).inval_entry, ROOT, b"never seen")


def test_delete_tells_inotify() -> None:
    filesystem = Lasting()
    filesystem.add(ROOT, b"d", stat.S_IFDIR | 0o755)
    with mounted(filesystem) as mount:
        assert exists(mount, "d")
        watcher = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        assert _libc.inotify_add_watch(watcher, b"/proc/self/fd/%d/d" % mount.root, 0x400) > 0  # IN_DELETE_SELF
        child = filesystem.nodes[ROOT].children.pop(b"d")
        assert mount.run(notify(mount).delete, ROOT, child, b"d")
        assert not exists(mount, "d")
        assert select.select([watcher], [], [], PATIENCE)[0]
        os.close(watcher)


def test_store_beyond_a_directory_is_refused() -> None:
    with mounted(Lasting()) as mount, pytest.raises(OSError) as failed:
        mount.run(notify(mount).store, ROOT, 0, b"x")
    assert failed.value.errno == errno.EINVAL


def test_retrieve_of_what_is_not_cached_is_empty() -> None:
    filesystem = Lasting()
    node = filesystem.add(ROOT, b"f", FILE, b"data")
    with mounted(filesystem) as mount:
        assert exists(mount, "f")
        assert mount.run(notify(mount).retrieve, node.nodeid, 0, 4) == b""
        with pytest.raises(FileNotFoundError):
            mount.run(notify(mount).retrieve, 999, 0, 4)


def test_poll_wakes_who_waits() -> None:
    scheduled: list[int] = []

    class Polled(Lasting):
        ready = False

        def poll(self, request: w.Poll) -> Reply:
            if request.arg.flags & FUSE_POLL_SCHEDULE_NOTIFY:
                scheduled.append(request.arg.kh)
            return w.fuse_poll_out(revents=select.POLLIN if self.ready else 0)

    filesystem = Polled()
    filesystem.add(ROOT, b"f", FILE)
    with mounted(filesystem) as mount:
        descriptor = os.open("f", os.O_RDONLY, dir_fd=mount.root)
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        events: list[Any] = []
        waiter = threading.Thread(target=lambda: events.extend(poller.poll(PATIENCE * 1000)))
        waiter.start()
        until(lambda: scheduled)
        assert not events
        filesystem.ready = True
        mount.run(notify(mount).poll, scheduled[0])
        waiter.join(PATIENCE)
        assert events == [(descriptor, select.POLLIN)]
        os.close(descriptor)


def test_resend_brings_a_request_in_flight_again() -> None:
    uniques: list[int] = []
    gate = trio.Event()

    class Held(Lasting):
        async def listxattr(self, request: w.ListXAttr) -> Answer:
            uniques.append(request.unique)
            if len(uniques) == 1:
                await gate.wait()
                return b"old\0"
            return b"new\0"

    with mounted(Held()) as mount:
        names: list[list[str]] = []
        asker = threading.Thread(target=lambda: names.append(os.listxattr(f"/proc/self/fd/{mount.root}")))
        asker.start()
        until(lambda: uniques)
        mount.run(notify(mount).resend)
        asker.join(PATIENCE)
        assert names == [["new"]]
        assert uniques[1] == uniques[0] | 1 << 63
        mount.run_sync(gate.set)  # the first handler's answer comes too late, which does no harm
        assert exists(mount, ".")


def test_inc_epoch_makes_the_kernel_look_every_name_up_again() -> None:
    filesystem = Lasting()
    for name in (b"a", b"b"):
        filesystem.add(ROOT, name, FILE)
    with mounted(filesystem) as mount:
        for _ in range(2):
            assert exists(mount, "a") and exists(mount, "b")
        assert filesystem.looked_up == [b"a", b"b"]
        mount.run(notify(mount).inc_epoch)
        assert exists(mount, "a") and exists(mount, "b")
        assert filesystem.looked_up == [b"a", b"b"] * 2


def test_prune_brings_the_forget_of_an_unused_inode() -> None:
    filesystem = Lasting()
    used, unused = filesystem.add(ROOT, b"used", FILE), filesystem.add(ROOT, b"unused", FILE)
    with mounted(filesystem) as mount:
        descriptor = os.open("used", os.O_RDONLY, dir_fd=mount.root)
        assert exists(mount, "unused")
        mount.run(notify(mount).prune, [used.nodeid, unused.nodeid, 999])
        until(lambda: filesystem.forgotten)
        assert filesystem.forgotten == [unused.nodeid]
        os.close(descriptor)
