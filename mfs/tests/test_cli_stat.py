"""`mfs stat`: CIDs, and what is stored once though it occurs more often."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mfs.tests.commanding import MFS, PATIENCE, Place, new_place

pytestmark = pytest.mark.kernel("root")

MIB = 1 << 20
LEAF = MIB
"""Bytes of a leaf in the default profile."""


@pytest.fixture
def place() -> Iterator[Place]:
    with new_place() as made:
        made.mount()
        yield made


def stat(place: Place, *paths: Path) -> list[dict[str, Any]]:
    ran = place.mfs("stat", "--json", *paths)
    assert (ran.returncode, ran.stderr) == (0, "")
    return [json.loads(line) for line in ran.stdout.splitlines()]


def write(file: Path, size: int) -> bytes:
    data = os.urandom(size)
    file.write_bytes(data)
    return data


def test_the_cid_is_that_of_the_extended_attribute(place: Place) -> None:
    file = place.mnt / "file"
    write(file, 3 * MIB)
    (told,) = stat(place, file)
    assert told["cid"] == os.getxattr(file, "ipfs.cid").decode()
    assert (told["path"], told["type"], told["size"]) == (str(file), "file", 3 * MIB)


def test_a_file_of_one_leaf_is_one_block(place: Place) -> None:
    write(place.mnt / "file", 1000)
    (told,) = stat(place, place.mnt / "file")
    assert (told["blocks"], told["stored"], told["repeated"], told["shared"]) == (1, 1000, 0, 0)


def test_a_larger_file_is_its_leaves_and_a_node(place: Place) -> None:
    write(place.mnt / "file", 3 * MIB + 5)
    (told,) = stat(place, place.mnt / "file")
    assert told["blocks"] == 5
    assert 0 < told["stored"] - (3 * MIB + 5) < 1000, "the node that holds them together"
    assert (told["repeated"], told["shared"]) == (0, 0)


def test_a_copy_shares_everything(place: Place) -> None:
    write(place.mnt / "a", 2 * MIB)
    subprocess.run(["cp", place.mnt / "a", place.mnt / "b"], check=True)
    a, b = stat(place, place.mnt / "a", place.mnt / "b")
    assert a["cid"] == b["cid"]
    assert a["shared"] == a["stored"] == b["shared"] == b["stored"] > 2 * MIB


def test_the_same_bytes_written_again_share_everything(place: Place) -> None:
    data = write(place.mnt / "a", 2 * MIB)
    (place.mnt / "b").write_bytes(data)
    a, b = stat(place, place.mnt / "a", place.mnt / "b")
    assert a["shared"] == b["shared"] == a["stored"]


def test_a_copy_that_was_changed_shares_all_but_the_change(place: Place) -> None:
    write(place.mnt / "a", 4 * MIB)
    subprocess.run(["cp", place.mnt / "a", place.mnt / "b"], check=True)
    with open(place.mnt / "b", "r+b") as file:
        file.seek(MIB + 4096)
        file.write(os.urandom(4096))
    a, b = stat(place, place.mnt / "a", place.mnt / "b")
    assert a["cid"] != b["cid"]
    assert a["shared"] == b["shared"] == 4 * MIB - 4096


def test_what_occurs_twice_in_a_file_is_repeated(place: Place) -> None:
    data = os.urandom(LEAF)
    (place.mnt / "file").write_bytes(data * 3)
    (told,) = stat(place, place.mnt / "file")
    assert told["blocks"] == 2
    assert told["repeated"] == 2 * LEAF
    assert told["stored"] < LEAF + 1000
    assert told["shared"] == 0


def test_holes_take_nothing(place: Place) -> None:
    with open(place.mnt / "file", "wb") as file:
        file.truncate(1 << 40)
        file.seek(1 << 30)
        file.write(os.urandom(4096))
    (told,) = stat(place, place.mnt / "file")
    assert told["size"] == 1 << 40
    assert 4096 <= told["stored"] < MIB


def test_an_empty_file(place: Place) -> None:
    (place.mnt / "file").touch()
    (told,) = stat(place, place.mnt / "file")
    assert (told["cid"], told["size"]) == ("bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku", 0)
    assert (told["blocks"], told["stored"], told["repeated"], told["shared"]) == (1, 0, 0, 0)


def test_a_directory_counts_what_is_in_it(place: Place) -> None:
    directory = place.mnt / "dir"
    (directory / "deeper").mkdir(parents=True)
    data = write(directory / "a", 100_000)
    (directory / "deeper" / "b").write_bytes(data)
    write(directory / "deeper" / "c", 5000)
    (told,) = stat(place, directory)
    assert (told["type"], told["size"]) == ("directory", 205_000)
    assert told["blocks"] == 4, "two files, two directories"
    assert told["repeated"] == 100_000
    assert told["shared"] == 0


def test_a_directory_shares_with_what_is_outside_alone(place: Place) -> None:
    (place.mnt / "dir").mkdir()
    data = write(place.mnt / "dir" / "a", 100_000)
    (place.mnt / "dir" / "b").write_bytes(data)
    write(place.mnt / "other", 1000)
    assert stat(place, place.mnt / "dir")[0]["shared"] == 0
    (place.mnt / "outside").write_bytes(data)
    directory, file, root = stat(place, place.mnt / "dir", place.mnt / "dir" / "a", place.mnt)
    assert directory["shared"] == 100_000
    assert file["shared"] == 100_000
    assert root["shared"] == 0, "nothing is outside of everything"


def test_a_copied_directory_shares_everything(place: Place) -> None:
    (place.mnt / "dir" / "deeper").mkdir(parents=True)
    for i in range(20):
        write(place.mnt / "dir" / "deeper" / f"{i}", 1000 + i)
    subprocess.run(["cp", "-r", place.mnt / "dir", place.mnt / "copy"], check=True)
    told, copy = stat(place, place.mnt / "dir", place.mnt / "copy")
    assert told["cid"] == copy["cid"]
    assert told["shared"] == told["stored"] == copy["shared"] > 20_000


def test_a_sharded_directory(place: Place) -> None:
    directory = place.mnt / "dir"
    directory.mkdir()
    for i in range(6000):
        (directory / f"{'a longer name for the file with the number':0<60}{i}").touch()
    write(directory / "file", 500)
    (told,) = stat(place, directory)
    assert told["size"] == 500
    assert told["blocks"] > 200, "the shards are counted"
    assert told["stored"] > 6000 * 60


def test_a_symbolic_link_is_not_followed(place: Place) -> None:
    link = place.mnt / "link"
    link.symlink_to("nowhere")
    (told,) = stat(place, link)
    assert (told["type"], told["size"], told["blocks"]) == ("symlink", 7, 1)
    assert told["cid"] == os.getxattr(link, "ipfs.cid", follow_symlinks=False).decode()


def test_a_pipe_has_no_cid(place: Place) -> None:
    os.mkfifo(place.mnt / "pipe")
    (told,) = stat(place, place.mnt / "pipe")
    assert (told["type"], told["cid"], told["blocks"]) == ("special", None, None)


def test_a_path_is_found_by_links_and_from_within(place: Place) -> None:
    (place.mnt / "dir").mkdir()
    write(place.mnt / "dir" / "file", 10)
    (place.path / "link").symlink_to(place.mnt / "dir")
    cid = stat(place, place.mnt / "dir" / "file")[0]["cid"]
    assert stat(place, place.path / "link" / "file")[0]["cid"] == cid
    ran = subprocess.run(
        [*MFS, "stat", "--json", "file", "../dir/./file"],
        cwd=place.mnt / "dir",
        env=place.environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    assert [json.loads(line)["cid"] for line in ran.stdout.splitlines()] == [cid, cid]


def test_a_path_in_a_bind_mount_of_a_part(place: Place) -> None:
    (place.mnt / "dir").mkdir()
    data = write(place.mnt / "dir" / "file", 1000)
    (place.mnt / "other").write_bytes(data)
    view = place.path / "view"
    view.mkdir()
    subprocess.run(["mount", "--bind", place.mnt / "dir", view], check=True)
    (told,) = stat(place, view / "file")
    assert (told["size"], told["shared"]) == (1000, 1000)


def test_in_a_pipe_it_is_fields_under_a_heading(place: Place) -> None:
    file = place.mnt / "a\tb\nc"
    write(file, 5)
    os.mkfifo(place.mnt / "pipe")
    ran = place.mfs("stat", file, place.mnt / "pipe")
    heading, line, pipe = ran.stdout.splitlines()
    assert heading.split("\t") == ["path", "cid", "type", "size", "blocks", "stored", "repeated", "shared"]
    cid = os.getxattr(file, "ipfs.cid").decode()
    assert line.split("\t") == [f"{place.mnt}/a\\tb\\nc", cid, "file", "5", "1", "5", "0", "0"]
    assert pipe.split("\t")[1:] == ["-", "special", "0", "-", "-", "-", "-"]


def test_on_a_terminal_it_is_a_paragraph(place: Place) -> None:
    write(place.mnt / "file", 3 * MIB)
    text = place.at_a_terminal("stat", place.mnt / "file")
    lines = text.splitlines()
    assert lines[0] == f"{place.mnt}/file"
    assert "  size      3145728 (3.0 MiB)" in lines
    assert "  blocks    4" in lines
    assert "\x1b" not in text


def test_what_is_missing_does_not_keep_the_rest_from_being_told(place: Place) -> None:
    write(place.mnt / "file", 5)
    ran = place.mfs("stat", "--json", place.mnt / "none", place.mnt / "file")
    assert ran.returncode == 1
    assert ran.stderr.startswith(f"mfs stat: {place.mnt}/none: No such file or directory\n")
    assert json.loads(ran.stdout)["size"] == 5


def test_looking_does_not_disturb_the_server(place: Place) -> None:
    write(place.mnt / "a", MIB)
    for i in range(5):
        stat(place, place.mnt)
        write(place.mnt / f"{i}", 10_000)
    place.umount()
    place.mount()
    assert sorted(os.listdir(place.mnt)) == ["0", "1", "2", "3", "4", "a"]


def test_without_access_to_the_repository_the_cid_is_told(place: Place) -> None:
    place.umount()
    place.mount("--allow-other")
    (place.mnt / "file").write_text("hello\n")
    ran = place.ordinary(f'mfs stat --json "{place.mnt}/file"')
    assert ran.returncode == 1
    assert json.loads(ran.stdout)["cid"] == "bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am"
    assert ran.stderr.startswith("mfs stat: cannot count blocks: ")
    assert "Permission denied" in ran.stderr
