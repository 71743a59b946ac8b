"""CIDs from the tests of kubo and boxo, and from the UnixFS specification, made again from their content.

Seeded files are the keystream of ChaCha20 with the SHA-256 of the seed as key and a zero nonce (kubo,
test/cli/testutils/random_deterministic.go).
"""

from __future__ import annotations

import ctypes
import ctypes.util
import dataclasses
import functools
import hashlib
import struct

import pytest

from mfs.tests.unixfs_build import Blocks
from mfs.unixfs.cid import DAG_PB, RAW, cid_str, cid_v1, identity_data, parse_cid
from mfs.unixfs.data import Mtime
from mfs.unixfs.layout import Link
from mfs.unixfs.metadata import file_with_metadata
from mfs.unixfs.nodes import NodeCache
from mfs.unixfs.profile import PROFILES, Profile
from mfs.unixfs.reader import file_size, read_file

V1 = PROFILES["unixfs-v1-2025"]
V0 = PROFILES["unixfs-v0-2015"]
V1_NODES = dataclasses.replace(V1, raw_leaves=False, chunk_size=256 * 1024, max_links=174)
V1_256K = dataclasses.replace(V1_NODES, raw_leaves=True)
V0_RAW = dataclasses.replace(V0, raw_leaves=True)


def _keystream_block(state: tuple[int, ...]) -> bytes:
    x = list(state)
    for _ in range(10):
        for a, b, c, d in (
            (0, 4, 8, 12),
            (1, 5, 9, 13),
            (2, 6, 10, 14),
            (3, 7, 11, 15),
            (0, 5, 10, 15),
            (1, 6, 11, 12),
            (2, 7, 8, 13),
            (3, 4, 9, 14),
        ):
            for p, q, r, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                x[p] = (x[p] + x[q]) & 0xFFFFFFFF
                word = x[r] ^ x[p]
                x[r] = (word << turn | word >> (32 - turn)) & 0xFFFFFFFF
    return struct.pack("<16I", *((new + old) & 0xFFFFFFFF for new, old in zip(x, state, strict=True)))


