"""The FUSE kernel protocol in Python: the wire format, sessions, channels, mounts and a server under trio.

Names that need trio or the wire format are imported when they are first used: a command that only mounts, unmounts or
looks at the mount table starts in a third of the time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from rawfuse._version import __version__
from rawfuse.errors import LocalProtocolError, ProtocolError, RemoteProtocolError
from rawfuse.mount import Mounted, MountError, mount

if TYPE_CHECKING:
    from rawfuse.channel import Channel, ChannelClosed, DeviceChannel, SeqpacketChannel
    from rawfuse.filesystem import Answer, Filesystem, Reply
    from rawfuse.serve import serving
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
    "serving",
]

if not TYPE_CHECKING:
    _HOMES = {
        "rawfuse.channel": ("Channel", "ChannelClosed", "DeviceChannel", "SeqpacketChannel"),
        "rawfuse.filesystem": ("Answer", "Filesystem", "Reply"),
        "rawfuse.server": ("Server",),
        "rawfuse.serve": ("serving",),
        "rawfuse.session": ("DEFAULT_WANTS", "KernelTooOld", "Negotiated"),
    }

    def __getattr__(name):
        for module, names in _HOMES.items():
            if name in names:
                value = globals()[name] = getattr(import_module(module), name)
                return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__():
        return __all__
