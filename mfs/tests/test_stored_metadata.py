"""Mode and mtime in UnixFS, by choice: kubo's CIDs, one new block for a change of them, and nothing of it elsewhere.

CIDs are those that kubo 0.43 gave for the same tree: `ipfs add -r --hidden` with --preserve-mode and --preserve-mtime
(profile unixfs-v0-2015, as these two exclude raw leaves), and for the other profile `ipfs files chmod` and `ipfs files
touch` of a file with raw leaves.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from mfs.copy import copy_range
from mfs.history.changes import changes
from mfs.history.past import Past, reader
from mfs.history.trees import tree_changes
from mfs.repo import Repo, RepoProfile
from mfs.tests.commanding import Place, new_place
from mfs.tests.mounting import mounted
from mfs.tests.unixfs_build import Blocks, drain
from mfs.tests.volume_work import CHUNK, Worker, make, opened, root, said, truncate, write
from mfs.tree.node import Directory, File, Node, Symlink
from mfs.unixfs.cid import CID, cid_str
from mfs.unixfs.layout import Link
from mfs.unixfs.metadata import file_with_metadata
from mfs.unixfs.nodes import NodeCache
from mfs.unixfs.profile import Profile, profile_named, satisfies
from mfs.volume import Volume

BOTH = "test-small-v1+mode+mtime"
SECOND = 1_000_000_000

ADDED = {
    ("--store-mode",): {
        "d/big": "QmPn3d1TPQK5KGj9sT1ywm8S1vGpBbNZ8XpKEoSYV5VV73",
        "d/empty": "QmStXxkUej4evQ4RoH53Qa13Ak2Yev6VU41jdbNfPvForx",
        "d/link": "QmUmo9PHfZoidrJtMtaWH5nLsDt1xqjfNB2sUzFffhVhi1",
        "d/small": "QmRT9t1ynFxMAmasfgJt7pJATDJ2EoGByMuUDS3AbzLqzS",
        "d/sub": "QmQN8q2TtLXzCXAxrcvRzZeAFsh2pzqxmFTzGbjnDFg6fX",
        "d": "Qmdg7AorbDcMcZj4DgfCU27cBhFkTWqjGa9UJEcTn9FHvV",
    },
    ("--store-mtime",): {
        "d/big": "QmPmjoECwwLfVs2Qnqv4Tn9TaKgz9izaxZL1sHnyWY1eiz",
        "d/empty": "QmaKH8H5rXBUBCX4vdxi7ktGQEL7wejV7L9rX2qpZjwncz",
        "d/link": "QmXrpJroidSqiZATuEvxKCQ7wWwDDQv2h55zEkb3WWvroR",
        "d/small": "QmYQuKTyPQGYDHx8MtgV4TtACU4UFJomhAxS4sMjNwnv33",
        "d/sub": "QmYMy7CZGb498QFSQBF5ZFwv1FYbrAtYZMe4VxhDXxAcvf",
        "d": "QmNMsbPdvdHMvMBJaWED1akZ6aJaHfmo9HWw19PUDxASLy",
    },
    ("--store-mode", "--store-mtime"): {
        "d/big": "QmUjbHwhvt9LK4YnVD5aZVbiy1CDnUYYVXBnBcynCf7Dme",
        "d/empty": "QmTSip4ZDQGGFnxj7fSk9ZozpBCrVWS2mT4wgtMmrkMDid",
        "d/link": "QmXrpJroidSqiZATuEvxKCQ7wWwDDQv2h55zEkb3WWvroR",
        "d/small": "Qmaf4UpzE27C2R8xn4UYPnzPT2acadsgEXYQN5JYrt3kJ6",
        "d/sub": "QmREoLj5V3t71cDB9Ts6FFYaM6nbBKcesovFXomQZrrQNg",
        "d": "QmSGz9VEoJhXZxLsGTFCwMBYNdcmhtxmfUbS7rhYJFtc2T",
    },
    (): {"d": "QmPxEGsFguSbEWT2mPJXbvd5TxfWfoN8YMhJyGbpEB1KRr"},
}
CHANGED = {
    "big": "bafybeibmijzcyxnssnewf5zjqlfigdvrozzvgcyag4jpcqyp2tqrrisiqu",
    "sub": "bafybeigyxqfihiimpyrccmv4wzmxzrkyra7s6szk333gec2nl54wkcy7o4",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What kubo added."""
    top = tmp_path / "d"
    (top / "sub").mkdir(parents=True)
    (top / "small").write_bytes(b"hello\n")
    (top / "big").write_bytes(b"a" * 3_000_000)
    (top / "empty").touch()
    (top / "link").symlink_to("small")
    for name, mode in (("small", 0o4751), ("big", 0o640), ("empty", 0o600), ("sub", 0o1777), (".", 0o2750)):
        (top / name).chmod(mode)
    for name in ("small", "link", "empty"):
        os.utime(top / name, ns=(0, 1603539720 * SECOND + 54321), follow_symlinks=False)
    os.utime(top / "big", ns=(0, -3 * SECOND // 2))
    os.utime(top / "sub", ns=(0, 1655158722 * SECOND))
    os.utime(top, ns=(0, 1604320482 * SECOND))
    return top


@pytest.mark.parametrize("options", ADDED, ids=lambda options: " ".join(options) or "neither")
def test_what_is_added_has_the_cids_of_kubo(options: tuple[str, ...], tree: Path) -> None:
    profile = ("--profile", "unixfs-v0-2015", *options)
    with new_place() as place:
        for words in (["add", "-r", "-p"], ["add", "-n", "-r", "-p"]):
            said = place.mfs(*words, *profile, tree).stdout.splitlines()
            found = {line.split()[2]: line.split()[1] for line in said}
            assert {name: found[name] for name in ADDED[options]} == ADDED[options], words


@pytest.mark.kernel("root")
def test_what_is_changed_in_a_mount_has_the_cids_of_kubo(tree: Path) -> None:
    with mounted(profile="+mode+mtime") as mount:
        for name in CHANGED:
            path = mount.path / name
            if name == "sub":
                path.mkdir()
            else:
                path.write_bytes((tree / name).read_bytes())
            before = os.getxattr(path, "ipfs.cid")
            path.chmod(0o640)
            os.utime(path, ns=(0, 1603539720 * SECOND + 54321))
            assert os.getxattr(path, "ipfs.cid") != before
        mount.remount()
        assert {name: os.getxattr(mount.path / name, "ipfs.cid").decode() for name in CHANGED} == CHANGED
        assert (mount.path / "big").read_bytes() == b"a" * 3_000_000


def from_nothing(volume: Volume, blocks: Blocks, node: Node) -> Link:
    """The link to `node` as the profile has it, whatever came before."""
    profile = volume.profile
    stamp = profile.stored(node.mode, node.mtime)
    if isinstance(node, File):
        bare = blocks.file(profile, node.content.read_bytes(0, node.size))
        return file_with_metadata(profile, bare, *stamp, blocks.get_block, blocks.put_block)
    if isinstance(node, Symlink):
        return blocks.symlink(profile, node.target, *stamp)
    assert isinstance(node, Directory)
    below: dict[bytes, Link | None] = {}
    for name in volume.tree.names(node):
        child = volume.tree.child(node, name)
        assert child is not None
        below[name] = from_nothing(volume, blocks, child)
    cid, tsize, _ = blocks.directory(profile, below, None, None, *stamp)
    return Link(cid, 0, tsize)


@pytest.mark.parametrize("profile", [BOTH, "test-small-v1+mode", "test-small-v0+mtime"])
@pytest.mark.parametrize("seed", range(6))
async def test_the_root_depends_on_what_there_is_alone(tmp_path: Path, profile: str, seed: int) -> None:
    with Volume.open(tmp_path / "repo", profile=profile) as volume:
        worker = Worker(volume, seed)
        for _ in range(12):
            for _ in range(worker.random.randrange(9)):
                worker.step()
                _, _, node = worker.random.choice([*worker._all(), (None, b"", root(volume))])
                if not isinstance(node, Symlink):
                    node.mode = node.mode & ~0o777 | worker.random.choice([0, 0o600, 0o644])
                node.mtime = worker.random.choice([0, 5, -1, node.mtime])
                volume.tree.touched(node)
            await volume.commit()
            assert said(volume.head.root) == cid_str(from_nothing(volume, Blocks(), root(volume)).cid)
        want = said(volume.head.root)
        bytes_of = {node.ino: node.content.read_bytes(0, node.size) for _, _, node in worker._files()}
    with Volume.open(tmp_path / "repo") as volume:
        assert said(volume.head.root) == want == cid_str(from_nothing(volume, Blocks(), root(volume)).cid)
        for ino, data in bytes_of.items():
            assert volume.tree.file(ino).content.read_bytes(0, len(data) + 1) == data


def new_nodes(volume: Volume, before: set[bytes]) -> int:
    """How many dag-pb nodes came."""
    found = (volume.store.get(CID(b"\x01\x70" + multihash)) for multihash in set(volume.store.multihashes()) - before)
    # Nodes of the metadata map and commits begin otherwise.
    return sum(block.startswith((b"\x0a", b"\x12")) for block in found)


@pytest.mark.parametrize("how", ["chmod", "touch", "copy"])
async def test_one_root_is_stored_and_the_rest_is_shared(tmp_path: Path, how: str) -> None:
    with Volume.open(tmp_path / "repo", profile=BOTH) as volume:
        file = make(volume, "file", random.Random(1).randbytes(40 * CHUNK + 5))
        await volume.commit()
        before, tails = set(volume.store.multihashes()), volume.store.segments.tails()
        if how == "copy":
            copy = make(volume, "copy")
            copy.mode = 0o100600
            assert copy_range(file.content, 0, copy.content, 0, file.size) == file.size
            volume.tree.touched(copy)
        else:
            file.mode, file.mtime = (0o100600, file.mtime) if how == "chmod" else (file.mode, 7)
            volume.tree.touched(file)
        await volume.commit()
        # The file's root and the directory's.
        assert new_nodes(volume, before) == 2
        assert volume.store.segments.tails() == tails


async def test_a_file_of_one_leaf_shares_its_bytes_with_all_its_roots(tmp_path: Path) -> None:
    with Volume.open(tmp_path / "repo", profile="+mode") as volume:
        data = random.Random(1).randbytes(500_000)
        file = make(volume, "file", data)
        stored = 0
        for mode in (0o644, 0o600, 0o640):
            file.mode = 0o100000 | mode
            volume.tree.touched(file)
            await volume.commit()
            stored = stored or sum(volume.store.segments.tails().values())
        assert sum(volume.store.segments.tails().values()) < stored + 1000
        assert file.content.read_bytes(0, len(data)) == data


async def test_a_file_grows_and_shrinks_over_a_root_with_a_mode(tmp_path: Path) -> None:
    with Volume.open(tmp_path / "repo", profile=BOTH) as volume:
        file, data = make(volume, "file"), b""
        for size in (CHUNK, 2 * CHUNK, 3 * CHUNK, 10 * CHUNK, CHUNK, CHUNK - 1, 9 * CHUNK, 28 * CHUNK, 0, 5):
            if size < len(data):
                truncate(volume, file, size)
                data = data[:size]
            else:
                more = random.Random(size).randbytes(size - len(data))
                write(volume, file, len(data), more)
                data += more
            await volume.commit()
            assert file.content.read_bytes(0, size + 1) == data
            assert file.cid == from_nothing(volume, Blocks(), file).cid


async def test_without_the_choice_neither_is_in_the_cid(tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        file = make(volume, "file", b"bytes")
        before = (await volume.commit()).root
        file.mode, file.mtime = 0o100600, 5
        volume.tree.touched(file)
        assert (await volume.commit()).root == before


@pytest.mark.parametrize(
    ("has", "asked", "fits"),
    [
        ("unixfs-v1-2025+mode", "unixfs-v1-2025", True),
        ("unixfs-v1-2025+mode", "+mode", True),
        ("unixfs-v0-2015+mode+mtime", "+mtime", True),
        ("unixfs-v1-2025+mode", "+mtime", False),
        ("unixfs-v1-2025", "+mode", False),
        ("unixfs-v1-2025+mode", "unixfs-v0-2015+mode", False),
    ],
)
def test_the_choice_is_made_once_and_kept(tmp_path: Path, has: str, asked: str, fits: bool) -> None:
    Repo.open(tmp_path / "repo", profile=has).close()
    with Repo.open(tmp_path / "repo") as repo:
        assert repo.profile == profile_named(has)
        assert satisfies(repo.profile, asked) == fits
    if fits:
        Repo.open(tmp_path / "repo", profile=asked).close()
    else:
        with pytest.raises(RepoProfile, match="chosen when it is made"):
            Repo.open(tmp_path / "repo", profile=asked)


def test_a_name_is_the_same_in_whatever_order_the_options_come() -> None:
    assert profile_named("+mtime+mode") == profile_named("unixfs-v1-2025+mode+mtime")
    for wrong in ("unixfs-v1-2025+owner", "unheard", "unheard+mode"):
        with pytest.raises(ValueError, match="there is no profile"):
            profile_named(wrong)


def test_options_in_any_order_make_one_repository(tmp_path: Path) -> None:
    with new_place() as place:
        file = tmp_path / "file"
        file.write_bytes(b"x")
        made = place.mfs("add", "--store-mtime", "--profile", "unixfs-v0-2015", "--store-mode", file)
        assert made.returncode == 0
        assert "profile: unixfs-v0-2015+mode+mtime\n" in (place.repo / "mfs.repo").read_text()
        again(place, file)


def again(place: Place, file: Path) -> None:
    """It may be left out, or said again; it cannot be changed."""
    assert place.mfs("add", file).returncode == 0
    assert place.mfs("add", "--store-mode", file).returncode == 0
    assert "not unixfs-v1-2025" in place.mfs("add", "--profile", "unixfs-v1-2025", file).stderr


@pytest.mark.parametrize("mode", [0o120777, 0o100644, 0o41777])
def test_what_a_root_carries(mode: int) -> None:
    both: Profile = profile_named("+mode+mtime")
    permissions, mtime = both.stored(mode, -1)
    assert (permissions, mtime) == (0 if mode == 0o120777 else mode & 0o7777, (-1, 999_999_999))
    assert profile_named("unixfs-v1-2025").stored(mode, 5) == (0, None)


async def test_a_difference_says_what_changed_and_not_that_the_bytes_did(tmp_path: Path) -> None:
    with Volume.open(tmp_path / "repo", profile=BOTH) as volume:
        files = [make(volume, name, random.Random(1).randbytes(size)) for name, size in (("large", 5000), ("small", 9))]
        before = await volume.commit()
        for file, mode in zip(files, (0o100600, 0o100640), strict=True):
            file.mode, file.mtime = mode, 5
            volume.tree.touched(file)
        write(volume, files[1], 3, b"new")
        after = await volume.commit()
        pasts = [Past(reader(volume.store, one.meta)) for one in (before, after)]
        found = drain(changes(pasts[0], pasts[1], volume.store.get))
        assert {(change.path, change.what) for change in found} == {
            (b"large", ("mode", "mtime")),
            (b"small", ("content", "mode", "mtime")),
        }
        assert before.root is not None and after.root is not None
        assert drain(tree_changes(before.root, after.root, NodeCache(volume.store.get))) == found
