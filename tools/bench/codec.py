"""Rows without a device: what a message costs to read and to write, and what the session adds to that.

Each case is measured three ways in turns: our lowered codec, the Construct declaration that it is lowered from,
interpreted, and one `struct` call written by hand for the purpose, with the least around it that leaves the values in
names. Ours alone makes a request or struct of them, and checks what came.
"""

# ruff: noqa: E741, RUF059 - what is read by hand is only given names

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct as Layout
from time import perf_counter
from typing import Any

from rawfuse.session import KernelSession, ServerSession
from rawfuse.wire import (
    GetAttr,
    Lookup,
    WireStruct,
    Write,
    decode_request,
    encode_request,
    fuse_attr,
    fuse_attr_out,
    fuse_entry_out,
    fuse_getattr_in,
    fuse_write_in,
)

from .ground import Ground, Samples
from .machine import on_one_cpu

CALLS = 1_000  # in a run, of the quick ways; Construct gets a tenth
RUNS = 61  # short and many, in turns: whatever else the machine does meets both alike
MESSAGES = 20_000
MINOR = 45
NAME = b"some-name.txt"
DATA = bytes(4096)
ENOENT = 2
Call = Callable[[], object]

_HEAD = Layout("=IIQQIIIHH")
_GETATTR = Layout("=IIQQIIIHHIIQ")
_WRITE = Layout("=IIQQIIIHHQQIIQII")
_ENTRY = Layout("=QQQQIIQQQQQQIIIIIIIIII")
_ATTR = Layout("=QIIQQQQQQIIIIIIIIII")


@dataclass(frozen=True, slots=True)
class Case:
    """One message, one direction."""

    name: str
    ours: Call
    construct: Call
    by_hand: Call


def requests() -> list[Case]:
    """Reading and writing of requests: header, fixed part, name or data."""
    from construct import Bytes, CString, Struct, this  # which nothing else in the bench needs

    from rawfuse.wire.schema import SCHEMAS

    head, getattr_in, write_in = (SCHEMAS[name] for name in ("fuse_in_header", "fuse_getattr_in", "fuse_write_in"))
    schemas: dict[type, Any] = {
        Lookup: Struct("head" / head, "name" / CString("ascii")),
        GetAttr: Struct("head" / head, "arg" / getattr_in),
        Write: Struct("head" / head, "arg" / write_in, "data" / Bytes(this.arg.size)),
    }
    lookup = Lookup(6, 1 << 40, 1000, 1000, 4711, NAME)
    attributes = GetAttr(8, 1 << 40, 1000, 1000, 4711, fuse_getattr_in(1, 7))
    write = Write(10, 1 << 40, 1000, 1000, 4711, fuse_write_in(7, 1 << 33, 4096, 0, 0, 0o100001), DATA)
    cases = []
    for request, read, written in (
        (lookup, _read_lookup, _write_lookup),
        (attributes, _read_getattr, _write_getattr),
        (write, _read_write, _write_write),
    ):
        message = encode_request(request)
        schema = schemas[type(request)]
        parsed = schema.parse(message)
        label = type(request).__name__.upper()
        buffer = bytearray(message) + bytes(4096)
        cases.append(
            Case(
                f"parse {label}", _reading(buffer, len(message)), _parsing(schema, message), read(buffer, len(message))
            )
        )
        cases.append(Case(f"build {label}", _writing(request), _building(schema, parsed), written))
    return cases


def structs() -> list[Case]:
    """Reading and writing of the two structs that most replies are made of."""
    from rawfuse.wire.schema import SCHEMAS

    attr = fuse_attr(
        1 << 33, 5 << 30, 10 << 20, 1763723580, 1763723581, 1763723582, 999, 999, 999, 0o100644, 1, 1000, 1000, 0, 4096
    )
    cases = []
    for value, layout, read, written in (
        (fuse_entry_out(1 << 40, 1, 1, 1, 0, 0, attr), _ENTRY, _read_entry, _write_entry),
        (fuse_attr_out(1, 0, attr), _ATTR, _read_attr, _write_attr),
    ):
        name = type(value).__name__
        packed = value.pack()
        schema: Any = SCHEMAS[name]
        parsed = schema.parse(packed)
        cases.append(Case(f"parse {name}", _unpacking(type(value), packed), _parsing(schema, packed), read(packed)))
        cases.append(Case(f"build {name}", value.pack, _building(schema, parsed), written(layout.unpack(packed))))
    return cases


def _reading(buffer: bytearray, length: int) -> Call:
    return lambda: decode_request(buffer, length, MINOR, True)


def _writing(request: Lookup | GetAttr | Write) -> Call:
    return lambda: encode_request(request)


def _unpacking(cls: type[WireStruct], packed: bytes) -> Call:
    return lambda: cls.unpack_from(packed)


def _parsing(schema: Any, message: bytes) -> Call:
    return lambda: schema.parse(message)


def _building(schema: Any, parsed: Any) -> Call:
    return lambda: schema.build(parsed)


