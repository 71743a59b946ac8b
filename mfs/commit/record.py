"""The commit record: the root of everything."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from mfs.unixfs.cid import CID, RAW, cid_str, cid_v1, parse_cid

HEAD = b"head"
"""The name under which the index holds the newest commit."""


class DamagedCommit(Exception):
    """The record of the newest commit cannot be read."""


@dataclass(frozen=True)
class Commit:
    """One commit.

    Attributes:
        root: the UnixFS directory that the volume was, what `ipfs` would call the root CID; None only before the first.
        meta: root of the metadata map (:mod:`mfs.meta`), None while that is empty.
        previous: the block that holds the commit before, None for the first.
        time: its point in time, nanoseconds since the epoch.
        next_ino: the first inode number that was never given out.
        log: number of the first log whose records came after the point in time.
    """

    root: CID | None
    meta: CID | None
    previous: CID | None
    time: int
    next_ino: int
    log: int

    def encode(self) -> bytes:
        """As JSON, keys sorted, CIDs as text: the same commit is the same bytes."""
        fields = {
            key: cid_str(CID(value)) if isinstance(value, bytes) else value for key, value in asdict(self).items()
        }
        return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()

    @property
    def cid(self) -> CID:
        """The CID of the commit: that of :meth:`encode` as a raw block."""
        return cid_v1(RAW, hashlib.sha256(self.encode()).digest())

    @classmethod
    def first(cls, now: int, log: int) -> Commit:
        """What a volume that was never committed begins with.  It is not stored."""
        return cls(None, None, None, now, 0, log)

    @classmethod
    def decode(cls, record: bytes) -> Commit:
        """The inverse of :meth:`encode`.  Raises :class:`DamagedCommit`."""
        try:
            fields = json.loads(record)
            for key in ("root", "meta", "previous"):
                if fields[key] is not None:
                    fields[key] = parse_cid(fields[key])
            commit = cls(**fields)
            numbers = (commit.time, commit.next_ino, commit.log)
        except (ValueError, TypeError, KeyError) as error:
            raise DamagedCommit(f"the commit record cannot be read: {error}") from None
        if not commit.root or not all(isinstance(number, int) and number >= 0 for number in numbers):
            raise DamagedCommit(f"the commit record lacks a root or a number: {record!r}")
        return commit
