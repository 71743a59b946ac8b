"""Symbolic links: a node of type Symlink whose data is the target, byte for byte."""

from __future__ import annotations

from mfs.unixfs.dagpb import join_node
from mfs.unixfs.data import DataType, Mtime, UnixFSData, encode_data

__all__ = ["symlink_block"]


def symlink_block(target: bytes, mode: int = 0, mtime: Mtime | None = None) -> bytes:
    """The block of a symbolic link to ``target`` (`Profile.node_cid` names it; its tsize is its length)."""
    return join_node((), encode_data(UnixFSData(DataType.Symlink, target, mode=mode, mtime=mtime)))
