"""A channel over an AF_UNIX SOCK_SEQPACKET socket: one message per read, and an end that is seen.

Other FUSE servers take such a socket for their device (libfuse and go-fuse as mount point /dev/fd/N). SOCK_DGRAM would
lose the end, SOCK_STREAM the boundaries.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import Final

from rawfuse.channel.holder import MessageFd

__all__ = ["LINGER", "SeqpacketChannel", "seqpacket_pair"]

_BUFFER: Final = 4 << 20
LINGER: Final = 0.01
"""Seconds that a reader which lingers waits at most."""
_TICK: Final = struct.pack("@ll", 0, 1000)
"""A struct timeval for SO_RCVTIMEO. Of the millisecond the kernel makes one or two of its ticks, of 4 ms each with the
usual HZ=250. They cost nothing, where a timer as exact as that of poll(2) costs 5 us in a virtual machine (measured:
ping-pong over a socket on one CPU, 14 us a round trip with SO_RCVTIMEO, 28 with a poll(2) of 1 ms before each read)."""
_FULL: Final = struct.pack("@ll", 1, 0)
_PEER: Final = struct.Struct("=iII")


class SeqpacketChannel(MessageFd):
    """Takes the socket over. Its buffers are made to hold a few of the largest messages (1 MiB and a header).

    Attributes:
        another_process: whether the other end was made by one, such as a relay; False for a pair within a program.
        lingers: see :meth:`linger`.
    """

    __slots__ = ("another_process", "lingers")

    def __init__(self, sock: socket.socket) -> None:
        if sock.family != socket.AF_UNIX or sock.type != socket.SOCK_SEQPACKET:
            raise ValueError(f"an AF_UNIX SOCK_SEQPACKET socket is needed, not {sock.family.name} {sock.type.name}")
        # The plain options are cut to net.core.*mem_max (212992 by default); the FORCE ones need CAP_NET_ADMIN.
        for force, plain in ((33, socket.SO_RCVBUF), (32, socket.SO_SNDBUF)):
            try:
                sock.setsockopt(socket.SOL_SOCKET, force, _BUFFER)
            except PermissionError:
                sock.setsockopt(socket.SOL_SOCKET, plain, _BUFFER)
        # Of effect while it lingers, which is while the descriptor blocks.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TICK)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _FULL)
        pid, _, _ = _PEER.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
        self.another_process = pid != os.getpid()
        self.lingers = False
        super().__init__(sock.detach())

    def linger(self, on: bool) -> None:
        """While it is on, `receive_nowait` blocks this thread until a message comes, for at most `LINGER` seconds.

        One system call then waits and reads. Who writes to a socket goes on running, other than who answers a caller by
        the device, whom the kernel lets the caller interrupt: so whoever then looks for the next message finds none,
        and whoever stays awake to look again takes the CPU from those that it comes from (measured behind a relay, all
        on one CPU: 60 us a round trip, 45 with lingering).
        """
        if on is not self.lingers and self.fileno() >= 0:
            os.set_blocking(self.fileno(), on)
            self.lingers = on


def seqpacket_pair() -> tuple[SeqpacketChannel, SeqpacketChannel]:
    """Two channels, each the other's other side."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return SeqpacketChannel(ours), SeqpacketChannel(theirs)
