"""dag-pb: the protobuf container of links and data that every UnixFS node except a raw leaf is.

    PBNode  field 2 (tag 12) repeated PBLink, *then* field 1 (tag 0a) Data
    PBLink  field 1 (tag 0a) Hash: binary CID; field 2 (tag 12) Name; field 3 (tag 18) Tsize: cumulative block bytes

Written as boxo writes it: links first, Name and Tsize present even when empty or zero. (The specification would leave
the empty names of file chunks out; equal CIDs need them in.) Read more freely: blocks of others are never written anew,
so a link without Name or Tsize, and Data in front of the links, are accepted; what is twice or unknown is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mfs.unixfs.cid import CID, check_cid
from mfs.unixfs.errors import InvalidCID, MalformedBlock
from mfs.unixfs.varint import encode_uvarint, read_uvarint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["PBLink", "PBNode", "decode_link", "decode_node", "encode_frame", "encode_node", "join_node", "split_node"]

_LINK_TAG = 0x12
_DATA_TAG = 0x0A
_HASH_TAG = 0x0A
_NAME_TAG = 0x12
_TSIZE_TAG = 0x18


class PBLink(NamedTuple):
    """A link: the child's CID, its name (empty in files), and the bytes of all blocks below and with it, if said."""

    hash: CID
    name: bytes
    tsize: int | None


class PBNode(NamedTuple):
    """A decoded block: its links in the order in which they stand, and its Data (None when there is none)."""

    links: list[PBLink]
    data: bytes | None


def encode_frame(cid: CID, name: bytes, tsize: int | None) -> bytes:
    """One link as it stands in a node: tag, length and PBLink."""
    name_length, cid_length = len(name), len(cid)
    if name_length < 128 and cid_length < 128:
        body = b"\x0a%c%b\x12%c%b" % (cid_length, cid, name_length, name)
    else:
        body = b"\x0a%b%b\x12%b%b" % (encode_uvarint(cid_length), cid, encode_uvarint(name_length), name)
    if tsize is not None:
        body += b"\x18" + encode_uvarint(tsize)
    length = len(body)
    return b"\x12%c%b" % (length, body) if length < 128 else b"\x12%b%b" % (encode_uvarint(length), body)


def join_node(frames: Iterable[bytes], data: bytes | None) -> bytes:
    """The block of these link frames (`encode_frame`, `split_node`), in this order, and Data."""
    links = b"".join(frames)
    if data is None:
        return links
    return links + b"\x0a" + encode_uvarint(len(data)) + data


def encode_node(links: Iterable[PBLink], data: bytes | None) -> bytes:
    """The block of ``links``, in the order given (a directory's caller sorts them by name), and ``data``."""
    return join_node([encode_frame(cid, name, tsize) for cid, name, tsize in links], data)


def split_node(block: bytes) -> tuple[list[bytes], bytes | None]:
    """The link frames of a block, undecoded, and its Data: what changing one link of many needs.

    Raises:
        MalformedBlock: ``block`` is not a dag-pb node. A frame's inside is looked at by `decode_link` only.
    """
    frames: list[bytes] = []
    append = frames.append
    data: bytes | None = None
    data_at = -1
    position, end = 0, len(block)
    try:
        while position < end:
            tag, length = block[position], block[position + 1]
            start = position + 2
            if length >= 128:
                length, start = read_uvarint(block, position + 1)
            stop = start + length
            if stop > end:
                raise MalformedBlock(f"field at byte {position} of {length} bytes passes the end of the block ({end})")
            if tag == _LINK_TAG:
                append(block[position:stop])
            elif tag == _DATA_TAG and data is None:
                data, data_at = block[start:stop], len(frames)
            else:
                raise MalformedBlock(f"unexpected field (tag 0x{tag:02x}) at byte {position} of a dag-pb node")
            position = stop
    except IndexError:
        raise MalformedBlock("block ends inside a field") from None
    if 0 < data_at < len(frames):
        raise MalformedBlock("Data stands between the links of a dag-pb node")
    return frames, data


def decode_link(frame: bytes) -> PBLink:
    """The link in a frame that `split_node` cut out.

    Raises:
        MalformedBlock: it is none.
    """
    start = 2 if frame[1] < 128 else read_uvarint(frame, 1)[1]
    return _link(frame, start, len(frame))


def decode_node(block: bytes) -> PBNode:
    """The links and Data of a dag-pb block.

    Raises:
        MalformedBlock: ``block`` is not a dag-pb node.
    """
    frames, data = split_node(block)
    return PBNode(_links(frames), data)


def _links(
    frames: Sequence[bytes],
    *,
    new: Callable[[type[PBLink], tuple[CID, bytes, int | None]], PBLink] = tuple.__new__,
) -> list[PBLink]:
    """Every frame as a link.

    The shape that all known writers produce (one-byte lengths, the three fields in order, a CID of the two common
    forms) is read in place; whatever deviates goes to `_link`.
    """
    links: list[PBLink] = []
    append = links.append
    for frame in frames:
        length = len(frame)
        if length > 42 and frame[1] < 128 and frame[2] == _HASH_TAG:
            size = frame[3]
            if size == 36:
                name_at = 42
                common = frame[4:8] in _COMMON_V1 and frame[40] == _NAME_TAG
            elif size == 34:
                name_at = 40
                common = frame[4:6] == b"\x12\x20" and frame[38] == _NAME_TAG
            else:
                common = False
                name_at = 0
            if common:
                name_length = frame[name_at - 1]
                tsize_at = name_at + name_length
                if name_length < 128 and tsize_at + 1 < length and frame[tsize_at] == _TSIZE_TAG:
                    tsize = frame[tsize_at + 1]
                    at = tsize_at + 2
                    if tsize >= 128:
                        if at + 1 < length and frame[at] >= 128 and frame[at + 1] < 128:
                            tsize += (frame[at] << 7) + (frame[at + 1] << 14) - 0x4080
                            at += 2
                        else:
                            tsize, at = read_uvarint(frame, tsize_at + 1)
                    if at == length:
                        append(new(PBLink, (CID(frame[4 : 4 + size]), frame[name_at:tsize_at], tsize)))
                        continue
        append(decode_link(frame))
    return links


_COMMON_V1 = frozenset((b"\x01\x55\x12\x20", b"\x01\x70\x12\x20"))


def _link(frame: bytes, position: int, end: int) -> PBLink:
    """A link of any valid shape, its PBLink message at ``position``."""
    cid: CID | None = None
    name: bytes | None = None
    tsize: int | None = None
    while position < end:
        tag = frame[position]
        if tag == _TSIZE_TAG and tsize is None:
            tsize, position = read_uvarint(frame, position + 1)
            continue
        length, start = read_uvarint(frame, position + 1)
        position = start + length
        if position > end:
            raise MalformedBlock(f"field of {length} bytes passes the end of its link")
        if tag == _HASH_TAG and cid is None:
            try:
                cid = check_cid(frame[start:position])
            except InvalidCID as error:
                raise MalformedBlock(f"link's hash is no CID: {error}") from None
        elif tag == _NAME_TAG and name is None:
            name = frame[start:position]
        else:
            raise MalformedBlock(f"unexpected field (tag 0x{tag:02x}) in a link")
    if position != end:
        raise MalformedBlock("number passes the end of its link")
    if cid is None:
        raise MalformedBlock("link without a hash")
    return PBLink(cid, b"" if name is None else name, tsize)
