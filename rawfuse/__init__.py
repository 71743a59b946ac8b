"""The FUSE kernel protocol in Python: the wire format, sessions, channels, mounts and a server under trio."""

from __future__ import annotations

from rawfuse._version import __version__
from rawfuse.errors import LocalProtocolError, ProtocolError, RemoteProtocolError

__all__ = ["LocalProtocolError", "ProtocolError", "RemoteProtocolError", "__version__"]
