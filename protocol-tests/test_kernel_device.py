"""The device itself: before a mount, idle, aborted, unmounted; cloned, passed on, with backing files."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from rawfuse import DeviceChannel, Server
from rawfuse import wire as w
from rawfuse.channel import ChannelClosed, channel_of_fd, passed_fd, receive_channel, send_fd, seqpacket_pair
from rawfuse.mount import (
    DeviceError,
    find_mount,
    mount,
    mount_detached,
    open_device,
    set_sync_init,
)
from rawfuse.tests.memoryfs import MemoryFs
from rawfuse.tests.waiting import PATIENCE, until
from rawfuse.wire import constants as c
from rawfuse.wire.flags import InitFlags
from tools.conform.linux.stage.calls import BY_OPCODE, outcome
from tools.conform.linux.stage.kernels import connected
from tools.conform.linux.stage.made_up import FLAGS, init_answer, ok
from tools.conform.linux.stage.real import Real
from tools.conform.linux.stage.script import BUFFER, using

pytestmark = pytest.mark.kernel("root")


@pytest.fixture
def device() -> Generator[int, None, None]:
    fd = open_device()
    yield fd
    with suppress(OSError):
        os.close(fd)


@pytest.fixture
def kernel() -> Generator[Real, None, None]:
    with connected("real") as one:
        assert isinstance(one, Real)
        yield one


def number_of(call: object, *arguments: object) -> int | None:
    try:
        call(*arguments)  # type: ignore[operator]
    except OSError as failed:
        return failed.errno
    return 0


@pytest.mark.parametrize("how", ["abort", "unmount"])
def test_a_channel_ends_with_its_connection(kernel: Real, how: str) -> None:
    kernel.abort() if how == "abort" else kernel.unmount()
    channel = DeviceChannel(os.dup(kernel.fd))
    with pytest.raises(ChannelClosed):
        channel.receive_nowait(bytearray(BUFFER))
    channel.close()


def test_a_request_given_up_before_it_is_read_never_comes(kernel: Real) -> None:
    script = "import os, sys; os.stat('never', dir_fd=int(sys.argv[1]))"
    child = subprocess.Popen([sys.executable, "-c", script, str(kernel.root)], pass_fds=(kernel.root,))
    assert select.select([kernel.fd], [], [], PATIENCE)[0]
    child.send_signal(signal.SIGKILL)
    assert child.wait(PATIENCE) == -signal.SIGKILL
    assert number_of(os.read, kernel.fd, BUFFER) == errno.EAGAIN
    channel = DeviceChannel(os.dup(kernel.fd))
    assert channel.receive_nowait(bytearray(BUFFER)) is None
    channel.close()


def test_a_reply_goes_to_the_descriptor_its_request_came_from(kernel: Real) -> None:
    channel = DeviceChannel(os.dup(kernel.fd))
    clone = channel.clone()
    try:
        finish = kernel.call(BY_OPCODE[c.FUSE_LOOKUP])
        assert clone.poll(int(PATIENCE * 1000))
        buffer = bytearray(BUFFER)
        length = clone.receive_nowait(buffer)
        assert length is not None
        request = w.decode_request(buffer, length, 45, True)
        reply = ok(request, w.fuse_entry_out(nodeid=2, attr=w.fuse_attr(ino=2, mode=0o100644)).pack())
        assert kernel.write(reply) == errno.ENOENT
        clone.send([reply])
        assert outcome(finish) == 2
    finally:
        clone.close()
        channel.close()


def test_cloning_needs_a_mounted_device(device: int) -> None:
    channel = DeviceChannel(os.dup(device))
    with pytest.raises(OSError) as failed:
        channel.clone()
    assert failed.value.errno == errno.EPERM
    channel.close()
    with open("/dev/null", "rb") as other:
        assert number_of(fcntl.ioctl, device, 0x8004E500, other.fileno().to_bytes(4, "little")) == errno.EINVAL


def test_a_backing_file_is_read_and_written_by_the_kernel_alone(tmp_path: Path) -> None:
    (tmp_path / "back").write_bytes(b"from the backing file")
    with connected("real", init_answer(FLAGS | InitFlags.FUSE_PASSTHROUGH, max_stack_depth=1)) as kernel:
        assert isinstance(kernel, Real)
        channel = DeviceChannel(os.dup(kernel.fd))
        with (tmp_path / "back").open("rb+") as file:
            backing = channel.backing_open(file.fileno())
        opened: dict[int, bytes | int] = {
            c.FUSE_OPEN: w.fuse_open_out(fh=7, open_flags=c.FOPEN_PASSTHROUGH, backing_id=backing).pack()
        }
        with using(kernel, opened):
            assert outcome(kernel.call(BY_OPCODE[c.FUSE_READ])) == b"from the backing file"
            assert outcome(kernel.call(BY_OPCODE[c.FUSE_WRITE])) == 100
            assert c.FUSE_READ not in kernel.opcodes and c.FUSE_WRITE not in kernel.opcodes
            assert (tmp_path / "back").read_bytes() == bytes(100)
            channel.backing_close(backing)
            assert outcome(kernel.call(BY_OPCODE[c.FUSE_READ])) == "EIO", "that number is nobody's any more"
        with pytest.raises(OSError):
            channel.backing_close(backing)
        with open("/dev/null", "rb") as null, pytest.raises(OSError) as failed:
            channel.backing_open(null.fileno())
        assert failed.value.errno == errno.EINVAL
        channel.close()


def serving(fd: int, filesystem: MemoryFs) -> threading.Thread:
    thread = threading.Thread(target=lambda: trio.run(Server(filesystem, DeviceChannel(fd)).serve), daemon=True)
    thread.start()
    return thread


def test_a_mount_with_synchronous_init_waits_until_it_was_answered(device: int) -> None:
    set_sync_init(device)
    filesystem = MemoryFs()
    server = serving(device, filesystem)
    with mount_detached(fd=device) as detached:
        assert filesystem.server.session.negotiated is not None
        assert os.fstatvfs(detached.root_fd).f_blocks == 1000
    server.join(PATIENCE)
    assert not server.is_alive()


def test_dev_fd_names_a_descriptor(device: int) -> None:
    assert passed_fd(f"/dev/fd/{device}") == device
    for number in (987654, "9" * 9):
        with pytest.raises(DeviceError, match="nobody passed"):
            passed_fd(f"/dev/fd/{number}")
    assert [passed_fd(path) for path in ("/dev/fd/", "/dev/fd/x", "/mnt", "/dev/fd/7/x")] == [None] * 4


SERVE = """
import socket, sys, trio
from rawfuse import Server
from rawfuse.channel import channel_of_fd, passed_fd, receive_channel
from rawfuse.session.device import Asleep
from rawfuse.tests.memoryfs import MemoryFs
kind, argument = sys.argv[1:]
if kind == "path":
    channel = channel_of_fd(passed_fd(argument))
