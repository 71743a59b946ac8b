"""What is asked of a listing, by whichever opcode it comes: each name once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from rawfuse.wire.dirent import Dirent

from ...kernel import ConformKernel

__all__ = ["DOTS", "SOURCE", "full", "names_of", "once_each"]

SOURCE: Final = "fuse_kernel.h 7.45; Linux fs/fuse/readdir.c"
DOTS: Final = (b".", b"..")


def full(k: ConformKernel, count: int) -> tuple[int, list[bytes]]:
    """A new directory with `count` files of names of different lengths: its nodeid, and the names."""
    parent = k.directory().nodeid
    names = []
    for number in range(count):
        made = k.file(parent=parent, name=k.name("entry" + "x" * (number * 7 % 40)))
        k.close(made)
        names.append(made.name)
    return parent, names


def once_each(k: ConformKernel, names: Iterable[bytes], listed: Iterable[bytes]) -> None:
    """The rule says that `listed` is each of `names` once, in any order, and no other but "." and ".."."""
    counted = Counter(name for name in listed if name not in DOTS)
    wanted = set(names)
    lost, twice = sorted(wanted - set(counted)), sorted(name for name in counted if counted[name] > 1)
    more = sorted(set(counted) - wanted)
    seen = f"missing {lost[:3]}, twice {twice[:3]}, others {more[:3]}" if lost or twice or more else "each once"
    k.expect(not (lost or twice or more), f"each of {len(wanted)} names once", seen)


def names_of(entries: Iterable[Dirent]) -> list[bytes]:
    """The names, "." and ".." too."""
    return [entry.name for entry in entries]
