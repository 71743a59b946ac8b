"""The index's file without LMDB: whether it can be trusted, and what can be read of one that cannot."""

from mfs.fsck.index.pages import IndexFile, Unsound
from mfs.fsck.index.salvage import salvage, take_place

__all__ = ["IndexFile", "Unsound", "salvage", "take_place"]
