"""Requests that no kernel sends, to the file system of mfs: found by `rawfuse fuzz --role mfs`."""

from __future__ import annotations

import errno
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mfs.fuse import MFS
from mfs.tree.node import Directory
from mfs.tree.numbers import IPNS_INO
from mfs.tree.record import ROOT_INO
from mfs.volume import Volume
from rawfuse import wire as w


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Volume]:
    with Volume.open(tmp_path / "repo") as volume:
        yield volume


def refused(handler: Callable[[Any], object], request: w.Request) -> int | None:
    with pytest.raises(OSError) as failure:
        handler(request)
    return failure.value.errno


def directory(volume: Volume, parent: int, name: bytes) -> int:
    MFS(volume).mkdir(w.MkDir(nodeid=parent, name=name))
    made = volume.tree.child(volume.tree.directory(parent), name)
    assert isinstance(made, Directory)
    return made.ino


@pytest.mark.parametrize("mode", [0o170000, 0o030000, 1 << 16 | stat.S_IFREG])
def test_a_mode_of_no_type_makes_no_node(volume: Volume, mode: int) -> None:
    request = w.MkNod(nodeid=ROOT_INO, arg=w.fuse_mknod_in(mode=mode), name=b"n")
    assert refused(MFS(volume).mknod, request) == errno.EINVAL


@pytest.mark.parametrize("name", [b".", b"..", b"a/b", b"/"])
def test_a_name_that_is_a_path_makes_no_entry(volume: Volume, name: bytes) -> None:
    served = MFS(volume)
    assert refused(served.mkdir, w.MkDir(nodeid=ROOT_INO, name=name)) == errno.EINVAL
    served.mknod(w.MkNod(nodeid=ROOT_INO, name=b"f"))
    move = w.Rename(nodeid=ROOT_INO, arg=w.fuse_rename_in(newdir=ROOT_INO), name=b"f", newname=name)
    assert refused(served.rename, move) == errno.EINVAL


def test_a_directory_does_not_move_into_itself(volume: Volume) -> None:
    outer = directory(volume, ROOT_INO, b"outer")
    inner = directory(volume, outer, b"inner")
    move = w.Rename(nodeid=ROOT_INO, arg=w.fuse_rename_in(newdir=inner), name=b"outer", newname=b"deep")
    assert refused(MFS(volume).rename, move) == errno.EINVAL
    directory(volume, inner, b"other")
    swap = w.Rename2(nodeid=inner, arg=w.fuse_rename2_in(newdir=ROOT_INO, flags=2), name=b"other", newname=b"outer")
    assert refused(MFS(volume).rename2, swap) == errno.EINVAL


def test_a_read_beyond_what_was_agreed_on_takes_no_memory(volume: Volume) -> None:
    served = MFS(volume)
    served.mknod(w.MkNod(nodeid=ROOT_INO, name=b"f"))
    file = volume.tree.child(volume.tree.directory(ROOT_INO), b"f")
    assert file is not None
    served.setattr(w.SetAttr(nodeid=file.ino, arg=w.fuse_setattr_in(valid=1 << 3, size=1 << 40)))
    assert refused(served.read, w.Read(nodeid=file.ino, arg=w.fuse_read_in(size=(1 << 32) - 1))) == errno.EINVAL


def test_a_target_that_cannot_be_read_back_is_too_long(volume: Volume) -> None:
    request = w.Symlink(nodeid=ROOT_INO, name=b"s", target=b"t" * 4096)
    assert refused(MFS(volume).symlink, request) == errno.ENAMETOOLONG


async def test_sparse_files_of_more_bytes_than_64_bits_count_are_committed(volume: Volume) -> None:
    served = MFS(volume)
    for name in (b"a", b"b", b"c"):
        served.mknod(w.MkNod(nodeid=ROOT_INO, name=name))
        file = volume.tree.child(volume.tree.directory(ROOT_INO), name)
        assert file is not None
        served.setattr(w.SetAttr(nodeid=file.ino, arg=w.fuse_setattr_in(valid=1 << 3, size=(1 << 63) - 1)))
    await volume.commit()
    assert volume.settled


async def test_the_directory_of_the_keys_is_committed_when_it_was_changed(volume: Volume) -> None:
    """No other directory names it, so the way up to the root does not end at the root."""
    MFS(volume).setattr(w.SetAttr(nodeid=IPNS_INO, arg=w.fuse_setattr_in(valid=1, mode=0o500)))
    await volume.commit()
    assert volume.settled


@pytest.mark.parametrize("number", [1, 2, 3, 65535])
def test_a_view_that_is_not_open_forgets_nothing(volume: Volume, number: int) -> None:
    MFS(volume).forget(number << 47 | 5, 1)
