"""The server in one file: its layouts and answers against the wire package, and the whole of it mounted."""

from __future__ import annotations

import errno
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rawfuse import wire
from rawfuse.wire import WireStruct
from tools.bench import bare
from tools.bench.servers import BARE, Server, is_mounted, serving


@pytest.mark.parametrize(
    ("layout", "same"),
    [
        (bare.IN_HEADER, wire.fuse_in_header),
        (bare.OUT_HEADER, wire.fuse_out_header),
        (bare.INIT_OUT, wire.fuse_init_out),
        (bare.ATTR, wire.fuse_attr),
        (bare.OPEN_OUT, wire.fuse_open_out),
        (bare.READ_IN, wire.fuse_read_in),
        (bare.STATFS_OUT, wire.fuse_statfs_out),
    ],
)
def test_each_layout_has_the_size_of_its_struct(layout: struct.Struct, same: type[WireStruct]) -> None:
    assert layout.size == same.SIZE


def test_an_entry_is_read_back_field_by_field() -> None:
    answer = bare.lookup(bare.ROOT, bytearray(b"hello\0"))
    assert isinstance(answer, bytes)
    entry = wire.fuse_entry_out.unpack_from(answer)
    assert (entry.nodeid, entry.attr.ino, entry.attr.size) == (bare.HELLO, bare.HELLO, len(bare.CONTENT))
    assert entry.attr.mode == 0o100444


def test_an_absent_name_is_an_error_which_the_kernel_does_not_remember() -> None:
    assert bare.lookup(bare.ROOT, bytearray(b"absent\0")) == errno.ENOENT


def test_a_listing_in_small_pieces_is_the_listing() -> None:
    def piece(offset: int, size: int) -> bytes:
        answer = bare.readdir(bare.ROOT, bytearray(bare.READ_IN.pack(0, offset, size, 0, 0, 0, 0)))
        assert isinstance(answer, bytes)
        return answer

    assert b"".join(piece(offset, 40) for offset in range(4)) == piece(0, 4096)
    assert piece(3, 4096) == b""


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Server]:
    with Server(BARE, tmp_path) as server:
        yield server


@pytest.mark.kernel("root")
def test_the_kernel_lists_stats_and_reads(mounted: Server) -> None:
    assert os.listdir(mounted.mount) == ["hello"]
    assert (mounted.mount / "hello").read_bytes() == bare.CONTENT
    assert os.statvfs(mounted.mount).f_namemax == 255
    with pytest.raises(FileNotFoundError):
        os.stat(mounted.mount / "absent")
    with pytest.raises(OSError, match="not implemented"):
        os.mkdir(mounted.mount / "directory")


@pytest.mark.kernel("root")
def test_an_unmount_ends_it_without_an_error(mounted: Server) -> None:
    mounted.stop()
    assert (mounted.home / "log").read_text() == ""


@pytest.mark.kernel("root")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_unmounts(mounted: Server, number: signal.Signals) -> None:
    (pid,) = serving(mounted.mount)
    os.kill(pid, number)
    mounted.wait()
    assert not is_mounted(mounted.mount)
    assert (mounted.home / "log").read_text() == ""


def test_it_says_how_to_call_it() -> None:
    ran = subprocess.run([sys.executable, bare.__file__], capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert ran.stderr.startswith("usage: ")
