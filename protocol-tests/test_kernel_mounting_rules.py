"""What Linux 6.18 takes for a FUSE mount, by mount(2) and by fsopen(2), and how a mount ends.

Only the real kernel mounts; ours begins where a mount has been made.
"""

from __future__ import annotations

import errno
import os
import select
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path

import pytest
from calls import BY_OPCODE, SystemCall, outcome
from made_up import DIR, attr_out, init_answer, ok
from two_kernels import BUFFER, Real, connected, said

from rawfuse import wire as w
from rawfuse.mount import _syscalls as sc
from rawfuse.mount import clean_dead_mount, find_mount, open_device
from rawfuse.mount.connections import FUSECTL
from rawfuse.wire import constants as c

pytestmark = pytest.mark.kernel("root")
MNT_FORCE, MNT_DETACH = 1, 2
_SET_FD = 5


@pytest.fixture
def point(tmp_path: Path) -> Generator[Path, None, None]:
    path = tmp_path / "mnt"
    path.mkdir()
    yield path
    with suppress(OSError):
        sc.umount2(os.fsencode(path), MNT_DETACH)
    clean_dead_mount(path)


@pytest.fixture
def fd() -> Generator[int, None, None]:
    device = open_device()
    yield device
    with suppress(OSError):
        os.close(device)


USUAL = {"rootmode": "40000", "user_id": "0", "group_id": "0"}


def mounting(point: Path, fd: int, option: str = "", *, fstype: bytes = b"fuse", without: str = "") -> int:
    """What mount(2) says with `option`, "name" or "name=value": 0 or an errno."""
    settings: dict[str, str | None] = {"fd": str(fd), **USUAL}
    if option:
        name, _, value = option.partition("=")
        settings[name] = value or None
    data = ",".join(key if value is None else f"{key}={value}" for key, value in settings.items() if key != without)
    return said(lambda: sc.mount(b"source", os.fsencode(point), fstype, 0, data.encode()))


@pytest.mark.parametrize("name", ["fd", *USUAL])
def test_four_options_are_required(point: Path, fd: int, name: str) -> None:
    assert mounting(point, fd, without=name) == errno.EINVAL


@pytest.mark.parametrize("option", ["default_permissions", "allow_other", "max_read=4096", "subtype=kind"])
def test_an_option_of_the_kernel_is_taken(point: Path, fd: int, option: str) -> None:
    assert mounting(point, fd, option) == 0
    found = find_mount(point)
    assert found is not None and (
        found.fstype == "fuse.kind" if option[:7] == "subtype" else option in found.super_options
    )


@pytest.mark.parametrize("option", ["fsname=x", "nonempty", "auto_unmount", "blksize=4096", "rootmode=0"])
def test_an_option_of_others_is_refused(point: Path, fd: int, option: str) -> None:
    assert mounting(point, fd, option) == errno.EINVAL


def test_the_type_may_name_a_kind_of_fuse(point: Path, fd: int) -> None:
    assert mounting(point, fd, fstype=b"fuse.kind") == 0
    found = find_mount(point)
    assert found is not None and found.fstype == "fuse.kind"


def test_a_max_read_below_a_page_is_a_page(point: Path, fd: int) -> None:
    """What is asked for shows it, as /proc/mounts tells the option alone."""
    with connected("real", max_read=4096) as kernel:
        call = SystemCall(c.FUSE_READ, lambda root: _preads(root), ())
        kernel.run(call)
        assert max(one.arg.size for one in kernel.requests if isinstance(one, w.Read)) == 4096


def _preads(root: int) -> object:
    file = os.open("f", os.O_RDONLY, dir_fd=root)
    try:
        return os.pread(file, 20000, 0)
    finally:
        os.close(file)


def test_the_root_has_the_type_of_rootmode_and_the_attributes_of_getattr(point: Path, fd: int) -> None:
    assert mounting(point, fd, "rootmode=40700") == 0
    request = w.decode_request(bytearray(message := os.read(fd, BUFFER)), len(message), 0, False)
    os.write(fd, ok(request, init_answer()))
    modes: list[int] = []
    asking = threading.Thread(target=lambda: modes.append(os.stat(point).st_mode), daemon=True)
    asking.start()
    select.select([fd], [], [], 5)
    request = w.decode_request(bytearray(message := os.read(fd, BUFFER)), len(message), 45, True)
    assert isinstance(request, w.GetAttr) and request.nodeid == 1
    os.write(fd, ok(request, attr_out(1, DIR | 0o751)))
    asking.join(5)
    assert modes == [DIR | 0o751]


def test_a_root_that_is_a_file_lies_on_no_directory(point: Path, fd: int) -> None:
    assert mounting(point, fd, "rootmode=100000") == errno.ENOTDIR
    assert mounting(point, fd) == errno.ENOTCONN, "and the device is used up by that"


def test_a_root_that_is_a_file_lies_on_a_file(point: Path, fd: int) -> None:
    file = point / "file"
    file.touch()
    assert mounting(file, fd, "rootmode=100000") == 0
    sc.umount2(os.fsencode(file), MNT_DETACH)


