"""Replaying on a server that lacks an operation: what the kernel would send instead, and to the same effect."""

from __future__ import annotations

import errno
import os
from typing import Any, Final

import pytest

from rawfuse import Filesystem, Reply, wire
from rawfuse.examples.memory import MemoryFS
from rawfuse.kernel import Kernel
from rawfuse.wire import Request
from rawfuse.wire.flags import InitFlags
from tools.replay.instead import INSTEAD
from tools.tests.replayed import ROOT, recorded, replayed

SIZE: Final = 300_000
"""Bytes of the file that is copied: more than one READ."""
REGULAR: Final = 0o100644


async def file(kernel: Kernel, name: bytes, data: bytes = b"") -> tuple[int, int]:
    """A file made as any server can: its nodeid and a handle."""
    call: Any = kernel.call
    entry = await call(wire.MkNod(nodeid=ROOT, arg=wire.fuse_mknod_in(mode=REGULAR), name=name))
    opened = await call(wire.Open(nodeid=entry.nodeid, arg=wire.fuse_open_in(os.O_RDWR)))
    if data:
        await write(kernel, entry.nodeid, opened.fh, data)
    return entry.nodeid, opened.fh


async def write(kernel: Kernel, nodeid: int, fh: int, data: bytes) -> None:
    arg = wire.fuse_write_in(fh=fh, size=len(data))
    await kernel.call(wire.Write(nodeid=nodeid, arg=arg, data=memoryview(data)))


async def look(kernel: Kernel, nodeid: int, fh: int) -> None:
    """The bytes and the size of a file go into the trace."""
    call: Any = kernel.call
    for offset in range(0, SIZE, 1 << 16):
        await call(wire.Read(nodeid=nodeid, arg=wire.fuse_read_in(fh=fh, offset=offset, size=1 << 16)))
    await call(wire.GetAttr(nodeid=nodeid, arg=wire.fuse_getattr_in()))


async def creates(kernel: Kernel) -> None:
    call: Any = kernel.call
    arg = wire.fuse_create_in(flags=os.O_RDWR | os.O_CREAT | os.O_EXCL, mode=REGULAR)
    entry, opened = await call(wire.Create(nodeid=ROOT, arg=arg, name=b"new"))
    await write(kernel, entry.nodeid, opened.fh, b"hello")
    await look(kernel, entry.nodeid, opened.fh)
    await call(wire.Release(nodeid=entry.nodeid, arg=wire.fuse_release_in(fh=opened.fh)))
    await call(wire.Unlink(nodeid=ROOT, name=b"new"))
    kernel.post(wire.Forget(nodeid=entry.nodeid, arg=wire.fuse_forget_in(nlookup=1)))


async def opens(kernel: Kernel) -> None:
    nodeid, fh = await file(kernel, b"f", b"hello")
    await look(kernel, nodeid, fh)
    await kernel.call(wire.Release(nodeid=nodeid, arg=wire.fuse_release_in(fh=fh)))


async def lists(kernel: Kernel) -> None:
    call: Any = kernel.call
    await file(kernel, b"f")
    opened = await call(wire.OpenDir(nodeid=ROOT, arg=wire.fuse_open_in()))
    await call(wire.ReadDir(nodeid=ROOT, arg=wire.fuse_read_in(fh=opened.fh, size=4096)))
    await call(wire.ReleaseDir(nodeid=ROOT, arg=wire.fuse_release_in(fh=opened.fh)))


async def renames(kernel: Kernel) -> None:
    call: Any = kernel.call
    await file(kernel, b"f")
    arg = wire.fuse_rename2_in(newdir=ROOT, flags=1)
    await call(wire.Rename2(nodeid=ROOT, arg=arg, name=b"f", newname=b"g"))
    await call(wire.Lookup(nodeid=ROOT, name=b"g"))


