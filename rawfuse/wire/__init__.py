"""Bytes to messages and back. No state, no I/O, no async.

A struct has its C name (``fuse_entry_out``), a request is named after its opcode (``Lookup``), a notification after its
code (``NotifyStore``): :mod:`rawfuse.wire.opcodes` is the table of what there is. Plain numbers are in
:mod:`rawfuse.wire.constants`, flag classes in :mod:`rawfuse.wire.flags`.
"""

from __future__ import annotations

from rawfuse.wire import _generated, cuse, dirent, enums, extensions, flags, ioctl, replies, requests
from rawfuse.wire._generated import *  # noqa: F403
from rawfuse.wire.base import Buffer, Notification, Request, UnknownRequest, WireStruct
from rawfuse.wire.cuse import *  # noqa: F403
from rawfuse.wire.dirent import *  # noqa: F403
from rawfuse.wire.enums import *  # noqa: F403
from rawfuse.wire.extensions import *  # noqa: F403
from rawfuse.wire.flags import *  # noqa: F403
from rawfuse.wire.ioctl import *  # noqa: F403
from rawfuse.wire.replies import *  # noqa: F403
from rawfuse.wire.requests import *  # noqa: F403

__all__ = ["Buffer", "Notification", "Request", "UnknownRequest", "WireStruct"]
__all__ += _generated.__all__
__all__ += cuse.__all__
__all__ += dirent.__all__
__all__ += enums.__all__
__all__ += extensions.__all__
__all__ += flags.__all__
__all__ += ioctl.__all__
__all__ += replies.__all__
__all__ += requests.__all__
