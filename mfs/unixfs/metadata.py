"""Mode and mtime kept in a file's blocks (UnixFS 1.5); off in both IPIP-499 profiles.

Only the root carries them. A raw block has no place for them, so a file of one raw leaf becomes a dag-pb File node
with the bytes inline; for larger files the root alone is written anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from mfs.unixfs.cid import RAW, codec_of
from mfs.unixfs.dagpb import PBLink, decode_node, join_node, split_node
from mfs.unixfs.data import DataType, Mtime, UnixFSData, decode_data, encode_data
from mfs.unixfs.errors import MalformedBlock, WrongKind
from mfs.unixfs.layout import Link
from mfs.unixfs.varint import encode_uvarint

if TYPE_CHECKING:
    from collections.abc import Callable

    from mfs.unixfs.cid import CID
    from mfs.unixfs.profile import Profile

__all__ = ["Stamp", "file_with_metadata", "same_but_for_metadata", "wrapping_with_metadata"]

Stamp: TypeAlias = "tuple[int, Mtime | None]"
"""What a root is to carry: mode (0: none) and mtime (None: none), as :meth:`Profile.stored` gives them."""


def wrapping_with_metadata(n: int, mode: int, mtime: Mtime | None) -> tuple[bytes, bytes]:
    """What stands before and after the ``n`` bytes of a file in one block whose node carries mode and mtime."""
    message = encode_data(UnixFSData(DataType.File, None, n, mode=mode, mtime=mtime))
    before, after = message[:2], message[2:]
    if n:
        before += b"\x12" + encode_uvarint(n)
    return b"\x0a" + encode_uvarint(len(before) + n + len(after)) + before, after


def same_but_for_metadata(one: CID, other: CID, get: Callable[[CID], bytes]) -> bool:
    """Whether two roots, of files or symbolic links, differ at most in the mode and mtime that they carry.

    Raises:
        MalformedBlock: one is unsound.
    """
    return one == other or _bare(one, get) == _bare(other, get)


def _bare(cid: CID, get: Callable[[CID], bytes]) -> tuple[list[bytes], UnixFSData]:
    block = get(cid)
    if codec_of(cid) == RAW:
        return [], UnixFSData(DataType.File, block or None, len(block), [])
    try:
        frames, data = split_node(block)
        return frames, decode_data(data or b"")._replace(mode=0, mtime=None)
    except MalformedBlock as error:
        raise MalformedBlock(error.why, cid) from None


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
