"""Keys and records of a volume.

The directory ``.mfs/ipns`` holds a directory for every key, under the key's IPNS name: part of the live tree, logged
and committed with it, so that copies between keys and the tree are pointers.  ``local`` is a symbolic link to the
first key's.  When a commit changed such a directory, a record with its CID is signed and put on the shelf.

The names of others, whose records were brought here, are symbolic links to what they lead to, as long as the records
are good.  Files of keys and records are read and written by worker threads; the tree is changed here.
"""

from __future__ import annotations

import logging
import os
import stat
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import trio

from mfs.ipns.ed25519 import new_private, public_of
from mfs.ipns.keys import BadKey, Key, Keys
from mfs.ipns.name import InvalidName, canonical, name_of
from mfs.ipns.record import LIFETIME, InvalidRecord, Record, make, opened
from mfs.ipns.shelf import Shelf
from mfs.tree.node import Directory
from mfs.tree.numbers import IPNS_INO
from mfs.unixfs.cid import cid_str, parse_cid
from mfs.unixfs.errors import InvalidCID

if TYPE_CHECKING:
    from mfs.tree.tree import Tree

__all__ = ["LOCAL", "MAIN", "Naming", "NotHeld", "Resolved", "Watcher"]

logger = logging.getLogger("mfs")

MAIN = "self"
"""The key that ``local`` leads to, when there is one that is called so."""
LOCAL = b"local"
_IPFS = "/ipfs/"
_IPNS = "/ipns/"
_PATH_MAX = 4096
_RENEWED = LIFETIME // 2
_LOOK = 600.0
"""Seconds between two looks whether a record is to be renewed, or its time is over."""


