"""The tree as a FUSE file system: the only room of `mfs` that knows `rawfuse`."""

from __future__ import annotations

from mfs.fuse.filesystem import MFS

__all__ = ["MFS"]
