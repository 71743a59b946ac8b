"""Serving what a parent has mounted and passed on, as mount point /dev/fd/N."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import trio

import rawfuse
from rawfuse.channel import ChannelClosed, SeqpacketChannel
from rawfuse.examples.hello import TEXT, Hello
from rawfuse.mount import dead_mount, find_mount, mount
from rawfuse.session.kernel_session import KernelSession
from rawfuse.tests.waiting import PATIENCE

kernel = pytest.mark.kernel("root")


@kernel
def test_the_command_serves_it_and_leaves_it_mounted(tmp_path: Path) -> None:
    with mount(tmp_path) as here:
        line = [sys.executable, "-m", "rawfuse.cli", "mount", "rawfuse.examples.hello:Hello", f"/dev/fd/{here.fd}"]
        environment = {**os.environ, "PYTHONPATH": str(Path(rawfuse.__file__).parents[1])}
        with subprocess.Popen(line, stderr=subprocess.PIPE, text=True, env=environment, pass_fds=(here.fd,)) as process:
            os.close(here.fd)
            assert process.stderr is not None
            assert process.stderr.readline() == f"rawfuse mount: /dev/fd/{here.fd} is mounted\n"
            assert (tmp_path / "hello").read_bytes() == TEXT
            process.terminate()
            assert process.wait(PATIENCE) == 0
        assert dead_mount(tmp_path)
    assert find_mount(tmp_path) is None


@kernel
async def test_a_block_serves_it_and_leaves_it_mounted(tmp_path: Path) -> None:
    with mount(tmp_path) as here:
        async with rawfuse.serving(Hello(), f"/dev/fd/{here.fd}"):
            assert await (trio.Path(tmp_path) / "hello").read_bytes() == TEXT
        assert await trio.to_thread.run_sync(dead_mount, tmp_path)


@kernel
def test_it_stands_until_its_connection_is_over(tmp_path: Path) -> None:
    with mount(tmp_path) as here:
        passed = mount(f"/dev/fd/{here.fd}")
        assert (passed.method, passed.connection, passed.fd) == ("passed", here.connection, here.fd)
        passed.unmount()
        assert passed.is_standing() and here.is_standing()
        here.unmount()
        assert not passed.is_standing()
        os.close(here.fd)


async def test_a_block_serves_a_socket_to_a_kernel_of_ones_own() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    kernel_side, session = SeqpacketChannel(ours), KernelSession()
    kernel_side.send_bytes(session.init())
    async with rawfuse.serving(Hello(), f"/dev/fd/{theirs.detach()}") as server:
        buffer = bytearray(8192)
        await kernel_side.wait()
        session.receive(bytes(buffer[: kernel_side.receive_nowait(buffer) or 0]))
        assert session.agreed is not None and session.agreed.minor == server.negotiated.minor
    with pytest.raises(ChannelClosed):
        kernel_side.receive_nowait(buffer)
    kernel_side.close()


def test_a_descriptor_that_nobody_passed_is_said() -> None:
    with pytest.raises(rawfuse.MountError, match="nobody passed"):
        mount("/dev/fd/987654")
