"""What is mutated: messages recorded between Linux and a server, and messages made from the opcode table.

`corpus.txt` is text. Lines that are empty or begin with ``#`` say nothing; every other line is one whole message,
``R`` (read from the device: a request) or ``W`` (written to it: a reply or a notification), a space, and the message in
hexadecimal, little-endian as it was. A reply comes after its request, not always next. `record.py` makes the file.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from random import Random
from typing import Any, Final

from rawfuse.wire import (
    NOTIFICATION_CLASSES,
    REQUESTS,
    STRUCTS,
    Notification,
    Request,
    SecurityContext,
    SecurityContexts,
    SupplementaryGroups,
    WireStruct,
    encode_notification,
    encode_request,
)
from rawfuse.wire.opcodes import NOTIFICATIONS, OPERATIONS, Array, Body, Fixed, Name, Operation, Payload

__all__ = ["Corpus", "EDGES", "edge", "numbers", "random_struct", "recorded"]

EDGES: Final = (0, 1, 2, 7, 8, 40, 255, 256, 4095, 4096, 4097, 65536, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32,
                (1 << 63) - 1, 1 << 63, (1 << 64) - 1)  # fmt: skip
"""Numbers at which things change."""

_SIGNED: Final = {"i": 32, "q": 64}
_UNSIGNED: Final = {"B": 8, "H": 16, "I": 32, "Q": 64}
_VARIANTS: Final = 12


def recorded() -> list[tuple[str, bytes]]:
    """The recorded messages: ``("R" or "W", message)``. None on a machine of the other byte order."""
    if sys.byteorder != "little":
        return []
    lines = files(__package__).joinpath("corpus.txt").read_text("ascii").splitlines()
    pairs = [line.split(" ", 1) for line in lines if line and not line.startswith("#")]
    return [(kind, bytes.fromhex(text)) for kind, text in pairs]


def edge(random: Random, bits: int) -> int:
    """A number of so many bits, at an edge as often as not."""
    kind = random.random()
    if kind < 0.4:
        return random.choice(EDGES) & ((1 << bits) - 1)
    if kind < 0.8:
        return random.getrandbits(min(bits, 12))
    return random.getrandbits(bits)


@cache
def numbers(struct: str) -> tuple[tuple[str, str, int], ...]:
    """The members of a struct: ``(name, code, size in bytes)``; code "" for a struct inside, named in its place."""
    # Construct is read here, which costs 0.2 s; the codecs do not need it.
    from rawfuse.wire.layout import layout_of
    from rawfuse.wire.schema import SCHEMAS

    layout = layout_of(SCHEMAS)[struct]
    return tuple(
        (member.name, "" if member.struct is not None else member.code, member.size) for member in layout.fields
    )


@cache
def _nested(struct: str) -> dict[str, str]:
    from rawfuse.wire.layout import layout_of
    from rawfuse.wire.schema import SCHEMAS

    return {member.name: member.struct for member in layout_of(SCHEMAS)[struct].fields if member.struct is not None}


def random_struct(random: Random, struct: str) -> WireStruct:
    """A struct of that C name, numbers at random, at edges mostly."""
    values: dict[str, Any] = {}
    for name, code, size in numbers(struct):
        if not code:
            values[name] = random_struct(random, _nested(struct)[name])
        elif code in _SIGNED:
            bits = _SIGNED[code]
            values[name] = edge(random, bits) - (1 << bits - 1)
        elif code in _UNSIGNED:
            values[name] = edge(random, _UNSIGNED[code])
        else:
            values[name] = random.randbytes(size)
    cls: Any = STRUCTS[struct]
    made: WireStruct = cls(**values)
    return made


def _name(random: Random, entry: bool) -> bytes:
    if random.random() < 0.6:
        return b"n%d" % random.randrange(8)
    if random.random() < 0.2:
        name = random.choice((b".", b"..", b"/", b"a/b", b"\xff\xfe", b"x" * 255, b"x" * 256, b"y" * 4095))
    else:
        name = random.randbytes(random.randrange(1, 30)).replace(b"\0", b"0")
    return name.replace(b"/", b"s") if entry else name


def _fields(random: Random, body: Body) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for part in body:
        match part:
            case Fixed(struct):
                fields["arg"] = random_struct(random, struct)
            case Name(attribute, entry):
                fields[attribute] = _name(random, entry)
            case Payload(attribute):
                fields[attribute] = random.randbytes(random.choice((0, 1, 5, 64, 700)))
            case Array(attribute, ""):
                fields[attribute] = [edge(random, 64) for _ in range(random.randrange(5))]
            case Array(attribute, struct):
                fields[attribute] = [random_struct(random, struct) for _ in range(random.randrange(5))]
    return fields


def _extensions(random: Random) -> tuple[SecurityContexts | SupplementaryGroups, ...]:
    contexts = SecurityContexts(
        tuple(SecurityContext(_name(random, False), b"c" * random.randrange(9)) for _ in range(2))
    )
    groups = SupplementaryGroups((edge(random, 32),))
    return random.choice(((), (), (groups,), (contexts,), (contexts, groups)))


def random_request(random: Random, operation: Operation) -> Request:
    """A request of that opcode whose sizes are right and whose numbers are not to be trusted."""
    cls: Any = REQUESTS[operation.opcode]
    fields = _fields(random, operation.body)
    if operation.extensible:
        fields["extensions"] = _extensions(random)
    request: Request = cls(
        nodeid=random.randrange(10) if random.random() < 0.8 else edge(random, 64),
        uid=random.choice((0, 1000)),
        gid=random.choice((0, 1000)),
        pid=random.getrandbits(16),
        **fields,
    )
    return request


class Corpus:
    """All that is there to be mutated; the same for the same `seed`.

    Attributes:
        requests: whole messages, header included, sizes right.
        asked: the same kinds of requests as objects, to be answered.
        notices: whole notifications.
    """

    def __init__(self, seed: object) -> None:
        random = Random(f"corpus {seed}")
        self.asked: list[Request] = []
        self.requests: list[bytes] = []
        for operation in OPERATIONS:
            for _ in range(_VARIANTS):
                request = random_request(random, operation)
                self.requests.append(encode_request(request))
                if operation.request != "Init":
                    self.asked.append(request)
        taped = recorded()
        self.requests += [message for kind, message in taped if kind == "R"]
        self.notices: list[bytes] = [encode_notification(notice) for notice in _notices(random)]
        self.replies: list[bytes] = [message for kind, message in taped if kind == "W"]


def _notices(random: Random) -> Iterator[Notification]:
    for notice in NOTIFICATIONS:
        for _ in range(4):
            cls: Any = NOTIFICATION_CLASSES[notice.code]
            yield cls(**_fields(random, notice.body))
