"""`mfs cp --keep-shared` and `mfs sync` as commands."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mfs.tests.commanding import Place, new_place


@pytest.fixture
def place() -> Iterator[Place]:
    with new_place() as made:
        yield made


@pytest.fixture
def source(place: Place) -> Path:
    top = place.path / "source"
    top.mkdir()
    (top / "a").write_bytes(b"text")
    (top / "b").write_bytes(bytes(100_000))
    return top


def test_cp_is_quiet_and_copies(place: Place, source: Path) -> None:
    ran = place.mfs("cp", "--keep-shared", source / "a", place.path / "copy")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert (place.path / "copy").read_bytes() == b"text"


def test_cp_of_several_goes_into_a_directory_and_says_what_became_of_them(place: Place, source: Path) -> None:
    ran = place.mfs("cp", "--keep-shared", "--json", source / "a", source / "b", place.home)
    assert (ran.returncode, ran.stderr) == (0, "")
    told = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [one["target"] for one in told] == [str(place.home / "a"), str(place.home / "b")]
    assert all(one["shared"] + one["skipped"] + one["holes"] + one["written"] == one["size"] for one in told)
    ran = place.mfs("cp", "--keep-shared", "-v", source / "a", place.home)
    assert [line.split("\t")[-2:] for line in ran.stdout.splitlines()] == [
        ["source", "target"],
        [str(source / "a"), str(place.home / "a")],
    ]
    ran = place.mfs("cp", "--keep-shared", source / "a", source / "b", place.home / "a")
    assert (ran.returncode, ran.stderr) == (
        1,
        f"mfs cp: {place.home}/a is not a directory, so only one file can be copied to it\n",
    )


def test_cp_names_what_it_cannot_copy_and_copies_the_rest(place: Place, source: Path) -> None:
    ran = place.mfs("cp", "--keep-shared", source / "none", source / "a", place.home)
    assert (ran.returncode, ran.stdout, ran.stderr) == (
        1,
        "",
        f"mfs cp: {source}/none: No such file or directory\n",
    )
    assert (place.home / "a").exists()
    ran = place.mfs("cp", "--keep-shared", source / "a", "/dev/full")
    assert ran.stderr == f"mfs cp: {source}/a to /dev/full: No space left on device\n"


def test_sync_in_a_pipe_is_a_line_of_fields(place: Place, source: Path) -> None:
    target = place.path / "target"
    ran = place.mfs("sync", source, target)
    assert (ran.returncode, ran.stderr) == (0, "")
    heading, line = (line.split("\t") for line in ran.stdout.splitlines())
    fields = dict(zip(heading, line, strict=True))
    assert (fields["created"], fields["kept"], fields["failed"]) == ("3", "0", "0")
    assert (target / "a").read_bytes() == b"text"


def test_sync_says_what_it_would_do_and_what_it_did(place: Place, source: Path) -> None:
    target = place.path / "target"
    place.mfs("sync", source, target)
    (source / "a").write_bytes(b"other")
    (target / "old").touch()
    for words in (["--dry-run"], ["--verbose"]):
        ran = place.mfs("sync", "--delete", *words, source, target)
        assert (ran.returncode, ran.stderr) == (0, "")
        assert ran.stdout == "replaced\ta\nremoved\told\n"


def test_sync_in_json_is_changes_and_a_summary(place: Place, source: Path) -> None:
    os.symlink("a", source / "link")
    ran = place.mfs("sync", "--json", source, place.path / "target")
    *changes, last = (json.loads(line) for line in ran.stdout.splitlines())
    assert {(change["action"], change["path"], change["kind"]) for change in changes} == {
        ("created", ".", "directory"),
        ("created", "a", "file"),
        ("created", "b", "file"),
        ("created", "link", "symlink"),
    }
    assert (last["summary"]["created"], last["dry_run"]) == (4, False)


def test_sync_goes_on_after_a_failure_and_says_so(place: Place, source: Path) -> None:
    target = place.path / "target"
    (target / "a").mkdir(parents=True)
    ran = place.mfs("sync", source, target)
    assert ran.returncode == 1
    assert ran.stderr == f"mfs sync: {source}/a: a directory is in the way, and deleting was not asked for\n"
    assert (target / "b").exists()


def test_sync_refuses_trees_that_lie_in_one_another(place: Place, source: Path) -> None:
    ran = place.mfs("sync", source, source / "inner")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == f"mfs sync: {source}/inner lies in {source}: it would be copied into itself\n"
    ran = place.mfs("sync", place.path / "none", source)
    assert (ran.returncode, ran.stderr) == (1, f"mfs sync: {place.path}/none: No such file or directory\n")


def test_sync_shows_a_person_a_summary(place: Place, source: Path) -> None:
    text = place.at_a_terminal("sync", source, place.path / "target")
    assert "0 kept, 3 created; " in text
    assert "written" in text
