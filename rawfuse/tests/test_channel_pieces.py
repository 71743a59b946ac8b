"""Replies in pieces: put together, and what comes between."""

from __future__ import annotations

import itertools
import sys

import pytest

from rawfuse.channel.pieces import Pieces, is_large
from rawfuse.wire import Lookup, Read, fuse_out_header, fuse_read_in
from rawfuse.wire.requests import encode_request


def reply(unique: int, data: bytes, length: int | None = None) -> bytes:
    length = fuse_out_header.SIZE + len(data) if length is None else length
    return fuse_out_header(len=length, unique=unique).pack() + data


def given(pieces: Pieces, message: bytes) -> bytes | None:
    found = pieces.whole(memoryview(message))
    return None if found is None else bytes(found)


@pytest.mark.parametrize("data", [b"", b"data", bytes(200_000)])
def test_what_is_whole_stays_as_it_is(data: bytes) -> None:
    message = memoryview(reply(2, data))
    assert Pieces({2}).whole(message) is message


@pytest.mark.parametrize("size", [65536, 131072, 1 << 20])
def test_pieces_of_sixteen_pages_become_one(size: int) -> None:
    message = reply(2, bytes(range(256)) * (size >> 8))
    pieces = Pieces({2})
    cuts = [0, *range(61456, len(message), 65536), len(message)]
    found = [given(pieces, message[start:end]) for start, end in itertools.pairwise(cuts)]
    assert found[:-1] == [None] * (len(found) - 1)
    assert found[-1] == message
    assert pieces.missing == 0


def test_a_short_reply_may_come_between() -> None:
    message, short = reply(2, bytes(100_000)), reply(4, b"short")
    pieces = Pieces({2, 4})
    assert given(pieces, message[:61456]) is None
    assert pieces.missing == len(message) - 61456
    assert given(pieces, short) == short
    assert given(pieces, message[61456:]) == message


def test_data_that_looks_like_a_reply_to_nobody_is_data() -> None:
    inside = reply(99, bytes(4096 - 16))
    message = reply(2, bytes(61440) + inside)
    pieces = Pieces({2})
    assert given(pieces, message[:61456]) is None
    assert given(pieces, inside) == message


@pytest.mark.parametrize("length", [17, 5000, (1 << 20) + (1 << 17) + 1, 1 << 31])
def test_a_wrong_length_is_not_waited_for(length: int) -> None:
    message = reply(2, bytes(64), length)
    assert given(Pieces({2}), message) == message


def test_less_than_a_header_is_passed_on() -> None:
    assert given(Pieces({2}), (9999).to_bytes(4, sys.byteorder)) is not None


def test_long_replies_may_mix_until_one_came_whole() -> None:
    spliced, written = Pieces({2}), Pieces({2})
    assert spliced.may_mix
    assert written.may_mix
    given(written, reply(2, bytes(1000)))
    assert written.may_mix
    given(written, reply(2, bytes(200_000)))
    assert not written.may_mix
    message = reply(2, bytes(200_000))
    given(spliced, message[:61456])
    given(spliced, message[61456:])
    given(spliced, message)
    assert spliced.may_mix


def test_only_a_long_read_may_have_a_reply_in_pieces() -> None:
    reads = [encode_request(Read(arg=fuse_read_in(size=size)), 45) for size in (61440, 61441)]
    assert [is_large(Read.opcode, one) for one in reads] == [False, True]
    assert not is_large(Read.opcode, reads[1][:50])
    assert not is_large(Lookup.opcode, encode_request(Lookup(name=bytes(255).replace(b"\0", b"x")), 45))