def chacha20_slowly(key: bytes, size: int) -> bytes:
    """The keystream straight from its definition (RFC 8439); too slow for megabytes."""
    constants, words = struct.unpack("<4I", b"expand 32-byte k"), struct.unpack("<8I", key)
    blocks = (_keystream_block((*constants, *words, counter, 0, 0, 0)) for counter in range(-(-size // 64)))
    return b"".join(blocks)[:size]


@functools.cache
def seeded(seed: str, size: int) -> bytes:
    """A seeded file of kubo's tests, by libcrypto."""
    name = ctypes.util.find_library("crypto")
    if name is None:
        pytest.skip("needs libcrypto (OpenSSL) for megabytes of ChaCha20")
    crypto = ctypes.CDLL(name)
    pointer = ctypes.c_void_p
    crypto.EVP_CIPHER_CTX_new.restype = pointer
    crypto.EVP_chacha20.restype = pointer
    crypto.EVP_CIPHER_CTX_free.argtypes = [pointer]
    crypto.EVP_EncryptInit_ex.argtypes = [pointer, pointer, pointer, ctypes.c_char_p, ctypes.c_char_p]
    crypto.EVP_EncryptUpdate.argtypes = [
        pointer,
        ctypes.c_char_p,
        ctypes.POINTER(ctypes.c_int),
        ctypes.c_char_p,
        ctypes.c_int,
    ]
    context = crypto.EVP_CIPHER_CTX_new()
    out, written = ctypes.create_string_buffer(size), ctypes.c_int()
    key = hashlib.sha256(seed.encode()).digest()
    try:
        assert crypto.EVP_EncryptInit_ex(context, crypto.EVP_chacha20(), None, key, bytes(16)) == 1
        assert crypto.EVP_EncryptUpdate(context, out, ctypes.byref(written), bytes(size), size) == 1
    finally:
        crypto.EVP_CIPHER_CTX_free(context)
    assert written.value == size
    return out.raw


def test_the_keystream_is_chacha20() -> None:
    assert seeded("v0-seed", 200) == chacha20_slowly(hashlib.sha256(b"v0-seed").digest(), 200)


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        (V1, "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"),
        (V0, "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD"),
        (V1_NODES, "bafybeihykld7uyxzogax6vgyvag42y7464eywpf55gxi5qpoisibh3c5wa"),
    ],
    ids=["v1", "v0", "v1 without raw leaves"],
)
def test_hello_world(profile: Profile, expected: str) -> None:
    assert cid_str(Blocks().file(profile, b"hello world").cid) == expected


@pytest.mark.parametrize(
    ("name", "seed", "size", "expected"),
    [
        ("unixfs-v1-2025", "chunk-v1-seed", 1 << 20, "bafkreiacndfy443ter6qr2tmbbdhadvxxheowwf75s6zehscklu6ezxmta"),
        ("unixfs-v1-2025", "chunk-v1-seed", 1048577, "bafybeigmix7t42i6jacydtquhet7srwvgpizfg7gjbq7627d35mjomtu64"),
        ("unixfs-v0-2015", "chunk-v0-seed", 262144, "QmWmRj3dFDZdb6ABvbmKhEL6TmPbAfBZ1t5BxsEyJrcZhE"),
        ("unixfs-v0-2015", "chunk-v0-seed", 262145, "QmYyLxtzZyW22zpoVAtKANLRHpDjZtNeDjQdJrcQNWoRkJ"),
        ("unixfs-v0-2015", "v0-seed", 174 << 18, "QmUbBALi174SnogsUzLpYbD4xPiBSFANF4iztWCsHbMKh2"),
        ("unixfs-v0-2015", "v0-seed", (174 << 18) + 1, "QmV81WL765sC8DXsRhE5fJv2rwhS4icHRaf3J9Zk5FdRnW"),
    ],
)
def test_seeded_file(name: str, seed: str, size: int, expected: str) -> None:
    assert cid_str(Blocks().file(PROFILES[name], seeded(seed, size)).cid) == expected


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        (V0, "QmWdiHKoeSW8G1u7ATCgpx4yMoUhYaJBQGkyPLkS9goYZ8"),
        (V1_256K, "bafybeibyhlx64cklod6isy3h7tsmr4qvam3ae3b74n3hfes5bythjrwyua"),
    ],
    ids=["v0", "v1"],
)
def test_tree_with_symlinks(profile: Profile, expected: str) -> None:
    blocks = Blocks()
    foo = blocks.folder(profile, {b"baz": blocks.file(profile, b"some text\n")})
    bar = blocks.folder(profile, {b"baz": blocks.symlink(profile, b"files/foo/baz")})
    bad = blocks.symlink(profile, b"files/does/not/exist")
    assert cid_str(blocks.folder(profile, {b"foo": foo, b"bar": bar, b"bad": bad}).cid) == expected


@pytest.mark.parametrize(
    ("target", "mtime", "expected"),
    [
        (b"files/foo/baz", None, "QmdocmZeF7qwPT9Z8SiVhMSyKA2KKoA2J7jToW6z6WBmxR"),
        (b"foo", None, "QmTB8BaCJdCH5H3k7GrxJsxgDNmNYGGR71C58ERkivXoj5"),
        (b"nothing", Mtime(1604320482), "QmbJwotgtr84JxcnjpwJ86uZiyMoxbZuNH4YrdJMypkYaB"),
        (b"nothing", Mtime(1603539720, 54321), "QmPHYCxYvvHj6VxiPNJ3kXxcPsnJLDYUJqsDJWjvytmrmY"),
    ],
)
def test_symlink(target: bytes, mtime: Mtime | None, expected: str) -> None:
    assert cid_str(Blocks().symlink(V0, target, 0, mtime).cid) == expected


def test_directory_with_a_symlink() -> None:
    blocks = Blocks()
    content: dict[bytes, Link | None] = {b"foo": blocks.file(V0, b"content\n"), b"bar": blocks.symlink(V0, b"foo")}
    assert cid_str(blocks.folder(V0, content).cid) == "QmWvY6FaqFMS89YAQ9NAPjVP4WZKA1qbHbicc9HeSKQTgt"


