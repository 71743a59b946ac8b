"""Rules of `rawfuse trace --fault`: what they say, when they strike."""

from __future__ import annotations

import errno
import random
import sys

import pytest

from rawfuse.wire import constants as c
from rawfuse.wire import fuse_out_header, fuse_write_out
from tools.trace.faults import BadFault, Faults, parse_fault, shortened


@pytest.mark.parametrize(
    ("text", "attribute", "value"),
    [
        ("WRITE error=EIO", "error", errno.EIO),
        ("WRITE error=28", "error", errno.ENOSPC),
        ("READ delay=50ms", "delay", 0.05),
        ("READ delay=2s", "delay", 2.0),
        ("READ delay=2", "delay", 2.0),
        ("read drop", "drop", True),
        ("READ short=0", "short", 0),
        ("READ every=3 error=EIO", "every", 3),
        ("READ after=7 error=EIO", "after", 7),
        ("READ chance=10% error=EIO", "chance", 10.0),
        ("READ times=1 error=EIO", "times", 1),
        ("READ first=3 error=EIO", "first", 3),
        ("READ path=/d/*.db error=EIO", "path", "/d/*.db"),
        ("READ delay=10ms-2s", "longest", 2.0),
        ("* short=9", "short", 9),
        ("READ,GETATTR short=9", "opcodes", frozenset({c.FUSE_READ})),
        ("READ,WRITE error=EIO", "opcodes", frozenset({c.FUSE_READ, c.FUSE_WRITE})),
        ("READDIR* error=EIO", "opcodes", frozenset({c.FUSE_READDIR, c.FUSE_READDIRPLUS})),
    ],
)
def test_a_rule_is_read(text: str, attribute: str, value: object) -> None:
    assert getattr(parse_fault(text), attribute) == value


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "begins with the opcodes"),
        ("READ", "one of error="),
        ("READ error=EIO drop", "one of error="),
        ("LOKUP error=EIO", "no opcode is called 'LOKUP'"),
        ("FORGET error=EIO", "FORGET is never answered"),
        ("READ error=EWHAT", "no errno"),
        ("READ error=512", "no errno"),
        ("READ every=0 drop", "a number of requests"),
        ("READ every=x drop", "every=x"),
        ("READ chance=0% drop", "a part of a hundred"),
        ("READ delay=0s", "a time"),
        ("READ short=-1", "a number of bytes"),
        ("GETATTR short=1", "replies that can be short"),
        ("READ path=a.db drop", "a pattern from the root"),
        ("READ delay=2s-1s", "a time, or one between two"),
        ("READ delay=5m", "a time"),
        ("READ often drop", "'often' is not one of"),
        ("READ drop=1", "'drop=1' is not one of"),
    ],
)
def test_a_rule_that_cannot_be_says_why(text: str, says: str) -> None:
    with pytest.raises(BadFault, match=says):
        parse_fault(text)


@pytest.mark.parametrize(
    ("rule", "struck"),
    [
        ("READ error=EIO", [1, 2, 3, 4, 5, 6]),
        ("READ every=3 error=EIO", [3, 6]),
        ("READ after=4 error=EIO", [5, 6]),
        ("READ times=2 error=EIO", [1, 2]),
        ("READ first=2 error=EIO", [1, 2]),
        ("READ after=1 first=4 every=2 error=EIO", [3, 5]),
        ("READ after=1 every=2 times=1 error=EIO", [3]),
        ("WRITE error=EIO", []),
    ],
)
def test_a_rule_strikes_when_it_says(rule: str, struck: list[int]) -> None:
    faults = Faults([parse_fault(rule)])
    assert [number for number in range(1, 7) if faults.striking(c.FUSE_READ)] == struck


def test_chance_is_that_of_the_seed() -> None:
    def struck(seed: int) -> list[bool]:
        faults = Faults([parse_fault("READ chance=30% drop")], seed)
        return [faults.striking(c.FUSE_READ) is not None for _ in range(200)]

    assert struck(1) == struck(1) != struck(2)
    assert 30 < sum(struck(random.Random(0).randrange(100))) < 90


def test_the_first_rule_that_strikes_counts() -> None:
    first, second = parse_fault("READ every=2 drop"), parse_fault("READ error=EIO")
    faults = Faults([first, second])
    assert [faults.striking(c.FUSE_READ) for _ in range(4)] == [second, first, second, first]


def test_a_path_is_any_that_the_request_is_about() -> None:
    faults = Faults([parse_fault("RENAME2 path=/d/*.db drop")])
    assert faults.by_path
    seen = [(b"/d/a.db", b""), (b"/a.db", b"/d/b.db"), (b"/a.db", b"/b.db"), (b"", b""), ()]
    assert [faults.striking(c.FUSE_RENAME2, paths) is not None for paths in seen] == [True, True, False, False, False]
    assert not Faults([parse_fault("READ drop")]).by_path


def test_a_delay_between_two_is_that_of_the_seed() -> None:
    rule = parse_fault("READ delay=10ms-20ms")
    one, other = Faults([rule], 1), Faults([rule], 1)
    drawn = [one.delay(rule) for _ in range(50)]
    assert drawn == [other.delay(rule) for _ in range(50)]
    assert 0.01 <= min(drawn) < max(drawn) <= 0.02


@pytest.mark.parametrize(
    ("opcode", "body", "most", "left"),
    [
        (c.FUSE_READ, b"content", 3, b"con"),
        (c.FUSE_READ, b"content", 9, b"content"),
        (c.FUSE_WRITE, fuse_write_out(size=4096).pack(), 512, fuse_write_out(size=512).pack()),
        (c.FUSE_WRITE, fuse_write_out(size=100).pack(), 512, fuse_write_out(size=100).pack()),
        (c.FUSE_COPY_FILE_RANGE_64, (1 << 40).to_bytes(8, sys.byteorder), 5, (5).to_bytes(8, sys.byteorder)),
    ],
)
def test_a_short_reply_stays_well_formed(opcode: int, body: bytes, most: int, left: bytes) -> None:
    reply = fuse_out_header(len=16 + len(body), unique=4).pack() + body
    assert shortened(reply, opcode, most) == fuse_out_header(len=16 + len(left), unique=4).pack() + left


def test_an_error_is_not_shortened() -> None:
    reply = fuse_out_header(len=16, error=-5, unique=4).pack()
    assert shortened(reply, c.FUSE_READ, 0) == reply
