"""CIDs: the names of blocks, kept in binary form.

Version 0 is a bare sha2-256 multihash (34 bytes, always dag-pb, written in base58btc); version 1 is
``01 || codec || multihash`` (36 bytes for sha2-256, written in base32 with the prefix ``b``). The digest of an
*identity* multihash is the block itself, at most 128 bytes of it (UnixFS specification).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TYPE_CHECKING, NewType

from mfs.unixfs.errors import InvalidCID, UnsupportedHash
from mfs.unixfs.varint import encode_uvarint, read_strict_uvarint

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "CID",
    "DAG_PB",
    "RAW",
    "check_cid",
    "cid_str",
    "cid_v0",
    "cid_v1",
    "codec_of",
    "identity_data",
    "multihash_of",
    "parse_cid",
    "read_cid",
    "to_base36",
    "to_multihash_cid",
    "verify_block",
]

CID = NewType("CID", bytes)
"""A CID in binary form. Made by this module only: whoever holds one may rely on its structure."""

RAW = 0x55
"""Codec of a block without structure: a file leaf, or a whole file of one leaf."""
DAG_PB = 0x70
"""Codec of a protobuf node with links: file nodes, directories, symlinks."""

IDENTITY = 0x00
SHA2_256 = 0x12
MAX_DIGEST = 128

_V0_PREFIX = b"\x12\x20"
_V1_PREFIXES = {RAW: b"\x01\x55\x12\x20", DAG_PB: b"\x01\x70\x12\x20"}
# The CIDs met in practice, recognised without parsing: 4 bytes in front of a 32-byte digest.
_COMMON = frozenset(_V1_PREFIXES.values())

# A shorter digest than this is no proof of content (the limit that kubo applies, verifcid).
_MIN_DIGEST = 20
_HASHES: dict[int, Callable[[bytes], bytes]] = {
    SHA2_256: lambda data: hashlib.sha256(data).digest(),
    0x13: lambda data: hashlib.sha512(data).digest(),
    0x14: lambda data: hashlib.sha3_512(data).digest(),
    0x15: lambda data: hashlib.sha3_384(data).digest(),
    0x16: lambda data: hashlib.sha3_256(data).digest(),
    0x17: lambda data: hashlib.sha3_224(data).digest(),
    0xB220: lambda data: hashlib.blake2b(data, digest_size=32).digest(),
    0xB240: lambda data: hashlib.blake2b(data, digest_size=64).digest(),
}


def cid_v0(digest: bytes) -> CID:
    """The version 0 CID of a dag-pb block with this sha2-256 ``digest`` (32 bytes)."""
    if len(digest) != 32:
        raise InvalidCID(f"a sha2-256 digest has 32 bytes, not {len(digest)}")
    return CID(_V0_PREFIX + digest)


def cid_v1(codec: int, digest: bytes) -> CID:
    """The version 1 CID of a block of ``codec`` with this sha2-256 ``digest`` (32 bytes)."""
    if len(digest) != 32:
        raise InvalidCID(f"a sha2-256 digest has 32 bytes, not {len(digest)}")
    prefix = _V1_PREFIXES.get(codec)
    if prefix is None:
        prefix = b"\x01" + encode_uvarint(codec) + _V0_PREFIX
    return CID(prefix + digest)


def read_cid(buf: bytes, offset: int = 0) -> tuple[CID, int]:
    """The CID that begins at ``offset`` and the offset behind it (a CAR section puts the block right after).

    Raises:
        InvalidCID: no CID begins there.
    """
    if buf[offset : offset + 2] == _V0_PREFIX:
        end = offset + 34
        if end > len(buf):
            raise InvalidCID("a version 0 CID has 34 bytes; these end early")
        return CID(buf[offset:end]), end
    version, position = read_strict_uvarint(buf, offset)
    if version != 1:
        raise InvalidCID(f"CID version {version} is not known")
    _codec, position = read_strict_uvarint(buf, position)
    function, position = read_strict_uvarint(buf, position)
    length, position = read_strict_uvarint(buf, position)
    if length > MAX_DIGEST:
        raise InvalidCID(f"a digest of {length} bytes; at most {MAX_DIGEST} are accepted")
    if function == SHA2_256 and length > 32:
        raise InvalidCID(f"a sha2-256 digest has 32 bytes, not {length}")
    end = position + length
    if end > len(buf):
        raise InvalidCID(f"a digest of {length} bytes is announced, {len(buf) - position} are there")
    return CID(buf[offset:end]), end


def check_cid(binary: bytes) -> CID:
    """``binary`` as a CID when it is exactly one.

    Raises:
        InvalidCID: it is not, or bytes follow it.
    """
    length = len(binary)
    if (length == 36 and binary[:4] in _COMMON) or (length == 34 and binary[:2] == _V0_PREFIX):
        return CID(binary)
    cid, end = read_cid(binary)
    if end != length:
        raise InvalidCID(f"{length - end} bytes follow the CID")
    return cid


def codec_of(cid: CID) -> int:
    """The codec number; dag-pb for version 0."""
    if cid[0] == 0x12:
        return DAG_PB
    codec = cid[1]
    return codec if codec < 128 else read_strict_uvarint(cid, 1)[0]


def multihash_of(cid: CID) -> bytes:
    """The multihash: what names the bytes whatever the CID's version and codec, hence the key of a block store."""
    if cid[0] == 0x12:
        return cid
    if cid[1] < 128:
        return cid[2:]
    return cid[read_strict_uvarint(cid, 1)[1] :]


