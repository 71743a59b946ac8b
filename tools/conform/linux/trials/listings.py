"""READDIR and READDIRPLUS: which entries are believed, and which references are taken, by both kernels (Linux 6.18)."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from rawfuse import wire as w
from rawfuse.session import Answered
from rawfuse.wire import constants as c
from rawfuse.wire.flags import InitFlags

from ..stage.calls import PLUS, lookup, outcome
from ..stage.kernels import Kernel, connected, kind_alone
from ..stage.made_up import DIR, FLAGS, REG, dirent, direntplus, init_answer, ok
from ..trial import case, of, over, same, trial

FILE = REG | 0o644


@contextmanager
def listing(kind: str) -> Generator[Kernel, None, None]:
    """A kernel that asks for attributes with its listings."""
    with connected(kind, init_answer(FLAGS | InitFlags.FUSE_DO_READDIRPLUS)) as script:
        yield script


def one(name: bytes, nodeid: int = 9, **fields: int) -> bytes:
    return direntplus(name, nodeid, **fields)


NOT_A_LISTING = [
    case(one(b"a/b"), id="a slash"),
    case(one(b""), id="an empty name"),
    case(one(b"n" * 4096), id="a name of 4096 bytes"),
]


@trial(on=listing)
@over("body", NOT_A_LISTING)
def a_listing_that_begins_with_a_bad_name_is_eio(kernel: Kernel, body: bytes) -> None:
    finish = kernel.call(PLUS)
    same(kernel.write(ok(kernel.expect(c.FUSE_READDIRPLUS), body)), 0)
    same(outcome(finish), "EIO")


LISTINGS = [
    case(one(b"one") + one(b"a/b", 10) + one(b"two", 11), [b"one"], id="up to a slash"),
    case(one(b"one") + one(b"two", 10)[:-1], [b"one"], id="up to a cut"),
    case(one(b"one") + bytes(151), [b"one"], id="up to half a head"),
    case(one(b"one") + one(b"two", 10, ino=0), [b"one"], id="without inode 0"),
    case(one(b"one", 0) + one(b"two", 10), [b"one", b"two"], id="with a name alone"),
    case(one(b"on\0e") + one(b"two", 10), [b"on", b"two"], id="with a NUL in a name"),
    case(one(b"one", kind=0) + one(b"x", 10, kind=99), [b"one", b"x"], id="of types"),
    case(one(b"one") + one(b"root", 1) + one(b"x", 10), [b"one", b"root", b"x"], id="with the root"),
    case(one(b"one", mode=0o644) + one(b"x", 10), [b"one", b"x"], id="of no type"),
    case(b"", [], id="of nothing"),
]


@trial(on=listing)
@over(("body", "names"), LISTINGS)
def the_names_of_a_listing_with_attributes(kernel: Kernel, body: bytes, names: list[bytes]) -> None:
    finish = kernel.call(PLUS)
    same(kernel.write(ok(kernel.expect(c.FUSE_READDIRPLUS), body)), 0)
    answer_ends(kernel)
    same(outcome(finish), names)


def answer_ends(kernel: Kernel) -> None:
    """What else is asked of the listing is the end; forgets that came with it are noted."""
    while (request := kernel.next()) is not None:
        if isinstance(request, w.Forget | w.BatchForget):
            kernel.silent.append(request)
        elif isinstance(request, w.ReadDirPlus):
            kernel.write(ok(request))
        else:
            kernel.answer(request)


def listed(kernel: Kernel, body: bytes) -> None:
    finish = kernel.call(PLUS)
    same(kernel.write(ok(kernel.expect(c.FUSE_READDIRPLUS), body)), 0)
    answer_ends(kernel)
    outcome(finish)


def forgotten(kernel: Kernel) -> list[tuple[int, int]]:
    """(nodeid, count) of the forgets that are there."""
    answer_ends(kernel)
    found = []
    for request in kernel.silent:
        if isinstance(request, w.Forget):
            found.append((request.nodeid, request.arg.nlookup))
        elif isinstance(request, w.BatchForget):
            found += [(forget.nodeid, forget.nlookup) for forget in request.forgets]
    return sorted(found)


@trial(on=listing)
def each_entry_of_each_reply_takes_one_reference(kernel: Kernel) -> None:
    body = one(b"one", 9) + one(b"two", 10, off=2)
    listed(kernel, body)
    listed(kernel, one(b"two", 10))
    same(forgotten(kernel), [])
    kernel.drop([(9, b"one"), (10, b"two")])
    same(forgotten(kernel), [(9, 1), (10, 2)])


@trial(on=listing)
def dots_and_names_alone_take_no_reference(kernel: Kernel) -> None:
    listed(kernel, one(b".", 20, mode=DIR) + one(b"..", 21, off=2, mode=DIR) + one(b"one", 0, off=3))
    kernel.drop([(20, b"."), (21, b".."), (9, b"one")])
    same([found for found in forgotten(kernel) if found[1]], [])


@trial(on=listing)
@over(
    ("entry", "nodeid"),
    [
        case(one(b"bad", 1), 1, id="the root"),
        case(one(b"bad", 12, mode=0o644), 12, id="no type"),
    ],
)
def a_reference_to_what_is_not_believed_is_given_back_at_once(kernel: Kernel, entry: bytes, nodeid: int) -> None:
    listed(kernel, one(b"one", 9) + entry)
    same(forgotten(kernel), [(nodeid, 1)])


@dataclass(frozen=True)
class Listing:
    """Reads a directory to its end, from each reply's last cookie on."""

    def real(self, root: int) -> object:
        fd = os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=root)
        try:
            return [name.encode() for name in os.listdir(fd)]
        finally:
            os.close(fd)

    def fake(self) -> Generator[w.Request, Answered, object]:
        yield lookup(b"d")()
        yield w.OpenDir(nodeid=3)
        names: list[bytes] = []
        offset = 0
        while True:
            answered = yield w.ReadDir(nodeid=3, arg=w.fuse_read_in(offset=offset, size=4096))
            entries = answered.value
            if not isinstance(entries, list) or not entries:
                return names
            for entry in (of(w.Dirent, one) for one in entries):
                names.append(entry.name)
                offset = entry.off


@trial(on=kind_alone)
def cookies_come_back_as_they_were_given(kind: str) -> None:
    cookies = {0: [(b"one", 7), (b"two", 1 << 62)], 1 << 62: [(b"three", 3)], 3: []}
    with connected(kind) as kernel:
        finish = kernel.call(Listing())
        asked: list[int] = []
        while len(asked) < len(cookies):
            request = of(w.ReadDir, kernel.expect(c.FUSE_READDIR))
            asked.append(request.arg.offset)
            entries = cookies[request.arg.offset]
            kernel.write(ok(request, b"".join(dirent(name, off=off) for name, off in entries)))
        same(outcome(finish), [b"one", b"two", b"three"])
        same(asked, [*cookies])
