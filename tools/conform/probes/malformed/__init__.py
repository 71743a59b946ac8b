"""Messages that no sound kernel sends: an error, and a server that goes on, is what is asked for.

Linux never sends them. But the other end of a FUSE connection may be another kernel, a virtual machine, a proxy, or
what a user writes into a socket; and a length that is believed unseen is a hole.
"""

from __future__ import annotations

from . import bodies, headers, names
from .table import TABLE

__all__ = ["TABLE", "bodies", "headers", "names"]
