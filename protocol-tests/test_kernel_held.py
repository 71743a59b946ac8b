"""Notifications that the real kernel holds back until requests are answered: nobody and nothing hangs."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from rawfuse import wire as w
from rawfuse.channel.outlet import HELD
from rawfuse.filesystem import Answer, Reply
from rawfuse.mount import clean_dead_mount
from rawfuse.tests.memoryfs import ROOT, MemoryFs, Node
from rawfuse.tests.mounted import Mounted, mounted
from rawfuse.tests.waiting import PATIENCE, until

pytestmark = pytest.mark.kernel("root")
FILE = stat.S_IFREG | 0o644


def notify(mount: Mounted) -> Any:
    return mount.server.notify


def exists(mount: Mounted, name: str) -> bool:
    try:
        os.stat(name, dir_fd=mount.root)
    except FileNotFoundError:
        return False
    return True


class Holding(MemoryFs):
    """MKDIR, and READ of pages, wait for the gate; names stay valid."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = trio.Event()
        self.entered = threading.Event()

    def entry(self, node: Node) -> w.fuse_entry_out:
        entry = super().entry(node)
        entry.entry_valid = entry.attr_valid = 1000
        return entry

    async def held(self, answer: Answer) -> Answer:
        self.entered.set()
        await self.gate.wait()
        return answer

    def mkdir(self, request: w.MkDir) -> Reply:
        return self.held(super().mkdir(request))  # type: ignore[arg-type]

    def read(self, request: w.Read) -> Reply:
        return self.held(super().read(request))  # type: ignore[arg-type]


def check_held(mount: Mounted, filesystem: Holding, call: Callable[[], object], *tell: Any) -> None:
    """`tell` waits as long as `call` is held, everything else goes on, and then both end."""
    told = threading.Event()
    caller = threading.Thread(target=call)
    caller.start()
    assert filesystem.entered.wait(PATIENCE)

    def run_and_tell() -> None:
        mount.run(*tell)
        told.set()

    teller = threading.Thread(target=run_and_tell)
    teller.start()
    assert not told.wait(0.2), "the kernel holds the notification's write"
    for _ in range(20):
        assert exists(mount, "other") and os.fstatvfs(mount.root).f_blocks == 1000
    mount.run(notify(mount).poll, 1)  # about no inode: it overtakes
    assert not told.is_set()
    mount.run_sync(filesystem.gate.set)
    assert told.wait(PATIENCE)
    for thread in (caller, teller):
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_nothing_hangs_when_a_name_is_invalidated_while_a_mkdir_is_held() -> None:
    filesystem = Holding()
    filesystem.add(ROOT, b"other", FILE)
    with mounted(filesystem) as mount:
        assert exists(mount, "other")
        check_held(
            mount,
            filesystem,
            lambda: os.mkdir("new", dir_fd=mount.root),
            notify(mount).inval_entry,
            ROOT,
            b"other",
        )
        assert exists(mount, "new")


def test_nothing_hangs_when_an_inode_is_invalidated_while_a_read_is_held() -> None:
    filesystem = Holding()
    filesystem.add(ROOT, b"other", FILE)
    node = filesystem.add(ROOT, b"f", FILE, b"data")
    read: list[bytes] = []
    with mounted(filesystem) as mount:
        descriptor = os.open("f", os.O_RDONLY, dir_fd=mount.root)
        check_held(
            mount,
            filesystem,
            lambda: read.append(os.pread(descriptor, 10, 0)),
            notify(mount).inval_inode,
            node.nodeid,
        )
        assert read == [b"data"]
        os.close(descriptor)


def test_serving_ends_although_a_notification_is_held() -> None:
    filesystem = Holding()
    filesystem.add(ROOT, b"other", FILE)
    failed: list[int | None] = []

    def make(root: int) -> None:
        try:
            os.mkdir("new", dir_fd=root)
        except OSError as error:
            failed.append(error.errno)

    with mounted(filesystem) as mount:
        assert exists(mount, "other")
        maker = threading.Thread(target=make, args=(mount.root,), daemon=True)
        maker.start()
        assert filesystem.entered.wait(PATIENCE)
        mount.run_sync(notify(mount).soon, notify(mount).inval_entry, ROOT, b"other")
        threading.Event().wait(0.1)
        mount.run_sync(mount.server.channel.close)
        maker.join(PATIENCE)
        stuck = maker.is_alive()
        if stuck:
            mount.mount.abort()
    assert not stuck
    assert failed == [errno.ECONNABORTED]