else:
    with socket.socket(fileno=int(argument)) as sock:
        channel = receive_channel(sock)
trio.run(Server(MemoryFs(), channel).serve)
"""


@pytest.mark.parametrize("kind", ["path", "SCM_RIGHTS"])
def test_a_server_is_handed_a_mounted_device_by_its_parent(kind: str) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with mount_detached() as detached:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with ours, theirs:
            passed = detached.fd if kind == "path" else theirs.fileno()
            argument = f"/dev/fd/{passed}" if kind == "path" else str(passed)
            child = subprocess.Popen([sys.executable, "-c", SERVE, kind, argument], pass_fds=(passed,), env=environment)
            if kind != "path":
                send_fd(ours, detached.fd)
        os.close(detached.fd)
        # In a thread: were the child not to serve, this would wait in the kernel.
        found: list[int] = []
        asker = threading.Thread(target=lambda: found.append(os.fstatvfs(detached.root_fd).f_blocks), daemon=True)
        asker.start()
        asker.join(PATIENCE)
        if not found:
            child.kill()
        assert found == [1000]
    assert child.wait(PATIENCE) == 0, "it ends with the mount"


def test_a_socket_is_a_channel_too_and_other_descriptors_are_not() -> None:
    ours, theirs = seqpacket_pair()
    channel = channel_of_fd(os.dup(theirs.fileno()))
    ours.send_bytes(b"hello")
    buffer = bytearray(8192)
    assert channel.receive_nowait(buffer) == 5
    for one in (ours, theirs, channel):
        one.close()
    read, write = os.pipe()
    with pytest.raises(DeviceError, match="neither"):
        channel_of_fd(read)
    os.close(read)
    with pytest.raises(DeviceError, match="nobody passed"):
        channel_of_fd(read)
    os.close(write)
    sender, receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with sender, receiver:
        sender.send(b"x")
        with pytest.raises(DeviceError, match="without a descriptor"):
            receive_channel(receiver)


AUTO = """
import sys, time
from rawfuse.mount import mount
here = mount(sys.argv[1], auto_unmount=True)
print("mounted", flush=True)
if sys.argv[2] == "unmount":
    here.unmount()
    print(here.is_standing(), flush=True)
else:
    time.sleep(60)
"""


@pytest.mark.kernel("root", programs=("fusermount3",))
@pytest.mark.parametrize("how", ["killed", "unmount"])
def test_the_helper_unmounts_when_its_lifeline_ends(tmp_path: Path, how: str) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = [sys.executable, "-c", AUTO, str(tmp_path), how]
    with subprocess.Popen(run, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None and child.stdout.readline() == "mounted\n"
        if how == "killed":
            assert find_mount(tmp_path) is not None
            child.kill()
        else:
            assert child.stdout.readline() == "False\n"
    until(lambda: find_mount(tmp_path) is None)


def test_a_mount_made_by_hand_is_unmounted_once(tmp_path: Path) -> None:
    with mount(tmp_path) as here:
        assert here.connection is not None and here.abort()
        assert number_of(os.read, here.fd, BUFFER) == errno.ENODEV
        os.close(here.fd)
    assert find_mount(tmp_path) is None
