"""Which commit a check begins with: the newest, or what is left of those before it."""

from __future__ import annotations

from collections.abc import Sequence

from mfs.blocks.errors import BlockNotFound
from mfs.blocks.index import INLINE
from mfs.commit.record import Commit, DamagedCommit
from mfs.fsck.report import Finding, Report
from mfs.fsck.sound import Sound
from mfs.unixfs.cid import CID

__all__ = ["commits_in", "newest"]

_STEP = 256
_LONGEST = 4096
_RAW = b"\x01\x55"
_BEGINS = b'{"log":'


def newest(sound: Sound, candidates: Sequence[Commit], report: Report) -> Commit | None:
    """The newest commit that can be begun with; what is wrong with the one that ought to be is told to `report`.

    None where there never was any, or none is left.  `candidates` are those that were found in a damaged index, if it
    was; else every block is looked at.
    """
    record = sound.store.commit_record()
    wrong, damaged = "the index has no commit record", None
    if record is not None:
        try:
            damaged = Commit.decode(record)
            if _begins(sound, damaged):
                return damaged
            wrong = "nothing of what it leads to can be read"
        except DamagedCommit as error:
            wrong = str(error)
    elif not sound.blocks and not candidates:
        return None
    usable = [one for one in candidates or commits_in(sound) if _begins(sound, one)]
    found = max(usable, key=lambda commit: (_begins(sound, commit), commit.time), default=None)
    if found is None:
        report.findings.append(Finding("commit", f"the newest commit: {wrong}, and there is no other"))
    else:
        report.findings.append(
            Finding("commit", f"the newest commit: {wrong}; the newest that is left is of {found.time / 1e9:.3f}")
        )
    return found


def commits_in(sound: Sound) -> list[Commit]:
    """Every block that is a commit."""
    found = []
    last = b""
    while entries := sound.store.entries_behind(last, _STEP):
        for multihash, kind, where in entries:
            if kind == INLINE and multihash not in sound.bad and int.from_bytes(where, "little") < _LONGEST:
                block = sound.store.get(CID(_RAW + multihash))
                if block.startswith(_BEGINS):
                    try:
                        found.append(Commit.decode(block))
                    except DamagedCommit:
                        # Somebody's file that begins like one.
                        continue
        last = entries[-1][0]
    return found


def _begins(sound: Sound, commit: Commit) -> int:
    """Of how many of its halves the root can be read."""
    found = 0
    for cid in (commit.root, commit.meta):
        try:
            found += cid is not None and bool(sound.get(cid))
        except BlockNotFound:
            continue
    return found
