"""The set-uid helper fusermount3, which mounts for people without root and hands the device back over a socket.

The handshake: a stream socket pair, one end inherited and named in _FUSE_COMMFD; the helper sends one byte with the
device's descriptor attached (SCM_RIGHTS) and exits 0, or prints why not on its standard error (libfuse 3, measured).
With --sync-init (libfuse 3.19) the descriptor comes before the mount is made: the caller, when it serves that, sends a
byte, and is told by an int32 what became of the mount, 0 or a negative errno.
"""

from __future__ import annotations

import array
import errno
import os
import shutil
import socket
import struct
import subprocess

from rawfuse.mount.errors import HelperError

__all__ = ["Handshake", "Lifeline", "fusermount_mount", "fusermount_unmount", "fusermount_with_lifeline"]

_SECONDS = 30.0


def _helper() -> str:
    for name in ("fusermount3", "fusermount"):
        found = shutil.which(name)
        if found is not None:
            return found
    message = "fusermount3 is not installed: install the package fuse3, run as root, or use a user namespace"
    raise HelperError(errno.ENOENT, message)


def _run(command: list[str], path: str, **keywords: object) -> None:
    try:
        result = subprocess.run(  # type: ignore[call-overload]
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False, **keywords
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HelperError(errno.EIO, f"{command[0]} could not be run: {error}", path) from error
    if result.returncode != 0:
        words = result.stderr.decode("utf-8", "replace").strip() or f"exit status {result.returncode}"
        raise HelperError(errno.EPERM, f"{command[0]} refused: {words}", path)


def fusermount_mount(mountpoint: str, options: list[str]) -> int:
    """Mounts at `mountpoint` and returns the device's descriptor, non-blocking and close-on-exec.

    The helper fills in fd, rootmode, user_id and group_id itself.

    Raises:
        HelperError: it is missing, refused (its own words), or handed nothing over.
    """
    helper = _helper()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours:
        with theirs:
            environment = {**os.environ, "_FUSE_COMMFD": str(theirs.fileno())}
            command = [helper, "-o", ",".join(options), "--", mountpoint]
            _run(command, mountpoint, pass_fds=(theirs.fileno(),), env=environment)
        ours.settimeout(_SECONDS)
        fd = _receive_fd(ours)
    if fd is None:
        raise HelperError(errno.EPROTO, f"{helper} handed over no device", mountpoint)
    os.set_inheritable(fd, False)
    os.set_blocking(fd, False)
    return fd


class Lifeline:
    """A helper that waits to take its mount away: when this is closed, or when this process ends, however it ends."""

    def __init__(self, sock: socket.socket, helper: subprocess.Popen[bytes]) -> None:
        self._socket = sock
        self._helper = helper

    def close(self) -> None:
        """Lets the helper unmount, lazily, and waits for it. May be called again."""
        self._socket.close()
        if self._helper.stderr is not None:
            self._helper.stderr.close()
        try:
            self._helper.wait(_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise HelperError(errno.ETIMEDOUT, f"the helper has not unmounted in {_SECONDS:.0f} s") from error


def fusermount_with_lifeline(mountpoint: str, options: list[str]) -> tuple[int, Lifeline]:
    """As `fusermount_mount`, with the option auto_unmount; the helper lives as long as the mount.

    Raises:
        HelperError: as there. The helper refuses auto_unmount where it is not allowed.
    """
    fd, sock, process = _start([_helper(), "-o", ",".join([*options, "auto_unmount"]), "--", mountpoint], mountpoint)
    return fd, Lifeline(sock, process)


class Handshake:
    """A helper that has opened the device and waits to mount it; `fd` is to be served before `finish` is called.

    Raises:
        HelperError: it is missing, refused, or is older than libfuse 3.19.
    """

    def __init__(self, mountpoint: str, options: list[str]) -> None:
        command = [_helper(), "--sync-init", "-o", ",".join(options), "--", mountpoint]
        self.fd, self._socket, self._process = _start(command, mountpoint)
        self._mountpoint = mountpoint

    def finish(self) -> None:
        """Has the helper mount, and waits for it: until INIT was answered, where that is synchronous.

        Raises HelperError with its own words."""
        self._socket.settimeout(None)  # INIT takes as long as the file system does
        status = b""
        try:
            self._socket.sendall(b"\0")
            status = self._socket.recv(4, socket.MSG_WAITALL)
        except OSError:
            pass  # it has ended, and said why
        self._socket.close()
        number = -struct.unpack("=i", status)[0] if len(status) == 4 else errno.EPROTO
        words = _last_words(self._process)
        if number:
            raise HelperError(number, f"the helper could not mount: {words or os.strerror(number)}", self._mountpoint)

    def close(self) -> None:
        """Gives up: nothing is mounted, unless `finish` has done so. The descriptor stays the caller's."""
        self._socket.close()
        if self._process.returncode is None:
            _last_words(self._process)


def _start(command: list[str], mountpoint: str) -> tuple[int, socket.socket, subprocess.Popen[bytes]]:
    """A helper that stays: the device it hands over, the socket to it and its process. Raises HelperError."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with theirs:
        environment = {**os.environ, "_FUSE_COMMFD": str(theirs.fileno())}
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=(theirs.fileno(),),
                env=environment,
            )
        except OSError as error:
            ours.close()
            raise HelperError(errno.EIO, f"{command[0]} could not be run: {error}", mountpoint) from error
    ours.settimeout(_SECONDS)
    fd = _receive_fd(ours)
    if fd is None:
        ours.close()
        words = _last_words(process) or f"exit status {process.returncode}"
        raise HelperError(errno.EPERM, f"{command[0]} refused: {words}", mountpoint)
    os.set_inheritable(fd, False)
    os.set_blocking(fd, False)
    return fd, ours, process


def _last_words(process: subprocess.Popen[bytes]) -> str:
    """What it prints until it ends; to be asked for once."""
    _, said = process.communicate()
    return said.decode("utf-8", "replace").strip()


def _receive_fd(sock: socket.socket) -> int | None:
    fds = array.array("i")
    try:
        _, ancillary, _, _ = sock.recvmsg(1, socket.CMSG_SPACE(fds.itemsize))
    except OSError:
        return None
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS and len(data) >= fds.itemsize:
            fds.frombytes(data[: fds.itemsize])
            return fds[0]
    return None


def fusermount_unmount(mountpoint: str, *, lazy: bool) -> None:
    """Unmounts a FUSE mount of this user. Raises HelperError."""
    command = [_helper(), "-u", *(["-z"] if lazy else []), "--", mountpoint]
    _run(command, mountpoint)
