"""Namespaces of one's own: of mounts, and of users where an ordinary user may mount FUSE (since Linux 4.18)."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import NoReturn

from rawfuse.mount import _syscalls
from rawfuse.mount.errors import NamespaceError

__all__ = ["unshare_mount_namespace", "unshare_user_mount_namespace"]

_SWITCHES = (
    ("/proc/sys/user/max_user_namespaces", "0", "raise it, e.g. sysctl user.max_user_namespaces=10000"),
    ("/proc/sys/kernel/unprivileged_userns_clone", "0", "set it to 1 with sysctl"),
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "set it to 0 with sysctl or give this program an AppArmor profile with the userns rule",
    ),
)


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None


def _why_forbidden() -> str:
    """Names the switch of this system that forbids it, as far as one can be seen."""
    for path, forbidding, remedy in _SWITCHES:
        if _read(path) == forbidding:
            return f"{path} is {forbidding}: {remedy}"
    return "a container or security policy forbids it: run as root, or where fusermount3 is installed"


def _threads() -> int:
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return 1


def _write_map(path: str, text: str) -> None:
    # The kernel takes a map in one write only.
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def unshare_user_mount_namespace(*, as_root: bool = False) -> None:
    """Moves this process into a new user and a new mount namespace, where it may mount FUSE.

    The caller keeps its uid and gid (or is shown as root with `as_root`); no other ids are mapped. What is mounted
    afterwards is seen by this process and the children it starts, and by nobody else. It must run before the process
    has a second thread, and before the FUSE device is opened: the kernel wants both in one user namespace.

    Raises:
        NamespaceError: with what forbids it. Nothing has changed then, except when writing the id maps failed.
    """
    if _threads() > 1:
        raise NamespaceError(
            errno.EINVAL, "a process with a second thread cannot enter a user namespace: do it before starting threads"
        )
    uid, gid = os.geteuid(), os.getegid()
    try:
        _syscalls.unshare(_syscalls.CLONE_NEWUSER | _syscalls.CLONE_NEWNS)
    except OSError as error:
        _refused(error, "no user namespace")
    try:
        # Without "deny" an unprivileged process may not write its gid_map (CVE-2014-8989).
        _write_map("/proc/self/setgroups", "deny")
        _write_map("/proc/self/uid_map", f"{0 if as_root else uid} {uid} 1")
        _write_map("/proc/self/gid_map", f"{0 if as_root else gid} {gid} 1")
        # Slaves: what others unmount outside goes here too, and is not kept busy.
        _syscalls.mount(b"none", b"/", None, _syscalls.MS_REC | _syscalls.MS_SLAVE, None)
    except OSError as error:
        _refused(error, "the new user namespace cannot be set up")


def unshare_mount_namespace() -> None:
    """Moves this process into a new mount namespace, as root may (CAP_SYS_ADMIN).

    What is mounted afterwards is seen by this process and the children it starts, and by nobody else; what others
    mount and unmount outside goes on being seen here, so that nothing is kept busy.

    Raises:
        NamespaceError: EPERM where this process has not the right.
    """
    try:
        _syscalls.unshare(_syscalls.CLONE_NEWNS)
        _syscalls.mount(b"none", b"/", None, _syscalls.MS_REC | _syscalls.MS_SLAVE, None)
    except OSError as error:
        number = error.errno or errno.EPERM
        raise NamespaceError(number, f"no mount namespace ({os.strerror(number)})") from error


def _refused(error: OSError, what: str) -> NoReturn:
    number = error.errno or errno.EPERM
    raise NamespaceError(number, f"{what} ({os.strerror(number)}): {_why_forbidden()}") from error
