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

FILES = {"small": b"small", "large": bytes(range(251)) * 400, "renamed": b"renamed" * 500}
MOST = 100


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


def test_the_disk_may_be_full_from_any_call_on(tmp_path: Path) -> None:
    """The same work again and again, the disk full one call later each time, until all of it fits."""
    with recording(tmp_path / "log") as disk, mounted(disk.path / "repo", profile=PROFILE.name) as mount:
        disk.fault(None)
        for number in range(MOST):
            place = mount.path / f"round{number}"
            refused = disk.counts()["refused"]
            disk.fault(Fault(("create", "write", "resize"), errno.ENOSPC, after=number, times=0))
            durable = worked(place)
            disk.fault(None)
            assert {path.name: path.read_bytes() for path in durable} == {
                path.name: FILES[path.name] for path in durable
            }
            if disk.counts()["refused"] == refused:
                break
            # There is room again: all of it can be done, over what is there already.
            assert len(worked(place)) == len(FILES) + 1
        else:
            raise AssertionError(f"{MOST} calls are not enough")
        assert number > 10
        mount.remount()
        for done in range(number + 1):
            place = mount.path / f"round{done}"
            assert {path.name: path.read_bytes() for path in place.iterdir()} == FILES
        mount.umount()
        forgiven(mount)


def worked(place: Path) -> list[Path]:
    """Make files, fsync them, rename one and commit all of it; says which were durable before anything failed."""
    durable: list[Path] = []
    try:
        place.mkdir(exist_ok=True)
        for name, data in FILES.items():
            path = place / ("before" if name == "renamed" else name)
            with open(path, "wb", buffering=0) as file:
                file.write(data)
                os.fsync(file.fileno())
            if name == "renamed":
                path = path.rename(place / name)
            durable.append(path)
        os.getxattr(place, "ipfs.cid")
    except OSError as error:
        assert error.errno in (errno.ENOSPC, errno.EIO)
    else:
        durable.append(place / "small")
    return durable
