"""`mfs add`."""

from __future__ import annotations

import argparse
import os
import stat
import sys
from typing import TYPE_CHECKING, Any

from mfs.cli.added import chunks, print_added
from mfs.cli.asking import asking
from mfs.cli.output import complain, print_line
from mfs.cli.problem import Problem
from mfs.cli.progress import Progress
from mfs.cli.walking import Found, walk

if TYPE_CHECKING:
    from mfs.control.reach import Call, Reached

__all__ = ["add"]

_SMALL = 64 << 10
_BATCH_FILES = 256
_BATCH_BYTES = 512 << 10


def add(arguments: argparse.Namespace) -> int:
    """Take everything in, or with --only-hash say what its CIDs would be."""
    sources = [_source(path, arguments) for path in arguments.paths]
    if arguments.only_hash:
        from mfs.cli.only_hash import only_hash

        return only_hash(arguments, sources)

    async def work(reached: Reached) -> int:
        await reached.ask("mkdir", path=arguments.to, parents=True)
        adding = _Adding(arguments, sources)
        async with reached.call("add", path=arguments.to) as call:
            import trio

            async with trio.open_nursery() as nursery:
                nursery.start_soon(adding.send, call)
                await adding.show(call)
        return adding.status

    return asking(arguments.repo, work, create=True, profile=arguments.profile)


def _source(path: str, arguments: argparse.Namespace) -> tuple[bytes, bytes]:
    """A path, and the name that it gets: its last part."""
    name = os.path.basename(os.path.abspath(path)) if path != "-" else arguments.stdin_name
    try:
        mode = os.lstat(path).st_mode if path != "-" else 0
    except OSError as error:
        raise Problem(f"{path}: {error.strerror}") from error
    if stat.S_ISDIR(mode) and not arguments.recursive:
        raise Problem(f"{path} is a directory", "-r takes it, with everything in it.")
    if not name:
        raise Problem(f"{path} has no name", "Add what is in it, or a directory that has one.")
    return os.fsencode(path), os.fsencode(name)


class _Adding:
    """What is sent and what comes back.  ``status`` is 1 when something was left out."""

    def __init__(self, arguments: argparse.Namespace, sources: list[tuple[bytes, bytes]]) -> None:
        self._arguments = arguments
        self._sources = sources
        self._progress = Progress("adding", _total(sources))
        self._batch: list[list[Any]] = []
        self._bytes: list[bytes] = []
        self._held = 0
        self.status = 0

    def skipped(self, path: bytes, error: OSError) -> None:
        """`path` cannot be read."""
        self.status = 1
        self._progress.clear()
        complain("add", f"{os.fsdecode(path)}: {error.strerror}")

    async def send(self, call: Call) -> None:
        """Send everything."""
        from mfs.control.link import LinkLost

        try:
            for path, name in self._sources:
                if path == b"-":
                    await self._large(call, sys.stdin.fileno(), name, 0o644, None)
                    continue
                for found in walk(path, name, self.skipped):
                    await self._entry(call, found)
            await self._flush(call)
            await call.end()
        except LinkLost:
            # The other task hears why.
            return
        self._progress.say("committing")

    async def show(self, call: Call) -> None:
        """Print what was added."""
        last = None
        async for entries in call.answers():
            self._progress.clear()
            for entry in entries:
                last = entry
                if not self._arguments.quieter:
                    print_added(self._arguments, entry)
        self._progress.clear()
        if self._arguments.quieter and last is not None:
            print_line(last["cid"] or "-")

    async def _entry(self, call: Call, found: Found) -> None:
        from mfs.control.frames import to_text

        mode = found.status.st_mode
        mtime = found.status.st_mtime_ns if self._arguments.preserve else None
        permissions = mode & (0o7777 if self._arguments.preserve else 0o777)
        name = to_text(found.name)
        if stat.S_ISREG(mode):
            await self._file(call, found, permissions, mtime)
        elif stat.S_ISDIR(mode):
            await self._flush(call)
            await call.send({"directory": name, "mode": permissions, "mtime": mtime})
        elif stat.S_ISLNK(mode):
            await self._flush(call)
            target = to_text(os.readlink(found.path))
            await call.send({"symlink": name, "target": target, "mtime": mtime})
        else:
            self.skipped(found.path, OSError(0, "neither a file nor a directory nor a symbolic link: left out"))

    async def _file(self, call: Call, found: Found, mode: int, mtime: int | None) -> None:
        try:
            fd = os.open(found.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            self.skipped(found.path, error)
            return
        try:
            if found.status.st_size > _SMALL:
                await self._large(call, fd, found.name, mode, mtime)
                return
            try:
                data = os.read(fd, _SMALL + 1)
            except OSError as error:
                self.skipped(found.path, error)
                return
            if len(data) > _SMALL:  # it has grown
                os.lseek(fd, 0, os.SEEK_SET)
                await self._large(call, fd, found.name, mode, mtime)
                return
        finally:
            os.close(fd)
        from mfs.control.frames import to_text

        self._batch.append([to_text(found.name), mode, mtime, len(data)])
        self._bytes.append(data)
        self._held += len(data)
        self._progress.add(len(data), 1)
        if len(self._batch) >= _BATCH_FILES or self._held >= _BATCH_BYTES:
            await self._flush(call)

    async def _large(self, call: Call, fd: int, name: bytes, mode: int, mtime: int | None) -> None:
        from mfs.control.frames import to_text

        await self._flush(call)
        await call.send({"file": to_text(name), "mode": mode, "mtime": mtime})
        for data in chunks(fd):
            await call.send_data(data)
            self._progress.add(len(data))
        await call.send({"close": True})
        self._progress.add(0, 1)

    async def _flush(self, call: Call) -> None:
        if self._batch:
            batch, self._batch = self._batch, []
            data, self._bytes, self._held = b"".join(self._bytes), [], 0
            await call.send({"files": batch})
            await call.send_data(data)


def _total(sources: list[tuple[bytes, bytes]]) -> int | None:
    """Bytes, where that takes no walk."""
    total = 0
    for path, _ in sources:
        status = os.lstat(path) if path != b"-" else None
        if status is None or not stat.S_ISREG(status.st_mode):
            return None
        total += status.st_size
    return total
