"""Names that are kept: snapshots (of commits) and pins (of any CID).

They are small records of the index: ``snapshot/NAME`` and ``pin/NAME``, in UTF-8, each a line of JSON::

    snapshot   {"commit": CID of the commit, "made": nanoseconds since the epoch}
    pin        {"cid": CID, "made": nanoseconds since the epoch}

What a name leads to is not garbage.  Changes are visible at once and durable with the next flush of the store.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from mfs.commit.record import DamagedCommit
from mfs.unixfs.cid import CID, cid_str, parse_cid
from mfs.unixfs.errors import InvalidCID

if TYPE_CHECKING:
    from mfs.blocks.store import EmbeddedStore

__all__ = [
    "MAX_NAME",
    "PIN",
    "SNAPSHOT",
    "BadName",
    "NameTaken",
    "NoName",
    "Pin",
    "Snapshot",
    "add_pin",
    "add_snapshot",
    "check_name",
    "pin_named",
    "pins",
    "remove",
    "snapshot_named",
    "snapshots",
]

SNAPSHOT = b"snapshot/"
PIN = b"pin/"
MAX_NAME = 200
"""Bytes of a name, at most: it is an entry of a directory in the mount, and a key of the index."""


class BadName(ValueError):
    """What cannot be a name: the message says why."""


class NameTaken(ValueError):
    """There is such a name already."""


class NoName(LookupError):
    """There is no such name."""


class Snapshot(NamedTuple):
    """A name for a commit; `made` (nanoseconds since the epoch) is when it was given."""

    name: str
    commit: CID
    made: int


class Pin(NamedTuple):
    """A name for a CID, whose blocks are kept though no tree holds them; `made` as in :class:`Snapshot`."""

    name: str
    cid: CID
    made: int


def check_name(name: str) -> str:
    """`name`, when it can be one: it is typed at a shell, stands in a path, and `~` counts commits behind it.

    Raises BadName.
    """
    if not name or len(name.encode("utf-8", "surrogatepass")) > MAX_NAME:
        raise BadName(f"a name has 1 to {MAX_NAME} bytes, {name[:40]!r} has {len(name)} characters")
    if not name.isprintable() or "/" in name or "~" in name or name[0] in ".-" or name != name.strip():
        raise BadName(f"{name!r} cannot be a name: no '/', no '~', no blank around it, no '.' or '-' in front")
    if name == "head":
        raise BadName("'head' is always the newest commit: choose another name")
    return name


def snapshots(store: EmbeddedStore) -> list[Snapshot]:
    """All snapshots, in the order of their names.  DamagedCommit: a record is not one."""
    return [
        Snapshot(key[len(SNAPSHOT) :].decode("utf-8", "replace"), *_fields(key, record, "commit"))
        for key, record in store.metas(SNAPSHOT).items()
    ]


def snapshot_named(store: EmbeddedStore, name: str) -> Snapshot | None:
    """The snapshot of this name, None where there is none.  DamagedCommit: its record is not one."""
    key = SNAPSHOT + name.encode("utf-8", "surrogatepass")
    record = store.get_meta(key) if len(key) <= MAX_NAME + len(SNAPSHOT) else None
    return None if record is None else Snapshot(name, *_fields(key, record, "commit"))


def pins(store: EmbeddedStore) -> list[Pin]:
    """All pins, in the order of their names.  DamagedCommit: a record is not one."""
    return [
        Pin(key[len(PIN) :].decode("utf-8", "replace"), *_fields(key, record, "cid"))
        for key, record in store.metas(PIN).items()
    ]


def pin_named(store: EmbeddedStore, name: str) -> Pin | None:
    """The pin of this name, None where there is none.  DamagedCommit: its record is not one."""
    key = PIN + name.encode("utf-8", "surrogatepass")
    record = store.get_meta(key) if len(key) <= MAX_NAME + len(PIN) else None
    return None if record is None else Pin(name, *_fields(key, record, "cid"))


def add_snapshot(store: EmbeddedStore, name: str, commit: CID, now: int) -> Snapshot:
    """Give a commit, whose block is stored, a name.  BadName, NameTaken."""
    _add(store, SNAPSHOT, name, {"commit": cid_str(commit), "made": now})
    return Snapshot(name, commit, now)


def add_pin(store: EmbeddedStore, name: str, cid: CID, now: int) -> Pin:
    """Keep the blocks under `cid`.  BadName, NameTaken."""
    _add(store, PIN, name, {"cid": cid_str(cid), "made": now})
    return Pin(name, cid, now)


def remove(store: EmbeddedStore, kind: bytes, name: str) -> None:
    """Take a name of this kind (:data:`SNAPSHOT`, :data:`PIN`) away.  NoName."""
    key = kind + name.encode("utf-8", "surrogatepass")
    if len(key) > len(kind) + MAX_NAME or store.get_meta(key) is None:
        raise NoName(f"there is no {kind[:-1].decode()} {name!r}")
    store.set_meta(key, None)


def _add(store: EmbeddedStore, kind: bytes, name: str, fields: dict[str, Any]) -> None:
    key = kind + check_name(name).encode()
    if store.get_meta(key) is not None:
        raise NameTaken(f"there is a {kind[:-1].decode()} {name!r} already: remove it first, or choose another name")
    store.set_meta(key, json.dumps(fields, sort_keys=True, separators=(",", ":")).encode())


def _fields(key: bytes, record: bytes, which: str) -> tuple[CID, int]:
    try:
        fields = json.loads(record)
        return parse_cid(fields[which]), int(fields["made"])
    except (ValueError, TypeError, KeyError, InvalidCID) as error:
        raise DamagedCommit(f"the record of {key.decode('utf-8', 'replace')} cannot be read: {error}") from None
