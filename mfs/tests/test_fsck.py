"""Checks and repairs: what is damaged is found and named, costs what it has to, and the rest stays the newest."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import struct
from pathlib import Path

import pytest
import trio

from mfs.blocks.index import INLINE, Index
from mfs.fsck import CLEAN, CORRECTED, UNCORRECTED, Report, check
from mfs.fsck.mending.orphans import Orphans
from mfs.gc import Keep, collect
from mfs.history import names
from mfs.ipns.keys import Keys
from mfs.log import log_numbers
from mfs.repo import RepoDamaged
from mfs.tests import fsck_work, volume_work
from mfs.tests.fsck_work import Damage, Paths, made, seen, told_of
from mfs.tests.volume_work import CHUNK, crashed, make, make_directory, opened, truncate
from mfs.unixfs.cid import multihash_of
from mfs.unixfs.layout import zero_leaf
from mfs.unixfs.profile import profile_named
from mfs.volume import Volume

SEEDS = range(2)
DAMAGES: tuple[Damage, ...] = (
    fsck_work.flip_segment,
    fsck_work.cut_segment,
    fsck_work.remove_segment,
    fsck_work.flip_block,
    fsck_work.remove_block,
    fsck_work.remove_blocks,
    fsck_work.misplace_block,
    fsck_work.flip_index,
    fsck_work.flip_index_head,
    fsck_work.cut_index,
    fsck_work.flip_commit,
    fsck_work.remove_commit,
    fsck_work.flip_name,
    fsck_work.flip_log,
    fsck_work.cut_log,
    fsck_work.remove_log,
    fsck_work.remove_directory,
)
LOGGED = b"a/b/c/logged"


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Paths]:
    """A repository, which is not to be changed, and what is in it."""
    path = tmp_path_factory.mktemp("fsck") / "repo"
    return path, made(path)


@pytest.fixture
def repo(origin: tuple[Path, Paths], tmp_path: Path) -> Path:
    """A copy of it."""
    path: Path = shutil.copytree(origin[0], tmp_path / "repo")
    return path


def files_of(repo: Path) -> dict[str, bytes]:
    """Every file in a directory, but what is only written to by looking at it."""
    found = [path for path in repo.rglob("*") if path.is_file() and path.name not in ("lock", "lock.mdb")]
    return {str(path): hashlib.sha256(path.read_bytes()).digest() for path in found}


def test_a_sound_repository_reports_nothing(repo: Path) -> None:
    report = check(repo)
    assert (report.findings, report.notes, report.status) == ([], [], CLEAN)
    assert report.blocks > 200 and report.commits == 4
    with opened(repo) as volume:
        assert report.garbage == trio.run(counted, volume)


async def counted(volume: Volume) -> int:
    return (await collect(volume, Keep.parse("all"), dry_run=True)).removed


def test_a_new_repository_is_sound(tmp_path: Path) -> None:
    opened(tmp_path / "repo").close()
    assert check(tmp_path / "repo").status == CLEAN


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found_and_named_and_costs_what_it_has_to(
    damage: Damage, seed: int, repo: Path, origin: tuple[Path, Paths]
) -> None:
    want = origin[1]
    assert damage(repo, random.Random(f"{seed} {damage.__name__}"))
    before = files_of(repo)
    found = check(repo)
    assert files_of(repo) == before
    report = check(repo, repair=True)
    if nothing_left := [one for one in report.findings if one.kind in ("commit", "index") and one.repair is None]:
        # Nothing of any tree can be read, and then nothing is changed but what was made beside.
        assert report.status == UNCORRECTED and all(one.snapshot is None for one in nothing_left)
        with pytest.raises(RepoDamaged):
            opened(repo)
        return
    assert [one for one in report.findings if one.repair is None and one.kind != "pin"] == []
    with opened(repo) as volume:
        got = seen(volume)
        trio.run(volume.commit)
    told = told_of(report)
    if report.notes or any(one.kind == "log" for one in report.findings):
        told |= {LOGGED, os.path.dirname(LOGGED)}
    if any(one.kind in ("commit", "index") and one.snapshot is None for one in report.findings):
        told.add(b"")
    wrong = {path for path in want.keys() | got.keys() if want.get(path) != got.get(path)}
    assert not wrong or found.findings or found.notes
    assert {path for path in wrong if not any(path == one or path.startswith(one + b"/") for one in told)} <= (
        wrong if b"" in told else set()
    )
    again = check(repo)
    assert [one for one in again.findings if one.kind != "pin"] == []
    with opened(repo) as volume:
        assert seen(volume) == got


def test_a_damaged_leaf_costs_its_bytes_alone(repo: Path, origin: tuple[Path, Paths]) -> None:
    want = origin[1]
    with opened(repo) as volume:
        file = volume.tree.resolve(b"linked")
        pieces = volume.tree.file(file.ino).content.read(2 * CHUNK, 1)
    (number, offset, _) = pieces[0]
    (segment,) = (path for path in (repo / "segments").rglob("*") if path.is_file() and int(path.name) == number)
    with open(segment, "r+b") as opened_segment:
        opened_segment.seek(offset + 100)
        opened_segment.write(b"?")
    report = check(repo)
    (finding,) = (one for one in report.findings if one.kind == "file" and one.snapshot is None)
    assert (finding.path, finding.links) == (b"linked", [b"a/b/c/other name"])
    assert finding.ranges == [(2 * CHUNK, 3 * CHUNK)]
    assert report.status == UNCORRECTED
    assert check(repo, repair=True).status == CORRECTED
    with opened(repo) as volume:
        got = seen(volume)
    old = want[b"linked"].data
    lost = want[b"linked"]._replace(data=old[: 2 * CHUNK] + bytes(CHUNK) + old[3 * CHUNK :])
    assert got == {**want, b"linked": lost, b"a/b/c/other name": lost}
    (kept,) = (repo / "damaged").iterdir()
    assert sum(a != b for a, b in zip(kept.read_bytes(), old[2 * CHUNK : 3 * CHUNK], strict=True)) == 1


def test_a_directory_block_is_made_again_with_the_same_cid(repo: Path, origin: tuple[Path, Paths]) -> None:
    with opened(repo) as volume:
        cid = volume.tree.resolve(b"many").cid
        head = volume.head.root
    assert cid is not None
    index = Index(repo / "index")
    index.write({multihash_of(cid): None}, {}, {})
    index.close()
    report = check(repo, repair=True)
    assert {one.path for one in report.findings if one.kind == "directory"} == {b"many"}
    assert report.status == CORRECTED
    with opened(repo) as volume:
        assert volume.tree.resolve(b"many").cid == cid
        assert seen(volume) == origin[1]
        trio.run(volume.commit)
    assert head is not None


def test_what_has_no_name_left_goes_to_lost_and_found(tmp_path: Path) -> None:
    """The log knows of a file in a directory of which nothing else is left."""
    with opened(tmp_path / "repo") as volume:
        trio.run(volume.commit)
        directory = make_directory(volume, "lost")
        file = make(volume, "kept", b"bytes", directory)
        trio.run(volume.sync, file)
        number = directory.ino
        with crashed(volume, tmp_path / "again") as again:
            again.tree.dirty.pop(number)
            again.tree.nodes.pop(number)
            report = Report()
            Orphans(again.tree, report).adopt()
            assert seen(again)[b"lost+found/kept"].data == b"bytes"
            assert [one.path for one in report.findings] == [b"lost", b"lost+found/kept"]


def test_a_record_of_the_log_that_was_acknowledged_is_missed(repo: Path) -> None:
    with opened(repo) as volume:
        for number in range(3):
            trio.run(volume.sync, make(volume, f"fsynced {number}", b"x" * 3000))
    path = repo / "log" / f"{max(log_numbers(repo / 'log')):08d}.log"
    data = bytearray(path.read_bytes())
    at = data.index(b"fsynced 1")
    data[at] ^= 1
    path.write_bytes(data)
    report = check(repo)
    assert [one.kind for one in report.findings] == ["log"] and "acknowledged" in report.findings[0].what
    # The last one may as well have been cut short by a crash.
    data[at] ^= 1
    data[data.index(b"fsynced 2")] ^= 1
    path.write_bytes(data)
    report = check(repo)
    assert report.findings == [] and len(report.notes) == 1


def test_a_segment_that_would_be_given_back_is_found(repo: Path, origin: tuple[Path, Paths]) -> None:
    import lmdb

    with lmdb.open(str(repo / "index"), max_dbs=3, map_size=1 << 30) as environment:
        with environment.begin(write=True) as change:
            ends = environment.open_db(b"segments", txn=change)
            change.put(struct.pack(">I", 1), struct.pack("<Q", 4096), db=ends)
    assert [one.kind for one in check(repo).findings] == ["segment"]
    assert check(repo, repair=True).status == CORRECTED
    with opened(repo) as volume:
        assert seen(volume) == origin[1]


def test_a_cut_index_is_an_error_and_no_crash(repo: Path) -> None:
    path = repo / "index" / "data.mdb"
    os.truncate(path, 3 * 4096)
    with pytest.raises(RepoDamaged, match="index"):
        opened(repo)


def test_without_its_index_a_repository_gives_nothing_back(repo: Path) -> None:
    (repo / "index" / "data.mdb").unlink()
    before = files_of(repo)
    with pytest.raises(RepoDamaged, match="index is missing"):
        opened(repo)
    assert check(repo, repair=True).status == UNCORRECTED
    assert files_of(repo) == before


def test_keys_and_records_are_checked(repo: Path) -> None:
    async def add() -> str:
        with opened(repo) as volume:
            key = await volume.naming.add("self")
            await volume.commit()
            await volume.naming.publish()
            return key.name

    name = trio.run(add)
    assert check(repo).status == CLEAN
    record = repo / "names" / f"{name}.ipns-record"
    data = bytearray(record.read_bytes())
    data[-1] ^= 1
    record.write_bytes(data)
    assert [one.kind for one in check(repo).findings] == ["key"]
    assert check(repo, repair=True).status == CORRECTED
    assert Keys(repo / "keys").get("self") is not None
    assert check(repo).status == CLEAN


def test_garbage_and_inline_blocks_are_verified_too(repo: Path) -> None:
    index = Index(repo / "index")
    block = b"garbage"
    index.write({b"\x12\x20" + hashlib.sha256(block).digest(): bytes([INLINE]) + b"other"}, {}, {})
    index.close()
    (finding,) = check(repo).findings
    assert finding.kind == "block" and "nothing leads to it" in finding.what


def test_a_sparse_file_is_checked_by_its_few_blocks(tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        file = make(volume, "sparse", b"x")
        truncate(volume, file, 1 << 50)
        trio.run(volume.commit)
        (zeros, _) = zero_leaf(volume.profile, CHUNK)
        cid = file.cid
        assert cid is not None
        names.add_pin(volume.store, "kept", cid, 1)
        trio.run(volume.flush)
    assert check(tmp_path / "repo").status == CLEAN
    index = Index(tmp_path / "repo" / "index")
    index.write({multihash_of(zeros.cid): None}, {}, {})
    index.close()
    report = check(tmp_path / "repo")
    assert [(one.kind, one.ranges) for one in report.findings] == [("file", [(CHUNK, 1 << 50)]), ("pin", [])]
    assert check(tmp_path / "repo", repair=True).status == CORRECTED
    with opened(tmp_path / "repo") as volume:
        assert volume.tree.resolve(b"sparse").cid == cid


def test_what_unixfs_has_of_a_lost_inode_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(volume_work, "PROFILE", profile_named("test-small-v1+mode+mtime"))
    repo = tmp_path / "repo"
    with opened(repo) as volume:
        file = make(volume, "a", b"bytes")
        file.mode, file.mtime = 0o100751, 5_000_000_007
        volume.tree.touched(file)
        trio.run(volume.commit)
        meta = volume.head.meta
    assert meta is not None and check(repo).status == CLEAN
    index = Index(repo / "index")
    index.write({multihash_of(meta): None}, {}, {})
    index.close()
    report = check(repo, repair=True)
    assert report.status == CORRECTED and b"a" in told_of(report)
    with opened(repo) as volume:
        found = volume.tree.resolve(b"a")
        assert (found.mode, found.mtime, seen(volume)[b"a"].data) == (0o100751, 5_000_000_007, b"bytes")
