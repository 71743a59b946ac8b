"""The kernel's role: whatever a server writes, a typed error or a result; no request is lost by it."""

from __future__ import annotations

from struct import Struct
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from rawfuse import wire as w
from rawfuse.errors import RemoteProtocolError
from rawfuse.session import KernelSession
from rawfuse.session.kernel_session import Answered
from rawfuse.tests.hostility import Step, any_request, hostile_notifications, steps, tampered
from rawfuse.tests.wire_samples import structs
from rawfuse.wire.opcodes import BY_OPCODE
from rawfuse.wire.replies import answered, reply_sizes
from rawfuse.wire.versions import NOT_SENT_BELOW

_out: Final = Struct("=IiQ")
_LONGEST: Final = 600


def connected(minor: int = 45) -> KernelSession:
    session = KernelSession()
    session.init()
    body = w.fuse_init_out(major=7, minor=minor, flags=0x40000000, max_write=4096).pack()
    session.receive(_out.pack(16 + len(body), 0, 2) + body)
    return session


@st.composite
def asked_and_answered(draw: st.DrawFn) -> tuple[w.Request, bytes]:
    """A request and the body of a reply that is right in size."""
    usual = (request for request in [draw(any_request)] if answered(request.opcode) and request.opcode != 26)
    request = next(usual, None) or w.ReadDirPlus(arg=w.fuse_read_in(size=500))
    least, most = reply_sizes(request, 45)
    body = b"".join(draw(structs(name)).pack() for name in BY_OPCODE[request.opcode].reply.structs)
    body += draw(st.binary(max_size=60))
    size = max(least, min(most, _LONGEST, len(body)))
    return request, body[:size].ljust(least, b"\0")


@settings(max_examples=400, deadline=None)
@given(asked_and_answered(), st.lists(steps, max_size=3), st.booleans(), st.sampled_from((45, 28, 8)))
def test_a_reply_is_taken_or_refused_and_its_request_is_not_lost(
    exchange: tuple[w.Request, bytes], changes: list[Step], mend: bool, minor: int
) -> None:
    request, body = exchange
    session = connected(max(minor, NOT_SENT_BELOW.get(BY_OPCODE[request.opcode].name, 0)))
    session.request(request)
    unique = request.unique
    message = tampered(_out.pack(16 + len(body), 0, unique) + body, changes, mend)
    try:
        what = session.receive(message)
    except RemoteProtocolError as error:
        if unique not in session.pending:
            assert error.unique == unique
            return
    else:
        if isinstance(what, Answered):
            assert what.request is request
            assert not session.pending
            return
    session.take_outgoing()
    (unique,) = session.pending
    late = session.receive(_out.pack(16, -5, unique))
    assert isinstance(late, Answered)
    assert late.errno == 5


@settings(max_examples=300, deadline=None)
@given(st.lists(hostile_notifications, min_size=1, max_size=5))
def test_a_notification_is_taken_or_refused(messages: list[bytes]) -> None:
    session = connected()
    for message in messages:
        try:
            what = session.receive(message)
        except RemoteProtocolError as error:
            assert str(error)
        else:
            assert isinstance(what, w.Notification)


@settings(max_examples=200, deadline=None)
@given(structs("fuse_init_out"), st.lists(steps, max_size=2), st.booleans())
def test_a_hostile_answer_to_init_is_agreed_on_or_refused(
    answer: w.fuse_init_out, changes: list[Step], mend: bool
) -> None:
    session = KernelSession()
    session.init()
    body = answer.pack()
    message = tampered(_out.pack(16 + len(body), 0, 2) + body, changes, mend)
    try:
        session.receive(message)
    except RemoteProtocolError as error:
        assert str(error)
    assert session.agreed is None or session.agreed.major == 7
