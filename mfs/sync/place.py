"""Names in a directory of the target: making, replacing, removing. All through the directory's descriptor, a name at a
time, so that no symbolic link leads anywhere else.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable

__all__ = ["DIRECTORY", "OPENED", "Unnamed", "installed", "is_left_over", "lstat", "open_beneath", "path_of", "remove"]

OPENED = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_PREFIX = ".mfs-sync-"
_NO_TMPFILE = {errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL, errno.ENOSYS, errno.EPERM}


def lstat(directory: int, name: str) -> os.stat_result | None:
    """What is there under a name, if anything."""
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


def path_of(directory: int, name: str | None = None) -> str:
    """A path for calls that take no descriptor; the name's last link is not followed by them."""
    return f"/proc/self/fd/{directory}" + (f"/{name}" if name is not None else "")


def open_beneath(top: int, path: str) -> int:
    """Open a directory by its path from another, a name at a time and no symbolic link among them.

    Raises:
        OSError: ENOTDIR or ELOOP for a link.
    """
    fd = os.dup(top)
    for name in filter(None, path.split("/")):
        try:
            inner = os.open(name, DIRECTORY, dir_fd=fd)
        finally:
            os.close(fd)
        fd = inner
    return fd


def _fresh() -> str:
    return f"{_PREFIX}{os.urandom(8).hex()}"


def is_left_over(name: str) -> bool:
    """Whether a name is one that only lasts while something is made."""
    return name.startswith(_PREFIX) and len(name) == len(_PREFIX) + 16


def installed(directory: int, name: str, make: Callable[[str], None], *, replace: bool) -> None:
    """Let `make` make something under the name it is given, and give it `name`: in one step where something is there.

    Raises:
        OSError: what `make` or rename(2) raise; what was made is removed then.
    """
    if not replace:
        make(name)
        return
    fresh = _fresh()
    make(fresh)
    try:
        os.rename(fresh, name, src_dir_fd=directory, dst_dir_fd=directory)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(fresh, dir_fd=directory)
        raise


class Unnamed:
    """A new file that has no name until it is whole: a crash leaves nothing of it (O_TMPFILE, else a name that begins
    with .mfs-sync-).
    """

    def __init__(self, directory: int) -> None:
        self._directory = directory
        self._name: str | None = None
        try:
            self.fd = os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600, dir_fd=directory)
        except OSError as error:
            if error.errno not in _NO_TMPFILE:
                raise
            self._name = _fresh()
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | OPENED
            self.fd = os.open(self._name, flags, 0o600, dir_fd=directory)

    def install(self, name: str, *, replace: bool) -> None:
        """Give it its name, in place of what has it where `replace`. Raises OSError, FileExistsError among them."""
        if self._name is None:
            installed(self._directory, name, self._link, replace=replace)
        elif replace:
            os.rename(self._name, name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
            self._name = None
        else:
            os.link(self._name, name, src_dir_fd=self._directory, dst_dir_fd=self._directory, follow_symlinks=False)

    def _link(self, name: str) -> None:
        os.link(path_of(self.fd), name, dst_dir_fd=self._directory, follow_symlinks=True)

    def close(self) -> None:
        """Gone, unless it was installed."""
        os.close(self.fd)
        if self._name is not None:
            os.unlink(self._name, dir_fd=self._directory)


def remove(directory: int, name: str, removed: Callable[[str, os.stat_result], None], path: str) -> None:
    """Remove whatever has a name, a directory with everything in it; tells of each entry, its path beginning at `path`.

    Raises:
        OSError: at the first that cannot be removed.
    """
    status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    if stat.S_ISDIR(status.st_mode):
        inner = os.open(name, DIRECTORY, dir_fd=directory)
        try:
            with os.scandir(inner) as entries:
                names = [entry.name for entry in entries]
            for below in names:
                remove(inner, below, removed, f"{path}/{below}")
        finally:
            os.close(inner)
        os.rmdir(name, dir_fd=directory)
    else:
        os.unlink(name, dir_fd=directory)
    removed(path, status)
