"""Commits by name, and one after the other.

A commit is referred to by what people say:

==============  ==================================================================================================
``head``        the newest
``NAME``        a snapshot
``CID``         the CID of a commit that is kept, or the beginning of its text, as far as it is the only one
``X~3``         three commits before X; ``X~`` is ``X~1``
==============  ==================================================================================================

History ends at the first commit, or where `mfs gc` cut it: a commit whose ``previous`` is stored no more is the oldest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from mfs.blocks.errors import BlockNotFound
from mfs.commit.record import Commit, DamagedCommit
from mfs.history.names import snapshot_named, snapshots
from mfs.unixfs.cid import CID, cid_str, parse_cid
from mfs.unixfs.errors import InvalidCID

if TYPE_CHECKING:
    from mfs.blocks.store import EmbeddedStore

__all__ = ["MIN_PREFIX", "NoCommit", "Reference", "kept", "load_commit", "log", "resolve"]

MIN_PREFIX = 12
"""Characters of a CID that stand for the whole, at least.  (The first eight are the same for all commits.)"""

_BEFORE = re.compile(r"(?P<which>.+?)(?P<steps>(~\d*)*)", re.DOTALL)
_MAX_STEPS = 1 << 40


class NoCommit(LookupError):
    """Nothing that is kept is referred to so; the message says what was looked for."""


class Reference(NamedTuple):
    """A commit and its CID."""

    cid: CID
    commit: Commit


def load_commit(store: EmbeddedStore, cid: CID) -> Commit:
    """The commit that is kept under `cid`.  BlockNotFound; DamagedCommit where the block is no commit."""
    return Commit.decode(store.get(cid))


def log(store: EmbeddedStore, start: Reference | None) -> Iterator[Reference]:
    """`start` and the commits before it, newest first, as far as they are kept.  DamagedCommit.

    None, or a commit without a root (what a new volume begins with), is no commit: there is nothing to tell.
    """
    if start is None or start.commit.root is None:
        return
    cid, commit = start
    while True:
        yield Reference(cid, commit)
        if commit.previous is None:
            return
        cid = commit.previous
        try:
            commit = load_commit(store, cid)
        except BlockNotFound:
            return


def kept(store: EmbeddedStore, head: Commit, cid: CID) -> Commit | None:
    """The commit `cid`, if history leads to it: from `head`, or from a snapshot.  DamagedCommit, BlockNotFound.

    A block that only looks like a commit (somebody's CAR may bring one) is none.  Costs a walk through history.
    """
    if cid != head.cid:
        try:
            load_commit(store, cid)
        except (BlockNotFound, DamagedCommit):
            return None
    passed: set[CID] = set()
    starts = {head.cid: head, **{one.commit: load_commit(store, one.commit) for one in snapshots(store)}}
    for start in starts.items():
        for one in log(store, Reference(*start)):
            if one.cid == cid:
                return one.commit
            if one.cid in passed:
                break
            passed.add(one.cid)
    return None


def resolve(store: EmbeddedStore, head: Commit, text: str) -> Reference:
    """The commit that `text` refers to; `head` is the newest.  A prefix of a CID costs a walk through history.

    Raises NoCommit, DamagedCommit.
    """
    match = _BEFORE.fullmatch(text)
    if match is None:
        raise NoCommit("an empty name refers to no commit")
    found = _named(store, head, match["which"])
    steps = sum(min(int(count or "1"), _MAX_STEPS) for count in match["steps"].split("~")[1:])
    for distance, one in enumerate(log(store, found)):
        if distance == steps:
            return one
    raise NoCommit(f"{text}: there are not so many commits before {match['which']}; mfs log shows those that are kept")


def _named(store: EmbeddedStore, head: Commit, which: str) -> Reference:
    newest = Reference(head.cid, head)
    if which == "head":
        if head.root is None:
            raise NoCommit("nothing was committed yet")
        return newest
    snapshot = snapshot_named(store, which)
    if snapshot is not None:
        return _loaded(store, snapshot.commit, f"snapshot {which}")
    try:
        cid = parse_cid(which)
    except InvalidCID:
        return _by_prefix(store, newest, which)
    return newest if cid == newest.cid else _loaded(store, cid, which)


def _loaded(store: EmbeddedStore, cid: CID, what: str) -> Reference:
    try:
        return Reference(cid, load_commit(store, cid))
    except BlockNotFound:
        raise NoCommit(f"{what}: the commit {cid_str(cid)} is not kept") from None


def _by_prefix(store: EmbeddedStore, newest: Reference, prefix: str) -> Reference:
    found: dict[CID, Reference] = {}
    if len(prefix) >= MIN_PREFIX and prefix.isalnum():
        for start in (newest, *(_loaded(store, one.commit, f"snapshot {one.name}") for one in snapshots(store))):
            for one in log(store, start):
                if cid_str(one.cid).startswith(prefix):
                    found[one.cid] = one
    if len(found) > 1:
        raise NoCommit(f"{prefix} begins the CIDs of {len(found)} commits: give more of it")
    if not found:
        raise NoCommit(f"{prefix!r} is neither a snapshot nor the CID of a commit that is kept")
    return next(iter(found.values()))
