"""Checks of the exercises about limits, listings and the bytes of files (1 to 5)."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterator

from rawfuse.trace.exchanges import Exchange
from rawfuse.wire import DirentPlus, Read, Write, fuse_init_out
from rawfuse.wire.dirent import Dirent

from .skeletons import listing, reading
from .trial import Finding, Trial, errno_of

__all__ = ["copying", "limits", "listings", "reads", "writes"]

_KIB = 1 << 10


def limits(trial: Trial) -> Iterator[Finding]:
    """Exercise 1."""
    (init,) = trial.of("INIT")
    answer = init.value
    assert isinstance(answer, fuse_init_out)
    for member, wanted, hint in (
        ("max_write", 64 * _KIB, "`max_write` counts bytes."),
        ("max_readahead", 32 * _KIB, "`max_readahead` counts bytes. None takes what the kernel offers."),
        ("time_gran", 1_000_000_000, "`time_gran` counts nanoseconds; a second has 1000000000."),
    ):
        has = getattr(answer, member)
        yield Finding(
            has == wanted,
            f"The answer to INIT says {member}={has}" + ("." if has == wanted else f", not {wanted}."),
            hint,
            init,
        )
    ran = trial.shell("dd if=/dev/zero of=mnt/zeros bs=256K count=1 status=none")
    sizes = [len(one.request.data) for one in trial.of("WRITE", ran=ran) if isinstance(one.request, Write)]
    yield Finding(
        sizes == [64 * _KIB] * 4,
        f"256 KiB were written in WRITEs of {', '.join(map(str, sizes)) or 'no'} bytes.",
        "Four of 65536 were to be expected.",
    )


def listings(trial: Trial) -> Iterator[Finding]:
    """Exercise 2."""
    ran = trial.shell("ls -U mnt")
    asked = trial.of("READDIR|READDIRPLUS", "/", ran=ran)
    failed = next((one for one in asked if one.error), None)
    yield Finding(failed is None, "READDIR is answered without an error.", f"It was {errno_of(failed)}.", failed)
    names = [name for one in asked for name in _names(one)]
    yield Finding(bool(names), "The listing has names.", "An empty answer is the end of the listing.", asked[0])
    twice = next((one for one in asked if (set(_names(one)) & set(_before(asked, one)))), None)
    yield Finding(
        twice is None,
        "No name came twice." if twice is None else "Names came twice.",
        "The kernel asks for what is behind the cookie `offset`. The cookie (`off`) of an entry must lead to the entry "
        "behind it, not to itself and not to the beginning.",
        twice,
    )
    missing = sorted(set(listing.STARS) - set(names))
    yield Finding(
        not missing,
        "All names came."
        if not missing
        else f"{len(missing)} of {len(listing.STARS)} never came, such as {missing[0].decode()}.",
        "Stop at the first entry that does not fit (`add` gives False), and begin with that one the next time.",
        asked[-1],
    )
    shown = ran.text.split()
    yield Finding(
        ran.status == 0 and sorted(shown) == sorted(name.decode() for name in listing.STARS),
        f"`ls` shows {len(shown)} names.",
        "The names in the answers are right, and yet `ls` says something else. Is a cookie 0, or do two have the same?",
    )


def _names(exchange: Exchange) -> list[bytes]:
    value = exchange.value if isinstance(exchange.value, list) else []
    entries = [one.dirent if isinstance(one, DirentPlus) else one for one in value]
    return [one.name for one in entries if isinstance(one, Dirent) and one.name not in (b".", b"..")]


def _before(exchanges: list[Exchange], last: Exchange) -> list[bytes]:
    return [name for one in exchanges[: exchanges.index(last)] for name in _names(one)]


_PIECES = """\
import os
fd = os.open("mnt/numbers", os.O_RDONLY)
print(os.pread(fd, 11, 4093), os.pread(fd, 100, 799_990), os.pread(fd, 10, 800_000))
"""


def reads(trial: Trial) -> Iterator[Finding]:
    """Exercise 3."""
    text = b"".join(map(reading.line, range(reading.LINES)))
    ran = trial.shell("md5sum < mnt/numbers")
    for one in trial.of("READ", "/numbers", ran=ran):
        finding = _read(one, text)
        if not finding.good:
            yield finding
    right = hashlib.md5(text, usedforsecurity=False).hexdigest() in ran.text
    yield Finding(right, f"The file is {'' if right else 'not '}what it should be: `md5sum` says {ran.text.strip()}.")
    ran = trial.python(_PIECES)
    wanted = f"{text[4093:4104]!r} {text[799_990:]!r} b''"
    yield Finding(ran.text.strip() == wanted, "Pieces that begin in the middle of a line are right.", ran.text)


_TOO_LONG = "An answer longer than `request.arg.size` cannot be sent; rawfuse makes it EIO."


def _read(one: Exchange, text: bytes) -> Finding:
    request, found = one.request, one.value if isinstance(one.value, bytes) else b""
    assert isinstance(request, Read)
    start, size = request.arg.offset, request.arg.size
    what = f"READ of {size} bytes at {start}"
    if one.error:
        hint = (
            "An answer longer than `request.arg.size` cannot be sent; rawfuse makes it EIO."
            if one.error == errno.EIO
            else ""
        )
        return Finding(False, f"{what} was answered with {errno_of(one)}.", hint, one)
    right = text[start : start + size]
    if found == right:
        return Finding(True, what)
    if len(found) < len(right) and right.startswith(found):
        hint = "A short answer is the end of the file for the kernel."
        return Finding(False, f"{what} was answered with {len(found)} bytes, not {len(right)}.", hint, one)
    at = text.find(found[:64]) if len(found) >= 64 else -1
    hint = f"These bytes belong at offset {at}, not at {start}: look at `request.arg.offset`." if at >= 0 else ""
    return Finding(False, f"{what} was answered with the wrong bytes: {found[:16]!r}.", hint, one)


def writes(trial: Trial) -> Iterator[Finding]:
    """Exercise 4."""
    for line, wanted in (
        ("printf 'hello world' > mnt/note", b"hello world"),
        ("printf J | dd of=mnt/note conv=notrunc status=none", b"Jello world"),
        ("printf '!' >> mnt/note", b"Jello world!"),
        ("printf hi > mnt/note", b"hi"),
        ("printf x | dd of=mnt/note bs=1 seek=5 conv=notrunc status=none", b"hi\0\0\0x"),
        ("truncate -s 8 mnt/note", b"hi\0\0\0x\0\0"),
    ):
        ran = trial.shell(line)
        failed = next((one for one in trial.of("WRITE|SETATTR", "/note", ran=ran) if one.error), None)
        if failed is not None:
            hint = "A WRITE is answered with a fuse_write_out." if errno_of(failed) == "EIO" else ""
            yield Finding(False, f"`{line}` failed: {errno_of(failed)}.", hint, failed)
        has = trial.python("import os; print(os.read(os.open('mnt/note', os.O_RDONLY), 100))").text.strip()
        cut = "truncate" in line or has.startswith(repr(wanted)[:-1])
        asked = trial.of("SETATTR" if cut else "WRITE", "/note", ran=ran)
        yield Finding(
            has == repr(wanted),
            f"After `{line}` the note is {has}" + ("." if has == repr(wanted) else f", not {wanted!r}."),
            _CUT if cut else _PLACED,
            asked[-1] if asked else None,
        )


_PLACED = "`request.data` belongs at `request.arg.offset`, and nothing else changes."
_CUT = "The length is SETATTR's: FATTR_SIZE is among `valid`, and `size` says it. The answer must already show it."

_RANGE = """\
import os
source = os.open("mnt/big", os.O_RDONLY)
target = os.open("mnt/part", os.O_RDWR | os.O_CREAT)
os.write(target, b"-" * 20)
print(os.copy_file_range(source, target, 7, 701, 5), os.copy_file_range(source, target, 100, 588_890, 15))
print(os.pread(target, 100, 0))
"""


def copying(trial: Trial) -> Iterator[Finding]:
    """Exercise 5."""
    ran = trial.shell(
        "seq 100000 | dd of=mnt/big bs=64K iflag=fullblock status=none; cp mnt/big mnt/copy && cmp mnt/big mnt/copy"
    )
    asked = trial.of(_COPIES, ran=ran)
    failed = next((one for one in asked if one.error), None)
    said = "cp is answered with a copy." if failed is None else f"The copy was answered with {errno_of(failed)}."
    absent = "`copy` must give back a number; None means absent here." if errno_of(failed) == "ENOSYS" else ""
    yield Finding(bool(asked) and failed is None, said, absent, failed)
    said = "The copy is the same." if not ran.status else f"The copy is another: {ran.text.strip()}."
    hint = "All `arg.len` bytes are to be copied, and the answer is the count of those that really were."
    yield Finding(not ran.status, said, hint, asked[0])
    reads = trial.of("READ", "/big", ran=ran)
    yield Finding(not any(_while(one, asked) for one in reads), "Nothing was read while it was copied.")
    ran = trial.python(_RANGE)
    asked = trial.of(_COPIES, ran=ran)
    text = "".join(f"{number}\n" for number in range(1, 100_001)).encode()
    wanted = b"-----" + text[701:708] + b"---" + text[588_890:]
    counts, has = (ran.text.splitlines() + ["", ""])[:2]
    said = "Parts of a file are copied to their places."
    if has != repr(wanted):
        said = f"After two copies of parts the file is {has}, not {wanted!r}."
    hint = "`arg.off_in` is where to begin in the source, `arg.off_out` where to begin in the target."
    yield Finding(has == repr(wanted), said, hint, asked[-1] if asked else None)
    said = f"copy_file_range(2) returned {' and '.join(counts.split())}; 7 and {len(text) - 588_890} were to be copied."
    yield Finding(counts == f"7 {len(text) - 588_890}", said)


_COPIES = "COPY_FILE_RANGE_64|COPY_FILE_RANGE"


def _while(one: Exchange, asked: list[Exchange]) -> bool:
    return any(copy.time <= one.time <= copy.time + (copy.latency or 0) for copy in asked)
