"""Disks that are full or fail: the caller is told, the tree stays whole, and writing goes on when all is well again.

A repository on a file system that refuses calls where it is told to, mounted and worked on at random; and after it
all, power cuts: what was fsynced, before a failure or after it, is there.  ``mfs.tests.long_runs faults`` does more.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from mfs.tests.crash_steps import PROFILE
from mfs.tests.fault_work import FAULTS, forgiven, worked_with_faults
from mfs.tests.mounting import mounted
from mfs.tests.power_work import HURRIED, tried
from tools.powercut.disk import MODELS
from tools.powercut.faults import Fault
from tools.powercut.recording import recording

pytestmark = pytest.mark.kernel("root")


@pytest.mark.parametrize("seed", range(2))
def test_a_failing_disk_takes_nothing_that_was_durable(seed: int, tmp_path: Path) -> None:
    work, refused = worked_with_faults(tmp_path / "log", seed, rounds=6, steps=15)
    assert refused
    for model in MODELS:
        _, complaints = tried(work, 60, str(seed), durability=model)
        assert not complaints, "\n\n".join(complaints[:3])


@pytest.mark.parametrize(("kinds", "code"), FAULTS)
def test_every_call_in_turn_may_fail(kinds: tuple[str, ...], code: int, tmp_path: Path) -> None:
    with (
        recording(tmp_path / "log") as disk,
        mounted(disk.path / "repo", profile=PROFILE.name, filesystem=HURRIED) as mount,
    ):
        told = 0
        for number in range(12):
            path = mount.path / f"file{number}"
            disk.fault(Fault(kinds, code, after=number, times=1))
            try:
                path.write_bytes(bytes([number]) * 6000)
                fd = os.open(path, os.O_RDONLY)
                try:
                    os.fsync(fd)
                finally:
                    os.close(fd)
                os.getxattr(mount.path, "ipfs.cid")
            except OSError as error:
                assert error.errno in (code, errno.EIO)
                told += 1
            disk.fault(None)
            path.write_bytes(bytes([number]) * 5000)
            os.getxattr(mount.path, "ipfs.cid")
            assert path.read_bytes() == bytes([number]) * 5000
        # A sync that fails is made good where what it lost is still in memory.
        assert told or kinds == ("sync",)
        assert disk.counts()["refused"]
        mount.remount()
        for number in range(12):
            assert (mount.path / f"file{number}").read_bytes() == bytes([number]) * 5000
        mount.umount()
        forgiven(mount)


def test_writing_goes_on_when_there_is_room_again(tmp_path: Path) -> None:
    with recording(tmp_path / "log") as disk, mounted(disk.path / "repo") as mount:
        (mount.path / "before").write_bytes(b"before" * 1000)
        os.sync()
        disk.space(1 << 20)
        with pytest.raises(OSError) as full, open(mount.path / "large", "wb", buffering=0) as file:
            for _ in range(200):
                file.write(os.urandom(1 << 16))
        assert full.value.errno == errno.ENOSPC
        assert (mount.path / "before").read_bytes() == b"before" * 1000
        disk.space(1 << 30)
        (mount.path / "large").write_bytes(b"after" * 100_000)
        (mount.path / "new").write_bytes(b"new")
        os.getxattr(mount.path, "ipfs.cid")
        mount.remount()
        assert (mount.path / "large").read_bytes() == b"after" * 100_000
        assert (mount.path / "new").read_bytes() == b"new"
        mount.umount()
        forgiven(mount)
