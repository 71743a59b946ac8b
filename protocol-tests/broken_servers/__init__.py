"""Servers that are broken on purpose, each in one way: for every probe one that it finds out.

Each is the memory example with someone in the middle of its channel (`middle`), or with another method. `BROKEN` has
them by the name of the probe. `PYTHONPATH=protocol-tests python -m broken_servers`
tries every probe on every one of them.
"""

from __future__ import annotations

from typing import Final

from broken_servers import data, hostile, inodes, listings, locks, names, negotiation, queue, references, shapes
from broken_servers.middle import Broken, launched

__all__ = ["BROKEN", "Broken", "launched"]

BROKEN: Final[dict[str, Broken]] = {
    name: broken
    for module in (shapes, negotiation, references, names, inodes, listings, data, locks, queue, hostile)
    for name, broken in module.BROKEN.items()
}
