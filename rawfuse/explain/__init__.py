"""What the protocol's messages, structs, flags, ioctls and errnos mean, from the records that the codec is made of.

`find` gives the item that goes by a name or number, `Item.page` its page, `catalogue` everything. Needs Construct.
"""

from __future__ import annotations

from rawfuse.explain.catalogue import Found, Item, UnknownName, catalogue, find
from rawfuse.explain.page import Entry, Page, Section

__all__ = ["Entry", "Found", "Item", "Page", "Section", "UnknownName", "catalogue", "find"]
