"""Repositories to be damaged: one with some of everything in it, how it is damaged, and what is there afterwards."""

from __future__ import annotations

import os
import random
import stat
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import trio

from mfs.blocks.index import INLINE, Index
from mfs.fsck import Report, check
from mfs.history import names
from mfs.operations.graft import graft
from mfs.operations.places import Foreign as Root
from mfs.tests.foreign import INLINE as BYTES_WITHIN
from mfs.tests.foreign import LAYOUTS, Foreign
from mfs.tests.programs import pattern
from mfs.tests.volume_work import CHUNK, PROFILE, make, make_directory, opened, root, write
from mfs.tree.node import Directory, File, Node, Symlink
from mfs.tree.record import ROOT_INO
from mfs.tree.xattrs import get_xattr, set_xattr, xattr_names
from mfs.unixfs.nodes import NodeCache
from mfs.volume import Volume


class Seen(NamedTuple):
    """What one path is."""

    mode: int
    owner: int
    nlink: int
    target: bytes
    data: bytes
    xattrs: dict[bytes, bytes | None]


Paths = dict[bytes, Seen]


def seen(volume: Volume) -> Paths:
    """Everything in the tree, read to its end."""
    found: Paths = {}
    tree = volume.tree
    waiting: list[tuple[bytes, Node]] = [(b"", tree.node(ROOT_INO))]
    while waiting:
        path, node = waiting.pop()
        if isinstance(node, Directory):
            for name in tree.names(node):
                child = tree.child(node, name)
                assert child is not None, (path, name)
                waiting.append((path + b"/" + name if path else name, child))
        data = node.content.read_bytes(0, node.size) if isinstance(node, File) else b""
        target = node.target if isinstance(node, Symlink) else b""
        xattrs = {name: get_xattr(tree, node, name) for name in xattr_names(tree, node)}
        found[path] = Seen(node.mode, node.uid, node.nlink, target, data, xattrs)
    return found


def made(path: Path) -> Paths:
    """A repository with files of all sizes and layouts, links, sharded directories, attributes, other types, snapshots,
    a pin, older commits, garbage, and a log: what is in it."""
    return trio.run(_made, path)


async def _made(path: Path) -> Paths:
    with opened(path) as volume:
        tree, pick = volume.tree, random.Random(1)
        await _named(volume, "empty")
        for size in (0, 1, CHUNK, 3 * CHUNK + 5, 40 * CHUNK):
            make(volume, f"file of {size}", pattern(size))
        for number in range(60):
            make(volume, f"small {number}", b"small %d" % number, _many(volume))
        deep = root(volume)
        for name in ("a", "b", "c"):
            deep = make_directory(volume, name, deep)
            make(volume, "in " + name, pick.randbytes(2 * CHUNK), deep)
        again = make(volume, "linked", pick.randbytes(5 * CHUNK))
        tree.link(again, deep, b"other name")
        tree.create(root(volume), b"symlink", stat.S_IFLNK | 0o777, 0, 0, target=b"a/b/c")
        for special, kind in ((b"fifo", stat.S_IFIFO), (b"socket", stat.S_IFSOCK)):
            tree.create(deep, special, kind | 0o640, 7, 7)
        set_xattr(tree, again, b"user.short", b"value")
        set_xattr(tree, deep, b"user.long", pick.randbytes(20_000))
        await volume.commit()
        await _grafted(volume)
        await _named(volume, "then")
        write(volume, again, CHUNK + 7, b"overwritten")
        tree.unlink(root(volume), b"file of 1")
        make(volume, "later", pick.randbytes(7 * CHUNK))
        pinned = Foreign()
        link = pinned.laid_out(LAYOUTS[0], pick.randbytes(9 * CHUNK))
        for cid, block in pinned.items():
            volume.store.put(cid, block)
        names.add_pin(volume.store, "kept", link.cid, 1)
        await volume.commit()
        logged = make(volume, "logged", pick.randbytes(3 * CHUNK), deep)
        await volume.sync(logged)
        return seen(volume)


def _many(volume: Volume) -> Directory:
    """A directory that will be sharded."""
    node = volume.tree.child(root(volume), b"many")
    return node if isinstance(node, Directory) else make_directory(volume, "many")


async def _grafted(volume: Volume) -> None:
    """Files that others laid out."""
    foreign = Foreign()
    layouts = {f"layout {place}": foreign.laid_out(layout, pattern(6 * CHUNK)) for place, layout in enumerate(LAYOUTS)}
    layouts["directory"] = foreign.listed(PROFILE, {"within": foreign.laid_out(BYTES_WITHIN, pattern(3 * CHUNK))})
    top = foreign.listed(PROFILE, layouts)
    for cid, block in foreign.items():
        volume.store.put(cid, block)
    await graft(volume, root(volume), b"foreign", Root(top.cid, top.tsize), NodeCache(volume.store.get), _Nobody())
    await volume.commit()


class _Nobody:
    def entry(self, directory: Directory, name: bytes) -> None:
        """Watches nothing."""


async def _named(volume: Volume, name: str) -> None:
    commit = await volume.commit()
    volume.store.put(commit.cid, commit.encode())
    names.add_snapshot(volume.store, name, commit.cid, 1)
    await volume.flush()


# -- damage


Damage = Callable[[Path, random.Random], str]
"""Does something to a repository, and says what; empty where there was nothing to damage."""


