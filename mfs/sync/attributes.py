"""Owner, mode, times and extended attributes of what is installed."""

from __future__ import annotations

import errno
import os
import stat

from mfs.sync.place import path_of

__all__ = ["MAY_CHOWN", "carry_xattrs", "differ", "give", "give_by_name"]

MAY_CHOWN = os.geteuid() == 0
"""Only root gives files away; others own what they install."""


def differ(status: os.stat_result, there: os.stat_result) -> bool:
    """Whether owner or mode of what is there are not those of the source. Links have no mode."""
    if MAY_CHOWN and (status.st_uid, status.st_gid) != (there.st_uid, there.st_gid):
        return True
    return not stat.S_ISLNK(status.st_mode) and stat.S_IMODE(status.st_mode) != stat.S_IMODE(there.st_mode)


def give(fd: int, status: os.stat_result, there: os.stat_result | None, *, times: bool) -> None:
    """Owner and mode where they differ (`there` None: they do), and times, to what is open."""
    if MAY_CHOWN and (there is None or (status.st_uid, status.st_gid) != (there.st_uid, there.st_gid)):
        os.fchown(fd, status.st_uid, status.st_gid)
        there = None  # which takes set-user-ID away
    if there is None or stat.S_IMODE(status.st_mode) != stat.S_IMODE(there.st_mode):
        os.fchmod(fd, stat.S_IMODE(status.st_mode))
    if times:
        os.utime(fd, ns=(status.st_atime_ns, status.st_mtime_ns))


def give_by_name(directory: int, name: str, status: os.stat_result, *, times: bool) -> None:
    """The same for anything that has a name, without opening it: links, devices, files that may not be read."""
    if MAY_CHOWN:
        os.chown(name, status.st_uid, status.st_gid, dir_fd=directory, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        try:
            if not stat.S_ISLNK(os.fstat(fd).st_mode):
                os.chmod(path_of(fd), stat.S_IMODE(status.st_mode))
        finally:
            os.close(fd)
    if times:
        os.utime(name, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=directory, follow_symlinks=False)


def carry_xattrs(source: int | str, target: int | str, *, dry_run: bool = False) -> bool:
    """Make the extended attributes of the target, ACLs among them, the source's; whether they were others.

    Both are descriptors or paths, whose last link is not followed. Who is not root carries user.* and ACLs only. The
    attributes that mfs makes itself (ipfs.*) are no part of it.

    Raises:
        OSError: ENOTSUP where the target's file system keeps none and the source has some.
    """
    ours, theirs = _xattrs(source), _xattrs(target)
    if ours == theirs:
        return False
    if not dry_run:
        for name in theirs.keys() - ours.keys():
            os.removexattr(target, name, follow_symlinks=isinstance(target, int))
        for name, value in ours.items():
            if theirs.get(name) != value:
                os.setxattr(target, name, value, follow_symlinks=isinstance(target, int))
    return True


def _xattrs(where: int | str) -> dict[str, bytes]:
    follow = isinstance(where, int)
    try:
        names = os.listxattr(where, follow_symlinks=follow)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return {}
        raise
    return {name: os.getxattr(where, name, follow_symlinks=follow) for name in names if _is_carried(name)}


def _is_carried(name: str) -> bool:
    if name.startswith("ipfs."):
        return False
    return MAY_CHOWN or name.startswith(("user.", "system.posix_acl_"))
