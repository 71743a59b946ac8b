"""What Linux 6.18 takes for a FUSE mount, by mount(2) and by fsopen(2), and how a mount ends.

Only the real kernel mounts; ours begins where a mount has been made.
"""

from __future__ import annotations

import errno
import os
import select
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from rawfuse import wire as w
from rawfuse.mount import MountEntry, find_mount, open_device
from rawfuse.mount import _syscalls as sc
from rawfuse.mount.connections import FUSECTL
from rawfuse.wire import constants as c

from ..stage.calls import BY_OPCODE, SystemCall, outcome
from ..stage.kernels import connected, kind_alone, really
from ..stage.made_up import DIR, attr_out, init_answer, ok
from ..stage.real import Real
from ..stage.script import BUFFER, STANDING
from ..trial import Said, holds, needs_root, of, over, raises, said, same, trial

MNT_FORCE, MNT_DETACH = 1, 2
_SET_FD = 5


REQUIRED = ("fd", "rootmode", "user_id", "group_id")


class Place:
    """A directory to mount on, and a device that nobody mounted.

    Attributes:
        point: the directory. fd: the device.
        transcript: what was mounted, a line each.
    """

    def __init__(self, point: Path) -> None:
        self.point = point
        self.fd = open_device()
        self.transcript: deque[str] = deque(maxlen=12)
        STANDING.append(self)

    def mount(
        self,
        option: str = "",
        *,
        point: Path | None = None,
        fd: int | None = None,
        fstype: bytes = b"fuse",
        without: str = "",
    ) -> Said:
        """What mount(2) says with `option`, "name" or "name=value": 0 or an errno."""
        settings: dict[str, str | None] = {
            "fd": str(self.fd if fd is None else fd),
            "rootmode": "40000",
            "user_id": str(os.getuid()),
            "group_id": str(os.getgid()),
        }
        if option:
            name, _, value = option.partition("=")
            settings[name] = value or None
        data = ",".join(key if value is None else f"{key}={value}" for key, value in settings.items() if key != without)
        says = said(lambda: sc.mount(b"source", os.fsencode(point or self.point), fstype, 0, data.encode()))
        self.transcript.append(f"mount {fstype.decode()} with {data}: {says!r}")
        return says

    def end(self) -> None:
        """The device is closed, the directory freed; may be called twice."""
        with suppress(OSError):
            os.close(self.fd)
        while said(lambda: sc.umount2(os.fsencode(self.point), MNT_DETACH)) == 0:
            pass


@contextmanager
def places(kind: str) -> Generator[Place, None, None]:
    """A directory and a device, freed afterwards."""
    with tempfile.TemporaryDirectory() as directory:
        point = Path(directory) / "mnt"
        point.mkdir()
        place = Place(point)
        try:
            yield place
        finally:
            place.end()


@contextmanager
def hung(kind: str) -> Generator[tuple[Real, Path], None, None]:
    """A kernel whose mount also hangs in the tree."""
    with places(kind) as place, really(kind) as kernel:
        sc.move_mount(kernel.root, os.fsencode(place.point))
        yield kernel, place.point


@trial(on=places)
@over("name", REQUIRED)
def four_options_are_required(place: Place, name: str) -> None:
    same(place.mount(without=name), errno.EINVAL)


@trial(on=places)
@over("option", ["default_permissions", "allow_other", "max_read=4096", "subtype=kind"])
def an_option_of_the_kernel_is_taken(place: Place, option: str) -> None:
    same(place.mount(option), 0)
    found = of(MountEntry, find_mount(place.point))
    if option[:7] == "subtype":
        same(found.fstype, "fuse.kind")
    else:
        holds(option in found.super_options, f"{option} in {found.super_options}")


@trial(on=places)
@over("option", ["fsname=x", "nonempty", "auto_unmount", "blksize=4096", "rootmode=0"])
def an_option_of_others_is_refused(place: Place, option: str) -> None:
    same(place.mount(option), errno.EINVAL)


@trial(on=places)
def the_type_may_name_a_kind_of_fuse(place: Place) -> None:
    same(place.mount(fstype=b"fuse.kind"), 0)
    found = of(MountEntry, find_mount(place.point))
    same(found.fstype, "fuse.kind")


@trial(on=kind_alone)
def a_max_read_below_a_page_is_a_page(_: str) -> None:
    """What is asked for shows it, as /proc/mounts tells the option alone."""
    with connected("real", max_read=4096) as kernel:
        call = SystemCall(c.FUSE_READ, lambda root: _preads(root), ())
        kernel.run(call)
        same(max(one.arg.size for one in kernel.requests if isinstance(one, w.Read)), 4096)


def _preads(root: int) -> object:
    file = os.open("f", os.O_RDONLY, dir_fd=root)
    try:
        return os.pread(file, 20000, 0)
    finally:
        os.close(file)


@trial(on=places)
def the_root_has_the_type_of_rootmode_and_the_attributes_of_getattr(place: Place) -> None:
    same(place.mount("rootmode=40700"), 0)
    request = w.decode_request(bytearray(message := os.read(place.fd, BUFFER)), len(message), 0, False)
    os.write(place.fd, ok(request, init_answer()))
    modes: list[int] = []
    asking = threading.Thread(target=lambda: modes.append(os.stat(place.point).st_mode), daemon=True)
    asking.start()
    select.select([place.fd], [], [], 5)
    request = w.decode_request(bytearray(message := os.read(place.fd, BUFFER)), len(message), 45, True)
    same(of(w.GetAttr, request).nodeid, 1)
    os.write(place.fd, ok(request, attr_out(1, DIR | 0o751)))
    asking.join(5)
    same(modes, [DIR | 0o751])


