"""dag-pb: the protobuf container of links and data that every UnixFS node except a raw leaf is.

    PBNode  field 2 (tag 12) repeated PBLink, *then* field 1 (tag 0a) Data
    PBLink  field 1 (tag 0a) Hash: binary CID; field 2 (tag 12) Name; field 3 (tag 18) Tsize: cumulative block bytes

Written as boxo writes it: links first, Name and Tsize present even when empty or zero. (The specification would leave
the empty names of file chunks out; equal CIDs need them in.) Read more freely: blocks of others are never written anew,
so a link without Name or Tsize, and Data in front of the links, are accepted; what is twice or unknown is not.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from mfs.unixfs.cid import CID, check_cid
from mfs.unixfs.errors import InvalidCID, MalformedBlock
from mfs.unixfs.varint import encode_uvarint, read_uvarint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [
    "PBLink",
    "PBNode",
    "TSIZE_RANGE",
    "decode_link",
    "decode_node",
    "encode_frame",
    "encode_node",
    "join_node",
    "peek_frame",
    "split_node",
]

_LINK_TAG = 0x12
_DATA_TAG = 0x0A
_HASH_TAG = 0x0A
_NAME_TAG = 0x12
_TSIZE_TAG = 0x18

TSIZE_RANGE = 1 << 64
"""Cumulative sizes are unsigned 64-bit sums that wrap, as boxo's are: a few sparse files of 8 EiB reach it."""


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
    return _split(block, 0, 0)


def decode_link(frame: bytes) -> PBLink:
    """The link in a frame that `split_node` cut out.

    Raises:
        MalformedBlock: it is none.
    """
    links: list[PBLink] = []
    if _common_links(frame, links) == len(frame):
        return links[0]
    return _link(frame, read_uvarint(frame, 1)[1], len(frame))


def peek_frame(frame: bytes) -> tuple[bytes, int] | None:
    """Name and tsize of a frame that is exactly as `encode_frame` writes the common form, else None.

    Half the price of `decode_link`: for the many links of a node that stay when one changes.
    """
    length, size = len(frame), frame[3] if len(frame) > 40 else 0
    if (
        frame[1] != length - 2
        or frame[2] != 0x0A
        or not ((size == 36 and frame[4:8] in _COMMON_V1) or (size == 34 and frame[4:6] in _COMMON_V0))
        or frame[size + 4] != 0x12
    ):
        return None
    name_at = size + 6
    at = name_at + frame[size + 5]
    if at + 1 >= length or frame[at] != 0x18:
        return None
    # The number must end where the frame does, and not be longer than needful.
    number = frame[at + 1 :]
    if len(number) == 1:
        tsize = number[0]
        sound = tsize < 128
    elif len(number) == 2:
        low, high = number
        tsize = (high << 7) + low - 128
        sound = low > 127 and 0 < high < 128
    elif len(number) == 3:
        low, middle, high = number
        tsize = (high << 14) + (middle << 7) + low - 16512
        sound = low > 127 and middle > 127 and 0 < high < 128
    else:
        try:
            tsize, end = read_uvarint(number, 0)
        except MalformedBlock:
            return None
        sound = end == len(number) and number[-1] != 0
    return (frame[name_at:at], tsize) if sound else None


def decode_node(block: bytes) -> PBNode:
    """The links and Data of a dag-pb block.

    Raises:
        MalformedBlock: ``block`` is not a dag-pb node.
    """
    links: list[PBLink] = []
    position = _common_links(block, links)
    # Behind them nearly always comes a short Data, and the end.
    rest = len(block) - position - 2
    if 0 <= rest < 128 and block[position] == _DATA_TAG and block[position + 1] == rest:
        return PBNode(links, block[position + 2 :])
    frames, data = _split(block, position, len(links))
    if frames:
        links += [decode_link(frame) for frame in frames]
    return PBNode(links, data)


def _split(block: bytes, position: int, links_before: int) -> tuple[list[bytes], bytes | None]:
    """The fields from ``position`` on, which follow ``links_before`` links."""
    frames: list[bytes] = []
    append = frames.append
    data: bytes | None = None
    data_at = 0
    end = len(block)
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
                data, data_at = block[start:stop], links_before + len(frames)
            else:
                raise MalformedBlock(f"unexpected field (tag 0x{tag:02x}) at byte {position} of a dag-pb node")
            position = stop
    except IndexError:
        raise MalformedBlock("block ends inside a field") from None
    if 0 < data_at < links_before + len(frames):
        raise MalformedBlock("Data stands between the links of a dag-pb node")
    return frames, data


# Of a link in the form that all known writers produce, up to its name: tags and one-byte lengths, and the whole CID.
_HEAD_V1 = struct.Struct("<BBH36sBB")
_HEAD_V0 = struct.Struct("<BBH34sBB")
_COMMON_V0 = frozenset((b"\x12\x20",))
_COMMON_V1 = frozenset((b"\x01\x55\x12\x20", b"\x01\x70\x12\x20"))


def _common_links(
    block: bytes,
    links: list[PBLink],
    *,
    new: Callable[[type[PBLink], tuple[CID, bytes, int]], PBLink] = tuple.__new__,
) -> int:
    """Append the links with which the block begins while they have the common form; returns where it ends.

    The common form: Hash, Name, Tsize in order, a CID of version 0 or of version 1 with raw or dag-pb and sha2-256
    (all of the same version), fewer than 128 bytes. Anything else is left to the general decoder.
    """
    append = links.append
    position = 0
    try:
        if block[3] == 36:
            head, hash_field, prefix_length, prefixes = _HEAD_V1, 0x240A, 4, _COMMON_V1
        else:
            head, hash_field, prefix_length, prefixes = _HEAD_V0, 0x220A, 2, _COMMON_V0
        unpack, skip = head.unpack_from, head.size
        limit = len(block) - skip
        while position < limit:
            tag, length, field, cid, name_tag, name_length = unpack(block, position)
            if tag != 0x12 or field != hash_field or name_tag != 0x12 or length > 127 or name_length > 127:
                return position
            name_at = position + skip
            at = name_at + name_length
            if cid[:prefix_length] not in prefixes or block[at] != 0x18:
                return position
            tsize = block[at + 1]
            stop = at + 2
            if tsize > 127:
                tsize += (block[stop] << 7) - 128
                stop += 1
                if block[stop - 1] > 127:
                    tsize += (block[stop] << 14) - 16384
                    stop += 1
                    if block[stop - 1] > 127:
                        tsize, stop = read_uvarint(block, at + 1)
            if stop != position + 2 + length:
                return position
            append(new(PBLink, (cid, block[name_at:at], tsize)))
            position = stop
        return position
    except (struct.error, IndexError, MalformedBlock):
        # Too short for another link of this form: the general decoder says what it is, or what is wrong with it.
        return position


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
