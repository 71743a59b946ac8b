"""The layout of every C struct of fuse_kernel.h 7.45, one Construct declaration each, under its C name.

The only place where a layout is written down: the codecs in ``rawfuse.wire._generated`` are lowered from here. Needs
Construct, so nothing that runs in a server imports it. Numbers are in native byte order, as the kernel's are.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from construct import Construct

from rawfuse.wire.schema import connection, files, inodes, names, notifications

__all__ = ["SCHEMAS"]


def _declared(module: ModuleType) -> dict[str, Construct[Any, Any]]:
    return {name: item for name, item in vars(module).items() if isinstance(item, Construct) and item.name == name}


SCHEMAS: dict[str, Construct[Any, Any]] = {}
"""C name to declaration; a struct comes after those it contains."""

for _module in (inodes, names, files, notifications, connection):
    SCHEMAS.update(_declared(_module))
