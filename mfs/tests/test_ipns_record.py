"""IPNS names and records: of kubo and the gateway conformance suite, our own, and what is wrong with others."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfs.ipns.ed25519 import new_private, public_of, sign
from mfs.ipns.keys import BadKey, Keys, pack_private, unpack_private
from mfs.ipns.name import InvalidName, canonical, name_of, public_key_of
from mfs.ipns.record import MAX_RECORD, InvalidRecord, claimed, make, opened

DATA = json.loads((Path(__file__).parent / "data" / "ipns-records.json").read_text())
KUBO = DATA["kubo"]
GOOD = {
    "k51qzi5uqu5djokp3m1keo36hoxtd6u3a1d2rg1camf6al7p3huy63dojlm57c": "/root2",
    "k51qzi5uqu5dlxdsdu5fpuu7h69wu4ohp32iwm9pdt9nq3y5rpn3ln9j12zfhe": "ayxuxk5ui",
    "k51qzi5uqu5dilgf7gorsh9vcqqq4myo6jd4zmqkuy9pxyxi5fua3uf7axph4y": "hmmi",
    "k51qzi5uqu5dit2ku9mutlfgwyz8u730on38kd10m97m36bjt66my99hb6103f": "zgi",
    "k51qzi5uqu5dlkw8pxuw9qmqayfdeh4kfebhmreauqdc6a7c3y7d5i9fi8mk9w": "33smq",
    "k51qzi5uqu5dghjous0agrwavl8vzl64xckoqzwqeqwudfr74kfd11zcyk3b7l": "zeeim",
    "k51qzi5uqu5dhjghbwdvbo6mi40htrq6e2z4pwgp15pgv3ho1azvidttzh8yy2": "d47xq",
    "12D3KooWLQzUv2FHWGVPXTXSZpdHs7oHbXub2G5WC8Tx4NQhyd2d": "5v6am",
    "QmVujd5Vb7moysJj8itnGufN7MEtPRCNHkKpNuA4onsRa3": "5v6am",
}
"""Names of the conformance suite's good records (the last one is of an RSA key), and what their values end with."""
BAD = {
    "k51qzi5uqu5diamp7qnnvs1p1gzmku3eijkeijs3418j23j077zrkok63xdm8c": "signature is not one by the key",
    "k51qzi5uqu5dlmit2tuwdvnx4sbnyqgmvbxftl0eo3f33wwtb9gr7yozae9kpw": "for old readers is not what is signed",
    "k51qzi5uqu5dm4tm0wt8srkg9h9suud4wuiwjimndrkydqm81cqtlb5ak6p7ku": "no signature of version 2",
}
PRIVATE = bytes(range(32))
NAME = name_of(public_of(PRIVATE))
UNTIL = 1_800_000_000_000_000_001


def recorded(name: str) -> bytes:
    return base64.b64decode(next(one["record"] for one in DATA["conformance"] if one["name"] == name))


def nanoseconds(time: str) -> int:
    whole, _, fraction = time.removesuffix("Z").partition(".")
    return int(datetime.fromisoformat(whole + "+00:00").timestamp()) * 10**9 + int(fraction.ljust(9, "0"))


@pytest.mark.parametrize("name", GOOD)
def test_good_records_of_others_are_believed(name: str) -> None:
    record = opened(name, recorded(name))
    assert record.value.startswith("/ipfs/ba")
    assert record.value.endswith(GOOD[name])
    assert not record.expired(UNTIL)


@pytest.mark.parametrize("name", BAD)
def test_bad_records_of_others_are_not(name: str) -> None:
    with pytest.raises(InvalidRecord, match=BAD[name]):
        opened(name, recorded(name))


@pytest.mark.parametrize("one", KUBO["records"], ids=["v1+v2", "v2"])
def test_what_kubo_signed_is_read(one: dict[str, Any]) -> None:
    record = opened(KUBO["name"], base64.b64decode(one["record"]))
    assert (record.value, record.sequence, record.ttl) == (one["value"], one["sequence"], one["ttl"])
    assert record.until == nanoseconds(one["validity"])


def test_what_we_sign_is_byte_for_byte_what_kubo_signs() -> None:
    one = KUBO["records"][0]
    private = unpack_private(base64.b64decode(KUBO["key"]))
    made = make(private, one["value"], one["sequence"], nanoseconds(one["validity"]), one["ttl"])
    assert made.packed == base64.b64decode(one["record"])


