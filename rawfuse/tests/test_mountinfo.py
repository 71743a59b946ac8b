"""Parsing /proc/self/mountinfo."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from rawfuse.mount import find_mount, parse_mountinfo

LINE = rb"36 35 98:7 /mnt1 /mnt\0402 rw,noatime master:1 shared:3 - fuse.x a\134b rw,user_id=0"


def test_a_line_is_taken_apart() -> None:
    (entry,) = parse_mountinfo([LINE + b"\n"])
    assert (entry.mount_id, entry.parent_id, entry.device) == (36, 35, (98, 7))
    assert (entry.mountpoint, entry.source, entry.fstype) == ("/mnt 2", "a\\b", "fuse.x")
    assert entry.options == ("rw", "noatime") and entry.super_options == ("rw", "user_id=0")
    assert entry.is_fuse


def test_the_connection_of_a_block_device_is_not_that_of_its_minor() -> None:
    lines = [b"1 0 0:35 / /a rw - fuse.x x rw", b"2 0 8:35 / /b rw - fuseblk /dev/sdc3 rw"]
    assert [entry.connection for entry in parse_mountinfo(lines)] == [35, 8 << 20 | 35]


def test_optional_fields_may_be_absent() -> None:
    (entry,) = parse_mountinfo([b"1 0 0:2 / / rw - tmpfs none rw"])
    assert entry.fstype == "tmpfs" and not entry.is_fuse


SHUFFLED = st.permutations(LINE.split(b" ")).map(b" ".join)


@given(st.lists(st.binary(max_size=80) | SHUFFLED))
def test_junk_never_raises(lines: list[bytes]) -> None:
    list(parse_mountinfo(lines))


def test_the_root_is_found() -> None:
    entry = find_mount("/")
    assert entry is not None and entry.device == (os.major(os.stat("/").st_dev), os.minor(os.stat("/").st_dev))
