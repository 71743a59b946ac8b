"""What a session in the kernel's role does not send leaves nothing behind."""

from __future__ import annotations

import pytest

from rawfuse.errors import LocalProtocolError
from rawfuse.session import KernelSession
from rawfuse.wire import Lookup, encode_reply, fuse_init_out, fuse_out_header
from rawfuse.wire.base import Request


@pytest.fixture
def session() -> KernelSession:
    made = KernelSession()
    made.init()
    init = next(iter(made.pending.values()))
    body = encode_reply(init, fuse_init_out(major=7, minor=45))
    made.receive(fuse_out_header.pack_flat(16 + len(body), 0, init.unique) + body)
    return made


@pytest.mark.parametrize("request_", [Lookup(name=b""), Lookup(name=b"a\0b")])
def test_a_request_that_cannot_be_sent_takes_no_unique_and_is_not_pending(
    session: KernelSession, request_: Request
) -> None:
    with pytest.raises(LocalProtocolError):
        session.request(request_)
    assert session.pending == {}
    good = Lookup(name=b"a")
    session.request(good)
    assert good.unique == 4
    assert session.pending == {4: good}
