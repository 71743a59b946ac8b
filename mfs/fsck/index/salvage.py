"""An index made again from the pages of one that LMDB cannot be trusted with."""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

from mfs.blocks.index import EXTENTS, INLINE, WRAPPED, Index
from mfs.blocks.pieces import unpack_pieces
from mfs.commit.record import Commit, DamagedCommit
from mfs.disk import fsync_directory
from mfs.fsck.index.pages import IndexFile, Unsound
from mfs.unixfs.cid import CID, verify_block
from mfs.unixfs.errors import UnixFSError
from mfs.unixfs.varint import read_strict_uvarint

__all__ = ["Salvaged", "salvage", "take_place"]

_BATCH = 2000
_NAMED = (b"snapshot/", b"pin/", b"history/")
_COMMIT = b"commit"
_RAW = b"\x01\x55"
_NUMBER = struct.Struct(">I")
_END = struct.Struct("<Q")


class Salvaged:
    """What was found: how many entries of blocks, and the commit records, newest first."""

    def __init__(self) -> None:
        self.entries = 0
        self.commits: list[Commit] = []


def salvage(index: Path, target: Path) -> Salvaged:
    """Put whatever can be read of the index in the directory `index` into a new one at `target`.

    Blocks are in it in the form in which they were found last; they are to be verified.  The commit record in it is the
    newest that was found.  OSError: the disk.
    """
    found = Salvaged()
    target.mkdir(mode=0o700)
    made = Index(target)
    try:
        meta: dict[bytes, bytes | None] = {}
        commits: dict[bytes, Commit] = {}
        ends: dict[int, int] = {}
        batch: dict[bytes, bytes | None] = {}
        for key, value in _entries(index):
            if key == _COMMIT:
                _note_commit(commits, value)
            elif key.startswith(_NAMED):
                meta[key] = value
            elif len(key) == _NUMBER.size and len(value) == _END.size:
                number = _NUMBER.unpack(key)[0]
                end = _END.unpack(value)[0]
                if end < 1 << 48:
                    ends[number] = max(ends.get(number, 0), end)
            elif _is_block(key, value):
                found.entries += 1
                batch[key] = value
                if value[0] == INLINE and value[1:2] == b"{" and len(value) < 4096:
                    _note_commit(commits, value[1:])
                for number, offset, length in unpack_pieces(value, 1) if value[0] != INLINE else ():
                    if number:
                        ends[number] = max(ends.get(number, 0), offset + length)
                if len(batch) >= _BATCH:
                    made.write(batch, {}, ends)
                    batch = {}
        found.commits = sorted(commits.values(), key=lambda commit: commit.time, reverse=True)
        if found.commits:
            meta[_COMMIT] = found.commits[0].encode()
        made.write(batch, meta, ends)
    finally:
        made.close()
    return found


def take_place(index: Path, target: Path) -> Path:
    """Let the index at `target` be that of the repository; the damaged one is kept beside it.  Returns where."""
    kept = index.with_name(f"{index.name}.damaged")
    shutil.rmtree(kept, ignore_errors=True)
    os.rename(index, kept)
    os.rename(target, index)
    fsync_directory(index.parent)
    return kept


def _entries(index: Path) -> Iterator[tuple[bytes, bytes]]:
    try:
        with IndexFile(index) as file:
            for one in file.entries():
                if one is not None:
                    yield one
    except (Unsound, FileNotFoundError):
        return


def _note_commit(commits: dict[bytes, Commit], record: bytes) -> None:
    try:
        commits[bytes(record)] = Commit.decode(bytes(record))
    except DamagedCommit:
        return


def _is_block(key: bytes, value: bytes) -> bool:
    if not value or value[0] not in (INLINE, EXTENTS, WRAPPED):
        return False
    try:
        _, at = read_strict_uvarint(key, 0)
        length, at = read_strict_uvarint(key, at)
        if value[0] != INLINE:
            unpack_pieces(value, 1)
        if len(key) - at != length or length < 20:
            return False
        # Of a block in the index itself, any copy that is sound will do.
        return value[0] != INLINE or verify_block(CID(_RAW + key), bytes(value[1:]))
    except (ValueError, IndexError, UnixFSError):
        return False
