"""Rules of `rawfuse trace --fault`: what they say, when they strike."""

from __future__ import annotations

import errno
import random

import pytest

from rawfuse.wire import constants as c
from tools.trace.faults import BadFault, Faults, parse_fault


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
