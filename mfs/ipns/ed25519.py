"""Ed25519 (RFC 8032): keys are 32 bytes, private ones as well as public ones; signatures 64."""

from __future__ import annotations

import os

__all__ = ["KEY", "SIGNATURE", "new_private", "public_of", "sign", "verify"]

KEY = 32
SIGNATURE = 64


def new_private() -> bytes:
    """A new private key."""
    return os.urandom(KEY)


def public_of(private: bytes) -> bytes:
    """The public key of a private one."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def sign(private: bytes, message: bytes) -> bytes:
    """The signature of `message`."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(private).sign(message)


def verify(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether `signature` is one of `message` by the owner of the key."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
