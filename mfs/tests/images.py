"""File systems on loop devices, for tests of what only some file systems can do."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from mfs.copying.extents import SHARED, Extent, extents

MAKERS = {
    "btrfs": ("mkfs.btrfs", "-q"),
    "ext4": ("mkfs.ext4", "-q", "-F"),
    "xfs": ("mkfs.xfs", "-q", "-m", "reflink=1"),
}
SIZE = 400 << 20
"""Bytes of an image, nearly all of them a hole; mkfs.xfs wants 300 MiB."""


def run(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


class Image:
    """A file system in a file, mounted at `path`."""

    def __init__(self, kind: str, home: Path) -> None:
        self.kind = kind
        self.path = home / "mnt"
        self._file = home / "image"
        self.path.mkdir()
        with open(self._file, "wb") as file:
            file.truncate(SIZE)
        run(*MAKERS[kind], self._file)
        run("mount", "-o", "loop", self._file, self.path)
        self.path.chmod(0o755)

    def forget(self) -> None:
        """Mount it anew: everything is on disk then, and nothing in the kernel's cache."""
        self.close()
        run("mount", "-o", "loop", self._file, self.path)

    def transferred(self) -> tuple[int, int]:
        """Bytes read from the image and written to it since it was mounted."""
        source = run("findmnt", "-n", "-o", "SOURCE", self.path).split("[")[0].strip()
        fields = (Path("/sys/block") / Path(source).name / "stat").read_text().split()
        return int(fields[2]) * 512, int(fields[6]) * 512

    def close(self) -> None:
        for wait in (0.1, 0.5, 2.0):  # udev and the like look at new mounts for a moment
            try:
                run("umount", self.path)
                return
            except subprocess.CalledProcessError:
                time.sleep(wait)
        run("umount", self.path)


@contextlib.contextmanager
def image(kind: str) -> Iterator[Image]:
    """A new file system of the kind `btrfs`, `ext4` or `xfs`, that every user can reach; gone afterwards."""
    home = Path(tempfile.mkdtemp(prefix=f"mfs-{kind}-"))
    home.chmod(0o755)
    try:
        made = Image(kind, home)
        try:
            yield made
        finally:
            made.close()
    finally:
        if not (home / "mnt").is_mount():
            shutil.rmtree(home)


def layout(path: Path) -> list[Extent]:
    """Where the bytes of a file lie, once they are on disk."""
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        run("sync", path)
        return list(extents(file.fileno(), size))


def places(path: Path) -> list[tuple[int, int, int]]:
    """The same without flags: first byte, the one behind the last, place on disk; neighbours are one."""
    found: list[tuple[int, int, int]] = []
    for extent in layout(path):
        if found and found[-1][1] == extent.start and found[-1][2] + found[-1][1] - found[-1][0] == extent.physical:
            found[-1] = (found[-1][0], extent.stop, found[-1][2])
        else:
            found.append((extent.start, extent.stop, extent.physical))
    return found


def all_shared(found: Sequence[Extent]) -> bool:
    return bool(found) and all(extent.flags & SHARED for extent in found)
