"""Runs a command as an ordinary user, in a mount namespace where that user finds what the tests need.

    python -m mfs.tests.ordinary --home DIR [--device MODE] -- COMMAND [ARGUMENT ...]

Started by root. The user has the number 65534, no groups, and DIR for a home. The interpreter, the checkout and DIR can
be reached though they lie in a directory that is root's alone (/root); /dev/fuse is a device node of its own with the
given mode (octal). With --no-namespaces the user may make none. Outside the namespace nothing changes.
"""

from __future__ import annotations

import argparse
import os
import stat
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from rawfuse.mount import _syscalls, unshare_mount_namespace

USER = 65534
FUSE = os.makedev(10, 229)
MS_BIND = 0x1000
CHECKOUT = Path(__file__).parents[2]


def reveal(paths: Iterable[Path]) -> None:
    """Make these directories reachable for everybody: directories above them that are not give way to empty ones."""
    hidden: dict[Path, set[Path]] = defaultdict(set)
    for path in paths:
        # From the top: what lies above the first closed directory is open.
        for above in reversed(path.parents):
            if not above.stat().st_mode & stat.S_IXOTH:
                hidden[above].add(path)
                break
    for above, beneath in hidden.items():
        kept = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in sorted(beneath)}
        _syscalls.mount(b"tmpfs", os.fsencode(above), b"tmpfs", 0, b"mode=0755")
        for path, fd in kept.items():
            if not path.exists():
                path.mkdir(parents=True)
                _syscalls.mount(
                    f"/proc/self/fd/{fd}".encode(), os.fsencode(path), None, MS_BIND | _syscalls.MS_REC, None
                )
            os.close(fd)


def own_device(mode: int) -> None:
    """Put a node of our own over /dev/fuse."""
    place = Path("/dev/shm")
    _syscalls.mount(b"tmpfs", os.fsencode(place), b"tmpfs", 0, b"mode=0755")
    node = place / "fuse"
    os.mknod(node, stat.S_IFCHR, FUSE)
    os.chmod(node, mode)
    _syscalls.mount(os.fsencode(node), b"/dev/fuse", None, MS_BIND, None)


def forbid_namespaces() -> None:
    """Go into a user namespace, with every number mapped to itself, in which no further one may be made."""
    entered, goes_on = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        # Maps are written from outside, by somebody who has every number.
        os.read(entered[0], 1)
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{os.getppid()}/{name}").write_text(f"0 0 {(1 << 32) - 1}")
        os.write(goes_on[1], b".")
        os._exit(0)
    _syscalls.unshare(_syscalls.CLONE_NEWUSER)
    os.write(entered[1], b".")
    os.read(goes_on[0], 1)
    os.waitpid(child, 0)
    Path("/proc/sys/user/max_user_namespaces").write_text("0")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m mfs.tests.ordinary")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--device", type=lambda text: int(text, 8), default=None)
    parser.add_argument("--no-namespaces", action="store_true")
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    unshare_mount_namespace()
    reveal([Path(sys.prefix), Path(sys.base_prefix), CHECKOUT, arguments.home])
    if arguments.device is not None:
        own_device(arguments.device)
    if arguments.no_namespaces:
        forbid_namespaces()
    os.setgroups([])
    os.setresgid(USER, USER, USER)
    os.setresuid(USER, USER, USER)
    os.chdir(arguments.home)
    os.environ["HOME"] = str(arguments.home)
    os.execvp(arguments.command[0], arguments.command)


if __name__ == "__main__":
    main()
