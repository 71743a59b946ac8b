"""The server under the real kernel."""

from __future__ import annotations

import errno
import logging
import os
import signal
import stat
import subprocess
import sys
import threading

import pytest
import trio

from rawfuse import Filesystem
from rawfuse import wire as w
from rawfuse.filesystem import Answer, Reply
from rawfuse.tests.forgetting import forget_unused
from rawfuse.tests.memoryfs import ROOT, MemoryFs
from rawfuse.tests.mounted import mounted
from rawfuse.tests.waiting import PATIENCE, until
from rawfuse.wire.flags import InitFlags

pytestmark = pytest.mark.kernel("root")


def read(path: str, root: int) -> bytes:
    with open(os.open(path, os.O_RDONLY, dir_fd=root), "rb") as file:
        return file.read()


def write(path: str, data: bytes, root: int) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644, dir_fd=root), "wb", buffering=0) as file:
        file.write(data)


def test_what_was_written_is_read() -> None:
    data = os.urandom(3_000_001)
    with mounted(MemoryFs()) as mount:
        write("file", data, mount.root)
        assert read("file", mount.root) == data
        assert os.stat("file", dir_fd=mount.root).st_size == len(data)


def test_names_are_made_listed_moved_and_removed() -> None:
    with mounted(MemoryFs()) as mount:
        root = mount.root
        os.mkdir("d", dir_fd=root)
        write("d/f", b"x", root)
        os.symlink("f", "d/l", dir_fd=root)
        os.link("d/f", "d/h", src_dir_fd=root, dst_dir_fd=root)
        os.rename("d/f", "g", src_dir_fd=root, dst_dir_fd=root)
        directory = os.open("d", os.O_RDONLY, dir_fd=root)
        assert sorted(os.listdir(directory)) == ["h", "l"]
        os.close(directory)
        assert os.readlink("d/l", dir_fd=root) == "f"
        with pytest.raises(OSError) as error:
            os.rmdir("d", dir_fd=root)
        assert error.value.errno == errno.ENOTEMPTY


def test_a_long_listing_has_every_name_once() -> None:
    filesystem = MemoryFs()
    names = {f"name-{number:05}" for number in range(3000)}
    for name in names:
        filesystem.add(ROOT, name.encode(), stat.S_IFREG | 0o644)
    with mounted(filesystem) as mount:
        directory = os.open(".", os.O_RDONLY, dir_fd=mount.root)
        listed = os.listdir(directory)
        os.close(directory)
        assert len(listed) == 3000 and set(listed) == names


def test_the_defaults_are_agreed_on_with_this_kernel() -> None:
    with mounted(MemoryFs()) as mount:
        os.stat(".", dir_fd=mount.root)
        agreed = mount.server.negotiated
    assert agreed.flags & InitFlags.FUSE_MAX_PAGES and agreed.flags & InitFlags.FUSE_PARALLEL_DIROPS
    assert not agreed.flags & InitFlags.FUSE_DO_READDIRPLUS, "MemoryFs has no readdirplus"
    assert (agreed.max_write, agreed.max_pages) == (1 << 20, 256)


def test_writes_come_in_pieces_of_max_write() -> None:
    sizes: list[int] = []

    class Counting(MemoryFs):
        def write(self, request: w.Write) -> Reply:
            sizes.append(len(request.data))
            return super().write(request)

    with mounted(Counting()) as mount:
        # Not zeros: the kernel takes memory that was never touched in pieces of a page.
        write("file", os.urandom(4 << 20), mount.root)
    assert sizes == [1 << 20] * 4


def test_references_balance_when_the_kernel_forgets() -> None:
    filesystem = MemoryFs()
    for number in range(20):
        filesystem.add(ROOT, b"%d" % number, stat.S_IFREG | 0o644)
    with mounted(filesystem) as mount:
        for number in range(20):
            os.stat(str(number), dir_fd=mount.root)
        assert [node.nlookup for node in filesystem.nodes.values()] == [0] + [1] * 20
        forget_unused(mount.root)
        until(lambda: not any(node.nlookup for node in filesystem.nodes.values()))


