"""From the bytes of a leaf to its CID."""

from __future__ import annotations

import hashlib

from mfs.blocks.segments import Segments
from mfs.file.leaf import Leaf
from mfs.unixfs.layout import Link, leaf_link, leaf_wrapping, zero_leaf
from mfs.unixfs.profile import Profile

_STEP = 1 << 20
_ZEROS = bytes(1 << 16)


def hash_leaf(segments: Segments, profile: Profile, leaf: Leaf, length: int) -> Link:
    """The CID of `leaf` as a leaf of `length` bytes, zeros behind its own; remembered where there are none.

    Reads the bytes back from their segments (which is the page cache, nearly always) and lets go of the interpreter
    while it hashes more than 2 KiB.  Any thread.
    """
    if leaf.link is not None and leaf.link.size == length:
        return leaf.link
    pieces = leaf.pieces or ()
    if not any(piece[0] for piece in pieces):
        return zero_leaf(profile, length)[0]
    before, after = leaf_wrapping(profile, length)
    digest = hashlib.sha256(before)
    if leaf.length <= _STEP:
        digest.update(segments.read(pieces))
    else:
        for start in range(0, leaf.length, _STEP):
            digest.update(segments.read(pieces, start, min(start + _STEP, leaf.length)))
    missing = length - leaf.length
    while missing > 0:
        digest.update(_ZEROS[:missing])
        missing -= len(_ZEROS)
    digest.update(after)
    link = leaf_link(profile, digest.digest(), length)
    if length == leaf.length:
        leaf.link = link
    return link
