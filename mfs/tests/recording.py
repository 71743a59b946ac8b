"""File systems for tests of copies: they write down what the kernel asks, and some of them cannot do everything."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import NamedTuple

from mfs.fuse import MFS
from mfs.tests.mounting import Mount
from mfs.volume import Volume
from rawfuse import Filesystem, wire
from rawfuse.filesystem import Reply


class Asked(NamedTuple):
    """One request: the name of its handler, its offset (in the source, of a copy), and its length."""

    name: str
    offset: int
    length: int


def _requests(repo: str | os.PathLike[str]) -> str:
    return f"{os.fspath(repo)}.requests"


def asked(mount: Mount, *names: str) -> list[Asked]:
    """What the kernel asked so far, of these handlers or of all that are written down; and forgets it."""
    path = Path(_requests(mount.repo))
    lines = path.read_text().splitlines()
    os.truncate(path, 0)
    found = [Asked(name, int(offset), int(length)) for name, offset, length in map(str.split, lines)]
    return [one for one in found if not names or one.name in names]


class Recording(MFS):
    """Writes down every request for bytes or for a copy of bytes."""

    def __init__(self, volume: Volume) -> None:
        super().__init__(volume)
        self._requests = os.open(_requests(volume.path), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def record(self, name: str, offset: int, length: int) -> None:
        """Write one down."""
        os.write(self._requests, f"{name} {offset} {length}\n".encode())

    def read(self, request: wire.Read) -> Reply:
        self.record("read", request.arg.offset, request.arg.size)
        return super().read(request)

    def write(self, request: wire.Write) -> Reply:
        self.record("write", request.arg.offset, len(request.data))
        return super().write(request)

    def lseek(self, request: wire.LSeek) -> Reply:
        self.record("lseek", request.arg.offset, 0)
        return super().lseek(request)

    def copy_file_range(self, request: wire.CopyFileRange) -> Reply:
        self.record("copy_file_range", request.arg.off_in, request.arg.len)
        return super().copy_file_range(request)

    def copy_file_range_64(self, request: wire.CopyFileRange64) -> Reply:
        self.record("copy_file_range_64", request.arg.off_in, request.arg.len)
        return super().copy_file_range_64(request)


class Older(Recording):
    """Knows no COPY_FILE_RANGE_64, as if it were written before 7.45."""

    copy_file_range_64 = Filesystem.copy_file_range_64


class Refusing(Recording):
    """Refuses the first copy."""

    refused = False

    def copy_file_range_64(self, request: wire.CopyFileRange64) -> Reply:
        if not self.refused:
            self.refused = True
            self.record("refused", request.arg.off_in, request.arg.len)
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return super().copy_file_range_64(request)
