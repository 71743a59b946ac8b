"""CARs, read in any division, and what is none."""

from __future__ import annotations

import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfs.car import MAX_SECTION, Block, CARReader, Header, MalformedCAR, encode_header, encode_section
from mfs.unixfs.cid import CID, DAG_PB, RAW, cid_v0, cid_v1
from mfs.unixfs.varint import encode_uvarint


def raw(data: bytes) -> CID:
    return cid_v1(RAW, hashlib.sha256(data).digest())


BLOCKS = [(raw(data), data) for data in (b"", b"one", b"two" * 100, b"x" * 70_000)]
ROOTS = [cid_v0(hashlib.sha256(b"r").digest()), cid_v1(DAG_PB, hashlib.sha256(b"s").digest())]
V1 = encode_header(ROOTS) + b"".join(encode_section(*block) for block in BLOCKS)
PRAGMA = bytes.fromhex("0aa16776657273696f6e02")


def v2(inner: bytes, padding: int = 0, index: bytes = b"") -> bytes:
    start = 51 + padding
    header = struct.pack("<16xQQQ", start, len(inner), start + len(inner) if index else 0)
    return PRAGMA + header + bytes(padding) + inner + index


def read(data: bytes, step: int = 0) -> list[Header | Block]:
    reader, got = CARReader(), []
    for start in range(0, len(data), step or len(data) or 1):
        reader.feed(data[start : start + (step or len(data))])
        while (found := reader.next()) is not None:
            got.append(found)
    reader.finish()
    return got


def test_the_header_is_the_bytes_that_others_write() -> None:
    # {"roots": [bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e], "version": 1}, as kubo 0.43 writes it
    digest = hashlib.sha256(b"hello world").hexdigest()
    expected = "3aa265726f6f747381d82a5825000155 1220".replace(" ", "") + digest + "6776657273696f6e01"
    assert encode_header([raw(b"hello world")]).hex() == expected


@pytest.mark.parametrize("step", [0, 1, 7, 4096])
def test_what_was_written_is_read(step: int) -> None:
    expected = [Header(1, tuple(ROOTS)), *(Block(*block) for block in BLOCKS)]
    assert read(V1, step) == expected


@pytest.mark.parametrize("step", [0, 1, 13])
@pytest.mark.parametrize(("padding", "index"), [(0, b""), (77, b""), (0, b"index of some kind"), (5, b"\xff" * 99)])
def test_version_2_is_read_through_to_its_blocks(step: int, padding: int, index: bytes) -> None:
    got = read(v2(V1, padding, index), step)
    assert got == [Header(2, tuple(ROOTS)), *(Block(*block) for block in BLOCKS)]


@pytest.mark.parametrize("count", [0, 1, 23, 24, 300])
def test_any_number_of_roots(count: int) -> None:
    roots = [raw(b"%d" % number) for number in range(count)]
    assert read(encode_header(roots)) == [Header(1, tuple(roots))]


@pytest.mark.parametrize("cut", range(0, len(encode_header(ROOTS)) + 40, 3))
def test_a_file_that_is_cut_short_is_refused(cut: int) -> None:
    data = encode_header(ROOTS) + encode_section(*BLOCKS[2])
    with pytest.raises(MalformedCAR):
        read(data[:cut] if data[:cut] != encode_header(ROOTS) else data[: cut - 1])


def prefixed(header: bytes) -> bytes:
    return encode_uvarint(len(header)) + header


@pytest.mark.parametrize(
    "data",
    [
        b"\0",
        b"\x80" * 10,
        b"\x81\x00",
        encode_uvarint(1 << 40),
        prefixed(b"\xa0"),
        prefixed(b"\xa1\x67version\x01"),
        prefixed(b"\xa2\x65roots\x80\x67version\x03"),
        prefixed(b"\xa2\x65roots\x80\x67version\xf5"),
        prefixed(b"\xa2\x65roots\x80\x65roots\x80"),
        prefixed(b"\xa2\x65roots\x81\x01\x67version\x01"),
        prefixed(b"\xa2\x65roots\x9f\xff\x67version\x01"),
        prefixed(b"\xa2\x65roots\x9b" + b"\xff" * 8 + b"\x67version\x01"),
        prefixed(b"\xa2\x65roots\x80\x67version\x01\0"),
        encode_header(ROOTS) + b"\0",
        encode_header(ROOTS) + encode_uvarint(MAX_SECTION + 1),
        encode_header(ROOTS) + prefixed(b"\x01\x55\x12\x21" + bytes(33)),
        encode_header(ROOTS) + prefixed(b"\x02\x55\x12\x20" + bytes(32)),
        PRAGMA + struct.pack("<16xQQQ", 3, 100, 0) + bytes(200),
        PRAGMA + struct.pack("<16xQQQ", 51, 0, 0),
        PRAGMA + struct.pack("<16xQQQ", 51, (1 << 64) - 1, 0) + V1,
        PRAGMA + struct.pack("<16xQQQ", 51, len(V1) - 1, 0) + V1,
        PRAGMA + struct.pack("<16xQQQ", 51, 20, 0) + PRAGMA + bytes(40),
    ],
)
def test_what_is_no_car_is_refused(data: bytes) -> None:
    for step in (0, 1):
        with pytest.raises(MalformedCAR):
            read(data, step)


@given(st.binary(max_size=200))
def test_nothing_but_a_typed_error_comes_of_any_bytes(data: bytes) -> None:
    for start in (b"", PRAGMA, encode_header(ROOTS)):
        try:
            read(start + data)
        except MalformedCAR:
            pass


def test_memory_is_that_of_one_section() -> None:
    reader = CARReader()
    reader.feed(encode_header(ROOTS))
    assert reader.next() is not None
    for number in range(50):
        data = bytes([number]) * 100_000
        reader.feed(encode_section(raw(data), data))
        assert reader.next() is not None
        reader.feed(b"")
        assert len(reader._buffer) == 0
