"""Reading and writing such a directory, also beside a kubo that uses it."""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Callable, Iterator

from mfs.blocks.errors import BlockNotFound
from mfs.disk import fsync_directory
from mfs.unixfs.cid import CID, cid_str, identity_data, multihash_of, read_cid, verify_block
from mfs.unixfs.cid import RAW as RAW_CODEC
from mfs.unixfs.errors import InvalidCID
from mfs.unixfs.varint import encode_uvarint

__all__ = ["Flatfs", "FlatfsError"]

DEFAULT = "/repo/flatfs/shard/v1/next-to-last/2"
_SHARDING = re.compile(r"/repo/flatfs/shard/v1/(prefix|suffix|next-to-last)/([0-9]{1,3})")
_EXTENSION = ".data"
_TEMPORARY = "put-mfs-"
_MAX_BLOCK = 8 << 20


class FlatfsError(Exception):
    """The directory is no flatfs, or a file in it is not the block that its name says."""


def _prefix(key: str, length: int) -> str:
    return key[:length].ljust(length, "_")


def _suffix(key: str, length: int) -> str:
    return key[-length:].rjust(length, "_")


def _next_to_last(key: str, length: int) -> str:
    return key[-length - 1 : -1].rjust(length, "_")


_SHARDS: dict[str, Callable[[str, int], str]] = {"prefix": _prefix, "suffix": _suffix, "next-to-last": _next_to_last}


class Flatfs:
    """Blocks in the directory `path`.

    With `create`, one is made where there is none (the directory is absent or empty).  FlatfsError, OSError.
    """

    def __init__(self, path: str, *, create: bool = False) -> None:
        self.path = path
        sharding = os.path.join(path, "SHARDING")
        try:
            with open(sharding, encoding="ascii", errors="replace") as file:
                text = file.read(200).strip()
        except FileNotFoundError:
            if not create:
                raise FlatfsError(f"{path} is no block directory of kubo: it has no file SHARDING") from None
            text = self._make()
        found = _SHARDING.fullmatch(text)
        if found is None or not int(found[2]):
            raise FlatfsError(f"{sharding}: {text!r} is not known; {DEFAULT} is what kubo uses")
        self._shard, self._length = _SHARDS[found[1]], int(found[2])
        self._written: set[str] = set()

    def _make(self) -> str:
        os.makedirs(self.path, exist_ok=True)
        if os.listdir(self.path):
            raise FlatfsError(f"{self.path} is neither empty nor a block directory of kubo (it has no file SHARDING)")
        beside = os.path.join(self.path, "SHARDING.new")
        with open(beside, "w", encoding="ascii") as file:
            file.write(DEFAULT + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.rename(beside, os.path.join(self.path, "SHARDING"))
        return DEFAULT

    def place(self, cid: CID) -> str:
        """The file that a block is, or would be."""
        key = base64.b32encode(multihash_of(cid)).decode().rstrip("=")
        return os.path.join(self.path, self._shard(key, self._length), key + _EXTENSION)

    def get(self, cid: CID) -> bytes:
        """The block, verified.  BlockNotFound, FlatfsError, OSError."""
        block = identity_data(cid)
        if block is not None:
            return block
        place = self.place(cid)
        try:
            with open(place, "rb") as file:
                block = file.read(_MAX_BLOCK + 1)
        except FileNotFoundError:
            raise BlockNotFound(cid) from None
        if len(block) > _MAX_BLOCK or not verify_block(cid, block):
            raise FlatfsError(f"{place}: its bytes are not the block {cid_str(cid)}")
        return block

    def put(self, cid: CID, block: bytes) -> bool:
        """Keep a block; says whether it is new.  It is there whole, or not at all; durable after `sync`.  OSError."""
        if identity_data(cid) is not None:
            return False
        place = self.place(cid)
        if os.path.exists(place):
            return False
        shard = os.path.dirname(place)
        if shard not in self._written:
            os.makedirs(shard, exist_ok=True)
            self._written.add(shard)
        beside = os.path.join(shard, f"{_TEMPORARY}{os.getpid()}-{os.urandom(4).hex()}")
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            with open(fd, "wb") as file:
                file.write(block)
                file.flush()
                os.fsync(file.fileno())
            os.rename(beside, place)
        except BaseException:
            os.unlink(beside)
            raise
        return True

    def sync(self) -> None:
        """Make the names of all blocks durable."""
        for shard in self._written:
            fsync_directory(shard)
        self._written.clear()
        fsync_directory(self.path)

    def cids(self) -> Iterator[CID]:
        """Every block, as a raw one: the directory knows multihashes alone.  Files of other names are passed over."""
        for shard in sorted(os.listdir(self.path)):
            directory = os.path.join(self.path, shard)
            if shard.startswith(".") or not os.path.isdir(directory):
                continue
            for name in sorted(os.listdir(directory)):
                cid = _cid(name)
                if cid is not None:
                    yield cid


def _cid(name: str) -> CID | None:
    if not name.endswith(_EXTENSION):
        return None
    key = name[: -len(_EXTENSION)]
    try:
        multihash = base64.b32decode(key + "=" * (-len(key) % 8))
        raw = b"\x01" + encode_uvarint(RAW_CODEC) + multihash
        cid, end = read_cid(raw)
    except (binascii.Error, ValueError, InvalidCID):
        return None
    return cid if end == len(raw) else None
