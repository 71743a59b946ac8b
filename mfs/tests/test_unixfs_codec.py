"""CIDs, dag-pb and UnixFS messages there and back, and what is malformed."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mfs.unixfs.cid import (
    CID,
    DAG_PB,
    RAW,
    check_cid,
    cid_str,
    cid_v0,
    cid_v1,
    codec_of,
    identity_data,
    multihash_of,
    parse_cid,
    read_cid,
    verify_block,
)
from mfs.unixfs.dagpb import (
    PBLink,
    PBNode,
    decode_link,
    decode_node,
    encode_frame,
    encode_node,
    join_node,
    peek_frame,
    split_node,
)
from mfs.unixfs.data import DataType, Mtime, UnixFSData, decode_data, encode_data
from mfs.unixfs.directory import entries, lookup
from mfs.unixfs.errors import InvalidCID, MalformedBlock, UnixFSError, UnsupportedHash, WrongKind
from mfs.unixfs.layout import leaf_wrapping
from mfs.unixfs.murmur3 import murmur3_x64_64
from mfs.unixfs.nodes import NodeCache, decode_block, leaf_data
from mfs.unixfs.profile import PROFILES
from mfs.unixfs.reader import leaves
from mfs.unixfs.symlink import symlink_block
from mfs.unixfs.varint import encode_uvarint, read_strict_uvarint, read_uvarint

DIGESTS = st.binary(min_size=32, max_size=32)
CIDS = st.one_of(
    DIGESTS.map(cid_v0),
    st.builds(cid_v1, st.sampled_from([RAW, DAG_PB, 0x71, 0x0200]), DIGESTS),
    st.binary(max_size=127).map(lambda data: CID(b"\x01\x55\x00" + encode_uvarint(len(data)) + data)),
)
LINKS = st.builds(PBLink, CIDS, st.binary(max_size=200), st.none() | st.integers(0, 2**64 - 1))
MTIMES = st.builds(Mtime, st.integers(-(2**63), 2**63 - 1), st.integers(0, 999_999_999))
NUMBERS = st.none() | st.integers(0, 2**64 - 1)
MESSAGES = st.builds(
    UnixFSData,
    st.sampled_from(DataType),
    st.none() | st.binary(max_size=200),
    NUMBERS,
    st.lists(st.integers(0, 2**64 - 1), max_size=5),
    NUMBERS,
    NUMBERS,
    st.integers(0, 2**32 - 1),
    st.none() | MTIMES,
)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (b"", 0),
        (b"470.txt", 0x006E88DF5847E67C),
        (b"The quick brown fox jumps over the lazy dog", 0xE34BBC7BBC071B6C),
        (b"hello", 0xCBD8A7B341BD9B02),
        (b"hello, world", 0x342FAC623A5EBC8E),
    ],
)
def test_murmur3_gives_the_reference_hashes(key: bytes, expected: int) -> None:
    assert murmur3_x64_64(key) == expected


@given(CIDS)
def test_a_cid_survives_its_text(cid: CID) -> None:
    assert parse_cid(cid_str(cid)) == cid
    assert check_cid(bytes(cid)) == cid
    assert read_cid(b"xx" + cid + b"yy", 2) == (cid, 2 + len(cid))
    assert cid.endswith(multihash_of(cid))


@given(st.binary(max_size=60))
def test_bytes_are_a_cid_or_an_invalid_one(binary: bytes) -> None:
    try:
        cid = check_cid(binary)
    except InvalidCID:
        return
    assert cid == binary
    assert parse_cid(cid_str(cid)) == cid
    codec_of(cid)


@given(st.text(max_size=70) | st.from_regex(r"[bBzkKfF][0-9a-zA-Z]{0,70}", fullmatch=True))
@example("Qm" + "1" * 44)
@example("Qm" + "z" * 44)
def test_text_is_a_cid_or_an_invalid_one(text: str) -> None:
    try:
        cid = parse_cid(text)
    except InvalidCID:
        return
    assert check_cid(cid) == cid


@pytest.mark.parametrize(
    ("binary", "why"),
    [
        (b"", "no end"),
        (b"\x02\x55\x12\x20" + bytes(32), "version 2"),
        (b"\x01\x55\x12\x20" + bytes(31), "31 are there"),
        (b"\x01\x55\x12\x20" + bytes(33), "1 bytes follow"),
        (b"\x01\xd5\x00\x12\x20" + bytes(32), "shortest form"),
        (b"\x01\x55\x00\x81\x01" + bytes(129), "at most 128"),
        (b"\x01\x55\x12\x21" + bytes(33), "sha2-256 digest has 32"),
        (b"\x12\x20" + bytes(31), "34 bytes"),
    ],
)
def test_what_is_wrong_with_a_cid_is_said(binary: bytes, why: str) -> None:
    with pytest.raises(InvalidCID, match=why):
        check_cid(binary)


def test_the_same_cid_in_other_bases() -> None:
    cid = cid_v1(RAW, hashlib.sha256(b"hello world").digest())
    assert parse_cid("f" + cid.hex()) == parse_cid("F" + cid.hex().upper()) == parse_cid(cid_str(cid).upper()) == cid
    with pytest.raises(InvalidCID, match="one case"):
        parse_cid("bAFKREI")


def test_a_block_is_held_against_its_cid() -> None:
    data = b"hello world"
    sha512 = check_cid(b"\x01\x55\x13\x40" + hashlib.sha512(data).digest())
    blake = check_cid(b"\x01\x55\xa0\xe4\x02\x20" + hashlib.blake2b(data, digest_size=32).digest())
    identity = check_cid(b"\x01\x55\x00\x0b" + data)
    for cid in (cid_v1(RAW, hashlib.sha256(data).digest()), sha512, blake, identity):
        assert verify_block(cid, data)
        assert not verify_block(cid, data + b"!")
    assert identity_data(identity) == data
    assert identity_data(sha512) is None
    with pytest.raises(UnsupportedHash):
        verify_block(check_cid(b"\x01\x55\x12\x04" + bytes(4)), data)
    with pytest.raises(UnsupportedHash):
        verify_block(check_cid(b"\x01\x55\x1e\x20" + bytes(32)), data)


@given(st.integers(0, 2**64 - 1))
def test_numbers_there_and_back(value: int) -> None:
    encoded = encode_uvarint(value)
    assert read_uvarint(b"x" + encoded + b"x", 1) == (value, 1 + len(encoded))
    if value < 2**63:
        assert read_strict_uvarint(encoded, 0) == (value, len(encoded))


@settings(max_examples=200)
@given(st.lists(LINKS, max_size=6), st.none() | st.binary(max_size=300))
def test_a_node_there_and_back(links: list[PBLink], data: bytes | None) -> None:
    block = encode_node(links, data)
    assert decode_node(block) == PBNode(links, data)
    frames, split_data = split_node(block)
    assert [decode_link(frame) for frame in frames] == links
    assert join_node(frames, split_data) == block
    for frame, link in zip(frames, links, strict=True):
        assert peek_frame(frame) in (None, (link.name, link.tsize))


@given(st.binary(max_size=12), st.integers(0, 2**64 - 1))
def test_a_frame_is_peeked_at_only_when_it_is_as_it_would_be_written(name: bytes, tsize: int) -> None:
    cid = cid_v1(RAW, bytes(32))
    frame = encode_frame(cid, name, tsize)
    assert peek_frame(frame) == (name, tsize)
    body = frame[2:-1] + bytes((frame[-1] | 128, 0))
    longer = b"\x12" + bytes((len(body),)) + body
    assert peek_frame(longer) is None
    if tsize < 2**63:
        assert decode_link(longer) == PBLink(cid, name, tsize)
    assert peek_frame(encode_frame(cid, name, None)) is None


def test_data_before_links_and_a_link_without_a_name_are_read() -> None:
    cid = cid_v1(RAW, bytes(32))
    assert decode_node(b"\x0a\x02\x08\x01\x12\x26\x0a\x24" + cid) == PBNode([PBLink(cid, b"", None)], b"\x08\x01")


@pytest.mark.parametrize(
    ("block", "why"),
    [
        (b"\x0a", "ends inside"),
        (b"\x0a\x05abc", "passes the end"),
        (b"\x0a\x00\x0a\x00", "unexpected field"),
        (b"\x1a\x00", "unexpected field"),
        (b"\x12\x00", "without a hash"),
        (b"\x12\x04\x0a\x02zz", "no CID"),
        (b"\x12\x02\x18\x80", "no end"),
        (b"\x12\x06\x0a\x04\x01\x55\x00\x00\x0a\x00\x12\x06\x0a\x04\x01\x55\x00\x00", "between the links"),
    ],
)
def test_what_is_wrong_with_a_node_is_said(block: bytes, why: str) -> None:
    with pytest.raises(MalformedBlock, match=why):
        decode_node(block)


@settings(max_examples=200)
@given(MESSAGES)
def test_a_message_there_and_back(message: UnixFSData) -> None:
    decoded = decode_data(encode_data(message))
    assert decoded._replace(blocksizes=list(decoded.blocksizes)) == message


def test_packed_block_sizes_and_unknown_fields_are_read() -> None:
    decoded = decode_data(b"\x08\x02\x22\x03\x05\x80\x01\x48\x07\x52\x01x\x5d1234\x61" + bytes(8))
    assert list(decoded.blocksizes) == [5, 128]


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (b"", "without a type"),
        (b"\x08\x09", "type 9"),
        (b"\x08\x02\x42\x07\x08\x01\x15\x00\xca\x9a\x3b", "1000000000 ns"),
        (b"\x08\x02\x42\x00", "without seconds"),
        (b"\x08\x02\x1a\x00", "not its own"),
        (b"\x08\x02\x12\x05abc", "passes the end"),
        (b"\x08\x02\x4c", "cannot be passed over"),
    ],
)
def test_what_is_wrong_with_a_message_is_said(message: bytes, why: str) -> None:
    with pytest.raises(MalformedBlock, match=why):
        decode_data(message)


# Whole nodes, so that mutations of them reach every depth of the decoders.
SOUND = [
    encode_node(
        [PBLink(cid_v1(RAW, bytes(32)), b"", 3)] * 3, encode_data(UnixFSData(DataType.File, None, 9, [3, 3, 3]))
    ),
    encode_node([PBLink(cid_v0(bytes(32)), b"name", 300)], encode_data(UnixFSData(DataType.Directory))),
    encode_node(
        [PBLink(cid_v1(RAW, bytes(32)), b"03name", 300), PBLink(cid_v1(DAG_PB, bytes(32)), b"09", 70000)],
        encode_data(
            UnixFSData(DataType.HAMTShard, b"\x02\x08", hash_type=0x22, fanout=256, mode=0o755, mtime=Mtime(1, 2))
        ),
    ),
    symlink_block(b"target", 0o777, Mtime(-1, 2)),
    leaf_wrapping(PROFILES["unixfs-v0-2015"], 3)[0] + b"abc" + leaf_wrapping(PROFILES["unixfs-v0-2015"], 3)[1],
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    block = bytearray(draw(st.sampled_from(SOUND)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(block)))
        block[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(block)


@settings(max_examples=600, deadline=None)
@given(mutated() | st.binary(max_size=80))
def test_any_bytes_are_read_or_are_a_typed_error(block: bytes) -> None:
    cid = cid_v1(DAG_PB, hashlib.sha256(block).digest())

    def get(_cid: CID) -> bytes:
        # A store that answers everything with this block: also no walk may go on for ever.
        return block

    def attempt(what: object) -> None:
        assert callable(what)
        try:
            what()
        except (MalformedBlock, WrongKind):
            pass

    nodes = NodeCache(get, capacity=0)
    attempt(lambda: decode_block(cid, block))
    attempt(lambda: leaf_data(cid, block))
    attempt(lambda: [leaf for leaf, _ in zip(leaves(cid, 0, 1 << 62, nodes), range(50), strict=False)])
    attempt(lambda: [entry for entry, _ in zip(entries(cid, nodes), range(50), strict=False)])
    attempt(lambda: lookup(cid, b"name", nodes))


def test_the_error_names_the_block() -> None:
    cid = cid_v1(DAG_PB, bytes(32))
    with pytest.raises(UnixFSError, match=cid_str(cid)):
        decode_block(cid, b"\x1a\x00")
