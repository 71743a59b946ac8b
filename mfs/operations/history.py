"""Operations on commits and their names, and garbage collection."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import trio

from mfs.blocks.errors import BlockNotFound
from mfs.commit.record import DamagedCommit
from mfs.control.frames import to_text
from mfs.gc import BadPolicy, Busy, Collected, Keep
from mfs.gc import collect as collect_garbage
from mfs.history import names
from mfs.history.changes import Change, changes
from mfs.history.commits import NoCommit, Reference, resolve
from mfs.history.commits import log as commits_before
from mfs.history.past import Past, reader
from mfs.history.restore import restore as restore_paths
from mfs.history.trees import tree_changes
from mfs.meta.node import MalformedNode
from mfs.operations.session import Session
from mfs.pace import Pace
from mfs.tree.record import DamagedRecord
from mfs.unixfs.cid import CID, cid_str, parse_cid
from mfs.unixfs.errors import InvalidCID
from mfs.unixfs.nodes import NodeCache

__all__ = ["collect", "diff", "forget", "log", "pin", "pins", "restore", "snapshot", "snapshots", "unpin"]

_MANY = 256
"""Items given together."""
_TELL = 0.2
"""Seconds between two words about progress."""
_CODES: tuple[tuple[type[Exception], int], ...] = (
    (NoCommit, errno.ENOENT),
    (names.NoName, errno.ENOENT),
    (names.NameTaken, errno.EEXIST),
    (names.BadName, errno.EINVAL),
    (BadPolicy, errno.EINVAL),
    (InvalidCID, errno.EINVAL),
    (Busy, errno.EBUSY),
    (DamagedCommit, errno.EIO),
    (DamagedRecord, errno.EIO),
    (MalformedNode, errno.EIO),
    (BlockNotFound, errno.EIO),
)


@contextmanager
def _coded() -> Iterator[None]:
    """What goes wrong with names and commits, with an errno."""
    try:
        yield
    except Exception as error:
        for kind, code in _CODES:
            if isinstance(error, kind):
                advice = "; mfs fsck says what is damaged" if code == errno.EIO else ""
                raise OSError(code, f"{error}{advice}") from error
        raise


def _head(session: Session) -> Reference:
    head = session.volume.head
    return Reference(head.cid, head)


def _said(one: Reference, called: list[str]) -> dict[str, Any]:
    commit = one.commit
    return {
        "commit": cid_str(one.cid),
        "root": cid_str(commit.root) if commit.root is not None else None,
        "time": commit.time,
        "names": called,
    }


async def snapshot(session: Session, name: str, commit: str | None) -> dict[str, Any]:
    """Name a commit: the one that is meant by `commit`, or everything there is now."""
    volume, store = session.volume, session.volume.store
    with _coded():
        names.check_name(name)
        if commit is None:
            await volume.commit()
        with store.keeping():
            found = resolve(store, volume.head, commit or "head")
            store.put(found.cid, found.commit.encode())
            names.add_snapshot(store, name, found.cid, time.time_ns())
        await volume.flush()
        return _said(found, [name])


async def snapshots(session: Session) -> None:
    """Give each snapshot: its name, commit, root and times."""
    store = session.volume.store
    with _coded():
        for one in names.snapshots(store):
            found = resolve(store, session.volume.head, one.name)
            await session.item({"name": one.name, "made": one.made, **_said(found, [])})


async def forget(session: Session, name: str) -> None:
    """Take a snapshot's name away."""
    await _remove(session, names.SNAPSHOT, name)


async def pin(session: Session, name: str, cid: str) -> None:
    """Keep the blocks under a CID, which have to be here."""
    store = session.volume.store
    with _coded():
        wanted = parse_cid(cid)
        with store.keeping():
            if not store.has(wanted):
                raise OSError(errno.ENOENT, f"{cid} is not stored here")
            names.add_pin(store, name, wanted, time.time_ns())
        await session.volume.flush()


async def pins(session: Session) -> None:
    """Give each pin: its name, CID and time."""
    with _coded():
        for one in names.pins(session.volume.store):
            await session.item({"name": one.name, "cid": cid_str(one.cid), "made": one.made})


