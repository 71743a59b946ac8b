"""Mounts that hang nowhere, and mounts of ordinary users (Linux 4.18)."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rawfuse.mount import find_mount, mount_detached, mount_entries
from rawfuse.mount.device import DEFAULT_DEVICE

from ..stage.kernels import kind_alone
from ..stage.script import BUFFER
from ..trial import needs_root, raises, same, trial

NOBODY = 65534


@trial(on=kind_alone)
def a_detached_mount_leaves_no_trace(_: str) -> None:
    with mount_detached() as here:
        # Of this mount: others come and go meanwhile.
        seen = [one.mountpoint for one in mount_entries() if one.is_fuse and one.connection == here.connection]
        same(seen, [], "where it is in /proc/self/mountinfo")
        same(len(os.read(here.fd, BUFFER)), 104, "bytes of INIT")
    with raises(OSError, errno.ENODEV):
        os.read(here.fd, BUFFER)
    os.close(here.fd)


IN_A_NAMESPACE = """
import ctypes, os, sys
from rawfuse.mount import mount, unshare_user_mount_namespace
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
    ctypes.CDLL(None).prctl(4, 1)  # PR_SET_DUMPABLE: changing ids took /proc/self away, as exec would not have
uid = os.getuid()
unshare_user_mount_namespace()
here = mount(sys.argv[1], device=sys.argv[2])
print(os.getuid() == uid, here.is_standing(), len(os.read(here.fd, 1 << 17)))
"""
WITH_THREADS = """
import threading, time
from rawfuse.mount import NamespaceError, unshare_user_mount_namespace
threading.Thread(target=time.sleep, args=(30,), daemon=True).start()
try: unshare_user_mount_namespace()
except NamespaceError as error: print(error.errno)
else: print(0)
"""


def ran(script: str, *arguments: str) -> str:
    """What a program of its own printed."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=30)
    return done.stdout + done.stderr


@trial(on=kind_alone)
def an_ordinary_user_mounts_in_a_namespace_of_their_own(_: str) -> None:
    # A node of mode 0666, as the device is on most systems, where other users may reach it.
    needs_root("become an ordinary user")
    status = os.stat(os.environ.get("RAWFUSE_DEVICE", DEFAULT_DEVICE))
    with tempfile.TemporaryDirectory(dir="/run") as directory:
        os.chmod(directory, 0o755)
        device, point = Path(directory, "fuse"), Path(directory, "mnt")
        os.mknod(device, 0o20666, status.st_rdev)
        device.chmod(0o666)
        point.mkdir()
        same(ran(IN_A_NAMESPACE, str(point), str(device)), "True True 104\n")
        same(find_mount(point), None, "seen by that process alone")


@trial(on=kind_alone)
def a_namespace_is_refused_once_there_are_threads(_: str) -> None:
    same(ran(WITH_THREADS), f"{errno.EINVAL}\n")
