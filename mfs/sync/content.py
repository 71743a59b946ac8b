"""Regular files: whether one is the same already, and bringing the new bytes in where it is not."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from mfs.copying.content import Blocks, clone_all, copy_rest, rewrite
from mfs.copying.matching import match_all, match_bytes
from mfs.copying.outcome import Tally
from mfs.sync.attributes import carry_xattrs, give
from mfs.sync.identity import CIDs
from mfs.sync.place import OPENED, Unnamed, path_of
from mfs.sync.report import Options

__all__ = ["Changing", "Contents"]

WORTH_SHARING = 1 << 16
"""Smaller files that are the same are left as they are: a change of the block map costs more than it saves."""


class Changing(OSError):
    """The source was changed while it was read; nothing was installed."""


class Contents:
    """Compares and installs files; `cids` and `blocks` remember what the file systems can do."""

    def __init__(self, options: Options) -> None:
        self.cids = CIDs()
        self._blocks = Blocks()
        self._options = options

    def same(
        self, source: int, name: str, status: os.stat_result, target: int, there: os.stat_result, tally: Tally
    ) -> bool:
        """Whether the two files of a name in two directories, of one size, have the same bytes; counts them then.

        CIDs tell, where a file system has them, and no byte of that file is read; else equal bytes are shared, the
        source coming to the target's blocks, or compared.
        """
        size = status.st_size
        ours = self.cids.of(path_of(source, name), status.st_dev)
        theirs = self.cids.of(path_of(target, name), there.st_dev)
        told = status.st_dev == there.st_dev and self.cids.tell_bytes(there.st_dev)
        if ours is not None and theirs is not None and (ours == theirs or told):
            tally.skipped += size if ours == theirs else 0
            return ours == theirs
        counted = Tally()
        with _opened(source, name) as reading:
            if theirs is not None and ours is None and self._has(reading, status, there.st_dev, theirs):
                tally.skipped += size
                return True
            with _opened(target, name) as other:
                if ours is not None and theirs is None and self._has(other, there, status.st_dev, ours):
                    tally.skipped += size
                    return True
                if self._options.dry_run or size < WORTH_SHARING:
                    same = match_bytes(reading, other, 0, size, counted) == size
                else:
                    same = match_all(reading, other, size, counted) == size
        if same:
            tally.shared += counted.shared
            tally.skipped += counted.skipped
        return same

    def _has(self, fd: int, status: os.stat_result, device: int, cid: str) -> bool:
        """Whether an open file has the bytes that `cid` names on the file system `device`."""
        return self.cids.of_bytes(fd, status, device, cid) == cid

    def install(
        self, source: int, name: str, status: os.stat_result, target: int, there: os.stat_result | None, tally: Tally
    ) -> None:
        """Install a new file, in place of what has the name (`there`): whole, or not at all.

        Its blocks are the source's where they can be shared; else, of a file that was there, those that have the
        bytes already. What replaces something is on disk before it does.

        Raises:
            Changing; OSError.
        """
        with _opened(source, name) as reading:
            made = Unnamed(target)
            try:
                self._fill(reading, status, made.fd, target, name, there, tally)
                _must_be(reading, status, name)
                give(made.fd, status, None, times=True)
                if self._options.xattrs:
                    carry_xattrs(reading, made.fd)  # a new owner takes file capabilities away
                if there is not None and not self.cids.known(os.fstat(made.fd).st_dev):
                    os.fdatasync(made.fd)  # mfs renames a file together with its bytes, others do not all
                made.install(name, replace=there is not None)
            finally:
                made.close()

    def write_into(
        self, source: int, name: str, status: os.stat_result, target: int, there: os.stat_result, tally: Tally
    ) -> None:
        """Let a file that is there get the bytes of the source where it is, the tail taken off last.

        Raises:
            Changing: with bytes of both; OSError.
        """
        with _opened(source, name) as reading:
            writing = os.open(name, os.O_RDWR | OPENED, dir_fd=target)
            try:
                _must_be(writing, there, name)
                at = clone_all(reading, writing, status, there, 0, tally, self._blocks)
                if not at and not self.cids.known(there.st_dev):
                    end = rewrite(reading, writing, status, there, tally)
                else:
                    end = copy_rest(reading, writing, status, there, at, tally)
                if there.st_size > end:
                    os.ftruncate(writing, end)
                _must_be(reading, status, name)
                give(writing, status, os.fstat(writing), times=True)
                if self._options.xattrs:
                    carry_xattrs(reading, writing)
            finally:
                os.close(writing)

    def _fill(
        self,
        reading: int,
        status: os.stat_result,
        made: int,
        target: int,
        name: str,
        there: os.stat_result | None,
        tally: Tally,
    ) -> None:
        fresh = os.fstat(made)
        at = clone_all(reading, made, status, fresh, 0, tally, self._blocks)
        if at == status.st_size:
            return
        if there is not None and stat.S_ISREG(there.st_mode) and self._begin_with(target, name, there, made, fresh):
            fresh = os.fstat(made)
            end = rewrite(reading, made, status, fresh, tally)
            if fresh.st_size > end:
                os.ftruncate(made, end)
        else:
            copy_rest(reading, made, status, fresh, at, tally)

    def _begin_with(self, target: int, name: str, there: os.stat_result, made: int, fresh: os.stat_result) -> bool:
        """Let a new file have the blocks of the old one; whether that could be done."""
        try:
            with _opened(target, name) as old:
                return self._blocks.clone(old, made, 0, 0, (there.st_dev, fresh.st_dev))
        except PermissionError:  # who may not read it may replace it
            return False


@contextmanager
def _opened(directory: int, name: str) -> Iterator[int]:
    fd = os.open(name, os.O_RDONLY | OPENED, dir_fd=directory)
    try:
        yield fd
    finally:
        os.close(fd)


def _must_be(fd: int, status: os.stat_result, name: str) -> None:
    """Raises Changing where an open file is not what it was when it was looked at."""
    now = os.fstat(fd)
    if not os.path.samestat(now, status) or (now.st_size, now.st_mtime_ns) != (status.st_size, status.st_mtime_ns):
        raise Changing(errno.EAGAIN, "was changed meanwhile; sync again", name)
