"""What a file system offers: its methods by opcode, and what it wishes for at INIT."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from rawfuse.filesystem import Filesystem
from rawfuse.session.negotiation import Preferences
from rawfuse.wire import Request
from rawfuse.wire.opcodes import OPERATIONS

__all__ = ["Handler", "absent", "handlers_of", "preferences_of"]

Handler: TypeAlias = Callable[[Any], Any]
"""Takes a request and returns what `rawfuse.filesystem.Reply` says."""


def absent(_: Request) -> Any:
    """Stands for every method that is not there: ENOSYS."""
    return NotImplemented


def _destroyed(_: Request) -> None:
    return None


def handlers_of(filesystem: Filesystem) -> dict[int, Handler]:
    """Opcode to bound method; the base class's own stand for absence and are not even called."""
    handlers: dict[int, Handler] = {}
    present = _overridden(filesystem)
    for operation in OPERATIONS:
        name = operation.label.lower()
        if name == "destroy":
            handlers[operation.opcode] = _destroyed
        elif name in present:
            handlers[operation.opcode] = getattr(filesystem, name)
    return handlers


def _overridden(filesystem: Filesystem) -> frozenset[str]:
    """The names of operations that the file system has, on its class or on itself."""
    names = {operation.label.lower() for operation in OPERATIONS} - {"init", "destroy", "forget"}
    return frozenset(
        name
        for name in names
        if getattr(getattr(filesystem, name, None), "__func__", None) is not getattr(Filesystem, name, None)
    )


def preferences_of(filesystem: Filesystem, max_write: int | None) -> Preferences:
    """What to agree on at INIT; `max_write` bytes instead of the file system's own."""
    return Preferences(
        wants=filesystem.wants,
        methods=_overridden(filesystem),
        max_write=filesystem.max_write if max_write is None else max_write,
        max_readahead=filesystem.max_readahead,
        max_background=filesystem.max_background,
        congestion_threshold=filesystem.congestion_threshold,
        time_gran=filesystem.time_gran,
        max_stack_depth=filesystem.max_stack_depth,
        request_timeout=filesystem.request_timeout,
    )
