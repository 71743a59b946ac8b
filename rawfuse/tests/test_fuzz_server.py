"""The server's role: whatever comes, it goes on; whatever can be answered is; what a handler returns is not trusted."""

from __future__ import annotations

import errno
import logging
import sys
from struct import Struct
from typing import Any, Final

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from rawfuse import Filesystem, Server
from rawfuse import wire as w
from rawfuse.channel import SeqpacketChannel, seqpacket_pair
from rawfuse.errors import RemoteProtocolError
from rawfuse.session import ServerSession
from rawfuse.tests.hostility import hostile_requests
from rawfuse.tests.wire_samples import names, structs
from rawfuse.wire.opcodes import BY_OPCODE, OPERATIONS
from rawfuse.wire.replies import check_reply_size, reply_sizes

_head: Final = Struct("=IIQ")
_out: Final = Struct("=IiQ")
_INIT: Final = w.encode_request(w.Init(unique=2, arg=w.fuse_init_in(7, 45, 0, 0x73FFFFFB, 0x7FD)))
_LAST: Final = w.encode_request(w.StatFs(unique=1 << 40))
_SILENT: Final = ("none", "optional")


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)


class Every(Filesystem):
    """Answers every operation; with `value`, or else with as few bytes as make a good reply."""

    def __init__(self, value: object = ...) -> None:
        self.value = value
        for operation in OPERATIONS:
            if operation.reply.kind not in _SILENT and operation.request not in ("Init", "Destroy"):
                setattr(self, operation.label.lower(), self.handle)

    def handle(self, request: w.Request) -> Any:
        return bytes(reply_sizes(request, 45)[0]) if self.value is ... else self.value


async def exchanged(filesystem: Filesystem, messages: list[bytes]) -> list[bytes]:
    """What a server of `filesystem` says to INIT, to these messages and to a STATFS that comes last."""
    ours, theirs = seqpacket_pair()
    said: list[bytes] = []
    buffer = bytearray(1 << 17)
    try:
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                await nursery.start(Server(filesystem, theirs, max_write=1 << 16).serve)
                for message in [_INIT, *messages, _LAST]:
                    ours.send_bytes(message)
                    await trio.lowlevel.checkpoint()
                while not said or _out.unpack_from(said[-1])[2] != 1 << 40:
                    said.append(await received(ours, buffer))
                nursery.cancel_scope.cancel()
    finally:
        ours.close()
    return said


async def received(channel: SeqpacketChannel, buffer: bytearray) -> bytes:
    while (length := channel.receive_nowait(buffer)) is None:
        await channel.wait()
    return bytes(buffer[:length])


@settings(max_examples=150, deadline=None)
@given(st.lists(hostile_requests, min_size=1, max_size=12))
def test_whatever_comes_is_answered_and_the_server_goes_on(messages: list[bytes]) -> None:
    stamped = []
    for number, message in enumerate(messages):
        unique = 1000 + 2 * number
        made = bytearray(message)
        made[8:16] = unique.to_bytes(8, sys.byteorder) if len(made) >= 16 else made[8:16]
        stamped.append(bytes(made))
    replies = {unique: error for _, error, unique in map(_out.unpack_from, trio.run(exchanged, Every(), stamped))}
    for number, message in enumerate(stamped):
        if len(message) < 40:
            continue
        opcode = _head.unpack_from(message)[1]
        operation = BY_OPCODE.get(opcode)
        unique = 1000 + 2 * number
        if operation is None or operation.reply.kind not in _SILENT:
            assert -replies.pop(unique) in (0, errno.EIO, errno.EINVAL, errno.ENOSYS)
        elif operation.reply.kind == "none":
            assert unique not in replies
    assert replies[1 << 40] == 0


@given(hostile_requests)
def test_a_session_says_what_is_wrong_and_whether_it_can_be_answered(message: bytes) -> None:
    session = ServerSession()
    session.receive(bytearray(_INIT), len(_INIT))
    try:
        request = session.receive(bytearray(message), len(message))
    except RemoteProtocolError as error:
        assert str(error)
        assert error.unique is None or error.unique == _head.unpack_from(message)[2]
    else:
        assert request is not None
        assert (request.opcode, request.unique) == _head.unpack_from(message)[1:]


parts = st.one_of(
    st.binary(max_size=300),
    st.binary(max_size=20).map(bytearray),
    st.binary(max_size=20).map(lambda raw: memoryview(raw)),
)
returned = st.one_of(
    st.none(),
    st.integers(),
    st.text(max_size=3),
    parts,
    st.sampled_from(sorted(w.STRUCTS)).flatmap(structs),
    st.lists(st.one_of(parts, st.none(), structs("fuse_entry_out"), structs("fuse_open_out")), max_size=3),
    st.binary(min_size=2, max_size=300).map(lambda raw: memoryview(raw)[::2]),
    st.builds(w.fuse_attr_out, attr_valid=st.one_of(st.integers(), st.text(max_size=2))),
    st.builds(object),
)
REQUESTS: Final[tuple[w.Request, ...]] = (
    w.Lookup(name=b"n"),
    w.GetAttr(),
    w.Open(),
    w.Read(arg=w.fuse_read_in(size=100)),
    w.ReadLink(),
    w.Create(name=b"n"),
    w.Release(),
    w.GetXAttr(name=b"n"),
    w.GetXAttr(arg=w.fuse_getxattr_in(size=20), name=b"n"),
    w.ReadDir(arg=w.fuse_read_in(size=200)),
    w.Ioctl(arg=w.fuse_ioctl_in(out_size=8)),
    w.Write(data=b"data"),
)


@settings(max_examples=150, deadline=None)
@given(returned)
def test_what_a_handler_returns_goes_out_well_formed_or_becomes_eio(value: object) -> None:
    messages = []
    for number, request in enumerate(REQUESTS):
        request.unique = 1000 + 2 * number
        messages.append(w.encode_request(request))
    replies = trio.run(exchanged, Every(value), messages)
    by_unique = {_out.unpack_from(reply)[2]: reply for reply in replies}
    for request in REQUESTS:
        reply = by_unique[request.unique]
        length, error, _ = _out.unpack_from(reply)
        assert length == len(reply)
        if error:
            assert (error, length) == (-errno.EIO, 16)
        else:
            check_reply_size(request, length - 16, 45)


@given(names, st.integers(0, 1 << 64))
def test_a_malformed_notify_reply_is_never_answered(name: bytes, unique: int) -> None:
    message = w.encode_request(w.NotifyReply(unique=unique % (1 << 64), data=memoryview(name)))[:-1]
    made = len(message).to_bytes(4, sys.byteorder) + message[4:]
    session = ServerSession()
    session.receive(bytearray(_INIT), len(_INIT))
    with pytest.raises(RemoteProtocolError) as refused:
        session.receive(bytearray(made), len(made))
    assert refused.value.unique is None


def test_a_reply_that_is_too_long_for_the_socket_becomes_eio() -> None:
    request = w.Read(unique=100, arg=w.fuse_read_in(size=40 << 20))
    replies = trio.run(exchanged, Every(bytes(40 << 20)), [w.encode_request(request)])
    assert _out.pack(16, -errno.EIO, 100) in replies
