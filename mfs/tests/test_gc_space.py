"""Which pages of segments nobody needs."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from mfs.blocks.segments import PAGE, Segments
from mfs.gc import space
from mfs.gc.space import Pages

LONGEST = 100


@pytest.mark.parametrize("seed", range(8))
def test_what_is_given_back_is_every_page_that_nothing_is_in(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(space, "_PART", 8)
    pick = random.Random(seed)
    segments = Segments(tmp_path)
    sizes = {}
    for _ in range(3):
        appender = segments.appender()
        number, _, length = appender.append(b"x" * pick.randrange(1, LONGEST * PAGE))
        sizes[number] = length
    pages = Pages(tmp_path, segments)
    needed: dict[int, set[int]] = {number: set() for number in sizes}
    for _ in range(pick.choice([0, 5, 60])):
        number = pick.choice(list(sizes))
        start = pick.randrange(sizes[number])
        length = pick.randrange(1, 3 * PAGE)
        pages.need([(number, start, length)])
        needed[number].update(range(start // PAGE, (min(start + length, sizes[number]) - 1) // PAGE + 1))
    found: dict[int, set[int]] = {number: set() for number in sizes}
    before = (0, -1)
    for number, offset, length in pages.unneeded():
        assert number != before[0] or offset > before[1]
        assert offset % PAGE == 0 and offset + length <= sizes[number]
        before = (number, offset + length)
        found[number].update(range(offset // PAGE, -(-(offset + length) // PAGE)))
    pages.close()
    for number, size in sizes.items():
        assert found[number] == set(range(-(-size // PAGE))) - needed[number]
