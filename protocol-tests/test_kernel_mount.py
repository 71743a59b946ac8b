"""Mounting and unmounting for real."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from rawfuse.cli import main
from rawfuse.mount import (
    DeadMountError,
    DeviceError,
    MountOptionError,
    MountPointError,
    UnmountError,
    _syscalls,
    bind_mount,
    clean_dead_mount,
    dead_mount,
    find_mount,
    fuse_connections,
    mount,
    mount_detached,
    mount_entries,
    open_device,
    umount,
)
from rawfuse.mount.mounting import Method
from rawfuse.tests.memoryfs import MemoryFs
from rawfuse.tests.mounted import mounted
from tools.conform.linux.stage.fuseblk import mount_block_device

pytestmark = pytest.mark.kernel("root")


@pytest.fixture
def point(tmp_path: Path) -> Generator[Path, None, None]:
    """A directory to mount on, freed of dead mounts afterwards."""
    path = tmp_path / "mnt"
    path.mkdir()
    yield path
    clean_dead_mount(path)


METHODS = [
    "new",
    "classic",
    pytest.param("fusermount", marks=pytest.mark.kernel("root", programs=("fusermount3",))),
]


@pytest.mark.parametrize("method", METHODS)
def test_every_way_of_mounting_shows_the_same_mount(point: Path, method: Method) -> None:
    with mount(point, fsname="a,b", subtype="kind", max_read=65536, allow_other=True, method=method) as mounted_here:
        entry = find_mount(point)
        assert entry is not None and (entry.source, entry.fstype) == ("a,b", "fuse.kind")
        assert {"nosuid", "nodev", "rw"} <= set(entry.options)
        assert {"max_read=65536", "allow_other"} <= set(entry.super_options)
        assert mounted_here.connection == entry.connection and mounted_here.is_standing()
        assert not os.get_blocking(mounted_here.fd) and not os.get_inheritable(mounted_here.fd)
        assert len(os.read(mounted_here.fd, 1 << 17)) == 104, "INIT"
        os.close(mounted_here.fd)
    assert find_mount(point) is None


def test_a_dead_mount_is_told_and_cleaned(point: Path) -> None:
    os.close(mount(point).fd)
    assert dead_mount(point)
    with pytest.raises(DeadMountError, match="umount -l"):
        mount(point)
    assert clean_dead_mount(point) == 1
    assert not dead_mount(point)


def test_unmounting_twice_is_harmless(point: Path) -> None:
    here = mount(point)
    os.close(here.fd)
    here.unmount()
    here.unmount()
    assert not here.is_standing()


def test_another_mount_on_top_is_left_alone(point: Path) -> None:
    below = mount(point)
    umount(point, lazy=True)
    above = mount(point)
    below.unmount()
    assert above.is_standing()
    above.unmount()
    for here in (below, above):
        os.close(here.fd)


@pytest.mark.parametrize("method", ["new", "classic"])
def test_a_refused_option_is_an_option_error(point: Path, method: Method) -> None:
    with pytest.raises(MountOptionError) as error:
        mount(point, options=["nonsense"], method=method)
    assert error.value.errno == errno.EINVAL


def test_the_kernels_own_words_are_in_the_error(point: Path) -> None:
    with pytest.raises(MountOptionError, match="Unknown parameter 'nonsense'"):
        mount(point, options=["nonsense"], method="new")


def test_a_missing_mount_point_is_named(tmp_path: Path) -> None:
    with pytest.raises(MountPointError, match="nowhere"):
        mount(tmp_path / "nowhere")


def test_a_missing_device_says_what_to_do(point: Path) -> None:
    with pytest.raises(DeviceError, match="modprobe fuse"):
        mount(point, device="/dev/nothing", method="new")


def test_unmounting_nothing_is_an_error(point: Path) -> None:
    with pytest.raises(UnmountError, match="nothing is mounted"):
        umount(point)


def test_a_file_can_be_the_mount_point(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with mount(tmp_path / "file") as here:
        assert here.is_standing()
        os.close(here.fd)


def test_a_detached_mount_leaves_no_trace() -> None:
    with mount_detached() as here:
        assert here.connection not in {entry.connection for entry in mount_entries() if entry.is_fuse}
        assert len(os.read(here.fd, 1 << 17)) == 104
    with pytest.raises(OSError) as error:
        os.read(here.fd, 1 << 17)
    assert error.value.errno == errno.ENODEV
    os.close(here.fd)


def test_the_mount_of_a_block_device_is_found_by_its_connection(point: Path) -> None:
    here = mount_block_device(fd := open_device())
    _syscalls.move_mount(here.root_fd, os.fsencode(point))
    try:
        entry = find_mount(point)
        assert entry is not None and entry.fstype == "fuseblk" and entry.device[0] != 0
        assert entry.connection == here.connection
        assert [one.mounts for one in fuse_connections() if one.number == here.connection] == [[entry]]
        assert main(["abort", str(point)]) == 0
        with pytest.raises(OSError) as over:
            os.read(fd, 1 << 17)
        assert over.value.errno == errno.ENODEV
    finally:
        here.abort()
        umount(point, lazy=True)
        here.close()
        os.close(fd)


def test_a_bind_mount_shows_a_directory_of_it_read_only(point: Path) -> None:
    with mounted(MemoryFs()) as serving:
        os.mkdir("inside", dir_fd=serving.root)
        bind_mount("inside", point, dir_fd=serving.root, read_only=True)
        try:
            with pytest.raises(OSError) as error:
                (point / "x").mkdir()
            assert error.value.errno == errno.EROFS
            os.mkdir("inside/y", dir_fd=serving.root)
            assert (point / "y").is_dir()
        finally:
            umount(point, lazy=True)


def test_a_namespace_is_refused_once_there_are_threads() -> None:
    script = (
        "import threading, time\n"
        "from rawfuse.mount import NamespaceError, unshare_user_mount_namespace\n"
        "threading.Thread(target=time.sleep, args=(30,), daemon=True).start()\n"
        "try: unshare_user_mount_namespace()\n"
        "except NamespaceError as error: print(error)\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "before starting threads" in ran.stdout
