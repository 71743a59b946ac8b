"""Garbage collection: what nothing leads to goes, what anything leads to stays, whatever happens meanwhile."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from mfs.commit.record import Commit
from mfs.gc import BadPolicy, Busy, Collected, Keep, collect
from mfs.history import NoCommit, Reference, log, names, resolve, snapshots
from mfs.history.past import Past, reader
from mfs.history.restore import restore
from mfs.tests.volume_work import (
    CHUNK,
    PROFILE,
    Worker,
    built,
    content,
    crashed,
    make,
    make_directory,
    opened,
    read,
    root,
    truncate,
    write,
)
from mfs.unixfs.cid import CID, RAW, cid_str, cid_v1
from mfs.unixfs.nodes import NodeCache
from mfs.unixfs.reader import read_file
from mfs.volume import Volume

RANDOM = random.Random(5)


def blocks_of(volume: Volume) -> int:
    return len(list(volume.store.multihashes()))


def verified(volume: Volume) -> None:
    """Every block of the newest commit, and of all snapshots, is there and is what its CID says."""
    commits = [volume.head, *(Commit.decode(volume.store.get(one.commit)) for one in snapshots(volume.store))]
    for commit in commits:
        past = Past(reader(volume.store, commit.meta))
        for key, value in past.meta.items():
            if key[8] == 0:
                inode = past.inode(int.from_bytes(key[:8], "big"))
                assert inode is not None and value
                if inode.mode >> 12 == 8 and inode.cid is not None:
                    data = read_file(inode.cid, 0, inode.size, NodeCache(volume.store.get))
                    assert len(data) == inode.size
                    steps = blocks_cid(data)
                    assert steps == inode.cid


def blocks_cid(data: bytes) -> CID:
    from mfs.tests.unixfs_build import Blocks

    return Blocks().file(PROFILE, data).cid


async def named(volume: Volume, name: str) -> Commit:
    commit = await volume.commit()
    volume.store.put(commit.cid, commit.encode())
    names.add_snapshot(volume.store, name, commit.cid, 1)
    await volume.flush()
    return commit


async def worked_on(volume: Volume, seed: int, *, commits: int) -> Worker:
    """Changes at random: so many commits, the last of them the snapshot `then`, and one more."""
    worker = Worker(volume, seed)
    for number in range(commits + 1):
        for _ in range(20):
            worker.step()
        await (volume.commit() if number != commits - 1 else named(volume, "then"))
    return worker


# -- what goes


async def test_what_was_overwritten_and_unlinked_goes_with_its_bytes(tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        keep = make(volume, "keep", RANDOM.randbytes(64 * CHUNK))
        make(volume, "gone", RANDOM.randbytes(300 * CHUNK))
        await volume.commit()
        volume.tree.unlink(root(volume), b"gone")
        write(volume, keep, 0, RANDOM.randbytes(32 * CHUNK))
        await volume.commit()
        want = built(volume)
        before, space = blocks_of(volume), volume.store.segments.stored_bytes()
        result = await collect(volume)
        assert result.removed >= 332 and result.bytes >= 332 * CHUNK
        assert blocks_of(volume) == before - result.removed
        assert result.freed >= 320 * CHUNK
        assert volume.store.segments.stored_bytes() == space - result.freed <= 80 * CHUNK
        assert built(volume) == want
        verified(volume)
        again = await collect(volume)
        assert (again.removed, again.freed) == (0, 0)
    with opened(tmp_path / "repo") as volume:
        assert built(volume) == want


async def test_a_dry_run_counts_and_changes_nothing(tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        make(volume, "a", RANDOM.randbytes(20 * CHUNK))
        await volume.commit()
        volume.tree.unlink(root(volume), b"a")
        await volume.commit()
        before = sorted(volume.store.multihashes())
        counted = await collect(volume, dry_run=True)
        assert sorted(volume.store.multihashes()) == before
        done = await collect(volume)
        assert (done.removed, done.bytes) == (counted.removed, counted.bytes)


@pytest.mark.parametrize(
    ("policy", "left"), [(Keep(1), 1), (Keep(3), 3), (Keep(100), 6), (Keep.parse("all"), 6), (Keep(1, 10**6), 6)]
)
async def test_commits_beyond_the_policy_are_forgotten(tmp_path: Path, policy: Keep, left: int) -> None:
    with opened(tmp_path / "repo") as volume:
        file = make(volume, "a")
        for number in range(6):
            write(volume, file, 0, b"%d" % number * 5000)
            await volume.commit()
        result = await collect(volume, policy)
        assert (result.kept, result.forgotten) == (left, 6 - left)
        commits = list(log(volume.store, Reference(volume.head.cid, volume.head)))
        assert len(commits) == left
        if left < 6:
            with pytest.raises(NoCommit):
                resolve(volume.store, volume.head, f"head~{left}")
        for number, one in enumerate(commits):
            await restore(volume, one.commit)
            assert read(volume, "a") == b"%d" % (5 - number) * 5000


def test_a_duration_keeps_what_the_tree_was_then() -> None:
    second = 1_000_000_000
    commits = [
        Reference(CID(b"%d" % time), Commit(CID(b"r"), None, None, time * second, 0, 0))
        for time in (90, 70, 50, 30, 10)
    ]
    kept = [one.commit.time // second for one in Keep.parse("45s").kept(commits, 100 * second)]
    assert kept == [90, 70, 50]
    assert [one.commit.time // second for one in Keep.parse("5s").kept(commits, 100 * second)] == [90]


@pytest.mark.parametrize("text", ["", "0", "-1", "many", "5 parsecs", "1.5h", "h", "9" * 30])
def test_what_says_nothing_about_commits_is_refused(text: str) -> None:
    with pytest.raises(BadPolicy):
        Keep.parse(text)


# -- what stays


async def test_a_snapshot_and_a_pin_keep_what_they_name(tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        data, block = RANDOM.randbytes(40 * CHUNK), os.urandom(100_000)
        make(volume, "a", data)
        await named(volume, "then")
        volume.tree.unlink(root(volume), b"a")
        await volume.commit()
        cid = cid_v1(RAW, hashlib.sha256(block).digest())
        volume.store.put(cid, block)
        names.add_pin(volume.store, "mine", cid, 1)
        await collect(volume)
        assert volume.store.get(cid) == block
        verified(volume)
        await restore(volume, resolve(volume.store, volume.head, "then").commit)
        assert read(volume, "a") == data
        names.remove(volume.store, names.PIN, "mine")
        await collect(volume)
        assert not volume.store.has(cid)


async def test_an_open_file_keeps_its_bytes_after_it_was_unlinked(tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        data = RANDOM.randbytes(30 * CHUNK)
        file = make(volume, "a", data)
        await volume.commit()
        volume.tree.lookups.add(file.ino)
        volume.tree.unlink(root(volume), b"a")
        write(volume, file, 5 * CHUNK, b"new")
        await volume.commit()
        await collect(volume)
        assert content(volume, file) == data[: 5 * CHUNK] + b"new" + data[5 * CHUNK + 3 :]
        volume.tree.forget(file.ino, 1)
        await volume.commit()
        assert (await collect(volume)).removed >= 30


async def test_a_part_of_an_extent_keeps_its_page_and_no_more(tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        source = make(volume, "a", RANDOM.randbytes(64 * CHUNK))
        await volume.commit()
        part = make(volume, "b")
        part.content.write_pieces(0, source.content.read(20 * CHUNK + 7, 100))
        volume.tree.touched(part)
        want = content(volume, part)
        volume.tree.unlink(root(volume), b"a")
        await volume.commit()
        result = await collect(volume)
        assert content(volume, part) == want
        assert result.freed >= 56 * CHUNK


async def test_the_log_keeps_what_it_says(tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        data = RANDOM.randbytes(9 * CHUNK)
        source = make(volume, "a", data)
        await volume.commit()
        copy = make(volume, "b")
        copy.content.become(source.content)
        volume.tree.touched(copy)
        await volume.journal.sync(copy)
        volume.tree.unlink(root(volume), b"a")
        copy.content.replace(None, 0, 0)
        # The commit that would make the record needless is not made: the log still begins the copy with the bytes.
        async with volume.between_commits():
            pass
        await collect(volume)
        with crashed(volume, tmp_path / "again") as again:
            assert read(again, "b") == data


async def test_nothing_is_given_back_under_whoever_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mfs.gc.collection._PATIENCE", 0.05)
    with opened(tmp_path / "repo") as volume:
        data = RANDOM.randbytes(30 * CHUNK)
        file = make(volume, "a", data)
        await volume.commit()
        pieces = file.content.read(0, len(data))
        volume.tree.pinned += 1
        volume.tree.unlink(root(volume), b"a")
        await volume.commit()
        result = await collect(volume)
        assert (result.postponed, result.freed) == (True, 0)
        assert volume.store.segments.read(pieces) == data
        volume.tree.pinned -= 1
        result = await collect(volume)
        assert not result.postponed and result.freed >= 28 * CHUNK


async def test_blocks_being_put_are_safe(tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        make(volume, "a", b"x")
        await volume.commit()
        block = os.urandom(100)
        cid = cid_v1(RAW, hashlib.sha256(block).digest())
        async with trio.open_nursery() as nursery:
            with volume.store.keeping():
                volume.store.put(cid, block)
                nursery.start_soon(collect, volume)
                for _ in range(5):
                    await trio.sleep(0.01)
                assert volume.store.collector is None
                names.add_pin(volume.store, "mine", cid, 1)
        assert volume.store.get(cid) == block


# -- meanwhile


async def stepped(volume: Volume, act: Callable[[], object], **how: object) -> Collected:
    """Collect garbage, with `act` being called again and again in between."""
    result: list[Collected] = []

    async def run() -> None:
        result.append(await collect(volume, **how))  # type: ignore[arg-type]

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        while not result:
            await trio.lowlevel.checkpoint()
            act()
    return result[0]


async def test_there_is_one_at_a_time(tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        make(volume, "a", RANDOM.randbytes(100 * CHUNK))
        await volume.commit()
        seen = []

        async def other() -> None:
            while volume.store.collector is None:
                await trio.lowlevel.checkpoint()
            with pytest.raises(Busy):
                await collect(volume)
            seen.append(True)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(other)
            nursery.start_soon(collect, volume)
        assert seen


@pytest.mark.parametrize("seed", range(10))
async def test_changes_meanwhile_are_safe(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # Slices of nothing: others run after every step.
    monkeypatch.setattr("mfs.pace.SLICE", 0.0)
    with opened(tmp_path / "repo") as volume:
        worker = await worked_on(volume, seed, commits=4)
        done = trio.Event()

        async def change() -> None:
            while not done.is_set():
                for _ in range(worker.random.randrange(8)):
                    worker.step()
                what = worker.random.randrange(4)
                if what == 0:
                    await volume.commit()
                elif what == 1:
                    for node in list(volume.tree.dirty.values())[:1]:
                        await volume.sync(node)
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(change)
            for number in range(3):
                await collect(volume, Keep(2))
                if number == 1:
                    # A copy of files that are being written is none that a crash could leave.
                    async with volume.between_commits(), volume.journal.lock:
                        with crashed(volume, tmp_path / "crash") as again:
                            assert built(again)
            done.set()
        want = built(volume)
        await volume.commit()
        assert cid_str(CID(volume.head.root or b"")) == want
        verified(volume)
    with opened(tmp_path / "repo") as volume:
        assert built(volume) == want
        verified(volume)


async def test_what_was_garbage_and_is_written_again_meanwhile_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mfs.pace.SLICE", 0.0)
    for moment in range(0, 60, 3):
        with opened(tmp_path / f"{moment}") as volume:
            data = RANDOM.randbytes(50 * CHUNK)
            make(volume, "a", data)
            await volume.commit()
            volume.tree.unlink(root(volume), b"a")
            await volume.commit()
            count = 0

            async def again(volume: Volume = volume, data: bytes = data, moment: int = moment) -> None:
                for _ in range(moment):
                    await trio.lowlevel.checkpoint()
                make(volume, "b", data, make_directory(volume, "d"))
                await volume.commit()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(again)
                nursery.start_soon(collect, volume)
            assert read(volume, "d/b") == data
            verified(volume)
            await collect(volume)
            assert read(volume, "d/b") == data and count == 0
            verified(volume)


@pytest.mark.parametrize("seed", range(4))
async def test_a_crash_meanwhile_leaves_everything_whole(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mfs.pace.SLICE", 0.0)
    monkeypatch.setattr("mfs.gc.collection._BATCH", 20)
    monkeypatch.setattr("mfs.gc.collection._RANGES", 1)
    with opened(tmp_path / "repo") as volume:
        await worked_on(volume, seed, commits=3)
        want = built(volume)
        original = volume.store.write
        copies: list[Path] = []

        def writing(*arguments: object) -> None:
            original(*arguments)  # type: ignore[arg-type]
            copies.append(tmp_path / f"crash{len(copies)}")
            trio.from_thread.run_sync(crashed, volume, copies[-1]).close()

        monkeypatch.setattr(volume.store, "write", writing)
        await collect(volume)
    assert copies
    for path in copies:
        with opened(path) as again:
            assert built(again) == want
            verified(again)
            await collect(again)
            verified(again)


async def test_cancelled_at_any_moment_it_leaves_everything_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mfs.pace.SLICE", 0.0)
    with opened(tmp_path / "repo") as volume:
        worker = Worker(volume, 3)
        for moment in range(0, 80, 4):
            for _ in range(15):
                worker.step()
            await volume.commit()
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(collect, volume)
                    for _ in range(moment):
                        await trio.lowlevel.checkpoint()
                    scope.cancel()
            want = built(volume)
            truncate(volume, make(volume, f"x{moment}"), 5)
            await volume.commit()
            assert volume.store.collector is None
            verified(volume)
            assert want
        await collect(volume)
        verified(volume)