def test_a_signal_interrupts_a_waiting_handler() -> None:
    entered, cancelled = threading.Event(), threading.Event()

    class Stuck(MemoryFs):
        async def getxattr(self, request: w.GetXAttr) -> Answer:
            entered.set()
            try:
                await trio.sleep_forever()
            finally:
                cancelled.set()

    with mounted(Stuck()) as mount:
        script = "import os, sys; os.fchdir(int(sys.argv[1])); os.getxattr('.', 'user.x')"
        child = subprocess.Popen([sys.executable, "-c", script, str(mount.root)], pass_fds=(mount.root,))
        assert entered.wait(PATIENCE)
        child.send_signal(signal.SIGTERM)
        assert child.wait(PATIENCE) == -signal.SIGTERM
        assert cancelled.wait(PATIENCE)


def test_other_requests_go_on_while_a_handler_waits() -> None:
    gate, entered = trio.Event(), threading.Event()

    class Slow(MemoryFs):
        async def listxattr(self, request: w.ListXAttr) -> Answer:
            entered.set()
            await gate.wait()
            return b"user.x\0"

    with mounted(Slow()) as mount:
        path = f"/proc/self/fd/{mount.root}"
        names: list[list[str]] = []
        asker = threading.Thread(target=lambda: names.append(os.listxattr(path)))
        asker.start()
        assert entered.wait(PATIENCE)
        write("file", b"x", mount.root)
        assert not names
        mount.run_sync(gate.set)
        asker.join(PATIENCE)
        assert names == [["user.x"]]


def test_an_exception_is_eio_and_the_mount_lives(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(MemoryFs):
        def mkdir(self, request: w.MkDir) -> Reply:
            raise ZeroDivisionError

    with caplog.at_level(logging.ERROR), mounted(Broken()) as mount:
        with pytest.raises(OSError) as error:
            os.mkdir("d", dir_fd=mount.root)
        assert error.value.errno == errno.EIO
        write("file", b"x", mount.root)
    assert "ZeroDivisionError" in caplog.text


def test_an_absent_operation_is_eopnotsupp_every_time() -> None:
    class WithoutXattrs(MemoryFs):
        getxattr = Filesystem.getxattr

    with mounted(WithoutXattrs()) as mount:
        for _ in range(2):
            with pytest.raises(OSError) as error:
                os.getxattr(f"/proc/self/fd/{mount.root}", "user.x")
            assert error.value.errno == errno.EOPNOTSUPP


def test_inval_inode_makes_the_kernel_read_again() -> None:
    filesystem = MemoryFs()
    node = filesystem.add(ROOT, b"f", stat.S_IFREG | 0o644, b"old!")
    with mounted(filesystem) as mount:
        descriptor = os.open("f", os.O_RDONLY, dir_fd=mount.root)
        assert os.pread(descriptor, 10, 0) == b"old!"
        node.data[:] = b"new!"
        assert os.pread(descriptor, 10, 0) == b"old!", "from the page cache"
        assert mount.run(mount.server.notify.inval_inode, node.nodeid)
        assert os.pread(descriptor, 10, 0) == b"new!"
        assert not mount.run(mount.server.notify.inval_inode, 999)
        os.close(descriptor)


def test_store_and_retrieve_reach_the_page_cache() -> None:
    filesystem = MemoryFs()
    node = filesystem.add(ROOT, b"f", stat.S_IFREG | 0o644, bytes(4096))
    with mounted(filesystem) as mount:
        descriptor = os.open("f", os.O_RDONLY, dir_fd=mount.root)
        mount.run(mount.server.notify.store, node.nodeid, 0, b"stored".ljust(4096, b"."))
        assert os.pread(descriptor, 6, 0) == b"stored"
        assert mount.run(mount.server.notify.retrieve, node.nodeid, 0, 6) == b"stored"
        os.close(descriptor)


def test_a_handler_may_queue_a_notification_about_its_own_inode() -> None:
    class Telling(MemoryFs):
        def read(self, request: w.Read) -> Reply:
            self.server.notify.soon(self.server.notify.inval_inode, request.nodeid)
            return super().read(request)

    filesystem = Telling()
    filesystem.add(ROOT, b"f", stat.S_IFREG | 0o644, b"data")
    with mounted(filesystem) as mount:
        assert read("f", mount.root) == b"data"


def test_serving_ends_with_the_mount() -> None:
    filesystem = MemoryFs()
    with mounted(filesystem) as mount:
        os.stat(".", dir_fd=mount.root)
    assert filesystem.destroyed == 1
