"""Room for FUSE messages in the socket that stands for a device."""

from __future__ import annotations

import socket
from typing import Final

__all__ = ["room_for_messages"]

_SOCKET_BUFFER: Final = 4 << 20
_SO_SNDBUFFORCE: Final = 32
_SO_RCVBUFFORCE: Final = 33


def room_for_messages(sock: socket.socket) -> None:
    """Lets a SEQPACKET socket hold a few of the largest messages, as far as we may."""
    for force, plain in ((_SO_RCVBUFFORCE, socket.SO_RCVBUF), (_SO_SNDBUFFORCE, socket.SO_SNDBUF)):
        try:
            sock.setsockopt(socket.SOL_SOCKET, force, _SOCKET_BUFFER)
        except PermissionError:
            sock.setsockopt(socket.SOL_SOCKET, plain, _SOCKET_BUFFER)
