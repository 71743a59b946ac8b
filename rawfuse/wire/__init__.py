"""Bytes to messages and back. No state, no I/O, no async: see :mod:`rawfuse.wire.opcodes` for what there is."""

from __future__ import annotations

from rawfuse.wire import _generated
from rawfuse.wire._generated import *  # noqa: F403
from rawfuse.wire.base import Buffer, Notification, Request, UnknownRequest, WireStruct

__all__ = ["Buffer", "Notification", "Request", "UnknownRequest", "WireStruct"]
__all__ += _generated.__all__