class Watcher(Protocol):
    """Told of every change of a name, for whoever keeps names (the kernel)."""

    def entry(self, directory: Directory, name: bytes) -> None:
        """`name` in `directory` is, or is not, something else than before."""

    async def told(self) -> None:
        """Returns when nobody keeps anything that is out of date."""


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
    """The keys in `repo`/keys and the records in `repo`/names, for the volume whose live tree is `tree`.

    Own records are kept in the directory `published` too, where that is set: for whoever hands them out.
    """

    def __init__(self, repo: Path, tree: Tree, clock: Callable[[], int] = time.time_ns) -> None:
        self.keys = Keys(repo / "keys")
        self.records = Shelf(repo / "names")
        self.published: Path | None = None
        self.watcher: Watcher | None = None
        self._tree = tree
        self._clock = clock
        self._lock = trio.Lock()
        self._wake = trio.Event()

    # -- keys -----------------------------------------------------------------------------------------------------

    async def add(self, called: str, private: bytes | None = None) -> Key:
        """Keep a key, a new one unless `private` is given, and give it an empty directory.  BadKey, OSError."""
        async with self._lock:
            key = await trio.to_thread.run_sync(self.keys.add, called, private or new_private())
            self._enter(key)
            await self._settle()
            return key

    async def remove(self, called: str) -> None:
        """Forget a key, and its directory, which has to be empty.  NotHeld, BadKey, OSError (ENOTEMPTY).

        The last record stays until it is no longer good: others have it too.
        """
        async with self._lock:
            key = await self.key(called)
            self.give_up(key)
            try:
                await trio.to_thread.run_sync(self.keys.remove, key.called)
            finally:
                # A key that could not be removed gets its directory back.
                await self._settle()

    async def rename(self, old: str, new: str) -> Key:
        """Call a key otherwise.  NotHeld, BadKey, OSError."""
        async with self._lock:
            key = await self.key(old)
            await trio.to_thread.run_sync(self.keys.rename, key.called, new)
            await self._settle()
            return key._replace(called=new)

    async def key(self, called: str) -> Key:
        """The key that is called so, or whose name it is.  NotHeld, BadKey."""
        for key in await trio.to_thread.run_sync(self.keys.all):
            if called in (key.called, key.name):
                return key
        raise NotHeld(f"there is no key {called}; mfs key ls shows those there are")

    def directory(self, key: Key) -> Directory:
        """The directory of a key."""
        node = self._tree.child(self._above(), key.name.encode())
        if not isinstance(node, Directory):
            raise NotHeld(f"the key {key.called} has no directory")
        return node

    def give_up(self, key: Key) -> None:
        """Remove the directory of a key, for another to be put there.  OSError (ENOTEMPTY)."""
        with self.opened():
            self._tree.rmdir(self._above(), key.name.encode())
        self._changed(key.name.encode())

    # -- the directory of the keys --------------------------------------------------------------------------------

    async def _settle(self) -> None:
        """Make the directory what keys and records say: also after a crash between the two, or when time passed."""
        keys, links = await trio.to_thread.run_sync(self._wanted)
        above = self._above()
        for key in keys:
            if not isinstance(self._tree.child(above, key.name.encode()), Directory):
                self._enter(key)
        own = {key.name.encode() for key in keys}
        for name in list(self._tree.names(above)):
            if name not in own and name not in links:
                self._drop(name)
        for name, target in links.items():
            if name not in own:
                self._link(name, target)
        if self.watcher is not None:
            await self.watcher.told()

    def _wanted(self) -> tuple[list[Key], dict[bytes, bytes]]:
        keys, links = self.keys.all(), {}
        for name in self.records.names():
            try:
                record = self.records.claimed(name)
                if record is not None and not record.expired(self._clock()):
                    links[name.encode()] = _target(record.value)
            except InvalidRecord as error:
                logger.warning("%s: %s", self.records.path(name), error)
        # The main key, else the first one in the order of what they are called.
        first = next((key for key in keys if key.called == MAIN), keys[0] if keys else None)
        if first is not None:
            links[LOCAL] = first.name.encode()
        return keys, links

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Nobody but us changes the names of the keys, and we meanwhile."""
        self._tree.sealed.discard(IPNS_INO)
        try:
            yield
        finally:
            self._tree.sealed.add(IPNS_INO)

    def _above(self) -> Directory:
        return self._tree.directory(IPNS_INO)

    def _enter(self, key: Key) -> None:
        name, above = key.name.encode(), self._above()
        with self.opened():
            if self._tree.entry(above, name) is not None:
                # What was known of the name before its key was here.
                self._tree.unlink(above, name)
            self._tree.create(above, name, stat.S_IFDIR | 0o755, os.getuid(), os.getgid())
        self._changed(name)

    def _link(self, name: bytes, target: bytes) -> None:
        above = self._above()
        old = self._tree.child(above, name)
        if old is not None:
            if not isinstance(old, Directory) and old.target == target:
                return
            self._drop(name)
            if self._tree.child(above, name) is not None:
                # The directory of a key that is gone, with something in it.
                return
        with self.opened():
            self._tree.create(above, name, stat.S_IFLNK | 0o777, os.getuid(), os.getgid(), target=target)
        self._changed(name)

    def _drop(self, name: bytes) -> None:
        above = self._above()
        node = self._tree.child(above, name)
        if isinstance(node, Directory) and node.entries:
            # Its key is gone, and what is in it is not ours to remove.
            return
        with self.opened():
            (self._tree.rmdir if isinstance(node, Directory) else self._tree.unlink)(above, name)
        self._changed(name)

    def _changed(self, name: bytes) -> None:
        if self.watcher is not None:
            self.watcher.entry(self._above(), name)

    # -- publishing -----------------------------------------------------------------------------------------------

    def committed(self) -> None:
        """A commit is durable: whoever runs :meth:`run` looks at the keys."""
        self._wake.set()

    async def run(self) -> None:
        """Publish what commits change, and renew records before their time is over, for ever."""
        settled = 0.0
        while True:
            self._wake = trio.Event()
            look = trio.current_time() >= settled
            await self.catch_up(look=look)
            if look:
                settled = trio.current_time() + _LOOK
            with trio.move_on_after(_LOOK):
                await self._wake.wait()

    async def catch_up(self, *, look: bool = False) -> None:
        """Publish what the last commit changed; with `look` after putting the directory of the keys right.

        What goes wrong is logged: the trees are safe whatever becomes of their records.
        """
        try:
            if look:
                async with self._lock:
                    await self._settle()
            await self.publish()
        except (OSError, BadKey, InvalidRecord) as error:
            logger.error("the names of the keys could not be published: %s", error)
        except Exception:
            # A defect here is not the mount's end.
            logger.exception("the names of the keys could not be published")

    async def publish(self, called: str | None = None) -> None:
        """Sign records for those keys (or one) whose directory is not what their last record says.

        The CIDs are those of the last commit.  NotHeld, BadKey, InvalidRecord; OSError: the disk.
        """
        async with self._lock:
            keys = await trio.to_thread.run_sync(self.keys.all) if called is None else [await self.key(called)]
            for key in keys:
                node = self._tree.child(self._above(), key.name.encode())
                if isinstance(node, Directory) and node.cid is not None:
                    await trio.to_thread.run_sync(self._publish, key, _IPFS + cid_str(node.cid))

    def _publish(self, key: Key, value: str) -> None:
        last, now = self.records.claimed(key.name), self._clock()
        if last is None or last.value != value or last.until - now < _RENEWED:
            if name_of(public_of(key.private)) != key.name:
                raise BadKey(f"{key.called}: the private key and the public one do not belong together")
            sequence = 0 if last is None else last.sequence + (last.value != value)
            last = make(key.private, value, sequence, now + LIFETIME)
            self.records.put(key.name, last)
        if self.published is not None:
            Shelf(self.published).put_new(key.name, last)

    # -- resolving ------------------------------------------------------------------------------------------------

    async def resolve(self, name: str) -> Resolved:
        """What a name leads to: ``k51...`` or as peer ids are written, or what an own key is called.

        NotHeld; InvalidName; InvalidRecord where the file was tampered with.
        """
        return await trio.to_thread.run_sync(self._resolve, name)

    def _resolve(self, name: str) -> Resolved:
        keys = self.keys.all()
        key = next((key for key in keys if key.called == name), None)
        whole = key.name if key is not None else canonical(name)
        key = next((key for key in keys if key.name == whole), None)
        record = self.records.get(whole)
        if record is None:
            if key is not None:
                raise NotHeld(f"{key.called} was not published yet; mfs name publish does it")
            raise NotHeld(f"there is no record of {whole} here; mfs name import brings one")
        return Resolved(whole, record, record.expired(self._clock()), key.called if key is not None else None)

    async def bring(self, name: str, packed: bytes, load: Callable[[Key, str], Awaitable[None]]) -> Resolved:
        """Keep a record, unless a newer one is here, and let the name lead where it says.

        Of an own key: one that was published elsewhere.  `load` makes the key's directory what it says.

        InvalidName; InvalidRecord where it is not good, out of date, or leads to nothing that can be shown; what
        `load` raises, and then nothing is kept.
        """
        async with self._lock:
            whole = canonical(name)
            record, held, keys = await trio.to_thread.run_sync(self._believed, whole, packed)
            if record.expired(self._clock()):
                raise InvalidRecord("its time is over")
            if held is not None and (held.sequence, held.until) > (record.sequence, record.until):
                raise InvalidRecord(f"a newer one is here: sequence {held.sequence}, this is {record.sequence}")
            _target(record.value)
            key = next((key for key in keys if key.name == whole), None)
            if key is not None:
                await load(key, record.value)
            await trio.to_thread.run_sync(self.records.put, whole, record)
            await self._settle()
            return Resolved(whole, record, False, key.called if key is not None else None)

    def _believed(self, whole: str, packed: bytes) -> tuple[Record, Record | None, list[Key]]:
        return opened(whole, packed), self.records.claimed(whole), self.keys.all()

    async def forget(self, name: str) -> None:
        """Forget the record of somebody else's name.  NotHeld; InvalidName; InvalidRecord for that of an own key."""
        async with self._lock:
            found = await self.resolve(name)
            if found.called is not None:
                raise InvalidRecord(f"it is that of the key {found.called}; mfs key rm {found.called} forgets the key")
            await trio.to_thread.run_sync(self.records.remove, found.name)
            await self._settle()


def _target(value: str) -> bytes:
    """Where a name that leads to `value` points to, from the directory of the names.  InvalidRecord."""
    for prefix, place in ((_IPFS, "../ipfs/"), (_IPNS, "")):
        first, slash, rest = value.removeprefix(prefix).partition("/")
        if value.startswith(prefix) and ".." not in rest.split("/") and "\0" not in rest:
            try:
                if prefix == _IPFS:
                    parse_cid(first)
                else:
                    first = canonical(first)
            except (InvalidCID, InvalidName) as error:
                raise InvalidRecord(f"it leads to {value[:100]!r}: {error}") from None
            target = (place + first + slash + rest).encode()
            if len(target) < _PATH_MAX:
                return target
    raise InvalidRecord(f"it leads to {value[:100]!r}, which is no path to a CID or a name")
