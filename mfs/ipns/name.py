"""IPNS names: the public key itself, as the identity multihash of a CID (libp2p peer ids, IPNS specification)."""

from __future__ import annotations

from mfs.ipns.ed25519 import KEY
from mfs.unixfs.cid import identity_data, parse_cid, read_cid, to_base36, to_multihash_cid
from mfs.unixfs.errors import InvalidCID

__all__ = ["LIBP2P_KEY", "InvalidName", "name_of", "public_key_of"]

LIBP2P_KEY = 0x72
"""Codec of a CID that holds a public key."""
_PUBLIC = b"\x08\x01\x12\x20"
"""In front of an Ed25519 key: the protobuf message {Type: Ed25519 (1), Data: 32 bytes}."""
_NAME = b"\x01\x72\x00\x24" + _PUBLIC


class InvalidName(ValueError):
    """What is no IPNS name, or the name of a key of a kind that is not known here."""


def name_of(public: bytes) -> str:
    """The name of an Ed25519 public key: ``k51...``, 62 characters."""
    return "k" + to_base36(_NAME + public)


def public_key_of(name: str) -> bytes:
    """The Ed25519 public key that `name` is; written as a CID in any base or as a peer id (``12D3Koo...``).

    Raises InvalidName.
    """
    try:
        cid = parse_cid(name) if not name.startswith(("1", "Qm")) else to_multihash_cid(name, LIBP2P_KEY)
        codec = read_cid(cid)[0][1]
        key = identity_data(cid)
    except InvalidCID as error:
        raise InvalidName(f"{name!r} is not an IPNS name: {error}") from None
    if codec != LIBP2P_KEY or key is None or not key.startswith(_PUBLIC) or len(key) != len(_PUBLIC) + KEY:
        raise InvalidName(f"{name!r} is not the name of an Ed25519 key")
    return key[len(_PUBLIC) :]
