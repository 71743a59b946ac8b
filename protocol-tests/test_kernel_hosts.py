"""Mounts on hosts of their own: namespaces of networks and of mounts.

Run as a program this makes the hosts, which pyroute2 does with forks: a process with threads may not survive those.
"""

from __future__ import annotations

import os
import subprocess
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
    command = [sys.executable, __file__, str(tmp_path)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=100)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "bytes from the other host in the mount False\n"


def main(directory: Path) -> int:
    """Mounts on one host and asks from the other; the exit status of the one with the mount."""
    with two_hosts() as (one, two):
        arguments = [str(directory), one.address]
        with one.start([sys.executable, "-c", SERVE, *arguments]) as server:
            assert server.stdout is not None and server.stdout.readline() == "ready\n"
            assert find_mount(directory) is None, "not here"
            with two.start([sys.executable, "-c", ASK, *arguments]) as client:
                said, _ = client.communicate(timeout=20)
            sys.stdout.write(said)
            return server.wait(20)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
