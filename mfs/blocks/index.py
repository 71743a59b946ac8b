"""The index: what LMDB holds of an embedded store.

========== =========================== ==================================================================
database   key                         value
========== =========================== ==================================================================
blocks     multihash                   00, the block itself
                                       01, packed pieces (`pieces`): their bytes are the block
                                       02, packed pieces: their bytes are the data of a dag-pb file leaf
meta       name (ASCII)                a small record, e.g. the commit
segments   segment number, u32 big-e.  u64 little-endian: the highest byte, plus one, that an entry ever
                                       pointed to
========== =========================== ==================================================================

Multihash keys are at most 511 bytes (LMDB's limit). A transaction is durable once committed (two fdatasync of LMDB's).
"""

from __future__ import annotations

import errno
import os
import shutil
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

import lmdb

from mfs.blocks.errors import IndexDamaged
from mfs.disk import fsync_directory, write_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["EXTENTS", "INLINE", "WRAPPED", "Index"]

INLINE = 0
EXTENTS = 1
WRAPPED = 2

MAP_SIZE = 1 << 40
"""Address space that LMDB reserves, hence the largest index. The file is only as large as what is in it."""

# Changes in one transaction: enough to share its two syncs, few enough that its dirty pages (up to one for each change
# and more for inline blocks) stay some tens of MiB of memory.
_CHANGES = 2000
_BYTES = 8 << 20
# A walk over all keys looks at this many at a time, so that no old snapshot is held on to.
_STEP = 1000

_DATA = "data.mdb"
_NEW = "new"

_NUMBER = struct.Struct(">I")
_END = struct.Struct("<Q")

Changes: TypeAlias = "Mapping[bytes, bytes | None]"


