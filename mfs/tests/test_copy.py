"""Copies by pointers, without a kernel: what they share, what they cost, and that the bytes are right."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from mfs.copy import MAX_LEAVES, copy_range
from mfs.tests.volume_work import CHUNK, content, make, opened, truncate, write

DATA = random.Random(1).randbytes(7 * CHUNK + 300)
OTHER = random.Random(2).randbytes(9 * CHUNK + 17)
OFFSETS = [0, 1, 300, CHUNK, CHUNK + 1, 3 * CHUNK, 7 * CHUNK, 7 * CHUNK + 299]


@pytest.mark.parametrize("start", OFFSETS)
@pytest.mark.parametrize("committed", [False, True])
async def test_ranges(tmp_path: Path, start: int, committed: bool) -> None:
    with opened(tmp_path / "repo") as volume:
        source = make(volume, "source", DATA)
        if committed:
            await volume.commit()
        for at in [*OFFSETS, len(OTHER), len(OTHER) + 2000]:
            for length in (1, 299, CHUNK, 3 * CHUNK, len(DATA)):
                target = make(volume, f"{at} {length}", OTHER)
                taken = DATA[start : start + length]
                assert copy_range(source.content, start, target.content, at, length) == len(taken)
                before = OTHER.ljust(at, b"\0")
                assert content(volume, target) == before[:at] + taken + before[at + len(taken) :]
        assert content(volume, source) == DATA


async def test_a_copy_writes_nothing_to_the_disk(tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        source = make(volume, "source", DATA)
        tails = volume.store.segments.tails()
        for start, at in ((0, 0), (3, 3), (CHUNK, 0), (5, 900)):
            copy_range(source.content, start, make(volume, f"{start} {at}").content, at, len(DATA))
        assert volume.store.segments.tails() == tails


async def test_within_one_file(tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        for place, (start, at, length) in enumerate(
            [(0, len(DATA), len(DATA)), (0, 4 * CHUNK, 3 * CHUNK), (4 * CHUNK, 0, 3 * CHUNK), (10, 4000, 3000)]
        ):
            file = make(volume, f"{place}", DATA)
            copy_range(file.content, start, file.content, at, length)
            taken = DATA[start : start + length]
            assert content(volume, file) == DATA[:at] + taken + DATA[at + len(taken) :]


@pytest.mark.parametrize(("start", "length"), [(len(DATA), 1), (len(DATA) + 5, 10), (0, 0)])
async def test_nothing_to_copy(tmp_path: Path, start: int, length: int) -> None:
    with opened(tmp_path / "repo") as volume:
        source, target = make(volume, "source", DATA), make(volume, "target", OTHER)
        assert copy_range(source.content, start, target.content, 0, length) == 0
        assert content(volume, target) == OTHER


async def test_a_copy_is_of_its_moment(tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        source, target = make(volume, "source", DATA), make(volume, "target")
        copy_range(source.content, 0, target.content, 0, len(DATA))
        write(volume, source, 100, b"later")
        truncate(volume, source, 3 * CHUNK + 1)
        assert content(volume, target) == DATA
        write(volume, target, 5, b"mine")
        await volume.commit()
        assert content(volume, target) == DATA[:5] + b"mine" + DATA[9:]
        assert content(volume, source) == DATA[:100] + b"later" + DATA[105 : 3 * CHUNK + 1]


@pytest.mark.parametrize("cut", [2 * CHUNK, 2 * CHUNK - 100])
async def test_the_second_piece_of_a_copy_makes_it_the_whole_file(tmp_path: Path, cut: int) -> None:
    with opened(tmp_path / "repo") as volume:
        source, target = make(volume, "source", DATA), make(volume, "target")
        await volume.commit()
        write(volume, source, 0, b"new")
        assert copy_range(source.content, 0, target.content, 0, cut) == cut
        assert copy_range(source.content, cut, target.content, cut, len(DATA) - cut) == len(DATA) - cut
        assert target.content.leaves == source.content.leaves
        assert target.content.base == source.content.base


async def test_a_range_of_very_many_leaves_is_a_short_copy(tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        source, target = make(volume, "source"), make(volume, "target", b"x")
        truncate(volume, source, 1 << 50)
        write(volume, source, 5 * CHUNK, DATA)
        copied = copy_range(source.content, CHUNK, target.content, CHUNK, 1 << 50)
        assert copied == MAX_LEAVES * CHUNK
        assert target.size == CHUNK + copied


async def test_a_whole_file_of_any_size_is_one_step(tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        source, target = make(volume, "source"), make(volume, "target", OTHER)
        truncate(volume, source, 1 << 50)
        write(volume, source, 1 << 49, DATA)
        assert copy_range(source.content, 0, target.content, 0, 1 << 50) == 1 << 50
        assert len(target.content.leaves) == len(source.content.leaves) < 20
