"""Mode and mtime kept in a file's blocks (UnixFS 1.5); off in both IPIP-499 profiles.

Only the root carries them. A raw block has no place for them, so a file of one raw leaf becomes a dag-pb File node
with the bytes inline; for larger files the root alone is written anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfs.unixfs.cid import RAW, codec_of
from mfs.unixfs.dagpb import PBLink, decode_node, join_node, split_node
from mfs.unixfs.data import DataType, Mtime, UnixFSData, decode_data, encode_data
from mfs.unixfs.errors import MalformedBlock, WrongKind
from mfs.unixfs.layout import Link

if TYPE_CHECKING:
    from collections.abc import Callable

    from mfs.unixfs.cid import CID
    from mfs.unixfs.profile import Profile

__all__ = ["file_with_metadata"]


def file_with_metadata(
    profile: Profile,
    file: Link,
    mode: int,
    mtime: Mtime | None,
    get: Callable[[CID], bytes],
    put: Callable[[CID, bytes], object],
) -> Link:
    """The same file with this mode (0: none) and mtime (None: none) instead of those it has.

    Raises:
        MalformedBlock, WrongKind: ``file`` is no sound file.
    """
    block = get(file.cid)
    if codec_of(file.cid) == RAW:
        if not mode and mtime is None:
            return file
        frames: list[bytes] = []
        links: list[PBLink] = []
        message = UnixFSData(DataType.File, block or None, len(block))
    else:
        try:
            frames, data = split_node(block)
            message = decode_data(data or b"")
            links = decode_node(block).links
        except MalformedBlock as error:
            raise MalformedBlock(error.why, file.cid) from None
        if message.type not in (DataType.File, DataType.Raw):
            raise WrongKind(file.cid, "file", message.type.name)
    block = join_node(frames, encode_data(message._replace(mode=mode, mtime=mtime)))
    cid = profile.node_cid(block)
    put(cid, block)
    return Link(cid, file.size, len(block) + sum(link.tsize or 0 for link in links))
