"""Files that somebody else laid out, in the live tree: kept block for block, and cut anew when they are changed."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from mfs.copy import copy_range
from mfs.file.content import Unexamined
from mfs.tests.foreign import LAYOUTS, RAW_LEAVES, TRICKLE, Foreign
from mfs.tests.programs import pattern
from mfs.tests.unixfs_build import Blocks
from mfs.tests.volume_work import CHUNK, PROFILE, crashed, make, opened, truncate, write
from mfs.tree.node import File
from mfs.unixfs.cid import CID
from mfs.volume import Volume

DATA = pattern(9 * CHUNK + 77)


def put(volume: Volume, blocks: Foreign) -> None:
    for cid, block in blocks.items():
        volume.store.put(cid, block)


def entered(volume: Volume, name: str, layout: str, data: bytes = DATA) -> tuple[File, CID]:
    """A file of the live tree that is one of another layout."""
    blocks = Foreign()
    link = blocks.laid_out(layout, data)
    put(volume, blocks)
    file = make(volume, name)
    file.content.replace(link.cid, link.size, link.tsize, foreign=True)
    volume.tree.touched(file)
    return file, link.cid


def content_of(volume: Volume, file: File) -> bytes:
    return file.content.read_bytes(0, file.size)


def own(data: bytes) -> CID:
    return Blocks().file(PROFILE, data).cid


@pytest.mark.parametrize("layout", LAYOUTS)
async def test_it_keeps_its_cid_and_its_bytes_through_commits_and_copies(layout: str, tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        file, cid = entered(volume, "a", layout)
        await volume.commit()
        copy = make(volume, "b")
        assert copy_range(file.content, 0, copy.content, 0, len(DATA)) == len(DATA)
        volume.tree.touched(copy)
        await volume.commit()
        assert file.cid == copy.cid == cid
    with opened(tmp_path / "repo") as volume:
        for name in (b"a", b"b"):
            node = volume.tree.resolve(name)
            assert isinstance(node, File)
            assert node.content.foreign
            assert node.cid == cid
            assert content_of(volume, node) == DATA


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("change", ["write", "append", "grow", "cut", "cut inside a leaf"])
async def test_when_it_is_changed_its_cid_is_that_of_bytes_and_profile(
    layout: str, change: str, tmp_path: Path
) -> None:
    want = bytearray(DATA)
    with opened(tmp_path / "repo") as volume:
        file, _ = entered(volume, "a", layout)
        await volume.commit()
        await volume.examine(file.content)
        if change == "write":
            write(volume, file, 2 * CHUNK + 5, b"changed")
            want[2 * CHUNK + 5 : 2 * CHUNK + 12] = b"changed"
        elif change == "append":
            write(volume, file, len(DATA), b"more")
            want += b"more"
        elif change == "grow":
            truncate(volume, file, 20 * CHUNK)
            want += bytes(20 * CHUNK - len(want))
        else:
            size = 3 * CHUNK if change == "cut" else 3 * CHUNK + 9
            truncate(volume, file, size)
            del want[size:]
        assert content_of(volume, file) == want
        await volume.commit()
        assert file.cid == own(bytes(want))
        assert not file.content.foreign
        write(volume, file, 0, b"again")
        want[:5] = b"again"
        await volume.commit()
        assert file.cid == own(bytes(want))
    with opened(tmp_path / "repo") as volume:
        node = volume.tree.resolve(b"a")
        assert isinstance(node, File)
        assert not node.content.foreign
        assert content_of(volume, node) == want


async def test_it_is_not_changed_before_it_was_looked_over(tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        file, _ = entered(volume, "a", TRICKLE)
        with pytest.raises(Unexamined):
            write(volume, file, 0, b"x")
        with pytest.raises(Unexamined):
            truncate(volume, file, 5)
        truncate(volume, file, 0)
        write(volume, file, 0, b"x")


async def test_one_of_the_profiles_own_layout_is_known_when_looked_over(tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        blocks = Foreign()
        link = blocks.file(PROFILE, DATA)
        put(volume, blocks)
        file = make(volume, "a")
        file.content.replace(link.cid, link.size, link.tsize, foreign=True)
        await volume.examine(file.content)
        assert not file.content.foreign
        write(volume, file, 3, b"changed")
        volume.tree.touched(file)
        await volume.commit()
        assert file.cid == own(DATA[:3] + b"changed" + DATA[10:])


@pytest.mark.parametrize("layout", [TRICKLE, RAW_LEAVES])
async def test_with_a_block_missing_it_can_be_copied_and_replaced_and_not_changed(layout: str, tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        blocks = Foreign()
        link = blocks.laid_out(layout, DATA)
        del blocks[list(blocks)[2]]
        put(volume, blocks)
        file, copy = make(volume, "a"), make(volume, "b")
        file.content.replace(link.cid, link.size, link.tsize, foreign=True)
        copy_range(file.content, 0, copy.content, 0, len(DATA))
        for node in (file, copy):
            volume.tree.touched(node)
        await volume.commit()
        assert copy.cid == link.cid
        with pytest.raises(OSError, match="is not stored here") as caught:
            await volume.examine(file.content)
        assert caught.value.errno == errno.EIO
        with pytest.raises(OSError, match="is not stored here"):
            content_of(volume, file)
        truncate(volume, file, 0)
        write(volume, file, 0, b"new")
        await volume.commit()
        assert file.cid == own(b"new")


async def test_what_was_fsynced_of_a_changed_one_comes_back(tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        file, _ = entered(volume, "a", TRICKLE)
        copy = make(volume, "b")
        await volume.commit()
        copy_range(file.content, 0, copy.content, 0, len(DATA))
        volume.tree.touched(copy)
        await volume.sync(copy)
        await volume.examine(file.content)
        write(volume, file, CHUNK - 2, b"changed")
        await volume.sync(file)
        again = crashed(volume, tmp_path / "again")
    with again:
        await again.commit()
        want = DATA[: CHUNK - 2] + b"changed" + DATA[CHUNK + 5 :]
        for name, cid, data in ((b"a", own(want), want), (b"b", file.cid, DATA)):
            node = again.tree.resolve(name)
            assert isinstance(node, File)
            assert content_of(again, node) == data
            if name == b"a":
                assert node.cid == cid
            else:
                assert node.content.foreign


async def test_a_part_of_it_is_copied_by_pointers(tmp_path: Path) -> None:
    with opened(tmp_path / "repo") as volume:
        file, _ = entered(volume, "a", RAW_LEAVES)
        copy = make(volume, "b")
        done = 0
        while done < 5 * CHUNK:
            done += copy_range(file.content, 2 * CHUNK + done, copy.content, done, 5 * CHUNK - done)
        volume.tree.touched(copy)
        await volume.commit()
        assert copy.cid == own(DATA[2 * CHUNK : 7 * CHUNK])
