"""The command line, without a mount."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mfs.cli.command import parser
from mfs.tests.commanding import Place, new_place
from mfs.unixfs.profile import PROFILES

COMMANDS = tuple(
    name for action in parser()._actions if isinstance(action, argparse._SubParsersAction) for name in action.choices
)


@pytest.fixture
def place() -> Iterator[Place]:
    with new_place() as made:
        yield made


@pytest.mark.parametrize("words", [["--help"], *([command, "--help"] for command in COMMANDS)])
def test_help_goes_to_standard_output_and_has_examples_and_no_colours(place: Place, words: list[str]) -> None:
    ran = place.mfs(*words)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "usage: mfs" in ran.stdout
    assert "\x1b" not in ran.stdout
    assert all(len(line) <= 120 for line in ran.stdout.splitlines())


def test_help_names_every_command(place: Place) -> None:
    text = place.mfs("--help").stdout
    assert all(f"\n    {command} " in text for command in COMMANDS)


def test_every_profile_can_be_asked_for(place: Place) -> None:
    text = place.mfs("mount", "--help").stdout
    assert all(profile in text for profile in PROFILES)


def test_version(place: Place) -> None:
    from rawfuse import __version__

    assert place.mfs("--version").stdout == f"mfs {__version__}\n"


@pytest.mark.parametrize(
    "words", [[], ["mount"], ["umount"], ["stat"], ["nonsense"], ["mount", "--profile", "x", "y"], ["mount", "a", "b"]]
)
def test_a_wrong_command_line_is_status_2_and_says_how(place: Place, words: list[str]) -> None:
    ran = place.mfs(*words)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "usage: mfs" in ran.stderr


@pytest.mark.parametrize("module", ["mfs.cli", "mfs.cli.umount", "mfs.cli.mount", "mfs.cli.run"])
def test_no_command_waits_for_what_only_a_server_needs(place: Place, module: str) -> None:
    heavy = {"trio", "lmdb", "construct", "pyroute2", "asyncio"}
    script = f"import sys, {module}; print(*sorted({heavy} & set(sys.modules)))"
    assert place.run([sys.executable, "-c", script]).stdout == "\n"


def test_a_server_imports_neither_construct_nor_pyroute2(place: Place) -> None:
    script = "import sys, mfs.service; print(*sorted({'construct', 'pyroute2', 'asyncio'} & set(sys.modules)))"
    assert place.run([sys.executable, "-c", script]).stdout == "\n"


def test_a_mount_point_that_is_missing(place: Place) -> None:
    ran = place.mfs("mount", place.path / "none")
    assert ran.returncode == 1
    assert ran.stderr == (f"mfs mount: {place.path}/none does not exist\n  Make it first: mkdir -p {place.path}/none\n")
    assert not place.repo.exists()


def test_a_mount_point_that_is_a_file(place: Place) -> None:
    file = place.path / "file"
    file.touch()
    ran = place.mfs("mount", file)
    assert (ran.returncode, ran.stderr) == (1, f"mfs mount: {file} is not a directory\n  Mount on a directory.\n")
    below = place.mfs("mount", file / "below")
    assert (below.returncode, below.stderr.splitlines()[0]) == (1, f"mfs mount: {file}/below is not a directory")


@pytest.mark.parametrize("below", ["", "/repo", "/deeper/repo"])
def test_a_repository_beneath_its_own_mount_point(place: Place, below: str) -> None:
    ran = place.mfs("mount", "--repo", f"{place.mnt}{below}", place.mnt)
    assert ran.returncode == 1
    assert "lies beneath its own mount point" in ran.stderr


def test_a_repository_beneath_its_own_mount_point_by_a_symbolic_link(place: Place) -> None:
    link = place.path / "link"
    link.symlink_to(place.mnt)
    ran = place.mfs("mount", "--repo", link / "repo", place.mnt)
    assert ran.returncode == 1
    assert f"the repository {place.mnt}/repo lies beneath its own mount point {place.mnt}" in ran.stderr


def test_a_mount_point_inside_the_repository(place: Place) -> None:
    ran = place.mfs("mount", "--repo", place.path, place.mnt)
    assert ran.returncode == 1
    assert f"the mount point {place.mnt} lies inside the repository {place.path}" in ran.stderr


def test_a_busy_mount_point_says_what_is_mounted_there(place: Place) -> None:
    ran = place.mfs("mount", "/proc")
    assert ran.returncode == 1
    assert "/proc is busy: it is a mount of proc (proc) already" in ran.stderr


def test_a_directory_of_something_else_is_no_repository(place: Place) -> None:
    place.repo.mkdir()
    (place.repo / "letter").touch()
    ran = place.mfs("mount", place.mnt)
    assert ran.returncode == 1
    assert f"{place.repo} is not a repository of mfs and not empty (it has 'letter')" in ran.stderr


def test_a_repository_of_ipfs_is_told_apart(place: Place) -> None:
    place.repo.mkdir()
    for name in ("config", "version", "datastore_spec"):
        (place.repo / name).touch()
    assert "is a repository of IPFS (kubo), not of mfs" in place.mfs("mount", place.mnt).stderr


def test_a_newer_repository_is_left_alone(place: Place) -> None:
    make_marker(place.repo, "format: 99\nprofile: unixfs-v1-2025\n")
    ran = place.mfs("mount", place.mnt)
    assert ran.returncode == 1
    assert "has format 99, and this version of mfs knows formats up to 1: use a newer mfs" in ran.stderr


def test_a_damaged_repository_says_where(place: Place) -> None:
    make_marker(place.repo, "format: one\n")
    ran = place.mfs("mount", place.mnt)
    assert ran.returncode == 1
    assert f"{place.repo}/mfs.repo: it says format 'one', which is no number" in ran.stderr
    assert "Nothing was changed" in ran.stderr


def make_marker(repo: Path, text: str) -> None:
    repo.mkdir()
    for name in ("index", "segments", "log"):
        (repo / name).mkdir()
    (repo / "mfs.repo").write_text(f"mfs repository\n{text}")


def test_a_repository_of_another_profile(place: Place) -> None:
    make_marker(place.repo, "format: 1\nprofile: unixfs-v0-2015\n")
    ran = place.mfs("mount", "--profile", "unixfs-v1-2025", place.mnt)
    assert ran.returncode == 1
    assert "has the profile unixfs-v0-2015, not unixfs-v1-2025" in ran.stderr


def test_a_device_that_is_missing(place: Place) -> None:
    ran = place.mfs("mount", "--device", "/dev/no-such", place.mnt)
    assert ran.returncode == 1
    assert ran.stderr.splitlines() == [
        "mfs mount: /dev/no-such: there is no FUSE device (No such file or directory)",
        "  Ask an administrator for: modprobe fuse; for a container: --device /dev/fuse.",
    ]


def test_the_device_can_be_named_in_the_environment(place: Place) -> None:
    ran = place.mfs("mount", place.mnt, RAWFUSE_DEVICE="no-such")
    assert ran.stderr.startswith(f"mfs mount: {place.path}/no-such: there is no FUSE device")


def test_nothing_is_mounted_there(place: Place) -> None:
    ran = place.mfs("umount", place.mnt)
    assert (ran.returncode, ran.stderr) == (1, f"mfs umount: nothing is mounted on {place.mnt}\n")


def test_a_command_complains_with_its_own_usage(place: Place) -> None:
    ran = place.mfs("export", "--car", "out.car", "/src")
    assert ran.returncode == 2
    assert ran.stderr.startswith("usage: mfs export")
    assert ran.stderr.endswith("mfs export: error: unrecognized arguments: /src\n")


def test_other_mounts_are_not_unmounted(place: Place) -> None:
    ran = place.mfs("umount", "/proc")
    assert ran.returncode == 1
    assert "/proc is not a mount of mfs but a mount of proc (proc)" in ran.stderr


def test_stat_outside_a_mount(place: Place) -> None:
    ran = place.mfs("stat", "/proc/self", place.path / "none")
    assert ran.returncode == 1
    first, hint, second, _ = ran.stderr.splitlines()
    assert hint == "  For a path in the tree of a repository: mfs stat --repo DIR PATH."
    assert first == "mfs stat: /proc/self is not in a mount of mfs, but on a mount of proc (proc)"
    assert second == f"mfs stat: {place.path}/none: No such file or directory"


def test_output_nobody_reads_is_no_traceback(place: Place) -> None:
    command = f'"{sys.executable}" -m mfs --help | true'
    for _ in range(3):
        ran = subprocess.run(["sh", "-c", command], env=place.environment, capture_output=True, text=True, check=False)
        assert ran.stderr == ""
