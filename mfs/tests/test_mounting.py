"""A server that is killed, unmounted and started again on the same repository."""

from __future__ import annotations

import errno
import os

import pytest

from mfs.tests.mounting import Mount

pytestmark = pytest.mark.kernel("root")


def test_unmounting_keeps_everything(mfs_mount: Mount) -> None:
    (mfs_mount.path / "file").write_bytes(b"here")
    mfs_mount.remount()
    assert (mfs_mount.path / "file").read_bytes() == b"here"


def test_a_killed_server_leaves_enotconn_and_what_was_synced(mfs_mount: Mount) -> None:
    with open(mfs_mount.path / "file", "wb") as file:
        file.write(b"synced")
        file.flush()
        os.fsync(file.fileno())
    mfs_mount.kill()
    with pytest.raises(OSError) as caught:
        os.stat(mfs_mount.path)
    assert caught.value.errno == errno.ENOTCONN
    mfs_mount.remount()
    assert (mfs_mount.path / "file").read_bytes() == b"synced"


def test_a_read_only_remount_refuses_writes(mfs_mount: Mount) -> None:
    (mfs_mount.path / "file").write_bytes(b"here")
    mfs_mount.remount(read_only=True)
    assert (mfs_mount.path / "file").read_bytes() == b"here"
    with pytest.raises(OSError) as caught:
        (mfs_mount.path / "file").write_bytes(b"there")
    assert caught.value.errno == errno.EROFS
