"""History: names for commits, references to them, what changed between two, and the way back."""

from __future__ import annotations

import random
from collections.abc import Generator
from pathlib import Path

import pytest

from mfs.commit.record import Commit
from mfs.history import NoCommit, Reference, log, names, resolve, snapshots
from mfs.history.changes import Change, changes
from mfs.history.past import Past, reader
from mfs.history.restore import restore
from mfs.history.trees import tree_changes
from mfs.tests.volume_work import CHUNK, Worker, built, crashed, make, make_directory, opened, read, root, write
from mfs.tree.node import Directory
from mfs.tree.xattrs import get_xattr, remove_xattr, set_xattr, xattr_names
from mfs.unixfs.cid import CID, cid_str
from mfs.unixfs.nodes import NodeCache
from mfs.volume import Volume


async def snapshot(volume: Volume, name: str) -> Commit:
    commit = await volume.commit()
    volume.store.put(commit.cid, commit.encode())
    names.add_snapshot(volume.store, name, commit.cid, 1)
    await volume.flush()
    return commit


def between(volume: Volume, old: Commit, new: Commit) -> list[Change]:
    return _finished(changes(Past(reader(volume.store, old.meta)), Past(reader(volume.store, new.meta))))


def between_trees(volume: Volume, old: CID, new: CID) -> list[Change]:
    return _finished(tree_changes(old, new, NodeCache(volume.store.get)))


def _finished(steps: Generator[None, None, list[Change]]) -> list[Change]:
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            made: list[Change] = stop.value
            return made


def paths(volume: Volume) -> dict[bytes, tuple[object, ...]]:
    """Everything in the tree: what is at each path."""
    found: dict[bytes, tuple[object, ...]] = {}
    waiting: list[tuple[bytes, Directory]] = [(b"", root(volume))]
    while waiting:
        at, directory = waiting.pop()
        for name in volume.tree.names(directory):
            node = volume.tree.child(directory, name)
            assert node is not None
            path = at + b"/" + name if at else name
            if isinstance(node, Directory):
                waiting.append((path, node))
                found[path] = (node.mode, node.uid)
            else:
                found[path] = (node.mode, node.uid, node.mtime, node.nlink, node.size, node.target)
    return found


# -- commits and their names


