"""`mfs add --only-hash`: the CIDs, and nothing is stored."""

from __future__ import annotations

import argparse
import hashlib
import os
import stat
from collections.abc import Generator, Sequence
from typing import TypeVar

from mfs.cli.added import chunks, print_added
from mfs.cli.output import complain, print_line
from mfs.cli.progress import Progress
from mfs.repo import Repo, RepoForeign, RepoMissing
from mfs.unixfs.cid import CID, cid_str
from mfs.unixfs.directory import update_directory
from mfs.unixfs.layout import Link, build_file, leaf_count, leaf_link, leaf_wrapping, zero_leaf
from mfs.unixfs.profile import DEFAULT_PROFILE, PROFILES, Profile
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
        return PROFILES[arguments.profile]
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
            if status is None:
                link = self._stream(0)
            elif stat.S_ISREG(status.st_mode):
                link = self._file(path)
            elif stat.S_ISDIR(status.st_mode):
                link = self._directory(path, name)
            elif stat.S_ISLNK(status.st_mode):
                block = symlink_block(os.readlink(path))
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

    def _directory(self, path: bytes, name: bytes) -> Link:
        # Depth first, so that the memory it takes is that of the directories above.
        children: dict[bytes, Link | None] = {}
        for child in sorted(os.listdir(path)):
            link = self.entry(os.path.join(path, child), os.path.join(name, child))
            if link is not None:
                children[child] = link
        self._blocks = {}
        cid, tsize, _ = _drain(
            update_directory(self._profile, None, children, None, self._blocks.__getitem__, self._blocks.__setitem__)
        )
        return Link(cid, 0, tsize)

    def _file(self, path: bytes) -> Link:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            return self._stream(fd)
        finally:
            os.close(fd)
            self.progress.add(0, 1)

    def _stream(self, fd: int) -> Link:
        """The file that `fd` gives to its end."""
        profile, chunk = self._profile, self._profile.chunk_size
        leaves: list[Link] = []
        size = 0
        rest = b""
        for data in chunks(fd):
            self.progress.add(len(data))
            size += len(data)
            rest += data
            whole = len(rest) // chunk * chunk
            leaves += [self._leaf(rest[at : at + chunk]) for at in range(0, whole, chunk)]
            rest = rest[whole:]
        if rest or not leaves:
            leaves.append(self._leaf(rest))
        count = leaf_count(profile, size)
        if count == 1:
            return leaves[0]
        return _drain(
            build_file(
                profile,
                size,
                range(count),
                leaves.__getitem__,
                None,
                0,
                self._blocks.__getitem__,
                lambda cid, block: None,
                lambda n: zero_leaf(profile, n)[0],
            )
        )

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
