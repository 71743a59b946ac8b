"""The FUSE kernel protocol in Python: the wire format, sessions, channels, mounts and a server under trio."""

from __future__ import annotations

from rawfuse._version import __version__
from rawfuse.channel import Channel, ChannelClosed, DeviceChannel, SeqpacketChannel
from rawfuse.errors import LocalProtocolError, ProtocolError, RemoteProtocolError
from rawfuse.filesystem import Answer, Filesystem, Reply
from rawfuse.mount import Mounted, MountError, mount
from rawfuse.server import Server
from rawfuse.session import DEFAULT_WANTS, KernelTooOld, Negotiated

__all__ = [
    "Answer",
    "Channel",
    "ChannelClosed",
    "DEFAULT_WANTS",
    "DeviceChannel",
    "Filesystem",
    "KernelTooOld",
    "LocalProtocolError",
    "MountError",
    "Mounted",
    "Negotiated",
    "ProtocolError",
    "RemoteProtocolError",
    "Reply",
    "SeqpacketChannel",
    "Server",
    "__version__",
    "mount",
]