def flip(path: Path, pick: random.Random, *, start: int = 0) -> str:
    """Other bits in one byte of a file."""
    size = path.stat().st_size
    data = path.read_bytes()
    there = [at for at in (pick.randrange(start, size) for _ in range(2000)) if data[at]]
    if not there:
        return ""
    with open(path, "r+b") as file:
        file.seek(there[0])
        file.write(bytes([data[there[0]] ^ 1 << pick.randrange(8)]))
    return f"byte {there[0]} of {path.name} flipped"


def _segment(repo: Path, pick: random.Random) -> Path:
    return pick.choice(sorted(path for path in (repo / "segments").rglob("*") if path.is_file()))


def flip_segment(repo: Path, pick: random.Random) -> str:
    return flip(_segment(repo, pick), pick)


def cut_segment(repo: Path, pick: random.Random) -> str:
    path = _segment(repo, pick)
    size = pick.randrange(path.stat().st_size)
    os.truncate(path, size)
    return f"{path.name} cut to {size}"


def remove_segment(repo: Path, pick: random.Random) -> str:
    path = _segment(repo, pick)
    path.unlink()
    return f"{path.name} removed"


def _entries(index: Index) -> list[tuple[bytes, bytes]]:
    return [(key, bytes(index.get(key) or b"")) for key in index.multihashes()]


def flip_block(repo: Path, pick: random.Random) -> str:
    """A block that lies in the index is another one."""
    index = Index(repo / "index")
    key, value = pick.choice([(key, value) for key, value in _entries(index) if value[0] == INLINE and len(value) > 1])
    at = pick.randrange(1, len(value))
    index.write({key: value[:at] + bytes([value[at] ^ 1 << pick.randrange(8)]) + value[at + 1 :]}, {}, {})
    index.close()
    return f"byte {at - 1} of the block {key.hex()} flipped"


def remove_block(repo: Path, pick: random.Random) -> str:
    index = Index(repo / "index")
    key, value = pick.choice(_entries(index))
    index.write({key: None}, {}, {})
    index.close()
    return f"the block {key.hex()} removed, {value[:20]!r}"


def remove_blocks(repo: Path, pick: random.Random) -> str:
    """A third of them."""
    index = Index(repo / "index")
    gone = [key for key, _ in _entries(index) if pick.random() < 0.3]
    index.write(dict.fromkeys(gone), {}, {})
    index.close()
    return f"{len(gone)} blocks removed"


def misplace_block(repo: Path, pick: random.Random) -> str:
    """An entry of the index that says another place."""
    index = Index(repo / "index")
    key, value = pick.choice([(key, value) for key, value in _entries(index) if value[0] != INLINE])
    at = pick.randrange(len(value))
    index.write({key: value[:at] + bytes([value[at] ^ 1 << pick.randrange(8)]) + value[at + 1 :]}, {}, {})
    index.close()
    return f"byte {at} of the entry of {key.hex()} flipped"


def flip_index(repo: Path, pick: random.Random) -> str:
    return flip(repo / "index" / "data.mdb", pick)


def flip_index_head(repo: Path, pick: random.Random) -> str:
    path = repo / "index" / "data.mdb"
    said = []
    for _ in range(8):
        at = pick.randrange(2 * 4096)
        with open(path, "r+b") as file:
            file.seek(at)
            file.write(pick.randbytes(1))
        said.append(at)
    return f"bytes {said} of the index overwritten"


def cut_index(repo: Path, pick: random.Random) -> str:
    path = repo / "index" / "data.mdb"
    size = pick.randrange(path.stat().st_size)
    os.truncate(path, size)
    return f"the index cut to {size}"


def _record(repo: Path, name: bytes, change: Callable[[bytes], bytes | None]) -> None:
    index = Index(repo / "index")
    record = index.meta(name)
    assert record is not None
    index.write({}, {name: change(record)}, {})
    index.close()


def _flipped(record: bytes, pick: random.Random) -> bytes:
    at = pick.randrange(len(record))
    return record[:at] + bytes([record[at] ^ 1 << pick.randrange(8)]) + record[at + 1 :]


def flip_commit(repo: Path, pick: random.Random) -> str:
    _record(repo, b"commit", lambda record: _flipped(record, pick))
    return "a byte of the commit record flipped"


def remove_commit(repo: Path, pick: random.Random) -> str:
    _record(repo, b"commit", lambda record: None)
    return "the commit record removed"


def flip_name(repo: Path, pick: random.Random) -> str:
    name = pick.choice([b"snapshot/then", b"snapshot/empty", b"pin/kept"])
    _record(repo, name, lambda record: _flipped(record, pick))
    return f"a byte of the record {name!r} flipped"


def _log(repo: Path) -> Path:
    return max((repo / "log").glob("*.log"), key=lambda path: path.stat().st_mtime_ns)


def flip_log(repo: Path, pick: random.Random) -> str:
    return flip(_log(repo), pick)


def cut_log(repo: Path, pick: random.Random) -> str:
    path = _log(repo)
    size = pick.randrange(4096)
    os.truncate(path, size)
    return f"{path.name} cut to {size}"


def remove_log(repo: Path, pick: random.Random) -> str:
    path = _log(repo)
    path.unlink()
    return f"{path.name} removed"


def remove_directory(repo: Path, pick: random.Random) -> str:
    import shutil

    name = pick.choice(["segments", "log", "index"])
    shutil.rmtree(repo / name)
    return f"{name} removed"


# -- what comes of it


def checked(repo: Path, *, repair: bool = False) -> Report:
    return check(repo, repair=repair)


def told_of(report: Report) -> set[bytes]:
    """The paths in the present tree that are said to be damaged."""
    present = [one for one in report.findings if one.snapshot is None]
    return {path for one in present for path in (one.path, *one.links) if path is not None}