def test_a_key_is_written_as_kubo_writes_it() -> None:
    packed = base64.b64decode(KUBO["key"])
    private = unpack_private(packed)
    assert pack_private(private) == packed
    assert name_of(public_of(private)) == KUBO["name"]


def test_what_is_made_is_opened_again() -> None:
    made = make(PRIVATE, "/ipfs/bafkqaaa", 7, UNTIL)
    assert opened(NAME, made.packed) == claimed(made.packed) == made
    assert (made.expired(UNTIL), made.expired(UNTIL + 1)) == (False, True)


@pytest.mark.parametrize("until", [0, 10**9, UNTIL, 1_800_000_000_123_000_000, 4_836_980_699_801_728_000])
def test_times_keep_their_nanoseconds(until: int) -> None:
    assert opened(NAME, make(PRIVATE, "/ipfs/bafkqaaa", 0, until).packed).until == until


def test_a_record_is_one_of_its_name_alone() -> None:
    made = make(PRIVATE, "/ipfs/bafkqaaa", 0, UNTIL)
    with pytest.raises(InvalidRecord, match="not one by the key"):
        opened(name_of(public_of(new_private())), made.packed)


def test_every_flipped_bit_is_found_or_changes_nothing_that_counts() -> None:
    made = make(PRIVATE, "/ipfs/bafkqaaa", 3, UNTIL)
    for place in range(len(made.packed)):
        broken = bytearray(made.packed)
        broken[place] ^= 1
        try:
            found = opened(NAME, bytes(broken))
        except (InvalidRecord, InvalidName):
            continue
        assert (found.value, found.sequence, found.until, found.ttl) == (made.value, 3, UNTIL, made.ttl)


def test_every_beginning_of_a_record_is_refused() -> None:
    packed = make(PRIVATE, "/ipfs/bafkqaaa", 3, UNTIL).packed
    for length in range(len(packed)):
        with pytest.raises(InvalidRecord):
            opened(NAME, packed[:length])


def field(number: int, data: bytes) -> bytes:
    assert len(data) < 128
    return bytes((number << 3 | 2, len(data))) + data


def signed(data: bytes) -> bytes:
    return field(8, sign(PRIVATE, b"ipns-signature:" + data)) + b"\x4a" + length(data) + data


def signed_long(data: bytes) -> bytes:
    """The same with what a record has in front of its last field."""
    return signed(b"\xa5\x63TTL\x01" + VALUE + ENDS + REST + data)


def length(data: bytes) -> bytes:
    return bytes((len(data),)) if len(data) < 128 else bytes((len(data) & 127 | 128, len(data) >> 7))


VALUE = b"\x65Value\x4d/ipfs/bafkqaa"
ENDS = b"\x68Validity\x542100-01-01T00:00:00Z"
REST = b"\x68Sequence\x01\x6cValidityType\x00"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\xa0", "lack Value"),
        (b"\xa4" + VALUE + ENDS + REST, "lack TTL"),
        (b"\xa5\x63TTL\x20" + VALUE + ENDS + REST, "TTL in its data is -1"),
        (b"\xa5\x63TTL\x18\x01" + VALUE + ENDS + REST, "shortest form"),
        (b"\xa5\x63TTL\x01" + VALUE + VALUE + ENDS + REST, "twice"),
        (b"\xa5\x63TTL\x01" + VALUE + ENDS + REST + b"\x00", "follow the map"),
        (b"\xbf\x63TTL\x01" + VALUE + ENDS + REST + b"\xff", "indefinite length"),
        (b"\xa5\x63TTL\x01" + VALUE + ENDS.replace(b"01-01", b"02-30") + REST, "is no time"),
        (b"\xa5\x63TTL\x01" + VALUE + ENDS + REST[:-1] + b"\x01", "unknown type 1"),
        (b"\xa5\x63TTL\x01" + VALUE.replace(b"/ipfs", b"/ip\xffs") + ENDS + REST, "no path"),
    ],
)
def test_what_is_signed_has_to_be_a_record(data: bytes, why: str) -> None:
    with pytest.raises(InvalidRecord, match=why):
        opened(NAME, signed(data))


