"""CIDs that other implementations gave to the same bytes, through the mount, however the bytes are written."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mfs.tests.mounting import Mount, mounted
from mfs.tests.test_unixfs_kubo import seeded
from mfs.tests.test_unixfs_vectors import HELLO, UTF8_NAMES, pattern, size_of
from mfs.tests.unixfs_build import VECTORS

pytestmark = pytest.mark.kernel("root")

V1, V0 = "unixfs-v1-2025", "unixfs-v0-2015"
MIB = 1 << 20

# What the importer calls the settings of a profile.
IMPORTERS = {V1: "kubo-cidv1-1m-1024", V0: "kubo-cidv0-256k-174"}

Write = Callable[[Path, bytes], None]


@pytest.fixture(scope="module")
def mounts() -> Iterator[dict[str, Mount]]:
    """A mount for each profile."""
    with mounted(profile=V1) as v1, mounted(profile=V0) as v0:
        yield {V1: v1, V0: v0}


@pytest.fixture
def place(mounts: dict[str, Mount], profile: str) -> Path:
    """A new directory in the mount of the profile."""
    top = mounts[profile].path
    place = top / f"{len(os.listdir(top))}"
    place.mkdir()
    return place


def cid(path: Path) -> str:
    return os.getxattr(path, "ipfs.cid", follow_symlinks=False).decode()


# -- the patterns ---------------------------------------------------------------------------------------------------


def in_order(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def backwards(path: Path, data: bytes) -> None:
    with open(path, "wb", buffering=0) as file:
        for at in range(len(data) // 100_000 * 100_000, -1, -100_000):
            file.seek(at)
            file.write(data[at : at + 100_000])


def in_odd_sizes(path: Path, data: bytes) -> None:
    with open(path, "wb", buffering=0) as file:
        at, size = 0, 1
        while at < len(data):
            file.write(data[at : at + size])
            at += size
            size = min(size * 3 + 1, 333_331)


def over_other_bytes(path: Path, data: bytes) -> None:
    path.write_bytes(bytes(255 - byte for byte in data[: 1 << 16]) * (len(data) // (1 << 16) + 1))
    cid(path)
    os.truncate(path, len(data))
    with open(path, "r+b") as file:
        file.write(data)


def through_mmap(path: Path, data: bytes) -> None:
    with open(path, "w+b") as file:
        file.truncate(len(data))
        if data:
            with mmap.mmap(file.fileno(), 0) as pages:
                pages[:] = data


def cut_and_regrown(path: Path, data: bytes) -> None:
    with open(path, "w+b", buffering=0) as file:
        file.write(data + b"longer" * 50_000)
        for size in (len(data), len(data) // 2, len(data) // 3, len(data) + 70_000, len(data)):
            file.truncate(size)
            if size == len(data) // 2:
                cid(path)
        file.seek(len(data) // 3)
        file.write(data[len(data) // 3 :])


def copied_by_range(path: Path, data: bytes) -> None:
    other = path.with_name(f"{path.name}.source")
    other.write_bytes(data[:1000] + data)
    with open(other, "rb") as source, open(path, "wb") as target:
        at = 0
        for length in (1, 1000, MIB, len(data)):
            length = min(length, len(data) - at)
            while length:
                done = os.copy_file_range(source.fileno(), target.fileno(), length, min(1000, len(data)) + at, at)
                at, length = at + done, length - done
    other.unlink()


PATTERNS: list[Write] = [
    in_order,
    backwards,
    in_odd_sizes,
    over_other_bytes,
    through_mmap,
    cut_and_regrown,
    copied_by_range,
]


def by_every_pattern(place: Path, data: bytes) -> set[str]:
    """The CIDs that `data` has, one for each pattern; one, if all is well."""
    found = set()
    for write in PATTERNS:
        path = place / getattr(write, "__name__", "")
        write(path, data)
        found.add(cid(path))
        assert path.read_bytes() == data
    return found


# -- files ----------------------------------------------------------------------------------------------------------


def golden(profile: str, what: str) -> str:
    """The CID of a vector."""
    found: str = VECTORS["vectors"][f"{what}@{IMPORTERS[profile]}"]["cid"]
    return found


@pytest.mark.parametrize("profile", [V1, V0])
@pytest.mark.parametrize(
    "what",
    ["empty-file", "hello", "pat-1", "pat-262143", "pat-262144", "pat-262145", "pat-1MiB", "pat-1MiB+1", "pat-10MiB"],
)
def test_a_file_of_an_importer(place: Path, profile: str, what: str) -> None:
    data = {"empty-file": b"", "hello": HELLO}.get(what)
    if data is None:
        data = pattern(size_of(what.removeprefix("pat-")))
    assert by_every_pattern(place, data) == {golden(profile, what)}


@pytest.mark.parametrize(
    ("profile", "seed", "size", "expected"),
    [
        (V1, "chunk-v1-seed", 1 << 20, "bafkreiacndfy443ter6qr2tmbbdhadvxxheowwf75s6zehscklu6ezxmta"),
        (V1, "chunk-v1-seed", 1048577, "bafybeigmix7t42i6jacydtquhet7srwvgpizfg7gjbq7627d35mjomtu64"),
        (V0, "chunk-v0-seed", 262144, "QmWmRj3dFDZdb6ABvbmKhEL6TmPbAfBZ1t5BxsEyJrcZhE"),
        (V0, "chunk-v0-seed", 262145, "QmYyLxtzZyW22zpoVAtKANLRHpDjZtNeDjQdJrcQNWoRkJ"),
    ],
)
def test_a_file_of_kubo(place: Path, seed: str, size: int, expected: str) -> None:
    assert by_every_pattern(place, seeded(seed, size)) == {expected}


def test_a_file_of_kubo_that_fills_its_root_and_one_byte_more(mounts: dict[str, Mount]) -> None:
    path = mounts[V0].path / "174"
    size = 174 << 18
    path.write_bytes(seeded("v0-seed", size))
    assert cid(path) == "QmUbBALi174SnogsUzLpYbD4xPiBSFANF4iztWCsHbMKh2"
    path.write_bytes(seeded("v0-seed", size + 1))
    assert cid(path) == "QmV81WL765sC8DXsRhE5fJv2rwhS4icHRaf3J9Zk5FdRnW"
    os.truncate(path, size)
    assert cid(path) == "QmUbBALi174SnogsUzLpYbD4xPiBSFANF4iztWCsHbMKh2"
    path.unlink()


# -- directories ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", [V1, V0])
def test_small_directories_and_a_link_of_an_importer(place: Path, profile: str) -> None:
    three, names = place / "three", place / "names"
    assert cid(place) == golden(profile, "empty-dir")
    three.mkdir()
    for name, data in (("c", b""), ("b.txt", HELLO), ("a.bin", pattern(MIB + 1))):
        (three / name).write_bytes(data)
    names.mkdir()
    for name, data in UTF8_NAMES.items():
        (names / name).write_bytes(data)
    (place / "link").symlink_to("target/path")
    assert cid(three) == golden(profile, "dir-3")
    assert cid(names) == golden(profile, "dir-utf8")
    assert cid(place / "link") == golden(profile, "symlink")


@pytest.mark.parametrize("profile", [V1, V0])
def test_a_directory_that_grows_into_shards_and_shrinks_again(place: Path, profile: str) -> None:
    kind = "dir-auto-blockbytes" if profile == V1 else "dir-auto"
    for first, last in ((0, 10), (10, 1000), (1000, 4000)):
        for index in reversed(range(first, last)):
            (place / f"file-{index:05}.txt").write_bytes(b"content %d\n" % index)
        if last != 4000:
            assert cid(place) == golden(profile, f"{kind}-{last}")
    cid(place)
    for last in (2000, 1000, 10):
        for entry in os.listdir(place):
            if int(entry[5:10]) >= last:
                (place / entry).unlink()
        assert cid(place) == golden(profile, f"{kind}-{last}")


@pytest.mark.parametrize("profile", [V0])
def test_directories_of_kubo(place: Path) -> None:
    (place / "files" / "foo").mkdir(parents=True)
    (place / "files" / "bar").mkdir()
    (place / "files" / "foo" / "baz").write_bytes(b"some text\n")
    (place / "files" / "bar" / "baz").symlink_to("files/foo/baz")
    (place / "files" / "bad").symlink_to("files/does/not/exist")
    assert cid(place / "files") == "QmWdiHKoeSW8G1u7ATCgpx4yMoUhYaJBQGkyPLkS9goYZ8"
    assert cid(place / "files" / "bar" / "baz") == "QmdocmZeF7qwPT9Z8SiVhMSyKA2KKoA2J7jToW6z6WBmxR"
    test = place / "test"
    (test / "a" / "b").mkdir(parents=True)
    (test / "FILE").write_bytes(b"this is a test\n")
    for name in ("e", "d", "c"):
        (test / "a" / "b" / name).mkdir()
        os.link(test / "FILE", test / "a" / "b" / name / "TEST")
    assert cid(test) == "QmWMVyhTuyxUrXX3ynz171jq76yY3PktfY9Bxiph7b9ikr"


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        (V0, "QmWSgS32xQEcXMeqd3YPJLrNBLSdsfYCep2U7CFkyrjXwY"),
        (V1, "bafybeih7e5dmkyk25up5vxug4q3hrg2fxbzf23dfrac2fns5h7z4aa7ioi"),
    ],
)
def test_planets(place: Path, expected: str) -> None:
    (place / "venus.txt").write_bytes(b"Hello Venus!\n")
    (place / "mars.txt").write_bytes(b"Hello Mars!\n")
    assert cid(place) == expected
