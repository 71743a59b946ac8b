"""Working on a volume without a kernel: what FUSE requests would do, and what ought to come of it."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from mfs.file.holes import punch
from mfs.tests.unixfs_build import Blocks
from mfs.tree.node import Directory, File, Node, Symlink
from mfs.tree.record import ROOT_INO
from mfs.unixfs.cid import CID, cid_str
from mfs.unixfs.layout import Link
from mfs.unixfs.profile import TEST_PROFILES
from mfs.volume import Volume

PROFILE = TEST_PROFILES["test-small-v1"]
CHUNK = PROFILE.chunk_size


def opened(path: Path) -> Volume:
    """The volume at `path`, with leaves of 1 KiB and nodes of three links."""
    return Volume.open(path, profile=PROFILE.name)


def crashed(volume: Volume, path: Path) -> Volume:
    """The volume as it would be if the process ended now.  To be called while no commit and no record is written."""
    shutil.copytree(volume.path, path)
    return opened(path)


def root(volume: Volume) -> Directory:
    return volume.tree.directory(ROOT_INO)


def make(volume: Volume, name: str, data: bytes = b"", parent: Directory | None = None) -> File:
    """A new file."""
    node = volume.tree.create(parent or root(volume), name.encode(), 0o100644, 0, 0)
    assert isinstance(node, File)
    if data:
        write(volume, node, 0, data)
    return node


def make_directory(volume: Volume, name: str, parent: Directory | None = None) -> Directory:
    """A new directory."""
    node = volume.tree.create(parent or root(volume), name.encode(), 0o40755, 0, 0)
    assert isinstance(node, Directory)
    return node


def write(volume: Volume, file: File, at: int, data: bytes) -> None:
    file.content.write(at, volume.store.segments.shared.append(data))
    volume.tree.touched(file)


def truncate(volume: Volume, file: File, size: int) -> None:
    file.content.truncate(size)
    volume.tree.touched(file)


def read(volume: Volume, path: str) -> bytes:
    """The bytes of the file at `path`."""
    node = volume.tree.resolve(path.encode())
    assert isinstance(node, File)
    return content(volume, node)


def content(volume: Volume, file: File) -> bytes:
    return volume.store.segments.read(file.content.read(0, file.size))


def built(volume: Volume, node: Node | None = None) -> str:
    """The CID of `node`, or of the root, built from nothing."""
    return cid_str(_built(volume, Blocks(), node or root(volume)).cid)


def _built(volume: Volume, blocks: Blocks, node: Node) -> Link:
    if isinstance(node, File):
        return blocks.file(PROFILE, content(volume, node))
    if isinstance(node, Symlink):
        return blocks.symlink(PROFILE, node.target)
    assert isinstance(node, Directory)
    below: dict[bytes, Link | None] = {}
    for name in volume.tree.names(node):
        child = volume.tree.child(node, name)
        assert child is not None
        below[name] = _built(volume, blocks, child)
    return blocks.folder(PROFILE, below)


def said(cid: CID | None) -> str:
    """A CID as text."""
    return cid_str(cid) if cid is not None else ""


class Worker:
    """Does random things to a volume."""

    def __init__(self, volume: Volume, seed: int) -> None:
        self.volume = volume
        self.random = random.Random(seed)

    def _files(self) -> list[tuple[Directory, bytes, File]]:
        return [(parent, name, node) for parent, name, node in self._all() if isinstance(node, File)]

    def _directories(self) -> list[Directory]:
        return [root(self.volume), *(node for _, _, node in self._all() if isinstance(node, Directory))]

    def _all(self) -> list[tuple[Directory, bytes, Node]]:
        found = []
        waiting = [root(self.volume)]
        while waiting:
            directory = waiting.pop()
            for name in sorted(self.volume.tree.names(directory)):
                node = self.volume.tree.child(directory, name)
                assert node is not None
                found.append((directory, name, node))
                if isinstance(node, Directory):
                    waiting.append(node)
        return found

    def step(self) -> None:
        """One change, or none."""
        pick = self.random
        tree = self.volume.tree
        parent = pick.choice(self._directories())
        name = pick.choice([b"a", b"b", b"c", b"d", b"n" * 200])
        action = pick.randrange(13)
        entry = tree.entry(parent, name)
        files = self._files()
        if action < 2 and entry is None:
            kind = pick.choice([0o100644, 0o100600, 0o40755, 0o120777])
            if kind != 0o40755 or len(self._directories()) < 6:
                tree.create(parent, name, kind, 0, 0, target=b"target" if kind == 0o120777 else b"")
        elif action < 7 and files:
            _, _, file = pick.choice(files)
            at = pick.choice([0, file.size, CHUNK, pick.randrange(9 * CHUNK)])
            size = pick.choice([1, 500, CHUNK, 3 * CHUNK + 1])
            write(self.volume, file, at, pick.choice([pick.randbytes(size), bytes(size), b"same" * size]))
        elif action == 7 and files:
            _, _, file = pick.choice(files)
            truncate(self.volume, file, pick.choice([0, CHUNK, file.size // 2, file.size + 2000]))
        elif action == 8 and files:
            source, target = pick.choice(files)[2], pick.choice(files)[2]
            if source is not target:
                target.content.become(source.content)
                tree.touched(target)
        elif action == 9 and files:
            where, old, file = pick.choice(files)
            if entry is None or (tree.child(parent, name) is not file and entry.dtype != 4):
                tree.rename(where, old, parent, name)
        elif action == 10 and entry is not None and entry.dtype != 4:
            tree.unlink(parent, name)
        elif action == 11 and entry is not None and entry.dtype == 4 and not tree.directory(entry.ino).entries:
            tree.rmdir(parent, name)
        elif action == 12 and files:
            _, _, file = pick.choice(files)
            start = pick.randrange(file.size + 1)
            stop = min(file.size, start + pick.choice([500, CHUNK, 3 * CHUNK, file.size]))
            assert punch(file.content, start, stop, 1 << 20) == stop
            tree.touched(file)
