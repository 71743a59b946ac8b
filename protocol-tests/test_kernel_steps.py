"""Mounting in two steps: by this process, and by a helper that speaks libfuse 3.19's handshake (a stand-in for it)."""

from __future__ import annotations

import errno
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

import rawfuse
from rawfuse import DeviceChannel, Server
from rawfuse.mount import HelperError, MountError, MountOptionError, begin_mount, find_mount
from rawfuse.mount.mounting import Method
from rawfuse.tests.memoryfs import MemoryFs
from rawfuse.tests.waiting import PATIENCE

pytestmark = pytest.mark.kernel("root")

HELPER = f"""#!{sys.executable}
import os, socket, struct, sys
sys.path[:0] = {sys.path!r}
from rawfuse.mount.errors import MountError
from rawfuse.mount.mounting import mount_device
from rawfuse.mount.device import open_device
from rawfuse.mount.options import MountOptions
MODE = os.environ["STAND_IN"]
assert sys.argv[1:3] == ["--sync-init", "-o"] and sys.argv[4] == "--", sys.argv
if MODE == "old":
    sys.exit("fusermount3: unrecognized option '--sync-init'")
sock = socket.socket(fileno=int(os.environ["_FUSE_COMMFD"]))
fd = open_device()
socket.send_fds(sock, [b"\\0"], [fd])
if sock.recv(1) != b"\\0":
    sys.exit("fusermount3: nobody said go")
if MODE == "dies":
    sys.exit("fusermount3: died")
if MODE == "refuses":
    print("fusermount3: mount failed: no", file=sys.stderr)
    sock.send(struct.pack("=i", -{errno.EBUSY}))
    sys.exit(1)
options = sys.argv[3].split(",")
assert options[:2] == ["fsname=rawfuse", "nosuid"], options
mount_device(fd, sys.argv[5], 0o40000, MountOptions.of(), "new")
sock.send(struct.pack("=i", 0))
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a fusermount3 on PATH that does as it is told."""
    helper = tmp_path / "bin" / "fusermount3"
    helper.parent.mkdir()
    helper.write_text(HELPER)
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", str(helper.parent))
    return lambda mode: monkeypatch.setenv("STAND_IN", mode)


@pytest.fixture
def point(tmp_path: Path) -> Path:
    path = tmp_path / "mnt"
    path.mkdir()
    return path


def served(fd: int, filesystem: MemoryFs) -> threading.Thread:
    thread = threading.Thread(target=lambda: trio.run(Server(filesystem, DeviceChannel(fd)).serve), daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("method", ["auto", "classic", "fusermount"])
def test_a_mount_answers_when_it_is_there(point: Path, stand_in: Callable[[str], None], method: Method) -> None:
    stand_in("mounts")
    filesystem = MemoryFs()
    with begin_mount(point, method=method) as mounting:
        assert mounting.synchronous and find_mount(point) is None
        server = served(mounting.fd, filesystem)
        with mounting.finish() as here:
            assert filesystem.server.negotiated.minor == 45, "INIT was answered"
            assert (here.method, here.mountpoint) == ("new" if method == "auto" else method, str(point))
            assert here.is_standing() and os.statvfs(point).f_blocks == 1000
    server.join(PATIENCE)
    assert not server.is_alive() and find_mount(point) is None


@pytest.mark.parametrize(
    ("mode", "number", "message"),
    [("refuses", errno.EBUSY, "no$"), ("dies", errno.EPROTO, "fusermount3: died")],
)
def test_a_helper_that_fails_says_why(
    point: Path, stand_in: Callable[[str], None], mode: str, number: int, message: str
) -> None:
    stand_in(mode)
    with begin_mount(point, method="fusermount") as mounting:
        with pytest.raises(HelperError, match=message) as failed:
            mounting.finish()
        assert failed.value.errno == number
        os.close(mounting.fd)
    assert find_mount(point) is None


def test_an_older_helper_is_told(point: Path, stand_in: Callable[[str], None]) -> None:
    stand_in("old")
    with pytest.raises(HelperError, match="unrecognized option"):
        begin_mount(point, method="fusermount")


def test_giving_up_lets_the_helper_end(point: Path, stand_in: Callable[[str], None]) -> None:
    stand_in("mounts")
    with begin_mount(point, method="fusermount") as mounting:
        os.close(mounting.fd)
    assert find_mount(point) is None


def test_a_refused_option_is_said_in_the_second_step(point: Path) -> None:
    with begin_mount(point, method="new", options=["nonsense"]) as mounting:
        with pytest.raises(MountOptionError, match="nonsense"):
            mounting.finish()
        os.close(mounting.fd)


def test_a_failing_init_fails_the_mount(point: Path) -> None:
    with begin_mount(point, method="new") as mounting:

        def refuse() -> None:
            message = os.read(mounting.fd, 1 << 17)
            unique = int.from_bytes(message[8:16], sys.byteorder)
            os.write(mounting.fd, rawfuse.wire.fuse_out_header(16, -errno.EPROTO, unique).pack())

        thread = threading.Thread(target=refuse, daemon=True)
        thread.start()
        with pytest.raises(MountError) as failed:
            mounting.finish()
        assert failed.value.errno == errno.ENOTCONN
        thread.join(PATIENCE)
        os.close(mounting.fd)
    assert find_mount(point) is None