class Held:
    """A MKDIR in the root is held by the server, and so is the invalidation of a name there by the kernel."""

    def __init__(self, mount: Mounted, filesystem: Holding) -> None:
        self.mount = mount
        self.filesystem = filesystem
        self.caller = threading.Thread(target=os.mkdir, args=("new",), kwargs={"dir_fd": mount.root})
        assert exists(mount, "other")
        self.caller.start()
        assert filesystem.entered.wait(PATIENCE)

    def within(self, call: Callable[[], Any]) -> None:
        """Runs an async function in the server's program while it is held, then lets everything go."""
        try:
            self.mount.run(call)
        finally:
            self.mount.run_sync(self.filesystem.gate.set)
            self.caller.join(PATIENCE)
        assert not self.caller.is_alive()


def holding() -> Holding:
    filesystem = Holding()
    filesystem.add(ROOT, b"other", FILE)
    return filesystem


def test_those_about_other_inodes_overtake_one_that_is_held() -> None:
    filesystem = holding()
    node = filesystem.add(ROOT, b"second", FILE)
    with mounted(filesystem) as mount:
        assert exists(mount, "second")

        async def tell() -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(notify(mount).inval_entry, ROOT, b"other")
                await trio.sleep(2 * HELD)
                with trio.fail_after(PATIENCE):
                    assert await notify(mount).inval_inode(node.nodeid)
                nursery.cancel_scope.cancel()

        Held(mount, filesystem).within(tell)


def test_those_about_the_same_inode_keep_their_order() -> None:
    filesystem = holding()
    done: list[int] = []
    with mounted(filesystem) as mount:

        async def one(number: int) -> None:
            await notify(mount).inval_entry(ROOT, b"other")
            done.append(number)

        async def tell() -> None:
            for number in range(4):
                mount.server.notify.soon(one, number)
                await trio.sleep(HELD)
            assert not done

        Held(mount, filesystem).within(tell)

        async def last() -> None:
            await one(4)

        mount.run(last)
    assert done == [0, 1, 2, 3, 4]


def test_cancelling_who_awaits_a_held_one_returns_at_once() -> None:
    filesystem = holding()
    with mounted(filesystem) as mount:

        async def tell() -> None:
            for _ in range(2):  # held, and waiting behind that
                with trio.move_on_after(2 * HELD) as scope:
                    await notify(mount).inval_entry(ROOT, b"other")
                assert scope.cancelled_caught

        Held(mount, filesystem).within(tell)
        assert mount.run(notify(mount).inval_inode, ROOT, -1), "and the thread goes on"


SERVE = """
import sys, trio, rawfuse, test_kernel_held as held
from rawfuse.tests.memoryfs import ROOT
filesystem = held.holding()
async def main():
    async with rawfuse.serving(filesystem, sys.argv[1], method="new") as server:
        while not filesystem.entered.is_set():
            await trio.sleep(0.01)
        server.notify.soon(server.notify.inval_entry, ROOT, b"other")
        await server.ended.wait()
trio.run(main)
"""


WRITES = ["/dev/fuse", "anon_inode:[eventfd]"]
"""All that the thread has open in which a notification is held."""


def test_a_server_killed_while_one_is_held_lets_nobody_hang(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    failed: list[int | None] = []

    def make() -> None:
        os.stat(tmp_path / "other")
        try:
            os.mkdir(tmp_path / "new")
        except OSError as error:
            failed.append(error.errno)

    command = [sys.executable, "-c", SERVE, str(tmp_path)]
    server = subprocess.Popen(command, env=environment)
    try:
        until(lambda: os.path.ismount(tmp_path) or server.poll() is not None)
        caller = threading.Thread(target=make, daemon=True)
        caller.start()
        until(lambda: writing_threads(server.pid) == [WRITES])
        server.kill()
        caller.join(PATIENCE)
        server.wait(PATIENCE)
    finally:
        server.kill()
        clean_dead_mount(tmp_path)
    assert failed == [errno.ECONNABORTED]


def writing_threads(pid: int) -> list[list[str]]:
    """What the threads that write notifications have open."""
    whole = opened(Path(f"/proc/{pid}"))
    return [found for thread in Path(f"/proc/{pid}/task").iterdir() if (found := opened(thread)) not in ([], whole)]


def opened(process: Path) -> list[str]:
    """What the descriptors of a process or thread lead to; nothing where it ends meanwhile."""
    try:
        return sorted(os.readlink(fd) for fd in (process / "fd").iterdir())
    except FileNotFoundError:
        return []
