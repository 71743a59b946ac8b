"""The quick decoders and encoders against the complete ones."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawfuse.errors import RemoteProtocolError
from rawfuse.tests.wire_samples import few, requests
from rawfuse.wire import decode_request, encode_request
from rawfuse.wire import requests as encoding
from rawfuse.wire._generated import _QUICK, ENCODERS, REQUESTS, _decode_any
from rawfuse.wire.opcodes import OPERATIONS, Operation


def outcome(decode: Any, buffer: bytearray, length: int, minor: int, setxattr_ext: bool) -> Any:
    try:
        return decode(buffer, length, minor, setxattr_ext)
    except RemoteProtocolError as error:
        return type(error), str(error), error.unique


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
@few
@given(data=st.data())
def test_both_decoders_say_the_same_of_a_message_and_of_a_damaged_one(
    operation: Operation, data: st.DataObject
) -> None:
    message = bytearray(encode_request(data.draw(requests(operation))))
    minor = data.draw(st.sampled_from([8, 11, 36, 45]))
    extended = data.draw(st.booleans())
    for place, value in data.draw(
        st.lists(st.tuples(st.integers(0, len(message) - 1), st.integers(0, 255)), max_size=2)
    ):
        message[place] = value
    length = data.draw(st.integers(0, len(message)) | st.just(len(message)))
    quick = outcome(decode_request, message, length, minor, extended)
    assert quick == outcome(_decode_any, message, length, minor, extended)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
@few
@given(data=st.data())
def test_both_encoders_write_the_same(operation: Operation, data: st.DataObject) -> None:
    request = data.draw(requests(operation))
    message = encode_request(request)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoding, "ENCODERS", {})
        assert encode_request(request) == message


def test_every_request_but_init_and_lists_has_the_quick_way() -> None:
    complete = {cls.__name__ for cls in REQUESTS.values()} - {cls.__name__ for cls in ENCODERS}
    assert complete == {"Init", "CuseInit", "BatchForget", "RemoveMapping"}
    quick = sum(decoder is not _decode_any for decoder in _QUICK)
    assert quick == len(ENCODERS) == len(OPERATIONS) - 4


def test_a_buffer_without_an_opcode_is_refused() -> None:
    with pytest.raises(RemoteProtocolError):
        decode_request(bytearray(3), 3, 45, True)
