"""Block directories of kubo."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from mfs.blocks.errors import BlockNotFound
from mfs.flatfs import Flatfs, FlatfsError
from mfs.unixfs.cid import CID, DAG_PB, RAW, cid_v0, cid_v1, multihash_of

HELLO = b"hello world"
DIGEST = hashlib.sha256(HELLO).digest()
CIDS = [cid_v1(RAW, DIGEST), cid_v1(DAG_PB, DIGEST), cid_v0(DIGEST)]


@pytest.mark.parametrize("cid", CIDS)
def test_a_block_lies_where_kubo_looks_for_it(tmp_path: Path, cid: CID) -> None:
    store = Flatfs(str(tmp_path), create=True)
    assert store.put(cid, HELLO)
    store.sync()
    place = tmp_path / "32" / "CIQLSTJHXGJU2PQIUUXFFV62PWV7VREE57RXUU4A52IIR55M4LX432I.data"
    assert place.read_bytes() == HELLO
    assert (tmp_path / "SHARDING").read_text() == "/repo/flatfs/shard/v1/next-to-last/2\n"
    assert not store.put(cid, HELLO)
    assert store.get(cid) == HELLO
    assert [multihash_of(found) for found in store.cids()] == [multihash_of(cid)]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["32", place.name, "SHARDING"]


@pytest.mark.parametrize(
    ("sharding", "shard"), [("prefix/4", "CIQL"), ("suffix/2", "2I"), ("next-to-last/3", "432"), ("prefix/70", None)]
)
def test_other_functions_of_the_key(tmp_path: Path, sharding: str, shard: str | None) -> None:
    (tmp_path / "SHARDING").write_text(f"/repo/flatfs/shard/v1/{sharding}\n")
    place = Path(Flatfs(str(tmp_path)).place(CIDS[0]))
    assert place.parent.name == (shard or place.stem.ljust(70, "_"))


def test_a_block_with_other_bytes_is_not_given_out(tmp_path: Path) -> None:
    store = Flatfs(str(tmp_path), create=True)
    store.put(CIDS[0], HELLO)
    Path(store.place(CIDS[0])).write_bytes(b"hello World")
    with pytest.raises(FlatfsError, match="are not the block"):
        store.get(CIDS[0])


def test_a_block_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BlockNotFound):
        Flatfs(str(tmp_path), create=True).get(CIDS[0])


@pytest.mark.parametrize("text", ["", "/repo/flatfs/shard/v2/prefix/2", "/repo/flatfs/shard/v1/prefix/0", "\xff" * 500])
def test_an_unknown_function_of_the_key_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "SHARDING").write_text(text)
    with pytest.raises(FlatfsError):
        Flatfs(str(tmp_path))


def test_a_directory_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter").touch()
    with pytest.raises(FlatfsError, match="neither empty"):
        Flatfs(str(tmp_path), create=True)
    with pytest.raises(FlatfsError, match="no file SHARDING"):
        Flatfs(str(tmp_path))


def test_files_of_other_names_are_passed_over(tmp_path: Path) -> None:
    store = Flatfs(str(tmp_path), create=True)
    store.put(CIDS[0], HELLO)
    for name in ("put-123", "x.data", "CIQ.data", "MZXW6.data"):
        (tmp_path / "32" / name).touch()
    (tmp_path / ".temp").mkdir()
    (tmp_path / "diskUsage.cache").touch()
    assert len(list(store.cids())) == 1
