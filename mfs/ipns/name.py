"""IPNS names: the multihash of a public key in a CID (libp2p peer ids, IPNS specification).

Of an Ed25519 key the multihash is the key itself; of an RSA key it is a digest, and its records carry the key.
"""

from __future__ import annotations

import hashlib

from mfs.ipns.ed25519 import KEY
from mfs.unixfs.cid import CID, SHA2_256, codec_of, identity_data, multihash_of, parse_cid, to_base36, to_multihash_cid
from mfs.unixfs.errors import InvalidCID

__all__ = ["ED25519", "LIBP2P_KEY", "RSA", "InvalidName", "canonical", "name_of", "public_key_of"]

LIBP2P_KEY = 0x72
"""Codec of a CID that holds a public key."""
ED25519 = b"\x08\x01\x12\x20"
"""In front of an Ed25519 key: the protobuf message {Type: Ed25519 (1), Data: 32 bytes}."""
RSA = b"\x08\x00\x12"
"""In front of the length and the bytes of an RSA key: {Type: RSA (0), Data: SubjectPublicKeyInfo in DER}."""
_NAME = b"\x01\x72\x00\x24" + ED25519


class InvalidName(ValueError):
    """What is no IPNS name, or the name of a key of a kind that is not known here."""


def name_of(public: bytes) -> str:
    """The name of an Ed25519 public key: ``k51...``, 62 characters."""
    return "k" + to_base36(_NAME + public)


def canonical(name: str) -> str:
    """The one way in which names are written here: ``k51...`` and ``k2k...``.

    `name` may be a CID in any base, or a peer id (``12D3Koo...``, ``Qm...``), with or without ``/ipns/`` in front.
    Raises InvalidName.
    """
    return "k" + to_base36(_parsed(name))


def public_key_of(name: str, carried: bytes | None = None) -> bytes:
    """The public key that `name` is of, as libp2p writes it; `carried` is what came along with a record, if anything.

    Raises InvalidName: also where the key is another one, or is needed and did not come.
    """
    cid = _parsed(name)
    key = identity_data(cid)
    if key is None:
        if carried is None:
            raise InvalidName(f"{name} is the digest of a key, which has to come with the record")
        if hashlib.sha256(carried).digest() != multihash_of(cid)[2:]:
            raise InvalidName("the key in the record is not that of the name")
        return carried
    if carried is not None and carried != key:
        raise InvalidName("the key in the record is not that of the name")
    return key


def _parsed(name: str) -> CID:
    text = name.removeprefix("/ipns/")
    try:
        if text.startswith(("1", "Qm")):
            cid = to_multihash_cid(text, LIBP2P_KEY)
        else:
            cid = parse_cid(text)
        key = identity_data(cid)
    except InvalidCID as error:
        raise InvalidName(f"{name!r} is not an IPNS name: {error}") from None
    if codec_of(cid) != LIBP2P_KEY:
        raise InvalidName(f"{name!r} is not the name of a key")
    if key is None and multihash_of(cid)[0] != SHA2_256:
        raise InvalidName(f"{name!r} is a digest of a kind that names are not made of")
    if key is not None and not (key.startswith(ED25519) and len(key) == len(ED25519) + KEY):
        raise InvalidName(f"{name!r} is the name of a key that is neither Ed25519 nor RSA")
    return cid