async def copies(kernel: Kernel, how: type[wire.CopyFileRange | wire.CopyFileRange64] = wire.CopyFileRange) -> None:
    call: Any = kernel.call
    source, from_ = await file(kernel, b"f", bytes(range(250)) * (SIZE // 250))
    made, to = await file(kernel, b"g", b"not all of it goes")
    arg = wire.fuse_copy_file_range_in(from_, 7, made, to, 9, 1 << 30)
    await call(how(nodeid=source, arg=arg))
    await look(kernel, made, to)


async def copies_64(kernel: Kernel) -> None:
    await copies(kernel, wire.CopyFileRange64)


def lacking(*operations: str) -> MemoryFS:
    """The example without some of its methods."""
    made: type[MemoryFS] = type("Lacking", (MemoryFS,), {name: getattr(Filesystem, name) for name in operations})
    return made()


CASES: Final[list[tuple[type[Request], Any, tuple[str, ...], str]]] = [
    (wire.Create, creates, ("create",), "CREATE as MKNOD and OPEN"),
    (wire.Create, creates, ("create", "open"), "CREATE as MKNOD and OPEN"),
    (wire.Open, opens, ("open",), "OPEN not at all, which succeeds with handle 0"),
    (wire.OpenDir, lists, ("opendir",), "OPENDIR not at all, which succeeds with handle 0"),
    (wire.Rename2, renames, ("rename2",), "RENAME2 with NOREPLACE as RENAME"),
    (wire.CopyFileRange64, copies_64, ("copy_file_range_64",), "COPY_FILE_RANGE_64 as COPY_FILE_RANGE"),
    (
        wire.CopyFileRange64,
        copies_64,
        ("copy_file_range_64", "copy_file_range"),
        "COPY_FILE_RANGE_64 as READ and WRITE",
    ),
    (wire.CopyFileRange, copies, ("copy_file_range",), "COPY_FILE_RANGE as READ and WRITE"),
]


def test_the_cases_are_all_there() -> None:
    assert {operation for operation, *_ in CASES} == set(INSTEAD)


@pytest.mark.parametrize(("script", "without", "what"), [case[1:] for case in CASES])
def test_what_a_server_lacks_is_done_otherwise(script: Any, without: tuple[str, ...], what: str) -> None:
    found, player = replayed(lacking(*without), recorded(MemoryFS(), script), another=True)
    assert [str(one) for one in found] == []
    assert what in player.outcome.otherwise
    assert player.outcome.skipped == {}


@pytest.mark.parametrize(("script", "without"), [case[1:3] for case in CASES])
def test_every_reference_is_as_in_the_recording(script: Any, without: tuple[str, ...]) -> None:
    sound, other = MemoryFS(), lacking(*without)
    trace = recorded(MemoryFS(), script)
    replayed(sound, trace)
    replayed(other, trace, another=True)
    assert [node.nlookup for node in other.nodes.values()] == [node.nlookup for node in sound.nodes.values()]


@pytest.mark.parametrize(
    ("script", "without", "release"),
    [(opens, "open", "release"), (lists, "opendir", "releasedir"), (creates, "open", "release")],
)
def test_what_was_not_opened_is_not_released(script: Any, without: str, release: str) -> None:
    released: list[Request] = []
    server = lacking(without, "create")
    setattr(server, release, released.append)
    found, player = replayed(server, recorded(MemoryFS(), script), another=True)
    assert [str(one) for one in found] == []
    assert released == []
    assert any(what.startswith(f"{release.upper()} not at all") for what in player.outcome.otherwise)


async def writes_over(kernel: Kernel) -> None:
    """A file is opened again to write another one over it."""
    call: Any = kernel.call
    nodeid, _ = await file(kernel, b"name", b"something longer")
    opened = await call(wire.Open(nodeid=nodeid, arg=wire.fuse_open_in(os.O_RDWR | os.O_TRUNC)))
    await write(kernel, nodeid, opened.fh, b"short")
    await look(kernel, nodeid, opened.fh)


@pytest.mark.parametrize("without", [(), ("open",)])
def test_a_server_without_atomic_o_trunc_is_told_to_truncate(without: tuple[str, ...]) -> None:
    class Truncates(MemoryFS):
        wants = MemoryFS.wants | InitFlags.FUSE_ATOMIC_O_TRUNC

        def open(self, request: wire.Open) -> Reply:
            if request.arg.flags & os.O_TRUNC:
                self.file(request.nodeid).data.truncate(0)
            return super().open(request)

    found, player = replayed(lacking(*without), recorded(Truncates(), writes_over), another=True)
    assert [str(one) for one in found] == []
    assert player.outcome.otherwise["OPEN with O_TRUNC as OPEN and SETATTR"] == 1


def test_what_fails_otherwise_differs() -> None:
    class Full(MemoryFS):
        copy_file_range_64 = Filesystem.copy_file_range_64

        def copy_file_range(self, request: wire.CopyFileRange) -> Reply:
            raise OSError(errno.ENOSPC, "no room for copies")

    found, _ = replayed(Full(), recorded(MemoryFS(), copies_64), another=True)
    assert "success was recorded, now it is ENOSPC" in {one.what for one in found}


def test_a_server_that_copies_less_than_asked_is_asked_for_the_rest() -> None:
    class Slow(MemoryFS):
        copy_file_range_64 = Filesystem.copy_file_range_64

        def copy_file_range(self, request: wire.CopyFileRange) -> Reply:
            request.arg.len = min(request.arg.len, 100_000)
            return super().copy_file_range(request)

    found, _ = replayed(Slow(), recorded(MemoryFS(), copies_64), another=True)
    assert [str(one) for one in found] == []


def test_a_copy_that_does_not_get_on_ends_and_differs() -> None:
    class Stuck(MemoryFS):
        copy_file_range_64 = Filesystem.copy_file_range_64

        def copy_file_range(self, request: wire.CopyFileRange) -> Reply:
            request.arg.len = 0
            return super().copy_file_range(request)

    found, _ = replayed(Stuck(), recorded(MemoryFS(), copies_64), another=True)
    assert any("bytes_copied" in one.what for one in found)


def test_a_server_that_says_it_wrote_more_than_it_got_is_not_asked_for_ever() -> None:
    class Boasts(MemoryFS):
        max_write = 4096

        def write(self, request: wire.Write) -> Reply:
            super().write(request)
            return wire.fuse_write_out(len(request.data) + 1)

    found, _ = replayed(Boasts(), recorded(MemoryFS(), copies_64), another=True)
    assert found
