"""MurmurHash3 x64 128, seed 0, of which a sharded directory uses the first 64 bits (multihash code 0x22)."""

from __future__ import annotations

import struct

__all__ = ["murmur3_x64_64"]

_C1 = 0x87C37B91114253D5
_C2 = 0x4CF5AD432745937F
_MIX1 = 0xFF51AFD7ED558CCD
_MIX2 = 0xC4CEB9FE1A85EC53
_MASK = (1 << 64) - 1
_BLOCK = struct.Struct("<QQ")


def murmur3_x64_64(key: bytes) -> int:
    """The first of the two 64-bit words of the hash of ``key``."""
    h1 = h2 = 0
    length = len(key)
    body = length & ~15
    for k1, k2 in _BLOCK.iter_unpack(key[:body]):
        k1 = k1 * _C1 & _MASK
        h1 ^= (k1 << 31 | k1 >> 33) * _C2 & _MASK
        h1 = (h1 << 27 | h1 >> 37) + h2 & _MASK
        h1 = h1 * 5 + 0x52DCE729 & _MASK
        k2 = k2 * _C2 & _MASK
        h2 ^= (k2 << 33 | k2 >> 31) * _C1 & _MASK
        h2 = (h2 << 31 | h2 >> 33) + h1 & _MASK
        h2 = h2 * 5 + 0x38495AB5 & _MASK
    # The reference mixes a tail word only where there is one; an absent word is zero and mixes to zero.
    if length != body:
        k1 = int.from_bytes(key[body : body + 8], "little") * _C1 & _MASK
        h1 ^= (k1 << 31 | k1 >> 33) * _C2 & _MASK
        if length > body + 8:
            k2 = int.from_bytes(key[body + 8 :], "little") * _C2 & _MASK
            h2 ^= (k2 << 33 | k2 >> 31) * _C1 & _MASK
    h2 ^= length
    h1 = (h1 ^ length) + h2 & _MASK
    h2 = h2 + h1 & _MASK
    h1 = (h1 ^ h1 >> 33) * _MIX1 & _MASK
    h1 = (h1 ^ h1 >> 33) * _MIX2 & _MASK
    h2 = (h2 ^ h2 >> 33) * _MIX1 & _MASK
    h2 = (h2 ^ h2 >> 33) * _MIX2 & _MASK
    return (h1 ^ h1 >> 33) + (h2 ^ h2 >> 33) & _MASK
