"""IPNS records: what a name leads to, until when, signed by the name's key.

A protobuf message (numbers of the IPNS specification); what counts is the DAG-CBOR in ``data``, which ``signatureV2``
signs.  The fields of version 1 repeat it for old readers::

    1 value   2 signatureV1   3 validityType   4 validity   5 sequence   6 ttl   7 pubKey   8 signatureV2   9 data
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mfs.car.cbor import BadCBOR, decode_map
from mfs.ipns import ed25519, rsa
from mfs.ipns.name import ED25519, RSA, public_key_of
from mfs.unixfs.errors import MalformedBlock
from mfs.unixfs.varint import encode_uvarint, read_uvarint

__all__ = ["LIFETIME", "MAX_RECORD", "TTL", "InvalidRecord", "Record", "claimed", "make", "opened"]

MAX_RECORD = 10 << 10
"""Bytes of a record, at most; others take no longer ones."""
LIFETIME = 48 * 3600 * 1_000_000_000
"""Nanoseconds for which a record is good."""
TTL = 5 * 60 * 1_000_000_000
"""Nanoseconds for which others may keep what they resolved."""

_PREFIX = b"ipns-signature:"
_EOL = 0
_BYTES_FIELDS = {1: "value", 2: "signature_v1", 4: "validity", 7: "public", 8: "signature_v2", 9: "data"}
_NUMBER_FIELDS = {3: "validity_type", 5: "sequence", 6: "ttl"}
_TIME = re.compile(rb"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII)
_NANO = 1_000_000_000


class InvalidRecord(ValueError):
    """A record that nobody may believe; the message says why."""


@dataclass(frozen=True)
class Record:
    """A record whose signature was checked, and perhaps its time.

    Attributes:
        value: what the name leads to, a path such as ``/ipfs/CID``.
        sequence: the higher counts.
        until: nanoseconds since the epoch, after which it is void.
        ttl: nanoseconds for which others may keep what they resolved.
        packed: the record as it is handed around.
    """

    value: str
    sequence: int
    until: int
    ttl: int
    packed: bytes

    def expired(self, now: int) -> bool:
        """Whether its time is over; `now` in nanoseconds since the epoch."""
        return now > self.until


def make(private: bytes, value: str, sequence: int, until: int, ttl: int = TTL) -> Record:
    """A record by the owner of the Ed25519 key `private`; `until` and `ttl` in nanoseconds, as in :class:`Record`.

    The same arguments give the same bytes.  InvalidRecord: `value` is too long.
    """
    content, validity = value.encode(), _format_time(until)
    data = _pack_map({"TTL": ttl, "Value": content, "Sequence": sequence, "Validity": validity, "ValidityType": _EOL})
    fields: dict[int, bytes | int] = {
        1: content,
        2: ed25519.sign(private, content + validity + b"EOL"),
        3: _EOL,
        4: validity,
        5: sequence,
        6: ttl,
        8: ed25519.sign(private, _PREFIX + data),
        9: data,
    }
    packed = b"".join(_field(number, held) for number, held in fields.items())
    if len(packed) > MAX_RECORD:
        raise InvalidRecord(f"a record of {len(packed)} bytes; at most {MAX_RECORD} are taken")
    return Record(value, sequence, until, ttl, packed)


def opened(name: str, packed: bytes) -> Record:
    """The record `packed`, when it is one of `name` and its signature is good.  Its time is the caller's affair.

    Raises InvalidRecord, and InvalidName where `name` is none or the record's key is not its own.
    """
    fields = _fields(packed)
    public_key = public_key_of(name, fields.get("public"))
    if not _verified(public_key, fields["signature_v2"], _PREFIX + fields["data"]):
        raise InvalidRecord("its signature is not one by the key of the name")
    return _said(fields, packed)


def claimed(packed: bytes) -> Record:
    """What a record says, whoever signed it: for one that was checked before.  Raises InvalidRecord."""
    return _said(_fields(packed), packed)


def _fields(packed: bytes) -> dict[str, Any]:
    if len(packed) > MAX_RECORD:
        raise InvalidRecord(f"it has {len(packed)} bytes, more than {MAX_RECORD}")
    fields = _unpack(packed)
    if not fields.get("data") or not fields.get("signature_v2"):
        raise InvalidRecord("it has no signature of version 2, and that of version 1 proves nothing")
    return fields


def _verified(public: bytes, signature: bytes, message: bytes) -> bool:
    if public.startswith(ED25519):
        return ed25519.verify(public[len(ED25519) :], signature, message)
    if public.startswith(RSA):
        try:
            length, start = read_uvarint(public, len(RSA))
        except MalformedBlock:
            return False
        return start + length == len(public) and rsa.verify(public[start:], signature, message)
    raise InvalidRecord("the key in it is neither Ed25519 nor RSA")


def _said(fields: dict[str, Any], packed: bytes) -> Record:
    held = _held(fields["data"])
    if fields.get("value") or fields.get("signature_v1"):
        repeated = (
            fields.get("value", b""),
            fields.get("validity_type", 0),
            fields.get("validity", b""),
            fields.get("sequence", 0),
            fields.get("ttl", 0),
        )
        if repeated != (held["Value"], held["ValidityType"], held["Validity"], held["Sequence"], held["TTL"]):
            raise InvalidRecord("what it says for old readers is not what is signed")
    if held["ValidityType"] != _EOL:
        raise InvalidRecord(f"its validity is of the unknown type {held['ValidityType']}")
    try:
        value = held["Value"].decode()
    except UnicodeDecodeError:
        raise InvalidRecord("its value is no path") from None
    return Record(value, held["Sequence"], _parse_time(held["Validity"]), held["TTL"], packed)


def _held(data: bytes) -> dict[str, Any]:
    try:
        held: dict[str, Any] = dict(decode_map(data))
    except BadCBOR as error:
        raise InvalidRecord(f"its data: {error}") from None
    for key, kind in (("Value", bytes), ("Validity", bytes), ("ValidityType", int), ("Sequence", int), ("TTL", int)):
        if type(held.get(key)) is not kind:
            raise InvalidRecord(f"its data lack {key}")
        if kind is int and held[key] < 0:
            raise InvalidRecord(f"{key} in its data is {held[key]}")
    return held


def _unpack(packed: bytes) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    at = 0
    try:
        while at < len(packed):
            tag, at = read_uvarint(packed, at)
            number, kind = tag >> 3, tag & 7
            value, at = read_uvarint(packed, at)
            if kind == 2 and number not in _NUMBER_FIELDS:
                if at + value > len(packed):
                    raise InvalidRecord(f"field {number} is longer than the rest")
                if number in _BYTES_FIELDS:
                    fields[_BYTES_FIELDS[number]] = packed[at : at + value]
                at += value
            elif kind == 0 and number not in _BYTES_FIELDS:
                if number in _NUMBER_FIELDS:
                    fields[_NUMBER_FIELDS[number]] = value
            else:
                raise InvalidRecord(f"field {number} has a form that is not its own")
    except MalformedBlock as error:
        raise InvalidRecord(str(error.why)) from None
    return fields


def _field(number: int, held: bytes | int) -> bytes:
    if isinstance(held, int):
        return encode_uvarint(number << 3) + encode_uvarint(held)
    return encode_uvarint(number << 3 | 2) + encode_uvarint(len(held)) + held


def _pack_map(fields: dict[str, bytes | int]) -> bytes:
    """DAG-CBOR: keys by length and then by their bytes, every number in its shortest form."""
    parts = [_head(5, len(fields))]
    for key in sorted(fields, key=lambda key: (len(key), key)):
        held = fields[key]
        parts += (_head(3, len(key)), key.encode())
        parts.append(_head(0, held) if isinstance(held, int) else _head(2, len(held)) + held)
    return b"".join(parts)


def _head(major: int, value: int) -> bytes:
    if value < 24:
        return bytes((major << 5 | value,))
    for low, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if value < 1 << 8 * size:
            return bytes((major << 5 | low,)) + value.to_bytes(size, "big")
    raise InvalidRecord(f"{value} does not fit 64 bits")


def _format_time(time: int) -> bytes:
    """RFC 3339 in UTC, with as many digits of the second as it takes."""
    seconds, nanos = divmod(time, _NANO)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return (text + (f".{nanos:09}".rstrip("0") if nanos else "") + "Z").encode()


def _parse_time(text: bytes) -> int:
    match = _TIME.fullmatch(text)
    if match is None:
        raise InvalidRecord(f"{text[:64]!r} is no time")
    try:
        year, month, day, hour, minute, second = map(int, match.groups()[:6])
        time = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        raise InvalidRecord(f"{text[:64]!r} is no time") from None
    seconds = int((time - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
    if match[8]:
        seconds -= (60 * int(match[9]) + int(match[10])) * (60 if match[8] == b"+" else -60)
    return seconds * _NANO + int((match[7] or b"0").ljust(9, b"0"))
