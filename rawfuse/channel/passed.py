"""A descriptor that somebody else opened: a mounted FUSE device, or a socket to a kernel of our own.

A parent that mounts, and a server that may not, share the work: the server is given `/dev/fd/N` for its mount point
(libfuse and go-fuse understand that too), or gets the descriptor over a socket (SCM_RIGHTS).
"""

from __future__ import annotations

import errno
import os
import socket
import stat

from rawfuse.channel.device import DeviceChannel
from rawfuse.channel.seqpacket import SeqpacketChannel
from rawfuse.mount.device import passed_fd
from rawfuse.mount.errors import DeviceError

__all__ = ["channel_of_fd", "passed_fd", "receive_channel", "send_fd"]


def channel_of_fd(fd: int) -> DeviceChannel | SeqpacketChannel:
    """A channel over `fd`, which it owns from now on and makes close-on-exec.

    Raises DeviceError where it is not open, or is neither a character device nor an AF_UNIX SOCK_SEQPACKET socket; it
    is then left as it was.
    """
    try:
        mode = os.fstat(fd).st_mode
    except OSError as error:
        raise DeviceError(error.errno or errno.EBADF, "nobody passed this descriptor on", f"/dev/fd/{fd}") from error
    if stat.S_ISCHR(mode):
        os.set_inheritable(fd, False)
        return DeviceChannel(fd)
    if stat.S_ISSOCK(mode):
        sock = socket.socket(fileno=fd)
        try:
            channel = SeqpacketChannel(sock)
        except ValueError as error:
            sock.detach()
            raise DeviceError(errno.EINVAL, str(error), f"/dev/fd/{fd}") from error
        os.set_inheritable(channel.fileno(), False)
        return channel
    raise DeviceError(errno.EINVAL, "neither a FUSE device nor a SOCK_SEQPACKET socket", f"/dev/fd/{fd}")


def send_fd(sock: socket.socket, fd: int) -> None:
    """Passes `fd` on over an AF_UNIX socket; the sender's own stays open."""
    socket.send_fds(sock, [b"\0"], [fd])


def receive_channel(sock: socket.socket) -> DeviceChannel | SeqpacketChannel:
    """A channel over the descriptor that comes over `sock` next. Raises DeviceError where none comes."""
    _, fds, _, _ = socket.recv_fds(sock, 1, 1)
    if not fds:
        raise DeviceError(errno.EPROTO, "a message came without a descriptor")
    try:
        return channel_of_fd(fds[0])
    except DeviceError:
        os.close(fds[0])
        raise
