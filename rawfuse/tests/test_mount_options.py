"""Mount options in the words of each way of mounting."""

from __future__ import annotations

from typing import Any

import pytest

from rawfuse.mount import MountOptionError
from rawfuse.mount import _syscalls as sc
from rawfuse.mount.options import MountOptions


def options(**changes: Any) -> MountOptions:
    plain: dict[str, Any] = {
        "fsname": "f",
        "subtype": None,
        "options": (),
        "allow_other": False,
        "read_only": False,
        "default_permissions": False,
        "max_read": None,
    }
    return MountOptions.of(**{**plain, **changes})


def test_nosuid_and_nodev_hold_unless_lifted() -> None:
    assert options().flags == sc.MS_NOSUID | sc.MS_NODEV
    assert options().attributes == sc.MOUNT_ATTR_NOSUID | sc.MOUNT_ATTR_NODEV
    assert options(options=["suid", "dev"]).flags == 0


def test_the_last_word_on_a_subject_counts() -> None:
    assert options(options=["ro", "rw"]).flags & sc.MS_RDONLY == 0
    assert options(options=["rw"], read_only=True).read_only


def test_arguments_become_the_file_systems_options() -> None:
    made = options(allow_other=True, default_permissions=True, max_read=4096, options=["x=1"])
    assert dict(made.values) == {"allow_other": None, "default_permissions": None, "max_read": "4096", "x": "1"}


def test_the_helper_gets_commas_and_backslashes_escaped() -> None:
    assert options(fsname="a,b\\c").names[0] == "fsname=a\\,b\\\\c"


@pytest.mark.parametrize("bad", ["", "a\0b", "a\nb", "fd=3", "rootmode=40000", "user_id=0", "fsname=x"])
def test_what_cannot_be_or_is_the_librarys_is_refused(bad: str) -> None:
    with pytest.raises(MountOptionError):
        options(options=[bad])
