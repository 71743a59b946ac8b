"""A tree of files as a power cut left it, and writing it to a directory."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from .events import ROOT

__all__ = ["Rebuilt", "RebuiltNode"]


@dataclass(slots=True)
class RebuiltNode:
    """One inode: a file's sectors and size, or a directory's names."""

    mode: int
    target: bytes = b""
    sectors: dict[int, bytes] = field(default_factory=dict)
    size: int = 0
    names: dict[bytes, int] = field(default_factory=dict)


class Rebuilt:
    """`nodes` by inode number: those that a name leads to. `sector`: bytes of one."""

    def __init__(self, nodes: dict[int, RebuiltNode], sector: int) -> None:
        self.nodes = nodes
        self._sector = sector

    def fingerprint(self) -> int:
        """The same for the same tree, in this process."""
        # The hash of a sector is remembered in it, and sectors are shared between disks.
        return hash(
            frozenset(
                (
                    ino,
                    node.mode,
                    node.target,
                    node.size,
                    hash(frozenset(node.sectors.items())),
                    tuple(node.names.items()),
                )
                for ino, node in self.nodes.items()
            )
        )

    def bytes_of(self, path: bytes) -> bytes:
        """The content of a file, for tests. Raises KeyError where there is none."""
        ino = ROOT
        for name in path.split(b"/"):
            ino = self.nodes[ino].names[name]
        node = self.nodes[ino]
        whole = bytearray(node.size)
        for number, data in node.sectors.items():
            part = data[: node.size - number * self._sector]
            whole[number * self._sector : number * self._sector + len(part)] = part
        return bytes(whole)

    def write_to(self, directory: Path) -> None:
        """Makes all of it below `directory`, which is empty. What is not root's to make (devices) raises OSError."""
        made: dict[int, bytes] = {}
        waiting = [(ROOT, os.fsencode(directory))]
        while waiting:
            ino, path = waiting.pop()
            node = self.nodes[ino]
            kind = stat.S_IFMT(node.mode)
            if ino in made and kind != stat.S_IFDIR:
                os.link(made[ino], path, follow_symlinks=False)
                continue
            made[ino] = path
            if kind == stat.S_IFDIR:
                if ino != ROOT:
                    os.mkdir(path, 0o700)
                waiting += [(child, os.path.join(path, name)) for name, child in node.names.items()]
            elif kind == stat.S_IFREG:
                self._write_file(node, path)
            elif kind == stat.S_IFLNK:
                os.symlink(node.target, path)
            else:
                os.mknod(path, node.mode)
            if kind != stat.S_IFLNK and ino != ROOT:
                os.chmod(path, stat.S_IMODE(node.mode))

    def _write_file(self, node: RebuiltNode, path: bytes) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(fd, node.size)
            run: list[bytes] = []
            start = 0
            for number in sorted(node.sectors):
                if run and number != start + len(run):
                    self._write_run(fd, node, start, run)
                    run = []
                if not run:
                    start = number
                run.append(node.sectors[number])
            if run:
                self._write_run(fd, node, start, run)
        finally:
            os.close(fd)

    def _write_run(self, fd: int, node: RebuiltNode, start: int, run: list[bytes]) -> None:
        at = start * self._sector
        data = memoryview(b"".join(run))[: node.size - at]
        while data:
            done = os.pwrite(fd, data, at)
            data, at = data[done:], at + done
