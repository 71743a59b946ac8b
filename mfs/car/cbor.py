"""As much of DAG-CBOR as CAR headers and IPNS records are made of: a flat map of text to values."""

from __future__ import annotations

from typing import TypeAlias

from mfs.unixfs.cid import CID, check_cid
from mfs.unixfs.errors import InvalidCID

__all__ = ["BadCBOR", "decode_map"]

Value: TypeAlias = "int | bool | bytes | str | list[CID] | None"

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG = range(7)
_SIMPLE = 7
_SIMPLE_VALUES = {20: False, 21: True, 22: None}
_CID_TAG = 42
_MOST_KEYS = 16


class BadCBOR(ValueError):
    """Not such a map."""


def decode_map(data: bytes) -> dict[str, Value]:
    """The map that `data` is, all of it.  Raises BadCBOR."""
    major, count, at = _head(data, 0)
    if major != _MAP or count > _MOST_KEYS:
        raise BadCBOR("it is not a small map")
    found: dict[str, Value] = {}
    for _ in range(count):
        key, at = _text(data, at)
        if key in found:
            raise BadCBOR(f"it has {key!r} twice")
        found[key], at = _value(data, at)
    if at != len(data):
        raise BadCBOR(f"{len(data) - at} bytes follow the map")
    return found


def _head(data: bytes, at: int) -> tuple[int, int, int]:
    """Major type, count or value, and where it goes on."""
    if at >= len(data):
        raise BadCBOR("it ends early")
    major, low = data[at] >> 5, data[at] & 31
    at += 1
    if low < 24:
        return major, low, at
    size = {24: 1, 25: 2, 26: 4, 27: 8}.get(low, 0)
    if not size or at + size > len(data):
        raise BadCBOR("it ends early, or is of indefinite length")
    value = int.from_bytes(data[at : at + size], "big")
    if value < 24 or (size > 1 and value < 1 << 8 * (size // 2)):
        raise BadCBOR("a number is not in its shortest form")
    return major, value, at + size


def _string(data: bytes, at: int, wanted: int) -> tuple[bytes, int]:
    major, length, at = _head(data, at)
    if major != wanted or at + length > len(data):
        raise BadCBOR("a string is missing, or longer than the rest")
    return data[at : at + length], at + length


def _text(data: bytes, at: int) -> tuple[str, int]:
    raw, at = _string(data, at, _TEXT)
    try:
        return raw.decode(), at
    except UnicodeDecodeError:
        raise BadCBOR("a text is not UTF-8") from None


def _value(data: bytes, at: int) -> tuple[Value, int]:
    major, value, after = _head(data, at)
    if major == _UNSIGNED:
        return value, after
    if major == _NEGATIVE:
        return -1 - value, after
    if major == _SIMPLE and value in _SIMPLE_VALUES:
        return _SIMPLE_VALUES[value], after
    if major == _BYTES:
        return _string(data, at, _BYTES)
    if major == _TEXT:
        return _text(data, at)
    if major != _ARRAY:
        raise BadCBOR("a value is none of number, truth, bytes, text, and list of CIDs")
    found: list[CID] = []
    for _ in range(value):
        cid, after = _cid(data, after)
        found.append(cid)
    return found, after


def _cid(data: bytes, at: int) -> tuple[CID, int]:
    major, tag, at = _head(data, at)
    if (major, tag) != (_TAG, _CID_TAG):
        raise BadCBOR("a list has something else than CIDs")
    raw, at = _string(data, at, _BYTES)
    if raw[:1] != b"\0":
        raise BadCBOR("a CID lacks the 0 in front")
    try:
        return check_cid(raw[1:]), at
    except InvalidCID as error:
        raise BadCBOR(str(error)) from None
