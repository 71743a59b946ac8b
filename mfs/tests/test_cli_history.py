"""`mfs snapshot`, `log`, `diff`, `restore`, `pin` and `gc`, on a repository nobody holds and beside a server."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import trio

from mfs.tests.commanding import Place, new_place
from mfs.tests.volume_work import make, root
from mfs.volume import Volume


@pytest.fixture
def place() -> Iterator[Place]:
    with new_place() as made:
        yield made


def said(place: Place, *words: str) -> str:
    ran = place.mfs(*words)
    assert (ran.returncode, ran.stderr) == (0, ""), ran
    return ran.stdout


def put(place: Place, name: str, text: str) -> None:
    """A file, in a commit of its own."""

    async def write() -> None:
        with Volume.open(place.repo) as volume:
            top = root(volume)
            if volume.tree.entry(top, name.encode()) is not None:
                volume.tree.unlink(top, name.encode())
            make(volume, name, text.encode())
            await volume.commit()

    trio.run(write)


def test_what_a_snapshot_named_comes_back(place: Place) -> None:
    put(place, "a", "one")
    assert said(place, "snapshot", "then") == ""
    put(place, "a", "two")
    put(place, "b", "new")
    rows = [line.split("\t") for line in said(place, "diff", "then", "head").splitlines()]
    assert [(row[0], row[2]) for row in rows] == [("changed", "a"), ("added", "b")]
    assert [line.split("\t")[2] for line in said(place, "diff").splitlines()] == ["b"]
    changed, removed, undo = said(place, "restore", "then", "/a").splitlines()
    assert (changed, removed) == ("changed\t1", "removed\t1")
    said(place, *undo.split("\t")[1].split()[1:])
    assert said(place, "cat", "/a") == "two"
    said(place, "restore", "then", "/a")
    assert said(place, "cat", "/a") == "one"
    assert said(place, "cat", "/b") == "new"
    listed = said(place, "snapshot").split("\t")
    assert listed[0] == "then"
    log = [json.loads(line) for line in said(place, "log", "--json").splitlines()]
    assert [one["names"] for one in log if one["names"]] == [["then"]]
    assert listed[2] in {one["root"] for one in log}
    assert len(said(place, "log", "-n", "1").splitlines()) == 1
    said(place, "restore", "then")
    assert said(place, "ls", "/") == "a\n"


def test_garbage_goes_and_what_has_a_name_stays(place: Place) -> None:
    put(place, "a", "x" * 3_000_000)
    cid = json.loads(said(place, "ls", "--json", "/"))["cid"]
    said(place, "pin", "mine", cid)
    said(place, "rm", "/a")
    assert said(place, "pin").split("\t")[2].strip() == cid
    said(place, "gc")
    said(place, "pin", "--remove", "mine")
    would = json.loads(said(place, "gc", "--dry-run", "--json"))
    done = json.loads(said(place, "gc", "--json"))
    assert would["removed"] == done["removed"] > 0
    assert len(said(place, "log").splitlines()) == 1
    assert "removed 0 of" in said(place, "gc", "--keep", "all")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("restore", "nowhere"), "neither a snapshot nor"),
        (("snapshot", "a/b"), "cannot be a name"),
        (("snapshot", "--remove", "x"), "there is no snapshot"),
        (("snapshot", "--remove"), "say which snapshot"),
        (("pin", "x"), "say which CID"),
        (("pin", "x", "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"), "is not stored here"),
        (("pin", "x", "nonsense"), "not a CID"),
        (("gc", "--keep", "some"), "says nothing about which commits"),
        (("log", "head~99"), "not so many commits"),
        (("diff", "head", "none"), "neither a snapshot nor"),
        (("restore", "head", "/none"), "the commit has no such path"),
    ],
)
def test_what_cannot_be_done_is_told(place: Place, words: tuple[str, ...], message: str) -> None:
    put(place, "a", "one")
    ran = place.mfs(*words)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert message in ran.stderr and "Traceback" not in ran.stderr