def _read_lookup(buffer: bytearray, length: int) -> Call:
    def call() -> object:
        size, opcode, unique, nodeid, uid, gid, pid, extlen, _ = _HEAD.unpack_from(buffer)
        return bytes(buffer[40 : length - 1])

    return call


def _write_lookup() -> object:
    return _HEAD.pack(41 + len(NAME), 1, 6, 1 << 40, 1000, 1000, 4711, 0, 0) + NAME + b"\0"


def _read_getattr(buffer: bytearray, length: int) -> Call:
    def call() -> None:
        size, opcode, unique, nodeid, uid, gid, pid, extlen, _, flags, _, fh = _GETATTR.unpack_from(buffer)

    return call


def _write_getattr() -> object:
    return _GETATTR.pack(56, 3, 8, 1 << 40, 1000, 1000, 4711, 0, 0, 1, 0, 7)


def _read_write(buffer: bytearray, length: int) -> Call:
    def call() -> object:
        head = _WRITE.unpack_from(buffer)
        size, opcode, unique, nodeid, uid, gid, pid, extlen, _, fh, offset, count, write_flags, owner, flags, _ = head
        return memoryview(buffer)[80:length]

    return call


def _write_write() -> object:
    return (
        _WRITE.pack(80 + len(DATA), 16, 10, 1 << 40, 1000, 1000, 4711, 0, 0, 7, 1 << 33, 4096, 0, 0, 0o100001, 0) + DATA
    )


def _read_entry(packed: bytes) -> Call:
    def call() -> None:
        a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v = _ENTRY.unpack_from(packed)

    return call


def _write_entry(values: tuple[int, ...]) -> Call:
    return lambda: _ENTRY.pack(*values)


def _read_attr(packed: bytes) -> Call:
    def call() -> None:
        a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s = _ATTR.unpack_from(packed)

    return call


def _write_attr(values: tuple[int, ...]) -> Call:
    return lambda: _ATTR.pack(*values)


def timed(call: Call, calls: int) -> float:
    """Microseconds a call."""
    begin = perf_counter()
    for _ in range(calls):
        call()
    return (perf_counter() - begin) / calls * 1e6


def beside_construct(ground: Ground) -> Samples:
    return _worst(ground, lambda case: case.construct, 10)


def beside_struct(ground: Ground) -> Samples:
    return _worst(ground, lambda case: case.by_hand, 1)


def _worst(ground: Ground, reference: Callable[[Case], Call], slower: int) -> Samples:
    """The samples of the case with the worst ratio; the note has the ratios of all."""
    calls = ground.settings.count(CALLS)
    samples: dict[str, Samples] = {}
    with on_one_cpu([]):
        for case in (*requests(), *structs()):
            other = reference(case)
            samples[case.name] = taken = Samples([], [])
            for _ in ground.settings.times(RUNS):
                taken.ours.append(timed(case.ours, calls))
                taken.reference.append(timed(other, max(1, calls // slower)))
    ratios = {name: _ratio(taken) for name, taken in samples.items()}
    worst = max(ratios, key=lambda name: ratios[name])
    note = ", ".join(f"{name} {ratio:.2g}" for name, ratio in ratios.items())
    return Samples(samples[worst].ours, samples[worst].reference, f"shown is {worst}, the worst of: {note}")


def _ratio(samples: Samples) -> float:
    return statistics.median(samples.ours) / statistics.median(samples.reference)


def session(ground: Ground) -> Samples:
    """LOOKUPs of absent names and GETATTRs in turns: bytes in, the answer's bytes out."""
    count = ground.settings.count(MESSAGES)
    server = ServerSession()
    init = bytearray(KernelSession().init())
    server.receive(init, len(init))
    messages = [bytearray(encode_request(request)) for request in (Lookup(6, 1, 0, 0, 9, NAME), GetAttr(8, 1, 0, 0, 9))]
    answer = fuse_attr_out(1, 0, fuse_attr(1, mode=0o40755, nlink=2)).pack()

    def ours() -> float:
        lookup, attributes = messages
        begin = perf_counter()
        for _ in range(count // 2):
            request = server.receive(lookup, len(lookup))
            assert request is not None
            server.error(request.unique, ENOENT)
            request = server.receive(attributes, len(attributes))
            assert request is not None
            server.reply(request, answer)
        return count / (perf_counter() - begin)

    def by_hand() -> float:
        lookup, attributes = messages
        unpack, pack = _HEAD.unpack_from, Layout("=IiQ").pack
        begin = perf_counter()
        for _ in range(count // 2):
            unique, _name = unpack(lookup)[2], bytes(lookup[40:-1])
            pack(16, -ENOENT, unique)
            unique = _GETATTR.unpack_from(attributes)[2]
            pack(120, 0, unique) + answer
        return count / (perf_counter() - begin)

    with on_one_cpu([]):
        taken = Samples([], [])
        for _ in ground.settings.times(RUNS):
            taken.ours.append(ours())
            taken.reference.append(by_hand())
    return taken
