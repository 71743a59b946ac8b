"""Whether two files have the same bytes, told by CIDs where there are any.

A mount of mfs tells the CID of a file in its attribute `ipfs.cid`; no byte is read for that. A file elsewhere is
hashed as mfs would, which reads it once and the other one not at all.
"""

from __future__ import annotations

import hashlib
import os

from mfs.copying.holes import is_sparse, stretches
from mfs.unixfs.cid import cid_str
from mfs.unixfs.layout import Link, build_file, leaf_count, leaf_length, leaf_link, leaf_wrapping, zero_leaf
from mfs.unixfs.profile import PROFILES, Profile, profile_named

__all__ = ["CIDs", "cid_of_bytes"]

XATTR_CID = "ipfs.cid"
XATTR_PROFILE = "mfs.profile"


class CIDs:
    """Asks for CIDs; remembers which file systems (`st_dev`) have none."""

    def __init__(self) -> None:
        self._without: set[int] = set()
        self._with: dict[int, Profile | None] = {}

    def known(self, device: int) -> bool:
        """Whether that file system has told a CID already."""
        return device in self._with

    def of(self, path: str, device: int) -> str | None:
        """The CID of a file or directory; None where there is none. Symbolic links are not followed in the last place.

        Of what was changed and not committed yet, the server commits everything first.
        """
        if device in self._without:
            return None
        try:
            value = os.getxattr(path, XATTR_CID, follow_symlinks=False).decode("ascii")
        except (OSError, UnicodeDecodeError):
            # No such attribute, another's, a server that is gone: bytes are compared, and tell what is wrong.
            if device not in self._with:
                self._without.add(device)
            return None
        if device not in self._with:
            self._with[device] = _profile(path)
        return value

    def tell_bytes(self, device: int) -> bool:
        """Whether two CIDs of that file system differ only where the bytes do: not where roots carry times or modes."""
        profile = self._with.get(device)
        return profile is None or not profile.stores_metadata

    def of_bytes(self, fd: int, status: os.stat_result, device: int, like: str) -> str | None:
        """The CID that an open file's bytes would have on that file system, where one such as `like` comes from.

        None where no bytes decide it alone, and when the file got shorter.
        """
        if not self.tell_bytes(device):
            return None
        return cid_of_bytes(fd, status, self._with.get(device) or _like(like))


def _profile(path: str) -> Profile | None:
    """What decides CIDs there; None where that is not told (kubo)."""
    try:
        return profile_named(os.getxattr(path, XATTR_PROFILE, follow_symlinks=False).decode("ascii"))
    except (OSError, ValueError):
        return None


def _like(cid: str) -> Profile:
    return PROFILES["unixfs-v0-2015" if cid.startswith("Qm") else "unixfs-v1-2025"]


def cid_of_bytes(fd: int, status: os.stat_result, profile: Profile) -> str | None:
    """The CID of an open file's bytes in a profile that stores nothing else; None when it got shorter.

    A hole costs nothing; memory is that of one leaf.
    """
    size = status.st_size
    changed: list[int] | range = range(leaf_count(profile, size))
    if is_sparse(status):
        leaves: set[int] = set()
        for start, stop, hole in stretches(fd, 0, size):
            if not hole:
                leaves.update(range(start // profile.chunk_size, -(-stop // profile.chunk_size)))
        changed = sorted(leaves)
    try:
        building = build_file(
            profile,
            size,
            changed,
            lambda index: _leaf(fd, profile, size, index),
            None,
            0,
            lambda cid: b"",
            lambda cid, block: None,
            lambda length: zero_leaf(profile, length)[0],
        )
        while True:
            next(building)
    except StopIteration as built:
        link: Link = built.value
        return cid_str(link.cid)
    except EOFError:
        return None


def _leaf(fd: int, profile: Profile, size: int, index: int) -> Link:
    length = leaf_length(profile, size, index)
    data = os.pread(fd, length, index * profile.chunk_size)
    if len(data) != length:
        raise EOFError
    before, after = leaf_wrapping(profile, length)
    digest = hashlib.sha256(before)
    digest.update(data)
    digest.update(after)
    return leaf_link(profile, digest.digest(), length)
