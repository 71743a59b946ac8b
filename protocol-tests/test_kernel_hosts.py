"""Mounts on hosts of their own: namespaces of networks and of mounts."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hosts import two_hosts

from rawfuse.mount import find_mount

pytestmark = pytest.mark.kernel("root")

SERVE = """
import os, socket, sys, threading, trio
from rawfuse import DeviceChannel, Server
from rawfuse.mount import mount
from rawfuse.tests.memoryfs import MemoryFs
here = mount(sys.argv[1])
threading.Thread(target=lambda: trio.run(Server(MemoryFs(), DeviceChannel(here.fd)).serve), daemon=True).start()
with socket.create_server((sys.argv[2], 4711)) as listening:
    print("ready", flush=True)
    peer, address = listening.accept()
    with peer:
        with open(sys.argv[1] + "/f", "wb") as file:
            file.write(peer.recv(100))
        with open(sys.argv[1] + "/f", "rb") as file:
            peer.send(file.read() + b" in the mount")
here.unmount()
"""
ASK = """
import os, socket, sys
with socket.create_connection((sys.argv[2], 4711), 10) as peer:
    peer.send(b"bytes from the other host")
    print(peer.recv(100).decode(), os.path.ismount(sys.argv[1]))
"""


def test_a_mount_on_one_host_is_seen_by_the_other_over_the_wire_alone(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with two_hosts() as (one, two):
        arguments = [str(tmp_path), one.address]
        with one.start([sys.executable, "-c", SERVE, *arguments], env=environment) as server:
            assert server.stdout is not None and server.stdout.readline() == "ready\n"
            assert find_mount(tmp_path) is None, "not here"
            with two.start([sys.executable, "-c", ASK, *arguments], env=environment) as client:
                said, _ = client.communicate(timeout=20)
            assert said == "bytes from the other host in the mount False\n"
            assert server.wait(20) == 0
