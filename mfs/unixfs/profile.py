"""Import profiles: the choices that decide a CID besides the bytes (IPIP-499)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

from mfs.unixfs.cid import CID, DAG_PB, cid_v0, cid_v1

__all__ = ["DEFAULT_PROFILE", "PROFILES", "TEST_PROFILES", "Profile"]

KIB = 1024
# A 2 MiB block is the largest that other nodes take; 256 bytes are left for the wrapping of a leaf.
MAX_CHUNK = 2048 * KIB - 256


@dataclass(frozen=True, slots=True)
class Profile:
    """How bytes are cut and named.

    ``chunk_size`` is the bytes of every leaf but the last, ``max_links`` the width of a file's inner node. With
    ``raw_leaves`` a leaf is its bytes (codec raw), else a dag-pb File node around them. A directory is sharded when
    its estimated size *exceeds* ``hamt_threshold`` bytes; ``estimation`` "block" counts the exact dag-pb block,
    "links" only the name and CID of every entry.
    """

    name: str
    cid_version: Literal[0, 1]
    raw_leaves: bool
    chunk_size: int
    max_links: int
    estimation: Literal["block", "links"]
    hamt_threshold: int = 256 * KIB
    hamt_fanout: int = 256

    def __post_init__(self) -> None:
        if not 1 <= self.chunk_size <= MAX_CHUNK:
            raise ValueError(f"chunk size {self.chunk_size} is not from 1 to {MAX_CHUNK}")
        if self.max_links < 2:
            raise ValueError(f"{self.max_links} links make no tree")
        # 1024 is the widest that others accept (CVE-2023-23625).
        if self.hamt_fanout not in (8, 16, 32, 64, 128, 256, 512, 1024):
            raise ValueError(f"fanout {self.hamt_fanout} is not a power of two from 8 to 1024")

    def node_cid(self, block: bytes) -> CID:
        """The CID of a dag-pb block in this profile."""
        digest = hashlib.sha256(block).digest()
        return cid_v1(DAG_PB, digest) if self.cid_version else cid_v0(digest)


_V1_2025 = Profile(
    name="unixfs-v1-2025",
    cid_version=1,
    raw_leaves=True,
    chunk_size=1024 * KIB,
    max_links=1024,
    estimation="block",
)
_V0_2015 = Profile(
    name="unixfs-v0-2015",
    cid_version=0,
    raw_leaves=False,
    chunk_size=256 * KIB,
    max_links=174,
    estimation="links",
)

DEFAULT_PROFILE = _V1_2025
PROFILES = {profile.name: profile for profile in (_V1_2025, _V0_2015)}
"""The named profiles of IPIP-499, by name."""

TEST_PROFILES = {
    profile.name: profile
    for profile in (
        Profile("test-small-v1", 1, True, KIB, 3, "block", hamt_threshold=2 * KIB),
        Profile("test-small-v0", 0, False, KIB, 3, "links", hamt_threshold=2 * KIB),
    )
}
"""Profiles of no use but in tests: deep trees and sharded directories from a few kilobytes."""
