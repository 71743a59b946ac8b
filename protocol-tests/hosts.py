"""Hosts of a test: each with a network and a mount namespace of its own, two of them joined by a wire (pyroute2)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final

# In the new process rather than before exec: forking a process with threads is nothing to do more in than exec.
_ENTER: Final = """
import ctypes, os, sys
from rawfuse.mount import unshare_mount_namespace
libc = ctypes.CDLL(None, use_errno=True)
if libc.setns(os.open(sys.argv[1], os.O_RDONLY | os.O_CLOEXEC), 0x40000000):  # CLONE_NEWNET
    sys.exit(os.strerror(ctypes.get_errno()))
unshare_mount_namespace()
os.execvp(sys.argv[2], sys.argv[2:])
"""


class Host:
    """A network namespace; what is started here mounts where nobody else sees it."""

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.address = address

    def start(self, command: list[str], **keywords: Any) -> subprocess.Popen[str]:
        """Runs `command` in the host's network and in a mount namespace of its own."""
        entering = [sys.executable, "-c", _ENTER, f"/run/netns/{self.name}", *command]
        return subprocess.Popen(entering, text=True, stdout=subprocess.PIPE, **keywords)


@contextmanager
def two_hosts() -> Generator[tuple[Host, Host], None, None]:
    """Two hosts, 192.0.2.1 and 192.0.2.2, that reach each other and nobody else."""
    from pyroute2 import IPRoute, netns

    hosts = [Host(f"rawfuse-{os.getpid()}-{number}", f"192.0.2.{number}") for number in (1, 2)]
    made = []
    try:
        for host in hosts:
            netns.create(host.name)
            made.append(host.name)
        with IPRoute() as routes:
            ends = [f"rf{os.getpid() % 100000}{end}" for end in "ab"]
            routes.link("add", ifname=ends[0], kind="veth", peer=ends[1])
            for end, host in zip(ends, hosts, strict=True):
                (index,) = routes.link_lookup(ifname=end)
                routes.link("set", index=index, net_ns_fd=host.name)
        for end, host in zip(ends, hosts, strict=True):
            with IPRoute(netns=host.name) as routes:
                (index,) = routes.link_lookup(ifname=end)
                routes.addr("add", index=index, address=host.address, prefixlen=24)
                routes.link("set", index=index, state="up")
                routes.link("set", index=1, state="up")
        yield hosts[0], hosts[1]
    finally:
        for name in made:
            netns.remove(name)
