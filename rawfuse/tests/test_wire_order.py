"""Messages of a machine of the other byte order are recognized and refused."""

from __future__ import annotations

import errno
import struct
import sys

import pytest
import trio

from rawfuse import Filesystem, Server
from rawfuse import wire as w
from rawfuse.channel import ChannelClosed, seqpacket_pair
from rawfuse.errors import ForeignByteOrder, RemoteProtocolError
from rawfuse.session.server_session import ServerSession
from rawfuse.tests.faked import failing, served
from rawfuse.tests.waiting import PATIENCE
from rawfuse.wire import decode_reply_header, decode_request

OTHER = ">" if sys.byteorder == "little" else "<"


def foreign(opcode: int, body: bytes) -> bytearray:
    """A request as a machine of the other byte order writes it."""
    return bytearray(struct.pack(OTHER + "IIQQIIIHH", 40 + len(body), opcode, 2, 0, 0, 0, 0, 0, 0) + body)


def foreign_init() -> bytearray:
    return foreign(26, struct.pack(OTHER + "IIIII", 7, 45, 1 << 17, 1, 0) + bytes(44))


@pytest.mark.parametrize("message", [foreign_init(), foreign(4096, struct.pack(OTHER + "IIII", 7, 45, 0, 1))])
def test_init_of_the_other_byte_order_is_refused_by_name(message: bytearray) -> None:
    with pytest.raises(ForeignByteOrder, match=f"this machine is {sys.byteorder}-endian") as caught:
        decode_request(message, len(message), 0, False)
    assert caught.value.unique is None


def test_a_session_refuses_it_and_has_nothing_to_say() -> None:
    session = ServerSession()
    message = foreign_init()
    with pytest.raises(ForeignByteOrder) as refused:
        session.receive(message, len(message))
    assert session.refused is refused.value
    assert session.outgoing == [] and session.negotiated is None


async def test_serving_ends_with_it_unanswered() -> None:
    ours, theirs = seqpacket_pair()
    ours.send_bytes(bytes(foreign_init()))
    with trio.fail_after(PATIENCE), pytest.raises(ForeignByteOrder, match="byte order"):
        await Server(Filesystem(), theirs).serve()
    with pytest.raises(ChannelClosed):
        ours.receive_nowait(bytearray(8192))
    ours.close()


async def test_after_an_init_of_its_own_a_session_goes_on() -> None:
    async with served(Filesystem()) as kernel:
        kernel.channel.send_bytes(bytes(foreign_init()))
        assert await failing(kernel, w.StatFs(nodeid=1)) == errno.ENOSYS


def test_a_reply_of_the_other_byte_order_is_refused_by_name() -> None:
    reply = struct.pack(OTHER + "IiQ", 24, 0, 2) + bytes(8)
    with pytest.raises(ForeignByteOrder):
        decode_reply_header(reply, len(reply))


def test_a_wrong_length_alone_is_no_other_byte_order() -> None:
    message = foreign_init()
    message[0:4] = struct.pack("=I", 103)
    with pytest.raises(RemoteProtocolError, match="103 bytes") as caught:
        decode_request(message, len(message), 0, False)
    assert not isinstance(caught.value, ForeignByteOrder)