def test_other_fields_may_be_signed_too() -> None:
    more = b"\x64_app\x62hi\x65_flag\xf5\x63_no\xf6\x65_when\x39\x01\x00"
    assert opened(NAME, signed(b"\xa9\x63TTL\x01" + VALUE + ENDS + REST + more)).value == "/ipfs/bafkqaa"


@settings(deadline=None)
@given(st.binary(max_size=300), st.integers(0, 400))
def test_nonsense_is_refused_and_nothing_worse(nonsense: bytes, at: int) -> None:
    packed = make(PRIVATE, "/ipfs/bafkqaaa", 3, UNTIL).packed
    for broken in (nonsense, packed[:at] + nonsense, packed[:at] + nonsense + packed[at:], signed_long(nonsense)):
        with contextlib.suppress(InvalidRecord, InvalidName):
            opened(NAME, broken)


@settings(deadline=None)
@given(st.text(max_size=80))
def test_any_text_is_a_name_or_none(text: str) -> None:
    for name in (text, "k51" + text, "Qm" + text, "1" + text, "b" + text):
        with contextlib.suppress(InvalidName):
            assert canonical(canonical(name)) == canonical(name)


def test_a_record_has_a_size() -> None:
    with pytest.raises(InvalidRecord, match="more than 10240"):
        opened(NAME, bytes(MAX_RECORD + 1))
    with pytest.raises(InvalidRecord, match="at most 10240"):
        make(PRIVATE, "/ipfs/" + "x" * MAX_RECORD, 0, UNTIL)


def test_a_name_can_be_written_in_many_ways() -> None:
    key = public_key_of(NAME)
    as_cid = b"\x01\x72\x00\x24" + key
    base32 = "b" + base64.b32encode(as_cid).decode().lower().rstrip("=")
    for text in (NAME, "/ipns/" + NAME, base32, "f" + as_cid.hex()):
        assert canonical(text) == NAME
    assert canonical("12D3KooWLQzUv2FHWGVPXTXSZpdHs7oHbXub2G5WC8Tx4NQhyd2d").startswith("k51")
    assert canonical("QmVujd5Vb7moysJj8itnGufN7MEtPRCNHkKpNuA4onsRa3").startswith("k2k")


@pytest.mark.parametrize(
    "text", ["", "k", "local", "example.org", "bafkqaaa", "12D3Koo", "QmVujd5Vb7moysJj8itnGufN7MEtPRCNHkKpNuA4onsRa"]
)
def test_what_is_no_name_is_said_to_be_none(text: str) -> None:
    with pytest.raises(InvalidName):
        canonical(text)


def test_keys_are_files_for_their_owner_alone(tmp_path: Path) -> None:
    keys = Keys(tmp_path / "keys")
    assert keys.all() == []
    key = keys.add("self", PRIVATE)
    assert key.name == NAME
    assert (tmp_path / "keys" / "self").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    assert keys.all() == [key]
    keys.rename("self", "other")
    assert keys.get("self") is None
    keys.remove("other")
    assert keys.all() == []


@pytest.mark.parametrize(
    "wrong",
    [
        lambda keys: keys.add("self", new_private()),
        lambda keys: keys.add("again", PRIVATE),
        lambda keys: keys.rename("self", "self"),
        *(
            (lambda keys, name=name: keys.add(name, new_private()))
            for name in ("", "a/b", ".x", "-x", "x\n", "x" * 129)
        ),
    ],
)
def test_a_name_for_a_key_is_free_and_sensible(tmp_path: Path, wrong: Callable[[Keys], object]) -> None:
    keys = Keys(tmp_path / "keys")
    keys.add("self", PRIVATE)
    with pytest.raises(BadKey):
        wrong(keys)
    assert [key.called for key in keys.all()] == ["self"]


@pytest.mark.parametrize("packed", [b"", b"\x08\x01\x12\x40" + bytes(63), b"\x08\x00\x12\x40" + bytes(64), bytes(68)])
def test_what_is_no_key_is_not_taken(packed: bytes) -> None:
    with pytest.raises(BadKey, match="not an Ed25519 private key"):
        unpack_private(packed)


def test_halves_of_two_keys_are_no_key() -> None:
    with pytest.raises(BadKey, match="do not belong together"):
        unpack_private(pack_private(PRIVATE)[:-32] + bytes(32))