def identity_data(cid: CID) -> bytes | None:
    """The block itself when the CID carries it in an identity multihash, else None."""
    multihash = multihash_of(cid)
    if multihash[0] != IDENTITY:
        return None
    return multihash[read_strict_uvarint(multihash, 1)[1] :]


def verify_block(cid: CID, block: bytes) -> bool:
    """Whether ``block`` is what ``cid`` names.

    Raises:
        UnsupportedHash: the hash function is not known here, or the digest too short to prove anything.
    """
    multihash = multihash_of(cid)
    function, position = read_strict_uvarint(multihash, 0)
    length, position = read_strict_uvarint(multihash, position)
    if function == IDENTITY:
        return multihash[position:] == block
    compute = _HASHES.get(function)
    if compute is None or length < _MIN_DIGEST:
        raise UnsupportedHash(f"{cid_str(cid)}: hash function 0x{function:x} with {length} bytes cannot be verified")
    return compute(block)[:length] == multihash[position:]


def cid_str(cid: CID) -> str:
    """The CID's text: base58btc for version 0, base32 with its prefix ``b`` for version 1."""
    if cid[0] == 0x12:
        return _to_base(cid, _BASE58)
    return "b" + base64.b32encode(cid).decode("ascii").rstrip("=").lower()


def parse_cid(text: str) -> CID:
    """The CID that ``text`` writes in base58btc (version 0), or with a multibase prefix of b, B, z, k, K, f or F.

    Raises:
        InvalidCID: it writes none.
    """
    if not text.isascii():
        raise InvalidCID(f"{text!r} is not a CID: not ASCII")
    if len(text) == 46 and text.startswith("Qm"):
        return check_cid(_from_base(text, _BASE58))
    decode = _MULTIBASES.get(text[:1])
    if decode is None:
        raise InvalidCID(f"{text!r} is not a CID: neither Qm... nor a multibase prefix that is known")
    cid = check_cid(decode(text[1:]))
    if cid[0] == 0x12:
        raise InvalidCID(f"{text!r} is not a CID: version 0 is written without a multibase prefix")
    return cid


def to_base36(binary: bytes) -> str:
    """`binary` in base36, small letters, without a multibase prefix: how IPNS names are written."""
    return _to_base(binary, _BASE36)


def to_multihash_cid(text: str, codec: int) -> CID:
    """The version 1 CID of `codec` for a bare multihash in base58btc: how peer ids are written.

    Raises:
        InvalidCID: it is none.
    """
    return check_cid(b"\x01" + encode_uvarint(codec) + _from_base(text, _BASE58))


_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"
# Longer text than any CID with a 128-byte digest needs; also bounds the quadratic base conversion.
_MAX_TEXT = 512


def _to_base(binary: bytes, alphabet: str) -> str:
    number = int.from_bytes(binary, "big")
    digits = []
    while number:
        number, digit = divmod(number, len(alphabet))
        digits.append(alphabet[digit])
    zeros = len(binary) - len(binary.lstrip(b"\0"))
    return alphabet[0] * zeros + "".join(reversed(digits))


def _from_base(text: str, alphabet: str) -> bytes:
    if len(text) > _MAX_TEXT:
        raise InvalidCID(f"{len(text)} characters are too many for a CID")
    number = 0
    for character in text:
        digit = alphabet.find(character)
        if digit < 0:
            raise InvalidCID(f"{text!r} is not a CID: {character!r} is not in its alphabet")
        number = number * len(alphabet) + digit
    zeros = len(text) - len(text.lstrip(alphabet[0]))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def _from_base32(text: str) -> bytes:
    upper = text.upper()
    try:
        binary = base64.b32decode(upper + "=" * (-len(upper) % 8))
    except (binascii.Error, ValueError) as error:
        raise InvalidCID(f"{text!r} is not base32: {error}") from None
    # Two texts for one CID would be two names for one block: padding bits must be zero.
    if base64.b32encode(binary).decode("ascii").rstrip("=") != upper:
        raise InvalidCID(f"{text!r} is not base32: bits are set behind the last byte")
    return binary


def _from_base16(text: str) -> bytes:
    try:
        return binascii.unhexlify(text)
    except ValueError as error:
        raise InvalidCID(f"{text!r} is not hexadecimal: {error}") from None


def _cased(decode: Callable[[str], bytes], *, upper: bool) -> Callable[[str], bytes]:
    def checked(text: str) -> bytes:
        if text != (text.upper() if upper else text.lower()):
            raise InvalidCID(f"{text!r} is not a CID: its multibase prefix allows one case of letters only")
        return decode(text.lower())

    return checked


_MULTIBASES: dict[str, Callable[[str], bytes]] = {
    "b": _cased(_from_base32, upper=False),
    "B": _cased(_from_base32, upper=True),
    "f": _cased(_from_base16, upper=False),
    "F": _cased(_from_base16, upper=True),
    "k": _cased(lambda text: _from_base(text, _BASE36), upper=False),
    "K": _cased(lambda text: _from_base(text, _BASE36), upper=True),
    "z": lambda text: _from_base(text, _BASE58),
}
