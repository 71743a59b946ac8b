"""Directory offsets (`telldir`, `seekdir`): they hold while entries come and go, across commits and across mounts."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from mfs.tests.mounting import Mount

pytestmark = pytest.mark.kernel("root")

_GETDENTS64 = 217
_libc = ctypes.CDLL(None, use_errno=True)

KEPT = {b"kept %d" % number for number in range(400)}


def entries(directory: Path, offset: int = 0, size: int = 1000) -> list[tuple[bytes, int]]:
    """The names from an offset on, each with the offset of the next; asked for in pieces of `size` bytes."""
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.lseek(fd, offset, os.SEEK_SET)
        buffer = ctypes.create_string_buffer(size)
        found = []
        while (filled := _libc.syscall(_GETDENTS64, fd, buffer, size)) > 0:
            at = 0
            while at < filled:
                _, following, length, _ = struct.unpack_from("=QqHB", buffer, at)
                name = bytes(buffer)[at + 19 : at + length].split(b"\0")[0]
                if name not in (b".", b".."):
                    found.append((name, following))
                at += length
        assert filled == 0, os.strerror(ctypes.get_errno())
        return found
    finally:
        os.close(fd)


def committed(mount: Mount) -> None:
    os.getxattr(mount.path, "ipfs.cid")


def killed(mount: Mount) -> None:
    fd = os.open(mount.path / "directory", os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)
    mount.kill()
    mount.remount()


@pytest.mark.parametrize("between", [committed, Mount.remount, killed, lambda mount: None])
def test_a_listing_goes_on_where_it_was(mfs_mount: Mount, between: Callable[[Mount], None]) -> None:
    directory = mfs_mount.path / "directory"
    directory.mkdir()
    goes = {b"goes %d" % number for number in range(100)}
    for name in KEPT | goes:
        os.close(os.open(os.path.join(os.fsencode(directory), name), os.O_CREAT | os.O_WRONLY))
    listed = entries(directory)
    assert {name for name, _ in listed} == KEPT | goes
    for name in goes:
        os.unlink(os.path.join(os.fsencode(directory), name))
    for number in range(100):
        (directory / f"came {number}").touch()
    between(mfs_mount)
    came = {os.fsencode(f"came {number}") for number in range(100)}
    for place in range(0, len(listed), 23):
        # Also behind an entry that is gone.
        before = {name for name, _ in listed[: place + 1]}
        rest = [name for name, _ in entries(directory, listed[place][1])]
        assert len(rest) == len(set(rest))
        assert set(rest) - came == KEPT - before


def test_offsets_do_not_depend_on_how_much_is_asked_for(mfs_mount: Mount) -> None:
    for number in range(50):
        (mfs_mount.path / f"{number}").touch()
    whole = entries(mfs_mount.path, size=1 << 16)
    assert entries(mfs_mount.path, size=60) == whole
    for place, (_, following) in enumerate(whole):
        assert entries(mfs_mount.path, following, size=100) == whole[place + 1 :]
