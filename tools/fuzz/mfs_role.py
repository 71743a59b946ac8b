"""The file system of `mfs`, over a repository of its own, asked what no kernel would ask.

Judged: every request is answered; no handler fails by anything but an OSError that it means, which the log would show;
what was done can be committed, and the repository can be opened again and read.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from random import Random
from struct import Struct
from typing import Any, Final

import trio

from mfs.fuse import MFS
from mfs.tree.node import Directory
from mfs.tree.record import ROOT_INO
from mfs.volume import Volume
from rawfuse import Server
from rawfuse.wire import opcodes as table

from .corpus import Corpus
from .erratic import Expected
from .life import Finding, Life, Log
from .mutate import Mutator
from .server_role import HostileChannel, init_message

__all__ = ["MESSAGES", "again", "live"]

MESSAGES: Final = 500
_SIMPLE: Final = 0.7
_LONGEST: Final = 100_000
_NODES: Final = 24
_PATIENCE: Final = 5000
_PAUSE: Final = 0.002

_ANY: Final = Expected(tuple(range(512)), "no handler")
_pack_number: Final = Struct("=Q").pack_into

_NEITHER: Final = ("Init", "CuseInit", "Destroy", "Interrupt", "NotifyReply")
_HANDLE_FIRST: Final = frozenset(
    table.BY_NAME[name].opcode
    for name in ("ReadDir", "ReadDirPlus", "ReleaseDir", "Link", "Rename", "Rename2", "CopyFileRange")
)
_COPIES: Final = frozenset(table.BY_NAME[name].opcode for name in ("CopyFileRange", "CopyFileRange64"))
_SYNCS: Final = frozenset(table.BY_NAME[name].opcode for name in ("FSync", "FSyncDir"))
_MAKES: Final = tuple(table.BY_NAME[name].opcode for name in ("Create", "MkDir", "Write", "OpenDir", "Create", "Write"))
_TARGET_AT: Final = 56


def script(random: Random, corpus: Corpus) -> Iterator[bytes]:
    """INIT, and requests about a few inodes and names: plausible ones mostly, the others mutated."""
    yield init_message(random)
    mutator = Mutator(random, corpus.requests)
    by_opcode: dict[int, list[bytes]] = {}
    for message in corpus.requests:
        by_opcode.setdefault(Struct("=I").unpack_from(message, 4)[0], []).append(message)
    for name in _NEITHER:
        by_opcode.pop(table.BY_NAME[name].opcode)
    known = list(by_opcode)
    unique = 4
    while True:
        opcode = random.choice(_MAKES) if random.random() < 0.3 else random.choice(known)
        if opcode in _SYNCS and random.random() < 0.8:
            continue
        made = bytearray(random.choice(by_opcode[opcode]))
        unique += 2
        _pack_number(made, 8, unique)
        if random.random() < 0.95:
            _pack_number(made, 16, random.randrange(1, _NODES) if random.random() < 0.7 else 1)
        if opcode in _HANDLE_FIRST and len(made) >= 48 and random.random() < 0.9:
            _pack_number(made, 40, random.randrange(1, _NODES))
        if opcode in _COPIES and random.random() < 0.9:
            _pack_number(made, _TARGET_AT, random.randrange(1, _NODES))
        if random.random() > _SIMPLE:
            made = mutator.mutated(bytes(made), _LONGEST)
        yield bytes(made)


class _Channel(HostileChannel):
    """Looks at the log as well."""

    def __init__(self, life: Life, messages: Iterator[bytes], most: int, log: Log) -> None:
        super().__init__(life, messages, most, untold=_ANY, patience=_PATIENCE)
        self._log = log

    def receive_nowait(self, buffer: bytearray | memoryview) -> int | None:
        look(self._log, self._life)
        return super().receive_nowait(buffer)

    async def wait(self) -> None:
        await trio.sleep(_PAUSE)


def look(log: Log, life: Life) -> None:
    """What the log has of exceptions and of replies that could not be sent is a finding."""
    if log.errors:
        record = log.errors.pop()
        error = record.exc_info[1] if record.exc_info else None
        finding = Finding.of(record.getMessage(), error) if error is not None else Finding(record.getMessage())
        life.findings.append(finding)


async def _serve(life: Life, messages: Iterator[bytes], most: int, log: Log, path: str) -> None:
    with Volume.open(path) as volume:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(volume.run)
            try:
                await Server(MFS(volume), _Channel(life, messages, most, log), max_write=_LONGEST).serve()
                await volume.commit()
            except Exception as error:  # noqa: BLE001 - it is what is looked for
                life.findings.append(Finding.of("serving or committing ended", error))
            nursery.cancel_scope.cancel()
    look(log, life)
    with Volume.open(path) as volume:
        life.outcomes["inodes read again"] += _walk(volume)


def _walk(volume: Volume) -> int:
    """Reads the tree; the number of its inodes. Raises where it is no tree."""
    tree = volume.tree
    seen = {ROOT_INO}
    left: list[Any] = [tree.node(ROOT_INO)]
    while left:
        node = left.pop()
        if not isinstance(node, Directory):
            continue
        for name in tree.names(node):
            child = tree.child(node, name)
            if child is None:
                raise LookupError(f"{name!r} of inode {node.ino} is listed and not there")
            if isinstance(child, Directory) and child.ino in seen:
                raise LookupError(f"inode {child.ino}, a directory, is there twice")
            if child.ino not in seen:
                seen.add(child.ino)
                left.append(child)
    return len(seen)


def _lived(life: Life, messages: Iterator[bytes], most: int, log: Log) -> None:
    with tempfile.TemporaryDirectory(prefix="rawfuse-fuzz-") as directory:
        trio.run(_serve, life, messages, most, log, f"{directory}/repo")


def live(life: Life, random: Random, corpus: Corpus, log: Log, most: int) -> None:
    """The life `life.number`, of at most `most` messages."""
    _lived(life, script(random, corpus), most, log)


def again(life: Life, messages: list[bytes], log: Log) -> None:
    """The same with messages that are given."""
    _lived(life, iter(messages), len(messages), log)
