"""CIDs and root blocks as other implementations made them, byte for byte.

data/helia-vectors.json: made with ipfs-unixfs-importer 17.1.1, partly confirmed with kubo 0.22; entries marked as a
quirk of the importer are left out, and so are those of trickle layout, which is read but not built.
"""

from __future__ import annotations

import dataclasses
import functools

import pytest

from mfs.tests.unixfs_build import VECTORS, Blocks
from mfs.unixfs.cid import cid_str, parse_cid
from mfs.unixfs.data import Mtime
from mfs.unixfs.layout import Link
from mfs.unixfs.metadata import file_with_metadata
from mfs.unixfs.profile import PROFILES, Profile

# Forced sharding is a threshold below any size.
ALWAYS = -1

_V1 = dataclasses.replace(PROFILES["unixfs-v1-2025"], estimation="links")
_256K = dataclasses.replace(_V1, chunk_size=256 * 1024, max_links=174)
IMPORTERS = {
    "kubo-cidv1-256k-174": _256K,
    "kubo-cidv1-1m-1024": _V1,
    "kubo-cidv0-256k-174": dataclasses.replace(_256K, cid_version=0, raw_leaves=False),
    "small-cidv1-1k-3": dataclasses.replace(_256K, chunk_size=1024, max_links=3),
    **PROFILES,
}

HELLO = b"hello world\n"
MODES: dict[str, tuple[int, Mtime | None]] = {
    "mode0755": (0o755, None),
    "mode4755": (0o4755, None),
    "mtime": (0, Mtime(1700000000)),
    "mtime-nsec": (0, Mtime(1700000000, 123456789)),
    "mode0600-mtime-nsec": (0o600, Mtime(1700000000, 123456789)),
    "mtime-neg": (0, Mtime(-5, 7)),
    "mode0600-mtime": (0o600, Mtime(1700000000)),
    "mode-mtime": (0o640, Mtime(1700000000, 1)),
}
UTF8_NAMES = {"z": b"z", "A": b"a", "\u00fc": b"u", "\u65e5\u672c": b"j", "\ufffd": b"r", "\U0001f600": b"e"}
# What is in this one was not recorded with it.
UNKNOWN_CONTENT = "dir-nested"


@functools.cache
def pattern(size: int) -> bytes:
    return (bytes(range(251)) * (size // 251 + 1))[:size]


def size_of(text: str) -> int:
    number, _, plus = text.partition("+")
    if number.endswith("MiB"):
        return int(number[:-3]) * 1024 * 1024 + int(plus or 0)
    return int(number)


def make(blocks: Blocks, profile: Profile, what: str) -> Link:
    """The content that a vector's name stands for."""
    file = functools.partial(blocks.file, profile)
    kind, _, rest = what.partition("-")
    if kind in ("hello", "pat", "empty") and not what.startswith("empty-dir"):
        if kind == "hello":
            data = HELLO
        elif kind == "empty":
            data, rest = b"", rest.removeprefix("file")
        else:
            text, _, rest = rest.partition("-")
            data = pattern(size_of(text))
        link = file(data)
        if rest:
            mode, mtime = MODES[rest]
            link = file_with_metadata(profile, link, mode, mtime, blocks.get_block, blocks.put_block)
        return link
    if what.startswith("symlink"):
        mode = 0o777 if "mode" in what else 0
        mtime = Mtime(1700000000, 9) if "mtime" in what else None
        return blocks.symlink(profile, b"target/path", mode, mtime)
    if what == "empty-dir":
        return blocks.folder(profile, {})
    if what == "empty-dir-mode-mtime":
        cid, tsize, _stats = blocks.directory(profile, {}, mode=0o700, mtime=Mtime(1700000000, 5))
        return Link(cid, 0, tsize)
    if what == "dir-3":
        return blocks.folder(
            profile, {b"a.bin": file(pattern(1024 * 1024 + 1)), b"c": file(b""), b"b.txt": file(HELLO)}
        )
    if what == "dir-utf8":
        return blocks.folder(profile, {name.encode(): file(data) for name, data in UTF8_NAMES.items()})
    number = int(what.rpartition("-")[2])
    content: dict[bytes, Link | None] = {
        b"file-%05d.txt" % index: file(b"content %d\n" % index) for index in range(number)
    }
    if what.startswith("hamt-forced"):
        return blocks.folder(dataclasses.replace(profile, hamt_threshold=ALWAYS), content)
    if what.startswith("dir-auto-blockbytes"):
        return blocks.folder(dataclasses.replace(profile, estimation="block"), content)
    return blocks.folder(profile, content)


GOLDEN = [
    key
    for key, vector in VECTORS["vectors"].items()
    if "quirk" not in vector and "trickle" not in key and not key.startswith(UNKNOWN_CONTENT)
]


@pytest.mark.parametrize("key", GOLDEN)
def test_builds_what_another_implementation_built(key: str) -> None:
    what, _, importer = key.partition("@")
    vector = VECTORS["vectors"][key]
    blocks = Blocks()
    link = make(blocks, IMPORTERS[importer], what)
    assert cid_str(link.cid) == vector["cid"]
    assert len(blocks[link.cid]) == vector["root_len"]
    if "root_hex" in vector:
        assert blocks[link.cid].hex() == vector["root_hex"]
    for cid, block in vector.get("all_blocks", {}).items():
        assert blocks[parse_cid(cid)].hex() == block


@pytest.mark.parametrize(
    ("what", "expected"), [item for item in VECTORS["kubo_confirmed"].items() if item[1].startswith("Qm")]
)
def test_builds_what_kubo_built(what: str, expected: str) -> None:
    blocks, profile = Blocks(), IMPORTERS[VECTORS["kubo_confirmed"]["profile"]]
    if what.startswith("dir-with-symlink"):
        link = blocks.folder(profile, {b"l": blocks.symlink(profile, b"target/path")})
    else:
        link = make(blocks, profile, what)
    assert cid_str(link.cid) == expected


def test_the_tsize_of_a_tree_counts_every_link_to_a_block() -> None:
    blocks = Blocks()
    link = make(blocks, IMPORTERS["small-cidv1-1k-3"], "pat-262144")
    assert link.tsize == int(VECTORS["vectors"]["pat-262144@small-cidv1-1k-3"]["importer_size"])