async def unpin(session: Session, name: str) -> None:
    """Take a pin away."""
    await _remove(session, names.PIN, name)


async def _remove(session: Session, kind: bytes, name: str) -> None:
    with _coded():
        names.remove(session.volume.store, kind, name)
        await session.volume.flush()


async def log(session: Session, start: str, count: int | None) -> None:
    """Give the commits from one on, newest first, in lists."""
    volume, store = session.volume, session.volume.store
    with _coded():
        if start == "head":
            await volume.commit()
        called: dict[CID, list[str]] = {}
        for one in names.snapshots(store):
            called.setdefault(one.commit, []).append(one.name)
        found = _head(session) if start == "head" else resolve(store, volume.head, start)
        pace = Pace()
        part: list[dict[str, Any]] = []
        for place, each in enumerate(commits_before(store, found)):
            if place == count:
                break
            part.append(_said(each, called.get(each.cid, [])))
            if len(part) == _MANY:
                await session.item(part)
                part = []
            if pace.due:
                await pace.rest()
        await session.item(part)


async def diff(session: Session, old: str, new: str) -> None:
    """Give what changed between two commits, or two directories by CID, in lists."""
    volume, store = session.volume, session.volume.store
    with _coded():
        if "head" in (old, new):
            await volume.commit()
        before, after = _meant(session, old), _meant(session, new)
        pace = Pace()
        if isinstance(before, Reference) and isinstance(after, Reference):
            pasts = Past(reader(store, before.commit.meta)), Past(reader(store, after.commit.meta))
            stored = volume.profile.stores_metadata
            found = await pace.run(changes(*pasts, store.get if stored else None))
        else:
            nodes = NodeCache(store.get)
            found = await pace.run(tree_changes(_root(before), _root(after), nodes))
        for start in range(0, len(found), _MANY):
            await session.item([_change(change) for change in found[start : start + _MANY]])


def _meant(session: Session, text: str) -> Reference | CID:
    try:
        return resolve(session.volume.store, session.volume.head, text)
    except (NoCommit, DamagedCommit) as error:
        try:
            cid = parse_cid(text)
        except InvalidCID:
            raise error from None
        if not session.volume.store.has(cid):
            raise NoCommit(f"{text} is neither a commit that is kept nor stored here") from None
        return cid


def _root(meant: Reference | CID) -> CID:
    if not isinstance(meant, Reference):
        return meant
    if meant.commit.root is None:
        raise NoCommit("nothing was committed yet")
    return meant.commit.root


def _change(change: Change) -> dict[str, Any]:
    said: dict[str, Any] = {"kind": change.kind, "path": to_text(change.path), "type": change.type}
    if change.old is not None:
        said["old"] = to_text(change.old)
    if change.what:
        said["what"] = list(change.what)
    return said


async def restore(session: Session, commit: str, paths: list[bytes]) -> dict[str, Any]:
    """Make the tree, or some paths, what a commit says."""
    volume = session.volume
    with _coded():
        before = await volume.commit()
        found = resolve(volume.store, before, commit)
        done = await restore_paths(volume, found.commit, paths, watcher=session.caches)
        return {**asdict(done), "commit": cid_str(found.cid), "before": cid_str(before.cid)}


async def collect(session: Session, keep: str, dry_run: bool) -> dict[str, Any]:
    """Collect garbage; give what is being done and how far it is, a few times a second."""
    send, receive = trio.open_memory_channel[tuple[str, int, int]](1)

    def progress(phase: str, done: int, total: int) -> None:
        try:
            send.send_nowait((phase, done, total))
        except trio.WouldBlock:
            return

    async def tell() -> None:
        async for phase, done, total in receive:
            await session.item({"phase": phase, "done": done, "total": total})
            await trio.sleep(_TELL)

    with _coded():
        policy = Keep.parse(keep)
        done: Collected | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tell)
            try:
                done = await collect_garbage(session.volume, policy, dry_run=dry_run, progress=progress)
            finally:
                nursery.cancel_scope.cancel()
        return asdict(done) if done is not None else {}
