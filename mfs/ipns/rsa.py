"""RSA, for the records of old names: only checked here, never signed."""

from __future__ import annotations

__all__ = ["verify"]

_BITS = (2048, 8192)
"""What libp2p takes: shorter ones prove too little, longer ones take too long."""


def verify(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether `signature` (PKCS #1 v1.5, SHA-256) is one of `message` by the owner of the key, given in DER."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        key = load_der_public_key(public)
        if not isinstance(key, RSAPublicKey) or not _BITS[0] <= key.key_size <= _BITS[1]:
            return False
        key.verify(signature, message, PKCS1v15(), SHA256())
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True