def test_what_is_no_fuse_device_is_refused(point: Path) -> None:
    with open("/dev/null", "rb+") as null:
        assert mounting(point, null.fileno()) == errno.EINVAL


def test_a_device_opened_for_reading_alone_mounts(point: Path) -> None:
    fd = os.open(os.environ.get("RAWFUSE_DEVICE", "/dev/fuse"), os.O_RDONLY | os.O_CLOEXEC)
    assert mounting(point, fd) == 0
    os.close(fd)


def test_the_same_descriptor_mounts_the_same_file_system_again(point: Path, fd: int, tmp_path: Path) -> None:
    assert mounting(point, fd) == 0
    other = tmp_path / "other"
    other.mkdir()
    try:
        assert mounting(other, fd) == 0
        one, two = find_mount(point), find_mount(other)
        assert one is not None and two is not None and one.device == two.device
    finally:
        sc.umount2(os.fsencode(other), MNT_DETACH)


def test_the_device_is_given_by_its_number_as_a_string(fd: int) -> None:
    """FSCONFIG_SET_FD is refused for it, and the kernel says why."""
    fs = sc.fsopen(b"fuse")
    try:
        sc.fsconfig(fs, sc.FSCONFIG_SET_STRING, b"fd", str(fd).encode())
        assert said(lambda: sc._call(sc._FSCONFIG, fs, _SET_FD, b"fd", None, fd)) == errno.EINVAL
        assert b"fd" in os.read(fs, 4096)
    finally:
        os.close(fs)


def test_the_kernels_words_are_read_from_the_context(fd: int) -> None:
    fs = sc.fsopen(b"fuse")
    try:
        assert said(lambda: sc.fsconfig(fs, sc.FSCONFIG_SET_STRING, b"foo", b"1")) == errno.EINVAL
        assert os.read(fs, 4096) == b"e fuse: Unknown parameter 'foo'\n"
    finally:
        os.close(fs)


@pytest.fixture
def hung(point: Path) -> Generator[tuple[Real, Path], None, None]:
    """A kernel whose mount also hangs in the tree."""
    with connected("real") as kernel:
        assert isinstance(kernel, Real)
        sc.move_mount(kernel.root, os.fsencode(point))
        yield kernel, point
        with suppress(OSError):
            sc.umount2(os.fsencode(point), MNT_DETACH)


def unmounting(point: Path, flags: int) -> int:
    return said(lambda: sc.umount2(os.fsencode(point), flags))


def test_a_mount_in_use_is_busy(hung: tuple[Real, Path]) -> None:
    _, point = hung
    assert unmounting(point, 0) == errno.EBUSY, "its root is open"


def test_a_forced_unmount_aborts_what_is_asked_even_where_it_is_busy(hung: tuple[Real, Path]) -> None:
    kernel, point = hung
    finish = kernel.call(BY_OPCODE[c.FUSE_GETATTR])
    kernel.expect(c.FUSE_GETATTR)
    assert unmounting(point, MNT_FORCE) == errno.EBUSY
    kernel.threads[0].join(5)
    with pytest.raises(ConnectionAbortedError):
        finish()


def test_a_detached_mount_is_served_while_it_is_used(hung: tuple[Real, Path]) -> None:
    kernel, point = hung
    assert unmounting(point, MNT_DETACH) == 0
    assert find_mount(point) is None
    assert outcome(kernel.call(BY_OPCODE[c.FUSE_LOOKUP])) == 2
    kernel.unmount()
    assert said(lambda: kernel.descriptor.read(BUFFER)) == errno.ENODEV


def test_a_connection_has_its_files_in_fusectl_by_its_number() -> None:
    with connected("real") as kernel:
        assert isinstance(kernel, Real)
        number = kernel.mount.connection
        assert number == os.minor(_device(kernel))
        if FUSECTL.is_mount():
            names = {path.name for path in (FUSECTL / str(number)).iterdir()}
            assert {"abort", "waiting", "max_background", "congestion_threshold"} <= names


def _device(kernel: Real) -> int:
    found: list[int] = []
    kernel.run(SystemCall(c.FUSE_GETATTR, lambda root: found.append(os.stat(root).st_dev), ()))
    return found[0]


STAT = """
import os, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try: os.stat("f", dir_fd=int(sys.argv[1]))
except OSError as error: print(error.errno)
else: print(0)
"""


@pytest.mark.parametrize("allow_other", [False, True])
def test_others_are_refused_without_a_request_unless_allowed(allow_other: bool) -> None:
    with connected("real", allow_other=allow_other) as kernel:
        assert isinstance(kernel, Real)
        command = [sys.executable, "-c", STAT, str(kernel.root)]
        with subprocess.Popen(command, pass_fds=(kernel.root,), stdout=subprocess.PIPE, text=True) as child:
            kernel.until(-1, done=lambda: child.poll() is not None)
            assert child.stdout is not None
            assert int(child.stdout.read()) == (0 if allow_other else errno.EACCES)
        assert (c.FUSE_LOOKUP in kernel.opcodes) == allow_other