async def test_a_commit_is_found_by_all_its_names(tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        made = []
        for number in range(4):
            make(volume, f"f{number}", b"x")
            made.append(await (snapshot(volume, "here") if number == 1 else volume.commit()))
        store, head = volume.store, volume.head
        assert [one.commit for one in log(store, Reference(head.cid, head))] == made[::-1]
        text = cid_str(made[1].cid)
        for said in ("here", "head~2", "head~~", "head~1~", text, text[:20], f"{cid_str(head.cid)}~2"):
            assert resolve(store, head, said).commit == made[1], said
        assert resolve(store, head, "head").commit == head == made[3]


@pytest.mark.parametrize("said", ["", "~", "head~9", "nowhere", "bafkrei", "here~3", "h" * 1000, "head~x"])
async def test_what_refers_to_no_commit_is_told(tmp_path: Path, said: str) -> None:
    with opened(tmp_path / "repo") as volume:
        make(volume, "f", b"x")
        await snapshot(volume, "here")
        with pytest.raises(NoCommit):
            resolve(volume.store, volume.head, said)


async def test_before_the_first_commit_there_is_no_history(tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        with pytest.raises(NoCommit):
            resolve(volume.store, volume.head, "head")
        assert not list(log(volume.store, Reference(volume.head.cid, volume.head)))


async def test_names_outlive_a_crash_and_can_be_taken_away(tmp_path: Path) -> None:
    with opened(tmp_path / "one") as volume:
        make(volume, "f", b"x")
        commit = await snapshot(volume, "here")
        await snapshot(volume, "there")
        with pytest.raises(names.NameTaken):
            names.add_snapshot(volume.store, "here", commit.cid, 2)
        with crashed(volume, tmp_path / "two") as again:
            assert [one.name for one in snapshots(again.store)] == ["here", "there"]
            names.remove(again.store, names.SNAPSHOT, "here")
            assert [one.name for one in snapshots(again.store)] == ["there"]
            with pytest.raises(names.NoName):
                names.remove(again.store, names.SNAPSHOT, "here")


@pytest.mark.parametrize("name", ["", "a/b", "a~1", ".", "..", ".x", "-x", "head", "a\nb", " a", "x" * 201])
async def test_what_cannot_be_a_name_is_refused(tmp_path: Path, name: str) -> None:
    with opened(tmp_path / "repo") as volume, pytest.raises(names.BadName):
        names.add_pin(volume.store, name, (await volume.commit()).cid, 1)


# -- what changed


async def test_every_kind_of_change_is_told(tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        tree = volume.tree
        kept, gone, moved = make(volume, "kept", b"1"), make(volume, "gone", b"2"), make(volume, "moved", b"3")
        folder = make_directory(volume, "folder")
        make(volume, "inside", b"4", folder)
        make(volume, "replaced", b"5")
        before = await volume.commit()
        write(volume, kept, 0, b"more")
        tree.unlink(root(volume), b"gone")
        tree.rename(root(volume), b"moved", folder, b"here")
        tree.rename(root(volume), b"folder", root(volume), b"elsewhere")
        tree.unlink(root(volume), b"replaced")
        make(volume, "replaced", b"6")
        make(volume, "new", b"7", make_directory(volume, "made"))
        folder.mode = 0o40700
        tree.touched(folder)
        after = await volume.commit()
        assert gone.nlink == 0 and moved.nlink == 1
        assert between(volume, before, after) == [
            Change("renamed", b"elsewhere", "directory", b"folder", ("mode",)),
            Change("renamed", b"elsewhere/here", "file", b"moved"),
            Change("removed", b"gone", "file"),
            Change("changed", b"kept", "file", what=("content",)),
            Change("added", b"made", "directory"),
            Change("added", b"made/new", "file"),
            Change("changed", b"replaced", "file", what=("content",)),
        ]
        assert between(volume, after, after) == []


@pytest.mark.parametrize("seed", range(8))
async def test_the_changes_between_two_commits_lead_from_one_to_the_other(tmp_path: Path, seed: int) -> None:
    with opened(tmp_path / "repo") as volume:
        worker = Worker(volume, seed)
        for _ in range(40):
            worker.step()
        before, had = await volume.commit(), paths(volume)
        for _ in range(25):
            worker.step()
        after, has = await volume.commit(), paths(volume)
        assert _applied(set(had), between(volume, before, after)) == set(has)
        assert before.root is not None and after.root is not None
        trees = between_trees(volume, before.root, after.root)
        assert _applied(set(had), trees) == set(has)


def _applied(there: set[bytes], made: list[Change]) -> set[bytes]:
    """The paths, after the changes: what moved takes along what is below it."""
    gone = {change.path for change in made if change.kind == "removed"}
    moves: dict[bytes, bytes] = {change.old: change.path for change in made if change.old is not None}
    left = set()
    for path in there - gone:
        # The longest part of it that moved.
        parts = path.split(b"/")
        for length in range(len(parts), 0, -1):
            above = b"/".join(parts[:length])
            if above in moves:
                left.add(b"/".join([moves[above], *parts[length:]]))
                break
        else:
            left.add(path)
    return left | {change.path for change in made if change.kind == "added"}


def test_two_large_directories_are_compared_shard_by_shard(tmp_path: Path) -> None:
    from mfs.tests.unixfs_build import Blocks
    from mfs.tests.volume_work import PROFILE

    blocks = Blocks()
    links = {b"%d" % n: blocks.file(PROFILE, b"%d" % n) for n in range(2000)}
    old = blocks.folder(PROFILE, dict(links)).cid
    links[b"7"] = blocks.file(PROFILE, b"other")
    links[b"new"] = links.pop(b"8")
    new = blocks.folder(PROFILE, dict(links)).cid
    reads = 0

    def counted(cid: CID) -> bytes:
        nonlocal reads
        reads += 1
        block = blocks.get(cid)
        assert block is not None
        return block

    assert _finished(tree_changes(old, new, NodeCache(counted))) == [
        Change("changed", b"7", "file", what=("content",)),
        Change("renamed", b"new", "file", b"8"),
    ]
    assert reads < 20


# -- the way back


@pytest.mark.parametrize("seed", range(8))
async def test_the_whole_tree_comes_back_byte_for_byte(tmp_path: Path, seed: int) -> None:
    with opened(tmp_path / "repo") as volume:
        worker = Worker(volume, seed)
        for _ in range(40):
            worker.step()
        commit = await snapshot(volume, "then")
        want, had = built(volume), paths(volume)
        for _ in range(40):
            worker.step()
        now = await volume.commit()
        await restore(volume, commit)
        assert built(volume) == want == cid_str(CID(volume.head.root or b""))
        assert paths(volume) == had
        if volume.head.previous is not None and volume.head != now:
            assert resolve(volume.store, volume.head, "head~").commit == now
        await restore(volume, now)
        assert volume.head.root == now.root
    with opened(tmp_path / "repo") as volume:
        assert cid_str(CID(volume.head.root or b"")) == built(volume)


async def test_paths_come_back_and_nothing_else_changes(tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        folder = make_directory(volume, "folder")
        data = random.Random(1).randbytes(5 * CHUNK)
        one = make(volume, "one", data, folder)
        volume.tree.link(one, folder, b"other")
        other = make(volume, "outside", b"1")
        commit = await snapshot(volume, "then")
        write(volume, one, 10, b"spoiled")
        write(volume, other, 0, b"2")
        volume.tree.unlink(folder, b"other")
        await volume.commit()
        stored = volume.store.segments.stored_bytes()
        result = await restore(volume, commit, [b"folder/one"])
        assert (read(volume, "folder/one"), read(volume, "outside")) == (data, b"2")
        assert result.changed == 1
        volume.tree.unlink(folder, b"one")
        volume.tree.rmdir(root(volume), b"folder")
        await restore(volume, commit, [b"/folder/one", b"folder/other"])
        assert read(volume, "folder/other") == data
        again = volume.tree.resolve(b"folder/one")
        assert again is volume.tree.resolve(b"folder/other") and again.nlink == 2
        assert volume.store.segments.stored_bytes() == stored


async def test_a_path_that_the_commit_lacks_is_told_and_nothing_is_done(tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        file = make(volume, "a", b"1")
        commit = await volume.commit()
        write(volume, file, 0, b"2")
        with pytest.raises(FileNotFoundError):
            await restore(volume, commit, [b"a", b"b"])
        assert read(volume, "a") == b"2"


async def test_very_deep_directories_come_back(tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        at = root(volume)
        for _ in range(1200):
            at = make_directory(volume, "d", at)
        make(volume, "f", b"deep", at)
        commit = await volume.commit()
        volume.tree.unlink(at, b"f")
        volume.tree.rename(root(volume), b"d", root(volume), b"e")
        await restore(volume, commit)
        assert read(volume, "d/" * 1200 + "f") == b"deep"


async def test_an_unlinked_open_file_stays_apart_from_what_comes_back(tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        file = make(volume, "a", b"then")
        commit = await volume.commit()
        volume.tree.lookups.add(file.ino)
        volume.tree.unlink(root(volume), b"a")
        write(volume, file, 0, b"held")
        await restore(volume, commit)
        back = volume.tree.resolve(b"a")
        assert back is not file
        assert read(volume, "a") == b"then"


async def test_extended_attributes_come_back(tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        one, other = make(volume, "one", b"1"), make(volume, "other", b"2")
        set_xattr(volume.tree, one, b"user.kept", b"then")
        set_xattr(volume.tree, one, b"user.lost", b"x" * 5000)
        commit = await volume.commit()
        set_xattr(volume.tree, one, b"user.kept", b"now")
        set_xattr(volume.tree, other, b"user.new", b"now")
        remove_xattr(volume.tree, one, b"user.lost")
        after = await volume.commit()
        assert [change.what for change in between(volume, commit, after)] == [("attributes",), ("attributes",)]
        await restore(volume, commit)
        assert {name: get_xattr(volume.tree, one, name) for name in xattr_names(volume.tree, one)} == {
            b"user.kept": b"then",
            b"user.lost": b"x" * 5000,
        }
        assert xattr_names(volume.tree, other) == []
