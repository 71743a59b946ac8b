"""What changed between two commits: names that came, went or moved, and inodes that are not what they were.

Found by comparing the metadata maps of the two, whose equal subtrees are passed over unread: a hundred changes in a
million files cost a few hundred nodes.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, NamedTuple

from mfs.history.past import Past
from mfs.meta.difference import difference
from mfs.tree.record import Entry, Inode, unpack_entries, unpack_inode
from mfs.unixfs.metadata import same_but_for_metadata

if TYPE_CHECKING:
    from mfs.unixfs.cid import CID

__all__ = ["Change", "changes", "type_name"]

_TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}
_INODE, _ENTRIES = 0, 1


class Change(NamedTuple):
    """One change.

    Attributes:
        kind: "added", "removed", "changed" or "renamed".
        path: from the root, without a slash in front; what was removed: where it was.
        type: "file", "directory", "symlink", "fifo", "socket" or "device".
        old: of what was renamed, the path before.
        what: of what was changed (renamed things may be changed as well), what of it: "content", "mode", "owner",
            "mtime", "device", "attributes" (extended ones), "type"; of a directory its names do not count.
    """

    kind: str
    path: bytes
    type: str
    old: bytes | None = None
    what: tuple[str, ...] = ()


def type_name(mode: int) -> str:
    """The type that :class:`Change` says for a mode."""
    return _TYPES.get(stat.S_IFMT(mode), "file")


class _Found:
    """What the two maps say differently, by inode."""

    def __init__(self, get: Callable[[CID], bytes] | None) -> None:
        self.get = get
        self.lost: dict[int, list[tuple[int, bytes]]] = {}
        self.gained: dict[int, list[tuple[int, bytes]]] = {}
        self.inodes: dict[int, tuple[bytes | None, bytes | None]] = {}
        self.extras: set[int] = set()

    def note(self, key: bytes, old: bytes | None, new: bytes | None) -> None:
        ino, kind = int.from_bytes(key[:8], "big"), key[8]
        if kind == _INODE:
            self.inodes[ino] = (old, new)
        elif kind == _ENTRIES:
            cookie = int.from_bytes(key[9:], "big")
            before = unpack_entries(old, cookie) if old is not None else {}
            after = unpack_entries(new, cookie) if new is not None else {}
            for name in {**before, **after}:
                self._entry(ino, name, before.get(name), after.get(name))
        else:
            self.extras.add(ino)

    def _entry(self, directory: int, name: bytes, old: Entry | None, new: Entry | None) -> None:
        if old is not None and new is not None and old.ino == new.ino:
            return
        if old is not None:
            self.lost.setdefault(old.ino, []).append((directory, name))
        if new is not None:
            self.gained.setdefault(new.ino, []).append((directory, name))


def changes(old: Past, new: Past, get: Callable[[CID], bytes] | None = None) -> Generator[None, None, list[Change]]:
    """What has to be done to `old` to make it `new`, sorted by path; yields where others may run.

    `get` gives blocks, where roots carry modes or mtimes: a CID then changes with them, too.

    Memory is proportional to the changes.  A directory that moved is one change, with whatever is in it; one that came
    or went is as many as there are names in it.  Raises what a damaged map raises (:class:`mfs.history.past.Past`).
    """
    found = _Found(get)
    for one in difference(new.meta, old.meta.root, new.meta.root):
        if one is not None:
            found.note(one.key, one.old, one.new)
        yield
    made: list[Change] = []
    for ino, (before, after) in found.inodes.items():
        made += _of_inode(found, old, new, ino, before, after)
        yield
    for ino in (found.lost.keys() | found.gained.keys()) - found.inodes.keys():
        # Entries without a change of their inode do not occur: its references change with them.
        made += _of_inode(found, old, new, ino, old.meta.get(_key(ino)), new.meta.get(_key(ino)))
        yield
    for ino in found.extras - found.inodes.keys():
        made += _of_inode(found, old, new, ino, old.meta.get(_key(ino)), new.meta.get(_key(ino)))
        yield
    return sorted(_merged(made), key=lambda change: (change.path, change.kind != "removed"))


def _key(ino: int) -> bytes:
    return ino.to_bytes(8, "big") + b"\0"


def _of_inode(
    found: _Found, old: Past, new: Past, ino: int, before: bytes | None, after: bytes | None
) -> Iterator[Change]:
    was = unpack_inode(before) if before is not None else None
    now = unpack_inode(after) if after is not None else None
    lost, gained = found.lost.get(ino, []), found.gained.get(ino, [])
    what = _what(was, now, found.get) if was is not None and now is not None else ()
    if ino in found.extras and was is not None and now is not None:
        what = (*what, "attributes")
    known = now or was
    if known is None:
        return
    kind = type_name(known.mode)
    moves = min(len(lost), len(gained))
    for source, target in zip(lost, gained, strict=False):
        yield Change("renamed", new.path(*target), kind, old.path(*source), what)
    for place in lost[moves:]:
        yield Change("removed", old.path(*place), type_name(was.mode) if was is not None else kind)
    for place in gained[moves:]:
        yield Change("added", new.path(*place), kind)
    if what and now is not None:
        for place in now.references or ((ino, b""),):  # the root has none
            if place not in gained:
                yield Change("changed", new.path(*place), kind, what=what)


def _what(was: Inode, now: Inode, get: Callable[[CID], bytes] | None) -> tuple[str, ...]:
    what = []
    directory = stat.S_ISDIR(now.mode)
    if not directory and not _same_content(was, now, get):
        what.append("content")
    if stat.S_IFMT(was.mode) != stat.S_IFMT(now.mode):
        what.append("type")
    if was.mode & 0o7777 != now.mode & 0o7777:
        what.append("mode")
    if (was.uid, was.gid) != (now.uid, now.gid):
        what.append("owner")
    if not directory and was.mtime != now.mtime:
        what.append("mtime")
    if was.rdev != now.rdev:
        what.append("device")
    return tuple(what)


def _same_content(was: Inode, now: Inode, get: Callable[[CID], bytes] | None) -> bool:
    if (was.size, was.target) != (now.size, now.target):
        return False
    if was.cid == now.cid:
        return True
    if was.cid is None or now.cid is None or get is None or (was.mode, was.mtime) == (now.mode, now.mtime):
        return False
    return same_but_for_metadata(was.cid, now.cid, get)


def _merged(made: list[Change]) -> Iterator[Change]:
    """A name that leads to another inode was changed, as people see it."""
    removed = {change.path: change for change in made if change.kind == "removed"}
    added = {change.path for change in made if change.kind == "added"}
    both = removed.keys() & added
    for change in made:
        if change.path in both and change.kind == "removed":
            continue
        if change.path in both and change.kind == "added":
            was = removed[change.path].type
            what = ("content",) if was == change.type else ("type", "content")
            yield Change("changed", change.path, change.type, what=what)
        else:
            yield change
