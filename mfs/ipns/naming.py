"""Keys and records of a volume.

The directory ``.mfs/ipns`` holds a directory for every key, under the key's IPNS name: part of the live tree, logged
and committed with it, so that copies between keys and the tree are pointers.  ``local`` is a symbolic link to the
first key's.  When a commit changed such a directory, a record with its CID is signed and put on the shelf.

The names of others, whose records were brought here, are symbolic links to what they lead to.
"""

from __future__ import annotations

import logging
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import trio

from mfs.ipns.ed25519 import new_private
from mfs.ipns.keys import BadKey, Key, Keys
from mfs.ipns.name import InvalidName, name_of, public_key_of
from mfs.ipns.record import LIFETIME, InvalidRecord, Record, make, opened
from mfs.ipns.shelf import Shelf
from mfs.tree.node import Directory, Node
from mfs.tree.numbers import IPNS_INO
from mfs.unixfs.cid import cid_str, parse_cid
from mfs.unixfs.errors import InvalidCID

if TYPE_CHECKING:
    from mfs.tree.tree import Tree

__all__ = ["LOCAL", "MAIN", "Naming", "NotHeld", "Resolved"]

logger = logging.getLogger("mfs")

MAIN = "self"
"""The key that ``local`` leads to, when there is one that is called so."""
LOCAL = b"local"
_IPFS = "/ipfs/"
_IPNS = "/ipns/"
_RENEWED = LIFETIME.total_seconds() / 2
_LOOK = 600.0
"""Seconds between two looks whether a record is to be renewed."""
_NANO = 1_000_000_000

Watcher = Callable[[Directory, bytes], None]


class NotHeld(LookupError):
    """There is no such key, or no record of such a name."""


class Resolved(NamedTuple):
    """What a name leads to.

    `expired`: the record's time is over, and nobody else will believe it.  `called`: of an own key.
    """

    name: str
    record: Record
    expired: bool
    called: str | None