@pytest.mark.parametrize(
    ("mode", "mtime", "expected"),
    [
        (0, None, "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH"),
        (0o640, None, "QmQLgxypSNGNFTuUPGCecq6dDEjb6hNB5xSyVmP3cEuNtq"),
        (0, Mtime(1604320482), "QmQ6kErEW8kztQFV8vbwNU8E4dmtGsYpRiboiLxUEwibvj"),
        (0o640, Mtime(1604320482), "QmYkvboLsvLFcSYmqVJRxvBdYRQLroLv9kELf3LRiCqBri"),
        (0, Mtime(1603539720, 54321), "QmaKH8H5rXBUBCX4vdxi7ktGQEL7wejV7L9rX2qpZjwncz"),
    ],
)
def test_empty_file_with_metadata(mode: int, mtime: Mtime | None, expected: str) -> None:
    blocks = Blocks()
    link = file_with_metadata(V0, blocks.file(V0, b""), mode, mtime, blocks.get_block, blocks.put_block)
    assert cid_str(link.cid) == expected


@pytest.mark.parametrize(
    ("mode", "mtime", "expected"),
    [
        (0, None, "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn"),
        (0o755, None, "QmRviohgafvCsbkiTgfQFipbuXJ6k1YtoiaQW4quttJPKu"),
        (0, Mtime(1655158722), "QmYMy7CZGb498QFSQBF5ZFwv1FYbrAtYZMe4VxhDXxAcvf"),
        (0, Mtime(1603539720, 54321), "QmZFdCLJay31hT3Tx1LygJ7XfiLEs3qLCXtbeBfhf38aZg"),
    ],
)
def test_empty_directory_with_metadata(mode: int, mtime: Mtime | None, expected: str) -> None:
    assert cid_str(Blocks().directory(V0, {}, mode=mode, mtime=mtime)[0]) == expected


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        (V0, "QmWSgS32xQEcXMeqd3YPJLrNBLSdsfYCep2U7CFkyrjXwY"),
        (V0_RAW, "QmfWfQfKCY5Ukv9peBbxM5vqWM9BzmqUSXvdCgjT2wsiBT"),
        (V1, "bafybeih7e5dmkyk25up5vxug4q3hrg2fxbzf23dfrac2fns5h7z4aa7ioi"),
        (V1_NODES, "bafybeif5tuep5ap2d7zyhbktucey75aoacxufgt6i3v4gebmixyipnyp7y"),
    ],
    ids=["v0", "v0 with raw leaves", "v1", "v1 without raw leaves"],
)
def test_planets(profile: Profile, expected: str) -> None:
    blocks = Blocks()
    content: dict[bytes, Link | None] = {
        b"mars.txt": blocks.file(profile, b"Hello Mars!\n"),
        b"venus.txt": blocks.file(profile, b"Hello Venus!\n"),
    }
    assert cid_str(blocks.folder(profile, content).cid) == expected


def test_nested_directories() -> None:
    blocks = Blocks()
    file = blocks.file(V0, b"this is a test\n")
    leaf = blocks.folder(V0, {b"TEST": file})
    inner = blocks.folder(V0, {b"b": blocks.folder(V0, {b"c": leaf, b"d": leaf, b"e": leaf})})
    root = blocks.folder(V0, {b"FILE": file, b"a": inner})
    assert cid_str(root.cid) == "QmWMVyhTuyxUrXX3ynz171jq76yY3PktfY9Bxiph7b9ikr"


def test_the_well_known_empties() -> None:
    blocks = Blocks()
    assert cid_str(blocks.folder(V1, {}).cid) == "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"
    assert cid_str(blocks.file(V1_NODES, b"").cid) == "bafybeif7ztnhq65lumvvtr4ekcwd2ifwgm3awq4zfr3srh462rwyinlb4y"
    assert cid_str(blocks.file(V1, b"").cid) == "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"


def test_examples_of_the_specification() -> None:
    hello = hashlib.sha256(b"hello world\n").digest()
    assert cid_str(cid_v1(RAW, hello)) == "bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4"
    gateway = Blocks().file(V1_NODES, b"Hello from IPFS Gateway Checker\n")
    assert cid_str(gateway.cid) == "bafybeifx7yeb55armcsxwwitkymga5xf53dxiarykms3ygqic223w5sk3m"


@pytest.mark.parametrize("text", ["bafkqaaa", "bafyaabakaieac"])
def test_identity_empties_are_read_without_a_store(text: str) -> None:
    cid = parse_cid(text)
    assert identity_data(cid) in (b"", b"\x0a\x02\x08\x01")
    if cid[1] == DAG_PB:
        return
    nodes = NodeCache(Blocks().get_block)
    assert file_size(cid, nodes) == 0
    assert read_file(cid, 0, 10, nodes) == b""
