"""Where the control socket is, however long the repository's path."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Callable

__all__ = ["SOCKET", "connect", "listen", "remove"]

SOCKET = "control"
"""Name of the socket in the repository."""

_SUN_PATH = 107
"""Bytes of a socket's path that the kernel takes."""
_BACKLOG = 64


def listen(repo: str) -> socket.socket:
    """A listening socket in `repo`, for its owner alone.

    To be called by the process that holds the repository's lock: a socket that is there already was left behind by one
    that was killed.  OSError: the file system has no sockets, or it is read-only.
    """
    remove(repo)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    before = os.umask(0o177)
    try:
        _at(repo, made.bind)
        made.listen(_BACKLOG)
    except BaseException:
        made.close()
        raise
    finally:
        os.umask(before)
    return made


def connect(repo: str) -> socket.socket:
    """A socket connected to the holder of `repo`.

    Raises:
        FileNotFoundError, ConnectionRefusedError: nobody listens.
        OSError: it may not be asked (PermissionError), or has too many waiting (BlockingIOError).
    """
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        _at(repo, made.connect)
    except BaseException:
        made.close()
        raise
    return made


def remove(repo: str) -> None:
    """Take the socket away, if there is one; anything else of that name stays, and `listen` will say so."""
    path = os.path.join(repo, SOCKET)
    try:
        if stat.S_ISSOCK(os.lstat(path).st_mode):
            os.unlink(path)
    except FileNotFoundError:
        pass


def _at(repo: str, do: Callable[[bytes], object]) -> None:
    """Bind or connect at the socket's path; one that is too long is named through a descriptor of its directory."""
    path = os.fsencode(os.path.join(repo, SOCKET))
    if len(path) <= _SUN_PATH:
        do(path)
        return
    directory = os.open(repo, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        do(f"/proc/self/fd/{directory}/{SOCKET}".encode())
    except OSError as error:
        if error.errno == errno.ENOENT and not os.path.isdir("/proc/self/fd"):
            raise OSError(errno.ENAMETOOLONG, "too long for a socket, and /proc is not mounted", path) from error
        raise
    finally:
        os.close(directory)
