"""Traces as pcapng (draft-ietf-opsawg-pcapng): what `rawfuse trace` writes, and Wireshark and tshark open.

One section with one interface of LINKTYPE_USER0 (147), times in nanoseconds. Every message is an Enhanced Packet Block
whose epb_flags say inbound for a request and outbound for a reply, and whose original length is larger than the
captured one where the message was cut. The packet is a pseudo-header of 32 bytes, then the message as it was on the
descriptor, in the byte order of the machine that recorded it:

======  =====  =========================================================================================
offset  bytes  field (big-endian)
======  =====  =========================================================================================
0       1      version of this header: 1
1       1      direction: 1 to the server, 2 to the kernel
2       1      byte order of the message: 1 little-endian, 2 big-endian
3       1      negotiated minor version, 0 before INIT was answered
4       4      number of the connection (/sys/fs/fuse/connections), 0 when unknown
8       4      number of the device descriptor in the connection, 0 for the first
12      4      what was agreed on and the minor does not tell: bit 0, FUSE_SETXATTR_EXT
16      16     name of the program behind the request (comm), padded with NUL; empty when unknown
======  =====  =========================================================================================

Wireshark takes no packet of more than 262144 bytes (WTAP_MAX_PACKET_SIZE_STANDARD), and the largest messages have a
MiB. Their packet block has what fits, as if they had been cut; the rest stands before it in a block of the type
0x80465553, one of those that the format leaves to each application and others pass over: its length (u32), then the
bytes.

A file that ends in the middle of a block, as a killed recorder leaves it, is read up to there.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from rawfuse.trace.record import DamagedTrace, Direction, Readable, Traced, Writable

__all__ = ["LINKTYPE_USER0", "MAGIC", "PSEUDO_HEADER", "PcapngWriter", "packet", "read_pcapng"]

LINKTYPE_USER0: Final = 147
MAGIC: Final = 0x0A0D0D0A
"""Type of a section header, the same in both byte orders: what such a file begins with."""
PSEUDO_HEADER: Final = struct.Struct(">BBBBIII16s")

_VERSION: Final = 1
_SETXATTR_EXT: Final = 1
_ORDERS: Final = {1: "little", 2: "big"}
_BYTE_ORDER: Final = 0x1A2B3C4D
_INTERFACE: Final = 1
_STATISTICS: Final = 5
_PACKET: Final = 6
_TSRESOL: Final = 9
_FLAGS: Final = 2
_DROPPED: Final = 7
_NANOSECONDS: Final = 9
_REST: Final = 0x80465553
_LARGEST_PACKET: Final = 262144
_LARGEST_BLOCK: Final = 1 << 26
_OF_BLOCK: Final = 12
_HEADERS_KEPT: Final = 1024
_SHORT: Final = 1024
"""Bytes of messages of which many are of the same length."""
_PADDING: Final = (b"", b"\0", b"\0\0", b"\0\0\0")
_EPB: Final = struct.Struct("<IIIIIII")
_TIME: Final = struct.Struct("<II")
_EPB_TIME: Final = 12
"""Where a packet block has it."""
_EPB_FLAGS: Final = struct.Struct("<HHIHHI")


def pseudo_header(message: Traced) -> bytes:
    """The 32 bytes before the message."""
    return PSEUDO_HEADER.pack(
        _VERSION,
        message.direction,
        1 if message.byteorder == "little" else 2,
        message.minor,
        message.connection,
        message.descriptor,
        _SETXATTR_EXT if message.setxattr_ext else 0,
        message.program,
    )


def packet(message: Traced) -> bytes:
    """The pseudo-header and the message."""
    return pseudo_header(message) + message.data


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)


def _block(kind: int, body: bytes) -> bytes:
    size = _OF_BLOCK + len(body)
    return struct.pack("<II", kind, size) + body + struct.pack("<I", size)


class PcapngWriter:
    """Writes messages to `file`, which it does not close. `application` and `comment` go into the section header.

    The file is complete after every message: who stops anywhere has a trace up to there.
    """

    def __init__(self, file: Writable, *, application: str = "rawfuse", comment: str = "") -> None:
        self._file = file
        # By direction, then by what is not the message or its time.
        self._short: tuple[dict[tuple[object, ...], tuple[bytes, bytes, bytes]], ...] = ({}, {}, {})
        section = struct.pack("<IHHq", _BYTE_ORDER, 1, 0, -1)
        if comment:
            section += _option(1, comment.encode())
        section += _option(4, application.encode()) + _option(0, b"")
        interface = struct.pack("<HHI", LINKTYPE_USER0, 0, 0)
        interface += _option(2, b"fuse") + _option(_TSRESOL, bytes([_NANOSECONDS])) + _option(0, b"")
        file.write(_block(MAGIC, section) + _block(_INTERFACE, interface))

    def write(self, message: Traced) -> None:
        """Adds one message. OSError: the disk."""
        self._file.write(self._encoded(message))

    def write_many(self, messages: Sequence[Traced]) -> None:
        """Adds some, in one piece. OSError: the disk."""
        parts: list[bytes] = []
        short, pack = self._short, _TIME.pack
        for message in messages:
            length = message[3]
            if length > _SHORT or length != len(message[2]):
                parts.append(self._encoded(message))
                continue
            around = short[message[1]].get(message[3:]) or self._around(message)
            time = message[0]
            parts += (around[0], pack(time >> 32 & 0xFFFFFFFF, time & 0xFFFFFFFF), around[1], message[2], around[2])
        self._file.write(b"".join(parts))

    def _around(self, message: Traced) -> tuple[bytes, bytes, bytes]:
        """What stands before the time, between it and the message, and behind: nearly always one of a few."""
        block = self._encoded(message)
        time, data = _EPB_TIME, _EPB.size + PSEUDO_HEADER.size
        around = block[:time], block[time + _TIME.size : data], block[data + len(message.data) :]
        known = self._short[message.direction]
        if len(known) >= _HEADERS_KEPT:
            known.clear()
        known[message[3:]] = around
        return around

    def _encoded(self, message: Traced) -> bytes:
        time, direction, data, length = message[:4]
        rest = b""
        if len(data) > _LARGEST_PACKET - PSEUDO_HEADER.size:
            data, more = data[: _LARGEST_PACKET - PSEUDO_HEADER.size], data[_LARGEST_PACKET - PSEUDO_HEADER.size :]
            rest = _block(_REST, struct.pack("<I", len(more)) + more + _PADDING[-len(more) % 4])
        kept = PSEUDO_HEADER.size + len(data)
        padding = -kept % 4
        size = _EPB.size + kept + padding + _EPB_FLAGS.size
        return (
            rest
            + _EPB.pack(_PACKET, size, 0, time >> 32 & 0xFFFFFFFF, time & 0xFFFFFFFF, kept, PSEUDO_HEADER.size + length)
            + pseudo_header(message)
            + data
            + _PADDING[padding]
            + _EPB_FLAGS.pack(_FLAGS, 4, direction, 0, 0, size)
        )

    def lost(self, messages: int) -> None:
        """Says that so many messages were not kept before this place (isb_osdrop of an Interface Statistics Block)."""
        body = struct.pack("<III", 0, 0, 0) + _option(_DROPPED, struct.pack("<Q", messages)) + _option(0, b"")
        self._file.write(_block(_STATISTICS, body))


class _Interface:
    """What packets of one interface need: the unit of their times."""

    def __init__(self, link: int, options: dict[int, bytes]) -> None:
        self.link = link
        resolution = options.get(_TSRESOL, b"\x06")[0]
        self.per_second: int = 1 << (resolution & 0x7F) if resolution & 0x80 else 10**resolution

    def nanoseconds(self, stamp: int) -> int:
        return stamp * 1_000_000_000 // self.per_second


def read_pcapng(file: Readable, path: str, *, lost: Callable[[int], None] | None = None) -> Iterator[Traced]:
    """The messages of a pcapng file, those of other link types left out. `lost` is told of messages not kept.

    Raises :class:`DamagedTrace` for what is no such file. One that ends too early gives what is whole.
    """
    order = "<"
    interfaces: list[_Interface] = []
    more = b""
    at = 0
    while head := file.read(8):
        if len(head) < 8:
            return
        (kind,) = struct.unpack_from(order + "I", head)
        if kind == MAGIC:
            mark = file.read(4)
            if len(mark) < 4:
                return
            order = _order(mark, path, at)
            interfaces = []
            head += mark
        (size,) = struct.unpack_from(order + "I", head, 4)
        if size < _OF_BLOCK or size % 4 or size > _LARGEST_BLOCK:
            raise DamagedTrace(path, at, f"a block of {size} bytes")
        rest = file.read(size - len(head))
        if len(rest) < size - len(head):
            return
        if struct.unpack_from(order + "I", rest, len(rest) - 4)[0] != size:
            raise DamagedTrace(path, at, "the two lengths of a block differ")
        body = rest[:-4]
        if kind == _INTERFACE:
            if len(body) < 8:
                raise DamagedTrace(path, at, "an interface block ends too early")
            (link,) = struct.unpack_from(order + "H", body)
            interfaces.append(_Interface(link, _options(body[8:], order)))
        elif kind == _PACKET:
            message = _message(body, order, interfaces, path, at, more)
            more = b""
            if message is not None:
                yield message
        elif kind == _REST:
            more = _rest(body, order, path, at)
        elif kind == _STATISTICS and lost is not None:
            dropped = _options(body[12:], order).get(_DROPPED, b"")
            if len(dropped) == 8:
                lost(struct.unpack(order + "Q", dropped)[0])
        elif at == 0 and kind != MAGIC:
            raise DamagedTrace(path, at, "it does not begin as a pcapng file does")
        at += size


def _order(mark: bytes, path: str, at: int) -> str:
    for order in "<>":
        if struct.unpack(order + "I", mark)[0] == _BYTE_ORDER:
            return order
    raise DamagedTrace(path, at + 8, f"the byte-order mark is {mark.hex()}")


def _options(data: bytes, order: str) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at = 0
    while at + 4 <= len(data):
        code, length = struct.unpack_from(order + "HH", data, at)
        if not code:
            break
        found[code] = data[at + 4 : at + 4 + length]
        at += 4 + length + (-length % 4)
    return found


def _rest(body: bytes, order: str, path: str, at: int) -> bytes:
    length = struct.unpack_from(order + "I", body)[0] if len(body) >= 4 else len(body)
    if length > len(body) - 4:
        raise DamagedTrace(path, at, f"a rest of {length} bytes in {len(body)}")
    return body[4 : 4 + length]


def _message(
    body: bytes, order: str, interfaces: list[_Interface], path: str, at: int, more: bytes = b""
) -> Traced | None:
    if len(body) < 20:
        raise DamagedTrace(path, at, "a packet block ends too early")
    number, high, low, captured, original = struct.unpack_from(order + "IIIII", body)
    if number >= len(interfaces):
        raise DamagedTrace(path, at, f"a packet of interface {number}, of which nothing was said")
    if 20 + captured > len(body) or original < captured + len(more):
        raise DamagedTrace(path, at, f"a packet of {captured} bytes, {original} before it was cut, in {len(body)}")
    interface = interfaces[number]
    if interface.link != LINKTYPE_USER0:
        return None
    if captured < PSEUDO_HEADER.size:
        raise DamagedTrace(path, at, f"a message needs a header of {PSEUDO_HEADER.size} bytes; there are {captured}")
    data = body[20 : 20 + captured]
    version, direction, byteorder, minor, connection, descriptor, agreed, program = PSEUDO_HEADER.unpack_from(data)
    if version != _VERSION:
        raise DamagedTrace(path, at, f"a message header of version {version}; this reads version {_VERSION}")
    if direction not in (1, 2) or byteorder not in _ORDERS:
        raise DamagedTrace(path, at, f"direction {direction}, byte order {byteorder}: there are only 1 and 2")
    return Traced(
        interface.nanoseconds(high << 32 | low),
        Direction(direction),
        data[PSEUDO_HEADER.size :] + more,
        original - PSEUDO_HEADER.size,
        connection,
        descriptor,
        minor,
        bool(agreed & _SETXATTR_EXT),
        program.rstrip(b"\0"),
        _ORDERS[byteorder],
    )
