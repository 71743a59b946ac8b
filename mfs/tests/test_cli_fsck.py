"""`mfs fsck`: exit statuses, what is said of damage, and a repository in use."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from mfs.tests.commanding import Place, new_place


@pytest.fixture
def place() -> Iterator[Place]:
    with new_place() as made:
        yield made


def damage(place: Place) -> None:
    """A repository with a file `a`, a byte of which is another one."""
    source = place.path / "a"
    source.write_bytes(bytes(range(251)) * 20_000)
    assert place.mfs("add", "--to", "/", source).returncode == 0
    segment = max((place.repo / "segments").rglob("*"), key=lambda path: path.is_file() and path.stat().st_size)
    with open(segment, "r+b") as file:
        file.seek((1 << 20) + 5)
        file.write(b"\xff")


def test_damage_is_said_and_mended_with_the_statuses_of_fsck(place: Place) -> None:
    damage(place)
    found = place.mfs("fsck")
    assert (found.returncode, found.stderr) == (4, "")
    assert "file /a: 1048576 of 5020000 bytes are lost (bytes " in found.stdout
    mended = place.mfs("fsck", "--repair", "--json")
    assert (mended.returncode, mended.stderr) == (1, "")
    *damages, summary = [json.loads(line) for line in mended.stdout.splitlines()]
    assert [(one["kind"], one["path"]) for one in damages] == [("file", "/a"), ("block", None)]
    assert (summary["kind"], summary["findings"], summary["status"]) == ("summary", 2, 1)
    again = place.mfs("fsck")
    assert again.returncode == 0 and again.stdout.endswith("sound\n")
    assert place.mfs("ls", "/a").stdout == "a\n"


def test_what_cannot_be_checked_says_why(place: Place) -> None:
    ran = place.mfs("fsck")
    assert ran.returncode == 8 and "there is no repository" in ran.stderr


@pytest.mark.kernel("root")
def test_a_repository_in_use_is_not_checked(place: Place) -> None:
    place.mount()
    ran = place.mfs("fsck")
    assert (ran.returncode, ran.stdout) == (8, "")
    assert f"mfs umount {place.mnt}" in ran.stderr
    assert place.mfs("umount", place.mnt).returncode == 0
    assert place.mfs("fsck").returncode == 0
