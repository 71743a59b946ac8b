"""Sizes by minor, both roles: what a kernel sends that was told a minor, and what it wants back (Linux 6.18)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rawfuse.errors import LocalProtocolError, RemoteProtocolError
from rawfuse.session.negotiation import Preferences, negotiate
from rawfuse.wire import (
    REQUESTS,
    STRUCTS,
    BatchForget,
    Init,
    Rename2,
    Request,
    SetXAttr,
    decode_reply,
    decode_request,
    encode_reply,
    encode_request,
    fuse_init_in,
    fuse_setxattr_in,
)
from rawfuse.wire.flags import InitFlags
from rawfuse.wire.opcodes import OPERATIONS, Array, Fixed, Operation, Payload
from rawfuse.wire.opcodes import Name as NamePart

OPS: dict[str, Any] = json.loads((Path(__file__).with_name("data") / "fuse-ops-7.45.json").read_text())
SIZES: dict[str, list[list[int]]] = {entry["struct"]: entry["sizes"] for entry in OPS["versioned_sizes"]}
MINORS = range(1, 46)


def size_then(struct: str, minor: int) -> int:
    """What was measured: the size of a struct where ``minor`` was agreed on."""
    if struct == "fuse_setxattr_in" or struct not in SIZES:
        return STRUCTS[struct].SIZE
    return [size for first, size in SIZES[struct] if first <= minor][-1]


def filled(struct: str, size: int) -> Any:
    """A struct whose first ``size`` bytes are ones and whose rest is zero, as far as members reach."""
    cls: Any = STRUCTS[struct]
    return cls.unpack_from((b"\x01" * size).ljust(cls.SIZE, b"\0"))


def request_of(operation: Operation, minor: int) -> Request:
    values: dict[str, Any] = {"unique": 6, "nodeid": 1}
    for part in operation.body:
        match part:
            case Fixed(struct):
                values["arg"] = filled(struct, size_then(struct, minor))
            case NamePart(attribute):
                values[attribute] = b"name"
            case Payload(attribute):
                values[attribute] = b"data"
            case Array(attribute):
                values[attribute] = []
    cls: Any = REQUESTS[operation.opcode]
    return cls(**values)  # type: ignore[no-any-return]


SENT = [
    operation for operation in OPERATIONS if operation.name not in ("FUSE_RENAME2", "FUSE_BATCH_FORGET", "FUSE_INIT")
]
FIXED_REPLIES = [operation for operation in OPERATIONS if operation.reply.kind == "fixed"]


@pytest.mark.parametrize("operation", SENT, ids=lambda operation: operation.label)
def test_a_request_is_as_long_as_the_agreed_minor_says_and_read_back(operation: Operation) -> None:
    for minor in MINORS:
        request = request_of(operation, minor)
        message = encode_request(request, minor)
        fixed = sum(size_then(part.struct, minor) for part in operation.body if isinstance(part, Fixed))
        names = 5 * sum(isinstance(part, NamePart) for part in operation.body)
        data = 4 * sum(isinstance(part, Payload) for part in operation.body)
        assert len(message) == 40 + fixed + names + data
        assert decode_request(bytearray(message), len(message), minor, True) == request


@pytest.mark.parametrize("operation", FIXED_REPLIES, ids=lambda operation: operation.label)
def test_a_reply_is_as_long_as_the_agreed_minor_says_and_read_back(operation: Operation) -> None:
    for minor in MINORS:
        request = request_of(operation, minor)
        structs = [filled(name, size_then(name, minor)) for name in operation.reply.structs]
        body = encode_reply(request, structs, minor)
        assert len(body) == sum(size_then(name, minor) for name in operation.reply.structs)
        value = decode_reply(request, body, minor)
        assert value == (structs[0] if len(structs) == 1 else tuple(structs))


@pytest.mark.parametrize(("struct", "minor"), [(name, at - 1) for name, sizes in SIZES.items() for at, _ in sizes[1:]])
def test_the_newer_size_is_refused_where_the_older_minor_was_agreed_on(struct: str, minor: int) -> None:
    replies = [operation for operation in FIXED_REPLIES if operation.reply.structs == (struct,)]
    for operation in replies:
        request = request_of(operation, minor)
        with pytest.raises(LocalProtocolError, match="bytes where"):
            encode_reply(request, STRUCTS[struct]().pack(), minor)
        with pytest.raises(RemoteProtocolError, match="bytes where"):
            decode_reply(request, STRUCTS[struct]().pack(), minor)
    assert replies or struct.endswith("_in") or struct == "fuse_init_out"


@pytest.mark.parametrize("minor", MINORS)
def test_init_is_as_long_as_the_kernel_of_that_minor_has_it(minor: int) -> None:
    size = size_then("fuse_init_in", minor)
    init = Init(unique=2, arg=filled("fuse_init_in", size))
    message = encode_request(init, minor)
    assert len(message) == 40 + size
    assert decode_request(bytearray(message), len(message), 0, False) == init


@pytest.mark.parametrize("minor", MINORS)
def test_the_reply_to_init_is_as_long_as_that_minor_has_it(minor: int) -> None:
    size = size_then("fuse_init_out", minor)
    out = filled("fuse_init_out", size)
    body = encode_reply(Init(unique=2), out, minor)
    assert len(body) == size
    assert decode_reply(Init(unique=2), body, minor) == out


@pytest.mark.parametrize("size", [8, 16, 24, 64])
def test_the_reply_to_init_may_have_8_to_64_bytes_at_any_minor(size: int) -> None:
    for minor in MINORS:
        assert decode_reply(Init(), bytes(size), minor) is not None


@pytest.mark.parametrize("size", [0, 7, 65])
def test_the_reply_to_init_may_have_no_other_length(size: int) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_reply(Init(), bytes(size))


@pytest.mark.parametrize("minor", MINORS)
def test_setxattr_goes_by_its_init_flag_alone(minor: int) -> None:
    short, long = SIZES["fuse_setxattr_in"][0][1], STRUCTS["fuse_setxattr_in"].SIZE
    for extended, size in ((False, short), (True, long)):
        request = SetXAttr(unique=2, nodeid=1, arg=fuse_setxattr_in(flags=1), name=b"user.a", value=b"v")
        message = encode_request(request, minor, setxattr_ext=extended)
        assert len(message) == 40 + size + 7 + 1
        assert decode_request(bytearray(message), len(message), minor, extended) == request


@pytest.mark.parametrize(("request_", "first"), [(BatchForget(), 16), (Rename2(name=b"a", newname=b"b"), 23)])
def test_what_the_kernel_holds_back_below_a_minor_is_not_encoded(request_: Request, first: int) -> None:
    encode_request(request_, first)
    with pytest.raises(LocalProtocolError, match=f"minor {first - 1}"):
        encode_request(request_, first - 1)


@pytest.mark.parametrize(("minor", "given"), [(36, False), (37, False), (38, True), (45, True)])
def test_security_contexts_are_asked_for_only_where_total_extlen_counts_them(minor: int, given: bool) -> None:
    offer = fuse_init_in(7, minor, 0, InitFlags.FUSE_INIT_EXT, InitFlags.FUSE_SECURITY_CTX >> 32)
    agreed, answer = negotiate(offer, Preferences(wants=InitFlags.FUSE_SECURITY_CTX))
    assert bool(agreed.flags & InitFlags.FUSE_SECURITY_CTX) == given
    assert bool(answer.flags2 & InitFlags.FUSE_SECURITY_CTX >> 32) == given
