"""Commits: the CID of what there is however it came about, nothing lost when one fails, space given back."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from mfs.blocks.store import Batch
from mfs.file.leaf import Leaf
from mfs.file.medium import StoreMedium
from mfs.tests.volume_work import (
    CHUNK,
    Worker,
    built,
    content,
    crashed,
    make,
    make_directory,
    opened,
    read,
    root,
    said,
    truncate,
    write,
)
from mfs.unixfs.cid import RAW, cid_v1
from mfs.volume import Volume


def during_writes(volume: Volume, act: Callable[[], None]) -> None:
    """Have every write of the store call `act` first, on the thread of the volume."""
    original = volume.store.write

    def writing(batch: Batch, commit: bytes | None = None) -> None:
        try:
            trio.from_thread.run_sync(act)
        except BaseException:
            batch.failed = True
            raise
        original(batch, commit)

    vars(volume.store)["write"] = writing


@pytest.mark.parametrize("seed", range(12))
async def test_the_root_is_that_of_a_tree_built_from_nothing(tmp_path: Path, seed: int) -> None:
    with opened(tmp_path / "repo") as volume:
        worker = Worker(volume, seed)
        for _ in range(12):
            for _ in range(worker.random.randrange(12)):
                worker.step()
            commit = await volume.commit()
            assert said(commit.root) == built(volume)
        want = built(volume)
    with opened(tmp_path / "repo") as volume:
        assert said(volume.head.root) == built(volume) == want


@pytest.mark.parametrize("seed", range(12))
async def test_changes_during_a_commit_are_in_the_next_one(tmp_path: Path, seed: int) -> None:
    with opened(tmp_path / "repo") as volume:
        worker = Worker(volume, seed)
        during_writes(volume, worker.step)
        for _ in range(12):
            for _ in range(6):
                worker.step()
            before = built(volume)
            assert said((await volume.commit()).root) == before
        del vars(volume.store)["write"]
        await volume.commit()
        want = built(volume)
        assert said(volume.head.root) == want
    with opened(tmp_path / "repo") as volume:
        assert built(volume) == want


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("seed", range(6))
async def test_a_failed_commit_leaves_everything_to_be_committed(tmp_path: Path, seed: int, code: int) -> None:
    with opened(tmp_path / "repo") as volume:
        worker = Worker(volume, seed)

        def fail() -> None:
            for _ in range(3):
                worker.step()
            if worker.random.random() < 0.5:
                raise OSError(code, os.strerror(code))

        during_writes(volume, fail)
        for _ in range(12):
            for _ in range(6):
                worker.step()
            before, head = built(volume), volume.head
            try:
                assert said((await volume.commit()).root) == before
            except OSError as error:
                assert error.errno == code
                assert volume.head == head
        del vars(volume.store)["write"]
        want = built(volume)
        assert said((await volume.commit()).root) == want
    with opened(tmp_path / "repo") as volume:
        assert built(volume) == want


async def test_leaves_that_cannot_be_hashed_ahead_are_hashed_by_the_commit(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(medium: StoreMedium, batch: list[Leaf]) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(StoreMedium, "_hash", fails)
    with opened(tmp_path / "repo") as volume:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(volume.run)
            make(volume, "a", bytes(range(256)) * 40)
            while "hashed ahead" not in caplog.text:
                await trio.sleep(0.01)
            assert said((await volume.commit()).root) == built(volume)
            nursery.cancel_scope.cancel()


async def test_a_file_cut_to_one_leaf_keeps_it(tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        file = make(volume, "a", b"x" * (3 * CHUNK))
        await volume.commit()
        truncate(volume, file, CHUNK)
        await volume.commit()
        assert content(volume, file) == b"x" * CHUNK


async def test_a_file_cut_during_a_commit_keeps_what_is_before_the_cut(tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        file = make(volume, "a")
        write(volume, file, CHUNK, b"short")
        truncate(volume, file, 3 * CHUNK)
        during_writes(volume, lambda: truncate(volume, file, CHUNK + 100))
        await volume.commit()
        assert content(volume, file) == (bytes(CHUNK) + b"short").ljust(CHUNK + 100, b"\0")


async def test_a_record_that_comes_while_a_commit_begins_is_not_played_onto_it(tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        await volume.commit()
        file = make(volume, "a", b"first")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(volume.journal.sync, file)
            # Its record is being written: the log is empty still, and will not be at the point in time.
            while volume.journal.lock.value:
                await trio.lowlevel.checkpoint()
            volume.tree.rename(root(volume), b"a", root(volume), b"b")
            nursery.start_soon(volume.commit)
        with crashed(volume, tmp_path / "copy") as after:
            assert after.tree.names(root(after)) == [b"b"]
            assert read(after, "b") == b"first"


async def test_overwritten_and_unlinked_bytes_are_given_back(tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        kept = make(volume, "kept", os.urandom(64 * CHUNK))
        await volume.commit()
        before = volume.store.segments.stored_bytes()
        gone = make(volume, "gone", os.urandom(512 * CHUNK))
        for _ in range(8):
            write(volume, gone, 0, os.urandom(256 * CHUNK))
        volume.tree.unlink(root(volume), b"gone")
        want = content(volume, kept)
        await volume.commit()
        assert volume.store.segments.stored_bytes() <= before + 8192
        assert content(volume, kept) == want


async def test_the_same_bytes_written_again_are_not_kept_twice(tmp_path: Path) -> None:
    data = os.urandom(200 * CHUNK + 7)
    with opened(tmp_path / "repo") as volume:
        file = make(volume, "a", data)
        await volume.commit()
        before = volume.store.segments.stored_bytes()
        write(volume, file, 0, data)
        make(volume, "b", data)
        await volume.commit()
        assert volume.store.segments.stored_bytes() <= before + 8192
        assert read(volume, "a") == read(volume, "b") == data


@pytest.mark.parametrize("seed", range(8))
async def test_nothing_that_is_needed_is_given_back(tmp_path: Path, seed: int) -> None:
    with opened(tmp_path / "repo") as volume:
        worker = Worker(volume, seed)
        for _ in range(25):
            for _ in range(8):
                worker.step()
            before = built(volume)
            if worker.random.random() < 0.4:
                node = worker.random.choice(list(volume.tree.nodes.values()))
                await volume.journal.sync(node)
            else:
                await volume.commit()
            assert built(volume) == before


async def test_a_directory_large_enough_for_shards(tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        directory = make_directory(volume, "d")
        for index in range(300):
            make(volume, f"{index:03}", b"%d" % index, directory)
        await volume.commit()
        for index in range(0, 300, 2):
            volume.tree.unlink(directory, b"%03d" % index)
        await volume.commit()
        assert said(directory.cid) == built(volume, directory)
        for index in range(1, 300, 2):
            volume.tree.unlink(directory, b"%03d" % index)
        await volume.commit()
        assert said(volume.head.root) == built(volume)


async def test_a_log_that_cannot_be_removed_does_not_undo_the_commit(tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        make(volume, "a", b"a" * 100)
        await volume.sync(root(volume))

        def refused(below: int) -> None:
            raise OSError(errno.EIO, "the directory of the logs")

        vars(volume._committer)["_drop_logs"] = refused
        commit = await volume.commit()
        assert volume.settled
    with opened(tmp_path / "repo") as volume:
        assert volume.head == commit


async def test_what_no_log_record_holds_is_committed_by_an_fsync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mfs.journal.journal.MAX_PAYLOAD", 500)
    with opened(tmp_path / "repo") as volume:
        file = make(volume, "a", b"a" * 5000)
        await volume.sync(file)
        assert volume.settled
        with crashed(volume, tmp_path / "crashed") as after:
            assert said(after.head.root) == built(volume)


async def test_blocks_that_others_store_keep_their_bytes(tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        block = os.urandom(100_000)
        cid = cid_v1(RAW, hashlib.sha256(block).digest())
        with volume.store.keeping():
            piece = volume.store.segments.shared.append(block)
            make(volume, "a", b"x")
            await volume.commit()
            volume.store.put_leaf(cid, (piece,), wrapped=False)
        other = os.urandom(100_000)
        volume.store.put(cid_v1(RAW, hashlib.sha256(other).digest()), other)
        for name in "bcd":
            make(volume, name, b"y" * 10_000)
            await volume.commit()
        assert volume.store.get(cid) == block
        assert volume.store.get(cid_v1(RAW, hashlib.sha256(other).digest())) == other
