"""Operations on keys and on what names lead to."""

from __future__ import annotations

import base64
import binascii
import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mfs.ipns.keys import BadKey, Key, pack_private, unpack_private
from mfs.ipns.name import InvalidName
from mfs.ipns.naming import NotHeld, Resolved
from mfs.ipns.record import InvalidRecord, Record
from mfs.operations.session import Session
from mfs.tree.numbers import IPNS_INO
from mfs.unixfs.cid import cid_str

__all__ = ["bring", "export_key", "give", "import_key", "keys", "new_key", "publish", "remove_key", "resolve"]

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
    tree, naming = session.volume.tree, session.volume.naming
    above = tree.directory(IPNS_INO)
    with _coded():
        for key in naming.keys.all():
            node = tree.child(above, key.name.encode())
            cid = node.cid if node is not None else None
            await session.item({**_key(key), "cid": cid_str(cid) if cid is not None else None})


async def new_key(session: Session, called: str) -> dict[str, Any]:
    """Make a key."""
    with _coded():
        return await _added(session, session.volume.naming.add(called, watch=session.caches.entry))


async def import_key(session: Session, called: str, key: str) -> dict[str, Any]:
    """Take in a key as libp2p writes it, in base64."""
    with _coded():
        private = unpack_private(_bytes(key))
        return await _added(session, session.volume.naming.add(called, private, session.caches.entry))


async def export_key(session: Session, called: str) -> dict[str, Any]:
    """Give out a key, as libp2p writes it, in base64.  Whoever has it can publish under its name."""
    with _coded():
        key = session.volume.naming.key(called)
        return {**_key(key), "key": base64.b64encode(pack_private(key.private)).decode()}


async def remove_key(session: Session, called: str) -> None:
    """Forget a key whose directory is empty."""
    with _coded():
        session.volume.naming.remove(called, session.caches.entry)
    await session.settled_all()


async def publish(session: Session, called: str | None) -> list[dict[str, Any]]:
    """Commit, and sign what every key, or one, leads to; says what that is."""
    naming = session.volume.naming
    with _coded():
        await session.volume.commit()
        await naming.publish(called)
        wanted = [naming.key(called)] if called is not None else naming.keys.all()
        return [_resolved(naming.resolve(key.name)) for key in wanted]


async def resolve(session: Session, name: str) -> dict[str, Any]:
    """Say what a name leads to."""
    with _coded():
        return _resolved(session.volume.naming.resolve(name))


async def bring(session: Session, name: str, record: str) -> dict[str, Any]:
    """Take in somebody's record, in base64, and let the name lead where it says."""
    with _coded(name):
        found = session.volume.naming.bring(name, _bytes(record), session.caches.entry)
    await session.settled_all()
    return _resolved(found)


async def give(session: Session, name: str) -> dict[str, Any]:
    """Give out the record of a name, in base64."""
    with _coded():
        found = session.volume.naming.resolve(name)
        return {**_resolved(found), "record": base64.b64encode(found.record.packed).decode()}


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
