"""Extended attributes and access control lists without a kernel: kept by commits and by the log, and bounded."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from mfs.tests.volume_work import crashed, make, opened, root
from mfs.tree.acl import (
    GROUP,
    GROUP_OBJ,
    MASK,
    OTHER,
    USER,
    USER_OBJ,
    AclEntry,
    is_mode_alone,
    mode_of,
    pack_acl,
    unpack_acl,
    with_mode,
)
from mfs.tree.node import BARE
from mfs.tree.xattrs import get_xattr, remove_xattr, set_xattr, xattr_names
from mfs.volume import Volume

LONG = bytes(range(256)) * 256
NOBODY = 0xFFFF_FFFF


def run(volume: Volume, *steps: str) -> None:
    """Commit, or fsync the root."""

    async def main() -> None:
        for step in steps:
            await (volume.commit() if step == "commit" else volume.sync(root(volume)))

    trio.run(main)


@pytest.mark.parametrize("step", ["commit", "sync"])
def test_what_was_set_and_removed_is_there_after_a_crash(tmp_path: Path, step: str) -> None:
    with opened(tmp_path / "one") as volume:
        file = make(volume, "file")
        for name, value in ((b"user.a", b"1"), (b"user.long", LONG), (b"user.empty", b""), (b"user.gone", b"2")):
            set_xattr(volume.tree, file, name, value)
        run(volume, "commit")
        assert remove_xattr(volume.tree, file, b"user.gone")
        set_xattr(volume.tree, file, b"user.a", b"another")
        run(volume, step)
        with crashed(volume, tmp_path / "two") as after:
            again = after.tree.resolve(b"file")
            assert sorted(xattr_names(after.tree, again)) == [b"user.a", b"user.empty", b"user.long"]
            assert get_xattr(after.tree, again, b"user.a") == b"another"
            assert get_xattr(after.tree, again, b"user.long") == LONG
            assert get_xattr(after.tree, again, b"user.empty") == b""
            assert get_xattr(after.tree, again, b"user.gone") is None


def test_values_leave_memory_with_the_commit(tmp_path: Path) -> None:
    with opened(tmp_path / "one") as volume:
        file = make(volume, "file")
        set_xattr(volume.tree, file, b"user.long", LONG)
        assert volume.tree.xattr_bytes == len(LONG)
        run(volume, "commit")
        assert volume.tree.xattr_bytes == 0
        assert file.xattrs == {b"user.long": None}
        assert get_xattr(volume.tree, file, b"user.long") == LONG


def test_a_node_without_any_says_so_in_its_record(tmp_path: Path) -> None:
    with opened(tmp_path / "one") as volume:
        make(volume, "bare")
        set_xattr(volume.tree, make(volume, "other"), b"user.a", b"1")
        run(volume, "commit")
    with opened(tmp_path / "one") as volume:
        assert volume.tree.resolve(b"bare").xattrs is BARE
        assert volume.tree.resolve(b"other").xattrs is None


def test_attributes_go_with_their_node_and_names_of_a_directory_do_not_mix_with_them(tmp_path: Path) -> None:
    with opened(tmp_path / "one") as volume:
        set_xattr(volume.tree, root(volume), b"user.of the root", b"1")
        set_xattr(volume.tree, make(volume, "file"), b"user.a", LONG)
        run(volume, "commit")
    with opened(tmp_path / "one") as volume:
        assert volume.tree.names(root(volume)) == [b"file"]
        ino = volume.tree.resolve(b"file").ino
        volume.tree.unlink(root(volume), b"file")
        run(volume, "commit")
        keys = [key for key, _ in volume.tree.meta.items(b"", b"\xff" * 20)]
        assert not [key for key in keys if key.startswith(ino.to_bytes(8, "big"))]
        assert get_xattr(volume.tree, root(volume), b"user.of the root") == b"1"


def test_limits(tmp_path: Path) -> None:
    with opened(tmp_path / "one") as volume:
        file = make(volume, "file")
        for name, value, code in (
            (b"user." + b"n" * 251, b"", errno.ERANGE),
            (b"user.a", LONG + b"!", errno.E2BIG),
        ):
            with pytest.raises(OSError) as refused:
                set_xattr(volume.tree, file, name, value)
            assert refused.value.errno == code
        with pytest.raises(OSError) as refused:
            for number in range(1000):
                set_xattr(volume.tree, file, b"user.%0245d" % number, b"")
        assert refused.value.errno == errno.ENOSPC
        assert sum(len(name) + 1 for name in xattr_names(volume.tree, file)) <= 1 << 16


# -- access control lists -----------------------------------------------------------------------------------------

PERMISSIONS = st.integers(0, 7)
NUMBERS = st.integers(0, 2**32 - 2)


@st.composite
def acls(draw: st.DrawFn) -> tuple[AclEntry, ...]:
    """Lists that are valid."""
    named = [(USER, who) for who in draw(st.lists(NUMBERS, max_size=3, unique=True))]
    groups = [(GROUP, who) for who in draw(st.lists(NUMBERS, max_size=3, unique=True))]
    masked = bool(named or groups) or draw(st.booleans())
    mask = [(MASK, NOBODY)] if masked else []
    tags = [(USER_OBJ, NOBODY), *named, (GROUP_OBJ, NOBODY), *groups, *mask, (OTHER, NOBODY)]
    return tuple(AclEntry(tag, draw(PERMISSIONS), who) for tag, who in tags)


@given(acls())
def test_a_list_comes_back_as_it_was(acl: tuple[AclEntry, ...]) -> None:
    assert unpack_acl(pack_acl(acl)) == acl


@given(acls(), st.integers(0, 0o777))
def test_a_list_follows_the_mode_and_the_mode_the_list(acl: tuple[AclEntry, ...], mode: int) -> None:
    changed = with_mode(acl, mode)
    assert mode_of(changed) == mode
    assert [entry for entry in changed if entry.tag in (USER, GROUP)] == [
        entry for entry in acl if entry.tag in (USER, GROUP)
    ]
    assert is_mode_alone(acl) == (len(acl) == 3)


@given(st.one_of(st.binary(max_size=64), st.builds(lambda acl, cut: pack_acl(acl)[:cut], acls(), st.integers(0, 60))))
def test_what_is_no_list_is_refused(value: bytes) -> None:
    try:
        assert pack_acl(unpack_acl(value)) == value
    except OSError as error:
        assert error.errno in (errno.EINVAL, errno.EOPNOTSUPP)
