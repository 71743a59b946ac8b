"""A channel over an AF_UNIX SOCK_SEQPACKET socket: one message per read, and an end that is seen.

Other FUSE servers take such a socket for their device (libfuse and go-fuse as mount point /dev/fd/N). SOCK_DGRAM would
lose the end, SOCK_STREAM the boundaries.
"""

from __future__ import annotations

import socket
from typing import Final

from rawfuse.channel.holder import MessageFd

__all__ = ["SeqpacketChannel", "seqpacket_pair"]

_BUFFER: Final = 4 << 20


class SeqpacketChannel(MessageFd):
    """Takes the socket over. Its buffers are made to hold a few of the largest messages (1 MiB and a header)."""

    __slots__ = ()

    def __init__(self, sock: socket.socket) -> None:
        if sock.family != socket.AF_UNIX or sock.type != socket.SOCK_SEQPACKET:
            raise ValueError(f"an AF_UNIX SOCK_SEQPACKET socket is needed, not {sock.family.name} {sock.type.name}")
        # The plain options are cut to net.core.*mem_max (212992 by default); the FORCE ones need CAP_NET_ADMIN.
        for force, plain in ((33, socket.SO_RCVBUF), (32, socket.SO_SNDBUF)):
            try:
                sock.setsockopt(socket.SOL_SOCKET, force, _BUFFER)
            except PermissionError:
                sock.setsockopt(socket.SOL_SOCKET, plain, _BUFFER)
        super().__init__(sock.detach())


def seqpacket_pair() -> tuple[SeqpacketChannel, SeqpacketChannel]:
    """Two channels, each the other's other side."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return SeqpacketChannel(ours), SeqpacketChannel(theirs)