class Index:
    """The LMDB environment in one directory, which exists. The caller holds the repository's lock.

    `broken`: a write failed in such a way that the index has to be opened again before the next one.

    Threads: `write` in any one thread at a time; everything else in one thread, which may be another.
    """

    def __init__(self, directory: str | os.PathLike[str], *, read_only: bool = False) -> None:
        self.path = os.fspath(directory)
        self.broken = False
        self._unsettled = False
        self._read_only = read_only
        if not read_only:
            _make(self.path)
        self._open()

    def _open(self) -> None:
        read_only = self._read_only
        try:
            self._env = lmdb.Environment(
                self.path,
                map_size=MAP_SIZE,
                max_dbs=3,
                mode=0o600,
                readonly=read_only,
                # Whoever reads beside the writer has a slot in the lock file, so that the pages of its snapshot are
                # left alone. Where that cannot be written (a read-only file system) nobody else writes either.
                lock=not read_only or os.access(self.path, os.W_OK),
                # Keys are hashes, so what lies beside what was read is never what is read next.
                readahead=False,
                # Pages are written whole: without this they would carry bytes of this process's memory to the disk.
                meminit=True,
                max_spare_txns=2,
            )
            if not read_only:
                self._lengthen()
            self._blocks = self._env.open_db(b"blocks", create=not read_only)
            self._meta = self._env.open_db(b"meta", create=not read_only)
            self._segments = self._env.open_db(b"segments", create=not read_only)
            self._txn: lmdb.Transaction[memoryview] = self._env.begin(buffers=True)
        except lmdb.Error as error:
            raise self._translated(error) from error

    def _lengthen(self) -> None:
        """Have the file be as long as its pages: looking at one behind its end would end the process (SIGBUS).

        Pages that were freed before they were written need not be there. Those that a file lost which was cut short are
        zeros then, which LMDB complains of.
        """
        size = (self._env.info()["last_pgno"] + 1) * self._env.stat()["psize"]
        path = os.path.join(self.path, _DATA)
        if os.stat(path).st_size < size <= MAP_SIZE:
            os.truncate(path, size)

    def close(self) -> None:
        """Close the environment. Nothing else may be called afterwards."""
        self._txn.abort()
        self._env.close()

    def reopen(self) -> None:
        """Open the environment again where it is `broken`; what was written is there, and snapshots are not.

        While nothing is being written. Raises OSError; then nothing can be read until it is called again.
        """
        self.close()
        self._open()
        self.broken = False

    # Reading, all from one snapshot

    def renew(self) -> None:
        """See what was written since the snapshot was taken."""
        self._txn.abort()
        try:
            self._txn = self._env.begin(buffers=True)
        except lmdb.Error as error:
            raise self._translated(error) from error

    def get(self, multihash: bytes) -> memoryview | None:
        """The value under a multihash, never empty; valid until the next `renew`."""
        try:
            value = self._txn.get(multihash, None, self._blocks)
        except lmdb.Error as error:
            raise self._translated(error) from error
        if value is not None and not len(value):
            raise IndexDamaged(self.path, f"the entry of the multihash {multihash.hex()} is empty")
        return value

    def meta(self, name: bytes) -> bytes | None:
        """A small record."""
        with self._read():
            value = self._txn.get(name, None, self._meta)
        return None if value is None else bytes(value)

    def metas(self, prefix: bytes) -> dict[bytes, bytes]:
        """The small records whose names begin so."""
        found = {}
        with self._read(), self._txn.cursor(self._meta) as cursor:
            more = cursor.set_range(prefix)
            while more and bytes(cursor.key()).startswith(prefix):
                found[bytes(cursor.key())] = bytes(cursor.value())
                more = cursor.next()
        return found

    def multihashes(self) -> Iterator[bytes]:
        """All keys in order, also across a `renew`. What is written while walking may or may not be seen."""
        last = b""
        while True:
            with self._read(), self._txn.cursor(self._blocks) as cursor:
                found: list[bytes] = []
                more = cursor.set_range(last) if last else cursor.first()
                while more and len(found) < _STEP:
                    key = bytes(cursor.key())
                    if key != last:
                        found.append(key)
                    more = cursor.next()
            if not found:
                return
            last = found[-1]
            yield from found

    def snapshot(self) -> lmdb.Transaction[memoryview]:
        """What there is now, to be looked at later.  Pages freed meanwhile are used again when it was aborted."""
        try:
            return self._env.begin(buffers=True)
        except lmdb.Error as error:
            raise self._translated(error) from error

    def count(self, snapshot: lmdb.Transaction[memoryview]) -> int:
        """How many blocks there were."""
        return snapshot.stat(self._blocks)["entries"]

    def keys(self, snapshot: lmdb.Transaction[memoryview]) -> Iterator[bytes]:
        """The multihashes of that moment, in order."""
        with self._read(), snapshot.cursor(self._blocks) as cursor:
            for key in cursor.iternext(keys=True, values=False):
                yield bytes(key)

    def entries_behind(self, last: bytes, count: int) -> list[tuple[bytes, int, bytes]]:
        """The next entries behind a key: key, kind, and the packed pieces (inline: length of the block, u64)."""
        found: list[tuple[bytes, int, bytes]] = []
        with self._read(), self._txn.cursor(self._blocks) as cursor:
            more = cursor.set_range(last) if last else cursor.first()
            while more and len(found) < count:
                key, value = bytes(cursor.key()), cursor.value()
                if key != last and len(value):
                    kind = value[0]
                    found.append((key, kind, _END.pack(len(value) - 1) if kind == INLINE else bytes(value[1:])))
                more = cursor.next()
        return found

    def segment_ends(self) -> dict[int, int]:
        """For every segment that an entry ever pointed to, the end of the highest piece."""
        with self._read(), self._txn.cursor(self._segments) as cursor:
            return {_NUMBER.unpack(number)[0]: _END.unpack(end)[0] for number, end in cursor}

    def stored_bytes(self) -> int:
        """Bytes of the pages in use. The file may be longer: LMDB keeps freed pages and uses them again."""
        pages = 0
        for db in (None, self._blocks, self._meta, self._segments):
            stat = self._txn.stat(db) if db is not None else self._env.stat()
            pages += stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
        return pages * self._env.stat()["psize"]

    @contextmanager
    def _read(self) -> Iterator[None]:
        try:
            yield
        except lmdb.Error as error:
            raise self._translated(error) from error

    # Writing

    def write(self, blocks: Changes, meta: Changes, ends: Mapping[int, int]) -> None:
        """Make changes durable: block entries (None deletes) in as many transactions as it takes, `ends` with the
        first of them, `meta` with the last.

        So `meta` is never there without `blocks`, and no entry of `blocks` without the end that keeps its bytes from
        being given back; after an error or a crash some of `blocks` may be there without `meta`.

        Raises:
            OSError: ENOSPC, EIO, ... from the disk. The next write is as good as this one was; where this one left the
                index `broken`, once it was opened again (`reopen`).
            IndexDamaged: an OSError; LMDB found its file corrupt.
        """
        # In key order neighbours share a page.
        keys = sorted(blocks)
        position = 0
        last = False
        if self._unsettled:
            self._settle()
        try:
            while not last:
                with self._env.begin(write=True) as txn:
                    if not position:
                        self._write_ends(txn, ends)
                    position = self._write_some(txn, blocks, keys, position)
                    last = position == len(keys)
                    if last:
                        self._write_meta(txn, meta)
        except lmdb.Error as error:
            # The page that says which tree is the newest could not be written, and LMDB does no more from then on.
            if not self.broken and self._panics():
                self.broken = self._unsettled = True
            raise self._translated(error) from error

    def _settle(self) -> None:
        """Have the disk say which tree is the newest as the kernel's memory does: it may have either after a failure,
        and the next transaction would write over pages of a tree that is only on the disk.
        """
        with open(os.path.join(self.path, _DATA), "r+b", buffering=0) as file:
            size = 2 * self._env.stat()["psize"]
            write_all(file.fileno(), os.pread(file.fileno(), size, 0), 0)
            os.fdatasync(file.fileno())
        self._unsettled = False

    def _panics(self) -> bool:
        try:
            self._env.begin(write=True).abort()
        except lmdb.PanicError:
            return True
        except lmdb.Error:
            return False
        return False

    def _write_some(self, txn: lmdb.Transaction[bytes], blocks: Changes, keys: list[bytes], position: int) -> int:
        stop = min(len(keys), position + _CHANGES)
        size = 0
        with txn.cursor(self._blocks) as cursor:
            while position < stop and size < _BYTES:
                key = keys[position]
                value = blocks[key]
                if value is not None:
                    cursor.put(key, value)
                    size += len(value)
                elif cursor.set_key(key):
                    cursor.delete()
                position += 1
        return position

    def _write_ends(self, txn: lmdb.Transaction[bytes], ends: Mapping[int, int]) -> None:
        for number, end in ends.items():
            key = _NUMBER.pack(number)
            old = txn.get(key, None, self._segments)
            if old is None or _END.unpack(old)[0] < end:
                txn.put(key, _END.pack(end), db=self._segments)

    def _write_meta(self, txn: lmdb.Transaction[bytes], meta: Changes) -> None:
        for name, record in meta.items():
            if record is None:
                txn.delete(name, db=self._meta)
            else:
                txn.put(name, record, db=self._meta)

    def _translated(self, error: lmdb.Error) -> OSError:
        if isinstance(
            error,
            lmdb.CorruptedError
            | lmdb.InvalidError
            | lmdb.VersionMismatchError
            | lmdb.PageNotFoundError
            | lmdb.BadTxnError,
        ):
            return IndexDamaged(self.path, str(error))
        if isinstance(error, lmdb.MapFullError):
            return OSError(errno.ENOSPC, f"the block index has reached {MAP_SIZE} bytes", self.path)
        # Positive codes are the system's (py-lmdb 1.6 does not carry them).
        code = getattr(error, "code", 0)
        if code <= 0:
            code = errno.EIO
        if code == errno.EIO and self._disk_full():
            # LMDB calls a short write EIO, and that is how a disk that is just full shows first.
            code = errno.ENOSPC
        return OSError(code, f"block index: {error}", self.path)

    def _disk_full(self) -> bool:
        try:
            volume = os.statvfs(self.path)
        except OSError:
            return False
        return volume.f_bavail * volume.f_frsize < 1 << 20


def _make(directory: str) -> None:
    """Make the file of an empty environment, unless it is there.

    LMDB neither syncs it nor the directory, and does not open what a power cut left of it: so it gets its name when it
    is whole.
    """
    path = os.path.join(directory, _DATA)
    if os.path.exists(path):
        return
    temporary = os.path.join(directory, _NEW)
    shutil.rmtree(temporary, ignore_errors=True)
    # LMDB would make it with the mode of its files, and only root may enter that.
    os.mkdir(temporary, 0o700)
    try:
        lmdb.Environment(temporary, map_size=MAP_SIZE, mode=0o600).close()
    except lmdb.Error as error:
        raise OSError(getattr(error, "code", 0) or errno.EIO, f"block index: {error}", temporary) from error
    made = os.path.join(temporary, _DATA)
    fd = os.open(made, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(made, path)
    shutil.rmtree(temporary)
    fsync_directory(directory)
