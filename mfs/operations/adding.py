"""Taking in files and directories: bytes stream in, become part of the tree, and get their CIDs.

The input is a sequence of these; names are relative to the directory `path`, parents come before what is in them::

    {"directory": NAME, "mode": MODE, "mtime": NANOSECONDS or null}
    {"symlink": NAME, "target": TARGET, "mtime": ...}
    {"files": [[NAME, MODE, MTIME, SIZE], ...]}, then one frame with the bytes of all of them
    {"file": NAME, "mode": ..., "mtime": ...}, then frames with its bytes, then {"close": true}

The answer: lists of ``{"name", "type", "size", "cid"}``, files first, directories last and deepest first.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from typing import Any

from mfs.blocks.appender import Appender
from mfs.control.frames import BrokenFrame, to_bytes, to_text
from mfs.file.content import Content
from mfs.operations.graft import check_name
from mfs.operations.paths import directory_at, error, parts
from mfs.operations.session import Session
from mfs.pace import Pace
from mfs.tree.node import Directory, File, Node, Symlink
from mfs.unixfs.cid import cid_str

__all__ = ["add"]

_ROUND = 4000
"""Files after which a commit is made and their CIDs are told, so that memory stays bounded."""
_OWN_SEGMENT = 1 << 20
_TOGETHER = 500
_PERMISSIONS = 0o7777


async def add(session: Session, *, path: bytes) -> dict[str, Any]:
    """Take everything in; the result counts ``files``, ``directories``, ``symlinks`` and ``bytes``.

    What is there already is replaced, directories are merged with those of the same name.  A file becomes what it is
    to be when all of it has come; one that cannot, for lack of space say, stays as it was.
    """
    adder = _Adder(session, path)
    async for item in session.input():
        await adder.take(item)
    return await adder.finish()


class _Adder:
    def __init__(self, session: Session, path: bytes) -> None:
        self._session = session
        self._volume = session.volume
        self._tree = session.volume.tree
        self._base = directory_at(self._tree, path).ino
        self._top = path
        self._directories: dict[bytes, int] = {b"": self._base}
        self._told: list[tuple[bytes, int]] = []
        self._later: list[tuple[bytes, int]] = []
        self._last_times: list[tuple[int, int]] = []
        self._batch: list[list[Any]] | None = None
        self._large: _Large | None = None
        self._pace = Pace()
        self._counts = {"files": 0, "directories": 0, "symlinks": 0, "bytes": 0}

    async def take(self, item: Any) -> None:
        if isinstance(item, bytes):
            if self._batch is not None:
                batch, self._batch = self._batch, None
                await self._small(batch, item)
            elif self._large is not None:
                self._large.append(item)
                self._counts["bytes"] += len(item)
            else:
                raise BrokenFrame("bytes of no file")
        elif not isinstance(item, dict) or self._batch is not None:
            raise BrokenFrame("an item that is not understood")
        elif self._large is not None:
            if item.get("close") is not True:
                raise BrokenFrame("an item in the middle of a file")
            self._close_large()
        else:
            self._begin(item)
        if self._pace.due:
            await self._pace.rest()
        if len(self._told) >= _ROUND:
            await self._tell(self._told)
            self._told = []

    def _begin(self, item: dict[str, Any]) -> None:
        try:
            if "directory" in item:
                self._directory(to_bytes(item["directory"]), int(item["mode"]), item.get("mtime"))
            elif "symlink" in item:
                self._symlink(to_bytes(item["symlink"]), to_bytes(item["target"]), item.get("mtime"))
            elif "files" in item:
                self._batch = [[to_bytes(one[0]), int(one[1]), one[2], int(one[3])] for one in item["files"]]
            elif "file" in item:
                place = self._place(to_bytes(item["file"]))
                self._large = _Large(self, *place, int(item["mode"]), item.get("mtime"))
            else:
                raise BrokenFrame("an item of no kind")
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as wrong:
            raise BrokenFrame(f"an item that is not understood: {wrong!r}") from wrong

    def _place(self, name: bytes) -> tuple[bytes, Directory, bytes]:
        """The name, the directory that it lies in and its last part."""
        above, _, last = name.rpartition(b"/")
        check_name(last, self._path(name))
        ino = self._directories.get(above)
        if ino is None:
            ino = directory_at(self._tree, self._path(above)).ino
            if b".." in above.split(b"/"):
                raise error(errno.EINVAL, name)
            self._directories[above] = ino
        return name, self._tree.directory(ino), last

    def _path(self, name: bytes) -> bytes:
        return b"/" + b"/".join([*parts(self._top), name])

    def _directory(self, name: bytes, mode: int, mtime: Any) -> None:
        name, parent, last = self._place(name)
        there = self._tree.child(parent, last)
        if there is None:
            there = self._made(parent, last, name, stat.S_IFDIR | mode & _PERMISSIONS)
            if isinstance(mtime, int):
                # As asked for, though the directory above hands its set-group-ID bit on.
                there.mode = stat.S_IFDIR | mode & _PERMISSIONS
        elif not isinstance(there, Directory):
            raise error(errno.ENOTDIR, self._path(name))
        if isinstance(mtime, int):
            self._last_times.append((there.ino, mtime))
        self._directories[name] = there.ino
        self._later.append((name, there.ino))
        self._counts["directories"] += 1

    def _symlink(self, name: bytes, target: bytes, mtime: Any) -> None:
        name, parent, last = self._place(name)
        there = self._tree.child(parent, last)
        if isinstance(there, Directory):
            raise error(errno.EISDIR, self._path(name))
        if there is not None:
            self._tree.unlink(parent, last)
            self._session.caches.inode(there)
        made = self._made(parent, last, name, stat.S_IFLNK | 0o777, target)
        self._times(made, mtime)
        self._told.append((name, made.ino))
        self._counts["symlinks"] += 1

    def _made(self, parent: Directory, last: bytes, name: bytes, mode: int, target: bytes = b"") -> Node:
        try:
            made = self._tree.create(parent, last, mode, os.getuid(), os.getgid(), target=target)
        except OSError as failed:
            raise OSError(failed.errno, failed.strerror, os.fsdecode(self._path(name))) from failed
        self._session.caches.entry(parent, last)
        return made

    def _times(self, node: Node, mtime: Any) -> None:
        if isinstance(mtime, int):
            node.mtime = max(-(1 << 63), min(mtime, (1 << 63) - 1))
            self._tree.touched(node)

    def file(self, name: bytes, parent: Directory, last: bytes, mode: int) -> File:
        """The file of this name, made where there is none.  What was there and is no file is replaced."""
        there = self._tree.child(parent, last)
        if isinstance(there, Directory):
            raise error(errno.EISDIR, self._path(name))
        if isinstance(there, File):
            there.mode = stat.S_IFREG | mode & _PERMISSIONS
            return there
        if there is not None:
            self._tree.unlink(parent, last)
        made = self._made(parent, last, name, stat.S_IFREG | mode & _PERMISSIONS)
        if not isinstance(made, File):
            raise error(errno.EIO, self._path(name))
        return made

    def filled(self, name: bytes, file: File, mtime: Any) -> None:
        """`file` has its bytes now."""
        file.mtime = file.ctime = self._tree.clock()
        self._tree.touched(file)
        self._times(file, mtime)
        self._session.caches.inode(file)
        self._told.append((name, file.ino))
        self._counts["files"] += 1

    async def _small(self, batch: list[list[Any]], data: bytes) -> None:
        if sum(one[3] for one in batch) != len(data) or any(one[3] < 0 for one in batch):
            raise BrokenFrame("the sizes of files are not those of their bytes")
        shared = self._volume.store.segments.shared
        at = 0
        view = memoryview(data)
        for name, mode, mtime, size in batch:
            name, parent, last = self._place(name)
            file = self.file(name, parent, last, mode)
            if file.content.size:
                file.content.truncate(0)
            if size:
                file.content.write(0, shared.append(view[at : at + size]))
                at += size
            self.filled(name, file, mtime)
            if self._pace.due:
                await self._pace.rest()
        self._counts["bytes"] += len(data)

    def _close_large(self) -> None:
        large, self._large = self._large, None
        if large is not None:
            large.close()

    async def finish(self) -> dict[str, Any]:
        """The input is complete."""
        if self._batch is not None or self._large is not None:
            raise BrokenFrame("the input ends in the middle of a file")
        for ino, mtime in self._last_times:
            # Not before: every entry made in a directory changes its time.
            with suppress(OSError):  # removed meanwhile
                self._times(self._tree.node(ino), mtime)
        await self._tell(self._told)
        await self._tell(self._later[::-1])
        return self._counts

    async def _tell(self, done: list[tuple[bytes, int]]) -> None:
        await self._volume.commit()
        await self._session.caches.told()
        for start in range(0, len(done), _TOGETHER):
            await self._session.item([self._line(*one) for one in done[start : start + _TOGETHER]])

    def _line(self, name: bytes, ino: int) -> dict[str, Any]:
        try:
            node = self._tree.node(ino)
        except OSError:
            # Removed meanwhile.
            return {"name": to_text(name), "type": "file", "size": 0, "cid": None}
        kind = "directory" if isinstance(node, Directory) else "symlink" if isinstance(node, Symlink) else "file"
        cid = cid_str(node.cid) if node.cid is not None else None
        return {"name": to_text(name), "type": kind, "size": node.size, "cid": cid}


class _Large:
    """A file that comes in several frames.

    One that is new grows in the tree, so that a commit takes its leaves out of memory; one that replaces another does
    so at the end.
    """

    def __init__(self, adder: _Adder, name: bytes, parent: Directory, last: bytes, mode: int, mtime: Any) -> None:
        self._adder = adder
        self._name = name
        self._mtime = mtime
        volume = adder._volume
        self._tree = volume.tree
        self._segments = volume.store.segments
        self._appender: Appender | None = None
        self._size = 0
        self._file = adder.file(name, parent, last, mode)
        self._beside = self._file.content.size > 0
        self._content = Content(self._tree.medium) if self._beside else self._file.content
        # What is beside the tree is known to nobody else.
        self._keeping = volume.store.keeping() if self._beside else None
        if self._keeping is not None:
            self._keeping.__enter__()
            adder._session.at_end(self.drop)
        else:
            adder._session.at_end(self._close_appender)

    def append(self, data: bytes) -> None:
        """More of its bytes."""
        if not data:
            return
        if self._size + len(data) > _OWN_SEGMENT:
            if self._appender is None:
                self._appender = self._segments.appender()
            piece = self._appender.append(data)
        else:
            piece = self._segments.shared.append(data)
        self._content.write(self._size, piece)
        self._size += len(data)
        if not self._beside:
            self._tree.touched(self._file)

    def close(self) -> None:
        """That was all."""
        self._close_appender()
        if self._beside:
            self._file.content.become(self._content)
        self._adder.filled(self._name, self._file, self._mtime)
        self.drop()

    def drop(self) -> None:
        """Nothing of it is needed any more but what is in the tree."""
        self._close_appender()
        keeping, self._keeping = self._keeping, None
        if keeping is not None:
            keeping.__exit__(None, None, None)

    def _close_appender(self) -> None:
        appender, self._appender = self._appender, None
        if appender is not None:
            appender.close()