class Naming:
    """The keys in `repo`/keys and the records in `repo`/names, for the volume whose live tree is `tree`."""

    def __init__(self, repo: Path, tree: Tree, clock: Callable[[], int] = time.time_ns) -> None:
        self.keys = Keys(repo / "keys")
        self.records = Shelf(repo / "names")
        self._tree = tree
        self._clock = clock
        self._lock = trio.Lock()
        self._committed = trio.Event()

    # -- keys -----------------------------------------------------------------------------------------------------

    def add(self, called: str, private: bytes | None = None, watch: Watcher | None = None) -> Key:
        """Keep a key, a new one unless `private` is given, and give it an empty directory.  BadKey, OSError."""
        key = self.keys.add(called, private or new_private())
        self._enter(key, watch)
        return key

    def adopt(self) -> None:
        """Give every key that has none its directory: one that was added when a crash came, say.  BadKey, OSError."""
        for key in self.keys.all():
            if self._tree.entry(self._above(), key.name.encode()) is None:
                self._enter(key, None)

    def remove(self, called: str, watch: Watcher | None = None) -> None:
        """Forget a key, its directory, which has to be empty, and its record.  NotHeld, BadKey, OSError (ENOTEMPTY)."""
        key = self.key(called)
        with self._open():
            self._tree.rmdir(self._above(), key.name.encode())
        self._changed(watch, key.name.encode())
        self.records.remove(key.name)
        self.keys.remove(called)
        self._point_local(watch)

    def key(self, called: str) -> Key:
        """The key that is called so, or whose name it is.  NotHeld, BadKey."""
        for key in self.keys.all():
            if called in (key.called, key.name):
                return key
        raise NotHeld(f"there is no key {called}; mfs key list shows those there are")

    @contextmanager
    def _open(self) -> Iterator[None]:
        """Nobody but us changes the names of the keys, and we meanwhile."""
        self._tree.sealed.discard(IPNS_INO)
        try:
            yield
        finally:
            self._tree.sealed.add(IPNS_INO)

    def _above(self) -> Directory:
        return self._tree.directory(IPNS_INO)

    def _enter(self, key: Key, watch: Watcher | None) -> None:
        name = key.name.encode()
        above = self._above()
        with self._open():
            if self._tree.entry(above, name) is not None:
                # What was known of the name before its key was here.
                self._tree.unlink(above, name)
            self._tree.create(above, name, stat.S_IFDIR | 0o755, os.getuid(), os.getgid())
        self._changed(watch, name)
        self._point_local(watch)

    def _point_local(self, watch: Watcher | None) -> None:
        """Let ``local`` lead to the main key, else to the first one in the order of their names."""
        keys = self.keys.all()
        first = next((key for key in keys if key.called == MAIN), keys[0] if keys else None)
        self._link(LOCAL, first.name.encode() if first is not None else None, watch)

    def _link(self, name: bytes, target: bytes | None, watch: Watcher | None) -> None:
        above = self._above()
        old = self._tree.child(above, name)
        if (old.target if old is not None else None) == target:
            return
        with self._open():
            if old is not None:
                self._tree.unlink(above, name)
            if target is not None:
                self._tree.create(above, name, stat.S_IFLNK | 0o777, os.getuid(), os.getgid(), target=target)
        self._changed(watch, name)

    def _changed(self, watch: Watcher | None, name: bytes) -> None:
        if watch is not None:
            watch(self._above(), name)

    # -- publishing -----------------------------------------------------------------------------------------------

    def committed(self) -> None:
        """A commit is durable: whoever runs :meth:`run` looks at the keys."""
        self._committed.set()

    async def run(self) -> None:
        """Publish what commits change, and renew records before their time is over, for ever."""
        while True:
            self._committed = trio.Event()
            try:
                await self.publish()
            except (OSError, BadKey, InvalidRecord) as error:
                logger.error("the names of the keys could not be published: %s", error)
            with trio.move_on_after(_LOOK):
                await self._committed.wait()

    async def publish(self, called: str | None = None) -> list[Record]:
        """Sign records for those keys (or one) whose directory is not what their last record says; says which.

        The CIDs are those of the last commit.  NotHeld, BadKey, InvalidRecord; OSError: the disk.
        """
        async with self._lock:
            keys = self.keys.all() if called is None else [self.key(called)]
            made = []
            for key in keys:
                node = self._tree.child(self._above(), key.name.encode())
                if node is not None and node.cid is not None:
                    record = await trio.to_thread.run_sync(self._publish, key, _IPFS + cid_str(node.cid))
                    if record is not None:
                        made.append(record)
            return made

    def _publish(self, key: Key, value: str) -> Record | None:
        last, now = self.records.get(key.name), self._clock()
        if last is not None and last.value == value and last.until - now > _RENEWED * _NANO:
            return None
        sequence = 0 if last is None else last.sequence + (last.value != value)
        record = make(key.private, value, sequence, now)
        self.records.put(key.name, record)
        return record

    # -- resolving ------------------------------------------------------------------------------------------------

    def resolve(self, name: str) -> Resolved:
        """What a name leads to: ``k51...`` or as peer ids are written, or what an own key is called.

        NotHeld; InvalidName; InvalidRecord where the file was tampered with.
        """
        for key in self.keys.all():
            if name in (key.called, key.name):
                record = self.records.get(key.name)
                if record is None:
                    raise NotHeld(f"{name} was not published yet")
                return Resolved(key.name, record, record.expired(self._clock()), key.called)
        whole = name_of(public_key_of(name))
        record = self.records.get(whole)
        if record is None:
            raise NotHeld(f"there is no record of {whole} here; mfs name import brings one")
        return Resolved(whole, record, record.expired(self._clock()), None)

    def bring(self, name: str, packed: bytes, watch: Watcher | None = None) -> Resolved:
        """Keep somebody's record, unless a newer one is here, and let the name lead where it says.

        InvalidName; InvalidRecord where it is not good, out of date, or leads to nothing that can be shown.
        """
        whole = name_of(public_key_of(name))
        record = opened(whole, packed)
        if record.expired(self._clock()):
            raise InvalidRecord("its time is over")
        if any(key.name == whole for key in self.keys.all()):
            raise InvalidRecord("it is that of a key of this repository, which makes its own")
        target = _target(record.value)
        held = self.records.get(whole)
        if held is not None and (held.sequence, held.until) > (record.sequence, record.until):
            raise InvalidRecord(f"a newer one is here: sequence {held.sequence}, this is {record.sequence}")
        self.records.put(whole, record)
        self._link(whole.encode(), target, watch)
        return Resolved(whole, record, False, None)

    def nodes(self) -> list[Node]:
        """The directory of the keys, and what is in it."""
        above = self._above()
        found = [self._tree.child(above, name) for name in self._tree.names(above)]
        return [above, *(node for node in found if node is not None)]


def _target(value: str) -> bytes:
    """Where a name that leads to `value` points to, from the directory of the names.  InvalidRecord."""
    for prefix, place in ((_IPFS, "../ipfs/"), (_IPNS, "")):
        first, slash, rest = value.removeprefix(prefix).partition("/")
        if value.startswith(prefix) and ".." not in rest.split("/"):
            try:
                if prefix == _IPFS:
                    parse_cid(first)
                else:
                    first = name_of(public_key_of(first))
            except (InvalidCID, InvalidName) as error:
                raise InvalidRecord(f"it leads to {value!r}: {error}") from None
            return (place + first + slash + rest).encode()
    raise InvalidRecord(f"it leads to {value[:100]!r}, which is neither a CID nor a name")
