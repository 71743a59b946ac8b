"""Retries of unrestricted ioctls, and the strings of CUSE_INIT."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawfuse.errors import LocalProtocolError, RemoteProtocolError
from rawfuse.wire import (
    CuseInit,
    Ioctl,
    check_reply_size,
    cuse_init_out,
    decode_cuse_info,
    decode_ioctl_retry,
    decode_reply,
    encode_cuse_info,
    encode_ioctl_retry,
    encode_reply,
    fuse_ioctl_in,
    fuse_ioctl_iovec,
    fuse_ioctl_out,
)
from rawfuse.wire.constants import FUSE_IOCTL_COMPAT, FUSE_IOCTL_RETRY, FUSE_IOCTL_UNRESTRICTED

UNRESTRICTED = Ioctl(unique=8, arg=fuse_ioctl_in(flags=FUSE_IOCTL_UNRESTRICTED, arg=0x7000))
COMPAT = Ioctl(unique=8, arg=fuse_ioctl_in(flags=FUSE_IOCTL_UNRESTRICTED | FUSE_IOCTL_COMPAT))
RESTRICTED = Ioctl(unique=8, arg=fuse_ioctl_in(out_size=64))


def iovecs(bits: int) -> st.SearchStrategy[list[fuse_ioctl_iovec]]:
    number = st.integers(0, (1 << bits) - 1)
    return st.lists(st.builds(fuse_ioctl_iovec, number, number), max_size=5)


@given(inputs=iovecs(64), outputs=iovecs(64), minor=st.integers(11, 45))
def test_a_retry_is_read_as_it_was_written(
    inputs: list[fuse_ioctl_iovec], outputs: list[fuse_ioctl_iovec], minor: int
) -> None:
    body = encode_ioctl_retry(UNRESTRICTED, inputs, outputs, minor=minor)
    assert decode_ioctl_retry(UNRESTRICTED, body, minor) == (tuple(inputs), tuple(outputs))
    check_reply_size(UNRESTRICTED, len(body), minor)


@given(inputs=iovecs(32), outputs=iovecs(32), minor=st.integers(11, 45))
def test_a_retry_to_a_32_bit_caller_is_read_as_it_was_written(
    inputs: list[fuse_ioctl_iovec], outputs: list[fuse_ioctl_iovec], minor: int
) -> None:
    body = encode_ioctl_retry(COMPAT, inputs, outputs, minor=minor)
    assert decode_ioctl_retry(COMPAT, body, minor) == (tuple(inputs), tuple(outputs))
    assert len(body) == 16 + (len(inputs) + len(outputs)) * (16 if minor >= 16 else 8)


def test_a_retry_names_what_to_read_before_what_to_write() -> None:
    body = encode_ioctl_retry(UNRESTRICTED, [fuse_ioctl_iovec(0x7000, 4)], [fuse_ioctl_iovec(0x8000, 8)])
    assert body == struct.pack("=iIII", 0, FUSE_IOCTL_RETRY, 1, 1) + struct.pack("=QQQQ", 0x7000, 4, 0x8000, 8)


def test_an_answer_is_no_retry() -> None:
    assert decode_ioctl_retry(UNRESTRICTED, fuse_ioctl_out(result=5).pack() + b"data") is None


def test_a_restricted_ioctl_is_not_retried() -> None:
    with pytest.raises(LocalProtocolError, match="restricted"):
        encode_ioctl_retry(RESTRICTED, [], [])
    with pytest.raises(RemoteProtocolError, match="restricted") as caught:
        decode_ioctl_retry(RESTRICTED, fuse_ioctl_out(flags=FUSE_IOCTL_RETRY).pack())
    assert caught.value.unique == 8


@pytest.mark.parametrize(("reads", "writes"), [(257, 0), (0, 257), (200, 57)])
def test_more_than_256_iovecs_are_refused(reads: int, writes: int) -> None:
    many = [fuse_ioctl_iovec()] * 257
    with pytest.raises(LocalProtocolError, match="256 are the most"):
        encode_ioctl_retry(UNRESTRICTED, many[:reads], many[:writes])
    with pytest.raises(RemoteProtocolError, match="256 are the most"):
        decode_ioctl_retry(UNRESTRICTED, fuse_ioctl_out(flags=FUSE_IOCTL_RETRY, in_iovs=reads, out_iovs=writes).pack())


def test_256_iovecs_are_taken_and_fit_the_first_reply() -> None:
    body = encode_ioctl_retry(UNRESTRICTED, [fuse_ioctl_iovec(1, 1)] * 255, [])
    check_reply_size(UNRESTRICTED, len(body), 45)


def test_memory_beyond_a_32_bit_caller_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="32-bit"):
        encode_ioctl_retry(COMPAT, [fuse_ioctl_iovec(1 << 32, 4)], [])


@pytest.mark.parametrize("extra", [-1, 1, 16])
def test_a_list_of_another_length_than_its_count_is_refused(extra: int) -> None:
    body = encode_ioctl_retry(UNRESTRICTED, [fuse_ioctl_iovec(1, 2)] * 2, [])
    with pytest.raises(RemoteProtocolError, match="2 iovecs are 32 bytes"):
        decode_ioctl_retry(UNRESTRICTED, (body + bytes(16))[: len(body) + extra])


def test_a_restricted_answer_has_no_more_room_than_its_command_announces() -> None:
    check_reply_size(RESTRICTED, 16 + 64, 45)
    with pytest.raises(LocalProtocolError):
        check_reply_size(RESTRICTED, 16 + 65, 45)


@given(st.binary(max_size=80))
def test_no_body_of_ioctl_does_more_than_be_refused(body: bytes) -> None:
    for request in (UNRESTRICTED, COMPAT, RESTRICTED):
        for minor in (11, 45):
            try:
                decode_ioctl_retry(request, body, minor)
            except RemoteProtocolError as error:
                assert error.unique == 8


def test_cuse_init_is_answered_with_a_struct_and_strings() -> None:
    out = cuse_init_out(major=7, minor=45, max_read=4096, max_write=4096, dev_major=240)
    info = encode_cuse_info({"DEVNAME": "toaster"})
    body = encode_reply(CuseInit(unique=2), out.pack() + info)
    value: Any = decode_reply(CuseInit(unique=2), body)
    assert value == out
    assert body[cuse_init_out.SIZE :] == b"DEVNAME=toaster\0"
    assert decode_cuse_info(body[cuse_init_out.SIZE :]) == {"DEVNAME": "toaster"}


words = st.text(st.characters(exclude_characters="=\0", exclude_categories=["Cs"]), min_size=1, max_size=9).map(
    str.strip
)


@given(st.dictionaries(words.filter(bool), words, max_size=4), words.filter(bool))
def test_cuse_strings_are_read_as_they_were_written(info: dict[str, str], device: str) -> None:
    info = {**info, "DEVNAME": device}
    assert decode_cuse_info(encode_cuse_info(info)) == info


@pytest.mark.parametrize(
    "info", [{}, {"DEVNAME": " "}, {"DEVNAME": "a", "": "b"}, {"DEVNAME": "a\0b"}, {"DEVNAME": "a", "b=": "c"}]
)
def test_cuse_strings_that_make_no_device_are_not_written(info: dict[str, str]) -> None:
    with pytest.raises(LocalProtocolError, match="CUSE_INIT"):
        encode_cuse_info(info)


def test_cuse_strings_have_at_most_4096_bytes() -> None:
    with pytest.raises(LocalProtocolError, match="4096 are the most"):
        encode_cuse_info({"DEVNAME": "a" * 4096})
    with pytest.raises(RemoteProtocolError, match="4096 are the most"):
        decode_cuse_info(b"DEVNAME=" + b"a" * 4088 + b"\0")
    assert len(decode_cuse_info(b"DEVNAME=" + b"a" * 4087 + b"\0")["DEVNAME"]) == 4087


@pytest.mark.parametrize("data", [b"", b"DEVNAME=a", b"\0", b"=a\0", b"OTHER=a\0", b"DEVNAME=\0"])
def test_cuse_strings_that_make_no_device_are_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="CUSE_INIT"):
        decode_cuse_info(data)
