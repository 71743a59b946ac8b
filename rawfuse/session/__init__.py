"""Both sides of the protocol without any I/O."""

from __future__ import annotations

from rawfuse.session.agreed import Agreement
from rawfuse.session.device import Asleep, Descriptor, Device
from rawfuse.session.kernel_session import Answered, KernelSession, Refused
from rawfuse.session.negotiation import (
    DEFAULT_WANTS,
    KernelTooOld,
    Negotiated,
    Preferences,
    negotiate,
)
from rawfuse.session.replies import Answer, Reply
from rawfuse.session.server_session import ServerSession

__all__ = [
    "DEFAULT_WANTS",
    "Agreement",
    "Answer",
    "Answered",
    "Asleep",
    "Descriptor",
    "Device",
    "KernelSession",
    "KernelTooOld",
    "Negotiated",
    "Preferences",
    "Refused",
    "Reply",
    "ServerSession",
    "negotiate",
]
