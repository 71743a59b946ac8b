"""Operations on keys and on what names lead to."""

from __future__ import annotations

import base64
import binascii
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import trio

from mfs.ipns.keys import BadKey, Key, pack_private, unpack_private
from mfs.ipns.name import InvalidName
from mfs.ipns.naming import NotHeld, Resolved
from mfs.ipns.record import InvalidRecord, Record
from mfs.ipns.shelf import Shelf
from mfs.operations.chroot import become
from mfs.operations.places import Foreign, find, kind_of, node_cache
from mfs.operations.session import Session
from mfs.unixfs.cid import cid_str

__all__ = [
    "bring",
    "export_key",
    "forget",
    "give",
    "import_key",
    "keys",
    "new_key",
    "publish",
    "remove_key",
    "rename_key",
    "resolve",
]

_CODES: tuple[tuple[type[Exception], int], ...] = (
    (NotHeld, errno.ENOENT),
    (BadKey, errno.EINVAL),
    (InvalidName, errno.EINVAL),
    (InvalidRecord, errno.EINVAL),
)


@contextmanager
def _coded(what: str = "") -> Iterator[None]:
    """What goes wrong with keys and records, with an errno."""
    try:
        yield
    except tuple(kind for kind, _ in _CODES) as error:
        code = next(code for kind, code in _CODES if isinstance(error, kind))
        raise OSError(code, f"{what}: {error}" if what else str(error)) from error


async def keys(session: Session) -> None:
    """Give each key: what it is called, its name, the CID of its tree as of the last commit."""
    naming = session.volume.naming
    with _coded():
        for key in await trio.to_thread.run_sync(naming.keys.all):
            cid = naming.directory(key).cid
            await session.item({**_key(key), "cid": cid_str(cid) if cid is not None else None})


async def new_key(session: Session, called: str) -> dict[str, Any]:
    """Make a key."""
    with _coded():
        return await _added(session, await session.volume.naming.add(called))


async def import_key(session: Session, called: str, key: str) -> dict[str, Any]:
    """Take in a key as libp2p writes it, in base64."""
    with _coded():
        return await _added(session, await session.volume.naming.add(called, unpack_private(_bytes(key))))


async def export_key(session: Session, called: str) -> dict[str, Any]:
    """Give out a key, as libp2p writes it, in base64.  Whoever has it can publish under its name."""
    with _coded():
        key = await session.volume.naming.key(called)
        return {**_key(key), "key": base64.b64encode(pack_private(key.private)).decode()}


async def rename_key(session: Session, old: str, new: str) -> dict[str, Any]:
    """Call a key otherwise."""
    with _coded():
        return await _added(session, await session.volume.naming.rename(old, new))


async def remove_key(session: Session, called: str) -> None:
    """Forget a key whose directory is empty."""
    with _coded(called):
        await session.volume.naming.remove(called)
    await session.settled_all()


async def publish(session: Session, called: str | None, to: bytes | None) -> list[dict[str, Any]]:
    """Commit, and sign what every key, or one, leads to; says what that is.  `to`: a directory for the records."""
    naming = session.volume.naming
    with _coded():
        await session.volume.commit()
        await naming.publish(called)
        keys = await trio.to_thread.run_sync(naming.keys.all) if called is None else [await naming.key(called)]
        found = [await naming.resolve(key.name) for key in keys]
        if to is not None:
            shelf = Shelf(Path(os.fsdecode(to)))
            for one in found:
                await trio.to_thread.run_sync(shelf.put_new, one.name, one.record)
        return [_resolved(one) for one in found]


async def resolve(session: Session, name: str) -> dict[str, Any]:
    """Say what a name leads to."""
    with _coded():
        return _resolved(await session.volume.naming.resolve(name))


async def bring(session: Session, name: str, record: str) -> dict[str, Any]:
    """Take in the record of a name, in base64, and let the name lead where it says.

    Of an own key: its directory, which has to be empty or as it was published last, becomes what the record says.
    """
    with _coded(name):
        found = await session.volume.naming.bring(name, _bytes(record), partial(_load, session))
    await session.settled_all()
    return _resolved(found)


async def _load(session: Session, key: Key, value: str) -> None:
    volume, naming = session.volume, session.volume.naming
    directory = naming.directory(key)
    await volume.commit()
    last = await trio.to_thread.run_sync(naming.records.claimed, key.name)
    published = last is not None and directory.cid is not None and last.value == f"/ipfs/{cid_str(directory.cid)}"
    if directory.entries and not published:
        raise OSError(errno.ENOTEMPTY, f"the tree of the key {key.called} has changed since it was published last")
    cache = node_cache(volume.store)
    place = find(volume, value.encode(), cache)
    if not isinstance(place, Foreign) or kind_of(place, cache) != "directory":
        raise OSError(errno.ENOTDIR, f"the record leads to {value}, which is no directory")
    await become(session, directory, place.cid, cache)


async def give(session: Session, name: str) -> dict[str, Any]:
    """Give out the record of a name, in base64."""
    with _coded():
        found = await session.volume.naming.resolve(name)
        return {**_resolved(found), "record": base64.b64encode(found.record.packed).decode()}


async def forget(session: Session, name: str) -> None:
    """Forget the record of somebody else's name."""
    with _coded():
        await session.volume.naming.forget(name)
    await session.settled_all()


async def _added(session: Session, key: Key) -> dict[str, Any]:
    await session.settled_all()
    return _key(key)


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise InvalidRecord(f"not base64: {error}") from None


def _key(key: Key) -> dict[str, Any]:
    return {"called": key.called, "name": key.name}


def _resolved(found: Resolved) -> dict[str, Any]:
    record: Record = found.record
    return {
        "name": found.name,
        "called": found.called,
        "value": record.value,
        "sequence": record.sequence,
        "until": record.until,
        "expired": found.expired,
    }