@trial(on=places)
def a_root_that_is_a_file_lies_on_no_directory(place: Place) -> None:
    same(place.mount("rootmode=100000"), errno.ENOTDIR)
    same(place.mount(), errno.ENOTCONN, "and the device is used up by that")


@trial(on=places)
def a_root_that_is_a_file_lies_on_a_file(place: Place) -> None:
    file = place.point / "file"
    file.touch()
    same(place.mount(point=file, option="rootmode=100000"), 0)
    sc.umount2(os.fsencode(file), MNT_DETACH)


@trial(on=places)
def what_is_no_fuse_device_is_refused(place: Place) -> None:
    with open("/dev/null", "rb+") as null:
        same(place.mount(fd=null.fileno()), errno.EINVAL)


@trial(on=places)
def a_device_opened_for_reading_alone_mounts(place: Place) -> None:
    fd = os.open(os.environ.get("RAWFUSE_DEVICE", "/dev/fuse"), os.O_RDONLY | os.O_CLOEXEC)
    same(place.mount(fd=fd), 0)
    os.close(fd)


@trial(on=places)
def the_same_descriptor_mounts_the_same_file_system_again(place: Place) -> None:
    same(place.mount(), 0)
    other = place.point.parent / "other"
    other.mkdir()
    try:
        same(place.mount(point=other), 0)
        one, two = (of(MountEntry, find_mount(path)) for path in (place.point, other))
        same(one.device, two.device)
    finally:
        sc.umount2(os.fsencode(other), MNT_DETACH)


@trial(on=places)
def the_device_is_given_by_its_number_as_a_string(place: Place) -> None:
    """FSCONFIG_SET_FD is refused for it, and the kernel says why."""
    fs = sc.fsopen(b"fuse")
    try:
        sc.fsconfig(fs, sc.FSCONFIG_SET_STRING, b"fd", str(place.fd).encode())
        same(said(lambda: sc._call(sc._FSCONFIG, fs, _SET_FD, b"fd", None, place.fd)), errno.EINVAL)
        holds(b"fd" in os.read(fs, 4096), "the kernel names fd")
    finally:
        os.close(fs)


@trial(on=places)
def the_kernels_words_are_read_from_the_context(place: Place) -> None:
    fs = sc.fsopen(b"fuse")
    try:
        same(said(lambda: sc.fsconfig(fs, sc.FSCONFIG_SET_STRING, b"foo", b"1")), errno.EINVAL)
        same(os.read(fs, 4096), b"e fuse: Unknown parameter 'foo'\n")
    finally:
        os.close(fs)


def unmounting(point: Path, flags: int) -> int:
    return said(lambda: sc.umount2(os.fsencode(point), flags))


@trial(on=hung)
def a_mount_in_use_is_busy(hung: tuple[Real, Path]) -> None:
    _, point = hung
    same(unmounting(point, 0), errno.EBUSY, "its root is open")


@trial(on=hung)
def a_forced_unmount_aborts_what_is_asked_even_where_it_is_busy(hung: tuple[Real, Path]) -> None:
    kernel, point = hung
    finish = kernel.call(BY_OPCODE[c.FUSE_GETATTR])
    kernel.expect(c.FUSE_GETATTR)
    same(unmounting(point, MNT_FORCE), errno.EBUSY)
    kernel.threads[0].join(5)
    with raises(ConnectionAbortedError):
        finish()


@trial(on=hung)
def a_detached_mount_is_served_while_it_is_used(hung: tuple[Real, Path]) -> None:
    kernel, point = hung
    same(unmounting(point, MNT_DETACH), 0)
    holds(find_mount(point) is None, "the mount is out of the tree")
    same(outcome(kernel.call(BY_OPCODE[c.FUSE_LOOKUP])), 2)
    kernel.unmount()
    same(said(lambda: kernel.descriptor.read(BUFFER)), errno.ENODEV)


@trial(on=kind_alone)
def a_connection_has_its_files_in_fusectl_by_its_number(_: str) -> None:
    with really("real") as kernel:
        number = kernel.mount.connection
        same(number, os.minor(_device(kernel)))
        if FUSECTL.is_mount():
            names = {path.name for path in (FUSECTL / str(number)).iterdir()}
            holds(
                {"abort", "waiting", "max_background", "congestion_threshold"} <= names,
                f"abort, waiting, max_background, congestion_threshold, and not {sorted(names)}",
            )


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


@trial(on=kind_alone)
@over("allow_other", [False, True])
def others_are_refused_without_a_request_unless_allowed(_: str, allow_other: bool) -> None:
    needs_root("become another user")
    with really("real", allow_other=allow_other) as kernel:
        command = [sys.executable, "-c", STAT, str(kernel.root)]
        with subprocess.Popen(command, pass_fds=(kernel.root,), stdout=subprocess.PIPE, text=True) as child:
            kernel.until(-1, done=lambda: child.poll() is not None)
            assert child.stdout is not None
            same(int(child.stdout.read()), 0 if allow_other else errno.EACCES)
        same(c.FUSE_LOOKUP in kernel.opcodes, allow_other)
