"""Import profiles: the choices that decide a CID besides the bytes (IPIP-499)."""

from __future__ import annotations

import hashlib
import stat
from dataclasses import dataclass, replace
from typing import Literal

from mfs.unixfs.cid import CID, DAG_PB, cid_v0, cid_v1
from mfs.unixfs.data import NANOS_PER_SECOND, Mtime

__all__ = ["DEFAULT_PROFILE", "PROFILES", "TEST_PROFILES", "Profile", "profile_named", "satisfies"]

KIB = 1024
# A 2 MiB block is the largest that other nodes take; 256 bytes are left for the wrapping of a leaf.
MAX_CHUNK = 2048 * KIB - 256


@dataclass(frozen=True, slots=True)
class Profile:
    """How bytes are cut and named.

    ``chunk_size`` is the bytes of every leaf but the last, ``max_links`` the width of a file's inner node. With
    ``raw_leaves`` a leaf is its bytes (codec raw), else a dag-pb File node around them. A directory is sharded when
    its estimated size *exceeds* ``hamt_threshold`` bytes; ``estimation`` "block" counts the exact dag-pb block,
    "links" only the name and CID of every entry. ``store_mode`` and ``store_mtime`` (kubo's StoreMode, StoreMtime) say
    whether the root of a file, directory or symbolic link carries its permissions and its time: the CID then depends
    on them as well. Off in both profiles of IPIP-499.
    """

    name: str
    cid_version: Literal[0, 1]
    raw_leaves: bool
    chunk_size: int
    max_links: int
    estimation: Literal["block", "links"]
    store_mode: bool = False
    store_mtime: bool = False
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

    @property
    def stores_metadata(self) -> bool:
        """Whether CIDs depend on more than names and bytes."""
        return self.store_mode or self.store_mtime

    def stored(self, mode: int, mtime: int) -> tuple[int, Mtime | None]:
        """What a root carries of this ``st_mode`` and this mtime (nanoseconds): (0, None) where nothing is stored.

        A symbolic link has no mode, as `ipfs add --preserve-mode` has it.
        """
        permissions = mode & 0o7777 if self.store_mode and not stat.S_ISLNK(mode) else 0
        return permissions, Mtime(*divmod(mtime, NANOS_PER_SECOND)) if self.store_mtime else None

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

_STORED = ("mode", "mtime")


def profile_named(name: str) -> Profile:
    """The profile of this name: one of the above, with ``+mode``, ``+mtime`` or both where roots carry that as well.

    Without anything before the first ``+`` it is the default's variant. Raises ValueError.
    """
    base, *stored = name.split("+")
    found = PROFILES.get(base) or TEST_PROFILES.get(base) if base else DEFAULT_PROFILE
    if found is None or not set(stored) <= set(_STORED):
        raise ValueError(f"there is no profile {name!r}; known are {', '.join(PROFILES)}")
    return replace(
        found,
        name="+".join([found.name, *(one for one in _STORED if one in stored)]),
        store_mode="mode" in stored,
        store_mtime="mtime" in stored,
    )


def satisfies(profile: Profile, asked: str) -> bool:
    """Whether a repository of this profile has what was asked for: the same cut, if one was named, and what roots are
    to carry; they may carry more. ``asked`` is a name that `profile_named` knows."""
    wanted = profile_named(asked)
    if wanted.store_mode > profile.store_mode or wanted.store_mtime > profile.store_mtime:
        return False
    return asked.startswith("+") or wanted.name.partition("+")[0] == profile.name.partition("+")[0]
