"""Running programs inside a mount and on the local disk, and comparing what they leave behind."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

SECOND = 1_000_000_000
NOBODY = 65534


class Found(NamedTuple):
    """One name of a tree; what a type does not have is empty."""

    mode: int
    owner: tuple[int, int]
    nlink: int
    size: int
    content: str
    mtime: int


def run(*command: str | os.PathLike[str], cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """What a command writes to its standard output; an AssertionError with everything it said when it fails."""
    settings = {**os.environ, "LC_ALL": "C", "TZ": "UTC", **(env or {})}
    ran = subprocess.run(command, cwd=cwd, env=settings, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    said = ran.stdout.decode(errors="surrogateescape")
    errors = ran.stderr.decode(errors="surrogateescape")
    assert ran.returncode == 0, f"{command} ended with {ran.returncode}:\n{said[-3000:]}\n{errors[-3000:]}"
    return said


def pattern(length: int, seed: int = 0) -> bytes:
    """`length` bytes that repeat nowhere near, the same for the same seed."""
    return hashlib.shake_128(seed.to_bytes(8, "little")).digest(length)


def _walk(top: bytes) -> Iterator[tuple[bytes, os.stat_result]]:
    with os.scandir(top) as entries:
        for entry in sorted(entries, key=lambda one: one.name):
            status = entry.stat(follow_symlinks=False)
            yield entry.path, status
            if stat.S_ISDIR(status.st_mode):
                yield from _walk(entry.path)


def tree(top: Path, *, times: bool = True, skip: Callable[[bytes], bool] = lambda name: False) -> dict[bytes, Found]:
    """Everything below `top` by its path, sizes of directories left out (they differ between file systems).

    `times`: the mtimes too, in nanoseconds.  `skip`: paths, relative to `top`, that are left out.
    """
    start = os.fsencode(top)
    found = {}
    for path, status in _walk(start):
        name = os.path.relpath(path, start)
        if skip(name):
            continue
        kind = stat.S_IFMT(status.st_mode)
        content = ""
        if kind == stat.S_IFREG:
            with open(path, "rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
        elif kind == stat.S_IFLNK:
            content = os.fsdecode(os.readlink(path))
        found[name] = Found(
            status.st_mode,
            (status.st_uid, status.st_gid),
            status.st_nlink,
            0 if kind == stat.S_IFDIR else status.st_size,
            content,
            status.st_mtime_ns if times else 0,
        )
    return found


def plant(top: Path) -> Path:
    """A small tree with one of everything: sizes around a leaf's, modes, links, a hole, odd names, old times."""
    top.mkdir()
    (top / "empty").touch()
    (top / "one").write_bytes(b"1")
    (top / "leaf").write_bytes(pattern(1 << 20, 1))
    (top / "leaves").write_bytes(pattern((3 << 20) + 17, 2))
    with open(top / "sparse", "wb") as file:
        file.write(b"start")
        file.seek(5 << 20)
        file.write(b"end")
    deep = top / "a" / "b" / "c"
    deep.mkdir(parents=True)
    (deep / "bottom").write_bytes(pattern(5000, 3))
    (deep / "program").write_text("#!/bin/sh\necho ran\n")
    (deep / "program").chmod(0o755)
    (top / "locked").write_bytes(b"read only")
    (top / "locked").chmod(0o400)
    (top / "group").mkdir()
    (top / "group").chmod(0o2775)
    (top / "sticky").mkdir()
    (top / "sticky").chmod(0o1777)
    (top / "link").symlink_to("a/b/c/bottom")
    (top / "dangling").symlink_to("/nowhere/at all")
    (top / "to-directory").symlink_to("a")
    os.link(top / "one", top / "a" / "other-name")
    os.mkfifo(top / "fifo")
    Path(os.fsdecode(os.fsencode(top) + b"/caf\xe9 \x01\n*")).write_bytes(b"odd name")
    for number in range(50):
        (top / "sticky" / f"small {number}").write_bytes(pattern(number * 37, number))
    os.chown(top / "leaf", 12, 34)
    for count, (path, _) in enumerate(reversed(list(_walk(os.fsencode(top))))):
        when = 1_000_000_000 * SECOND + count * 1_234_567_891
        os.utime(path, ns=(when, when), follow_symlinks=False)
    return top


def as_user(action: Callable[[], object], uid: int = NOBODY, gid: int = NOBODY, groups: tuple[int, ...] = ()) -> int:
    """The errno that `action` fails with in a process of that user; 0 when it succeeds."""
    child = os.fork()
    if not child:
        status = 255
        try:
            os.setgroups(groups)
            os.setgid(gid)
            os.setuid(uid)
            action()
            status = 0
        except OSError as error:
            status = error.errno or 255
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
