"""`mfs get`."""

from __future__ import annotations

import argparse
import errno
import os
import stat
import sys
from typing import TYPE_CHECKING, Any

from mfs.cli.asking import asking
from mfs.cli.output import complain
from mfs.cli.problem import Problem
from mfs.cli.progress import Progress

if TYPE_CHECKING:
    from mfs.control.reach import Reached

__all__ = ["get"]


def get(arguments: argparse.Namespace) -> int:
    """Write what is at the path to this machine; 1 when something was left out."""
    name = os.path.basename(arguments.path.rstrip("/"))
    target = arguments.target or name
    if os.path.isdir(target) and name:
        target = os.path.join(target, name)
    if not target:
        raise Problem("the root directory has no name", "Say where it is to go: mfs get / DIR")

    async def work(reached: Reached) -> int:
        with Progress("getting") as progress:
            writing = _Writing(os.fsencode(target), arguments, progress)
            try:
                async with reached.call("fetch", path=arguments.path) as call:
                    await call.end()
                    async for item in call.answers():
                        writing.take(item)
                writing.finish()
            finally:
                writing.close()
        return writing.status

    return asking(arguments.repo, work)


class _Writing:
    """Entries as they come, made below `target`.

    A file is written beside its place and renamed when it is whole.  No symbolic link that lies in the way is
    followed, in the target or made by what comes.
    """

    def __init__(self, target: bytes, arguments: argparse.Namespace, progress: Progress) -> None:
        self._target = target
        self._arguments = arguments
        self._progress = progress
        self._fd = -1
        self._size = 0
        self._at = b""
        self._beside = b""
        self._item: dict[str, Any] = {}
        self._later: list[tuple[bytes, dict[str, Any]]] = []
        self.status = 0

    def take(self, item: Any) -> None:
        """The next entry, bytes, or end of a file."""
        if isinstance(item, bytes):
            self._write(item)
        elif "directory" in item:
            self._directory(self._path(item["directory"]), item)
        elif "symlink" in item:
            self._symlink(self._path(item["symlink"]), item)
        elif "file" in item:
            if not item["file"]:  # it is all there is
                self._progress.expect(item["size"])
            self._begin(self._path(item["file"]), item)
        elif item.get("close") is True:
            self._end()
        elif "special" in item:
            self.status = 1
            self._progress.clear()
            complain("get", f"{os.fsdecode(self._path(item['special']))}: has no bytes, left out")

    def _path(self, name: str) -> bytes:
        from mfs.control.frames import to_bytes

        raw = to_bytes(name)
        if not raw:
            return self._target
        for part in raw.split(b"/"):
            if part in (b"", b".", b"..") or b"\0" in part:
                raise OSError(errno.EINVAL, "a name that leads elsewhere", name)
        return os.path.join(self._target, raw)

    def _directory(self, path: bytes, item: dict[str, Any]) -> None:
        try:
            os.mkdir(path, 0o777)
        except FileExistsError:
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                raise
        self._later.append((path, item))

    def _symlink(self, path: bytes, item: dict[str, Any]) -> None:
        from mfs.control.frames import to_bytes

        try:
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                os.unlink(path)
        except FileNotFoundError:
            pass
        os.symlink(to_bytes(item["target"]), path)
        self._times(path, item)

    def _begin(self, path: bytes, item: dict[str, Any]) -> None:
        self._at, self._item, self._size = path, item, 0
        self._beside = path + b".mfs-%d" % os.getpid()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._fd = os.open(self._beside, flags, 0o600)

    def _write(self, data: bytes) -> None:
        self._progress.add(len(data))
        if not data.strip(b"\0"):
            # Left out, it is a hole.
            self._size += len(data)
            return
        view = memoryview(data)
        while view:
            written = os.pwrite(self._fd, view, self._size)
            self._size += written
            view = view[written:]

    def _end(self) -> None:
        os.ftruncate(self._fd, self._size)
        mask = os.umask(0)
        os.umask(mask)
        mode = self._item["mode"] & 0o777 & ~mask
        os.fchmod(self._fd, self._item["mode"] & 0o7777 if self._arguments.preserve else mode)
        os.close(self._fd)
        self._fd = -1
        self._times(self._beside, self._item)
        os.rename(self._beside, self._at)
        self._progress.add(0, 1)

    def _times(self, path: bytes, item: dict[str, Any]) -> None:
        if self._arguments.preserve and item.get("mtime") is not None:
            os.utime(path, ns=(item["mtime"], item["mtime"]), follow_symlinks=False)

    def finish(self) -> None:
        """Everything has come: directories get their mode and time, which filling them changed."""
        for path, item in reversed(self._later):
            if self._arguments.preserve:
                os.chmod(path, item["mode"] & 0o7777)
            self._times(path, item)
        sys.stdout.flush()

    def close(self) -> None:
        """Nothing half-done stays behind."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            os.unlink(self._beside)
