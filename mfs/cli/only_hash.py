"""`mfs add --only-hash`: the CIDs, and nothing is stored."""

from __future__ import annotations

import argparse
import hashlib
import os
import stat
import time
from collections.abc import Generator, Sequence
from typing import TypeVar

from mfs.cli.added import chunks, print_added
from mfs.cli.output import complain, print_line
from mfs.cli.progress import Progress
from mfs.repo import Repo, RepoForeign, RepoMissing
from mfs.unixfs.cid import CID, cid_str
from mfs.unixfs.directory import update_directory
from mfs.unixfs.layout import Link, build_file, leaf_count, leaf_link, leaf_wrapping, zero_leaf
from mfs.unixfs.metadata import Stamp, file_with_metadata, wrapping_with_metadata
from mfs.unixfs.profile import DEFAULT_PROFILE, Profile, profile_named
from mfs.unixfs.symlink import symlink_block

__all__ = ["only_hash"]

T = TypeVar("T")


def only_hash(arguments: argparse.Namespace, sources: Sequence[tuple[bytes, bytes]]) -> int:
    """Print the CIDs; 1 when something could not be read."""
    hashing = _Hashing(arguments, _profile(arguments))
    link: Link | None = None
    with hashing.progress:
        for path, name in sources:
            link = hashing.entry(path, name)
    if arguments.quieter and link is not None:
        print_line(cid_str(link.cid))
    return hashing.status


def _profile(arguments: argparse.Namespace) -> Profile:
    """The one that was asked for, else the repository's, else the default."""
    if arguments.profile is not None:
        return profile_named(arguments.profile)
    try:
        return Repo.beside(arguments.repo).profile
    except (RepoMissing, RepoForeign, OSError):
        return DEFAULT_PROFILE


class _Hashing:
    def __init__(self, arguments: argparse.Namespace, profile: Profile) -> None:
        self._arguments = arguments
        self._profile = profile
        self._blocks: dict[CID, bytes] = {}
        self.progress = Progress("hashing")
        self.status = 0

    def entry(self, path: bytes, name: bytes) -> Link | None:
        """The link to what is at `path`, printed; None where it cannot be read."""
        try:
            status = os.lstat(path) if path != b"-" else None
            stamp = self._stamp(status)
            if status is None:
                link = self._stream(0, stamp)
            elif stat.S_ISREG(status.st_mode):
                link = self._file(path, stamp)
            elif stat.S_ISDIR(status.st_mode):
                link = self._directory(path, name, stamp)
            elif stat.S_ISLNK(status.st_mode):
                block = symlink_block(os.readlink(path), *stamp)
                link = Link(self._profile.node_cid(block), 0, len(block))
            else:
                raise OSError(0, "neither a file nor a directory nor a symbolic link: left out")
        except OSError as error:
            self.status = 1
            self.progress.clear()
            complain("add", f"{os.fsdecode(path)}: {error.strerror}")
            return None
        if not self._arguments.quieter:
            kind = "directory" if status is not None and stat.S_ISDIR(status.st_mode) else "file"
            if status is not None and stat.S_ISLNK(status.st_mode):
                kind = "symlink"
            self.progress.clear()
            text = name.decode("utf-8", "surrogateescape")
            entry = {"name": text, "type": kind, "size": link.size, "cid": cid_str(link.cid)}
            print_added(self._arguments, entry)
        return link

    def _stamp(self, status: os.stat_result | None) -> Stamp:
        """What the root is to carry, as far as that is known of a stream."""
        if status is None:
            return self._profile.stored(stat.S_IFREG | 0o644, time.time_ns())
        mode = status.st_mode if self._arguments.preserve else status.st_mode & ~0o7000
        return self._profile.stored(mode, status.st_mtime_ns)

    def _directory(self, path: bytes, name: bytes, stamp: Stamp) -> Link:
        # Depth first, so that the memory it takes is that of the directories above.
        children: dict[bytes, Link | None] = {}
        for child in sorted(os.listdir(path)):
            link = self.entry(os.path.join(path, child), os.path.join(name, child))
            if link is not None:
                children[child] = link
        self._blocks = {}
        get, put = self._blocks.__getitem__, self._blocks.__setitem__
        cid, tsize, _ = _drain(update_directory(self._profile, None, children, None, get, put, *stamp))
        return Link(cid, 0, tsize)

    def _file(self, path: bytes, stamp: Stamp) -> Link:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            return self._stream(fd, stamp)
        finally:
            os.close(fd)
            self.progress.add(0, 1)

    def _stream(self, fd: int, stamp: Stamp) -> Link:
        """The file that `fd` gives to its end."""
        profile, chunk = self._profile, self._profile.chunk_size
        leaves: list[Link] = []
        only = b""
        size = 0
        rest = b""
        for data in chunks(fd):
            self.progress.add(len(data))
            size += len(data)
            rest += data
            whole = len(rest) // chunk * chunk
            only = rest if size <= chunk else b""
            leaves += [self._leaf(rest[at : at + chunk]) for at in range(0, whole, chunk)]
            rest = rest[whole:]
        if rest or not leaves:
            leaves.append(self._leaf(rest))
        count = leaf_count(profile, size)
        if count == 1:
            return self._one_block(only, stamp) if profile.stores_metadata else leaves[0]
        root: dict[CID, bytes] = {}

        def put(cid: CID, block: bytes) -> None:
            root.clear()
            root[cid] = block

        link = _drain(
            build_file(
                profile,
                size,
                range(count),
                leaves.__getitem__,
                None,
                0,
                self._blocks.__getitem__,
                put,
                lambda n: zero_leaf(profile, n)[0],
            )
        )
        return file_with_metadata(profile, link, *stamp, root.__getitem__, put) if profile.stores_metadata else link

    def _one_block(self, data: bytes, stamp: Stamp) -> Link:
        before, after = wrapping_with_metadata(len(data), *stamp)
        block = before + data + after
        return Link(self._profile.node_cid(block), len(data), len(block))

    def _leaf(self, data: bytes) -> Link:
        before, after = leaf_wrapping(self._profile, len(data))
        digest = hashlib.sha256(before)
        digest.update(data)
        digest.update(after)
        return leaf_link(self._profile, digest.digest(), len(data))


def _drain(steps: Generator[None, None, T]) -> T:
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            value: T = stop.value
            return value
