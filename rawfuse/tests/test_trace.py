"""Traces: written and read back in each format, damaged ones refused, channels recorded."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from rawfuse import Server, wire
from rawfuse.channel import seqpacket_pair
from rawfuse.examples.hello import Hello
from rawfuse.kernel import Kernel
from rawfuse.trace import DamagedTrace, Direction, Recorder, Traced, TracedChannel, read_trace, write_trace
from rawfuse.trace.fusedump import read_fusedump
from rawfuse.trace.opening import FORMATS, trace_writer
from rawfuse.trace.pcapng import PSEUDO_HEADER, PcapngWriter, read_pcapng

DIRECTIONS = st.sampled_from(list(Direction))


@st.composite
def _messages(draw: st.DrawFn) -> Traced:
    """A message as the kernel has them: its own length in its first four bytes."""
    body = draw(st.binary(min_size=12, max_size=120))
    data = struct.pack("=I", 4 + len(body)) + body
    return Traced(draw(st.integers(0, 1 << 62)), draw(DIRECTIONS), data, len(data))


@st.composite
def _in_context(draw: st.DrawFn) -> Traced:
    whole = draw(_messages())
    return whole._replace(
        length=whole.length + draw(st.integers(0, 1 << 20)),
        connection=draw(st.integers(0, (1 << 32) - 1)),
        descriptor=draw(st.integers(0, 9)),
        minor=draw(st.integers(0, 45)),
        setxattr_ext=draw(st.booleans()),
        program=draw(st.binary(max_size=15).filter(lambda name: not name.endswith(b"\0"))),
        byteorder=draw(st.sampled_from(["little", "big"])),
    )


MESSAGES = [
    Traced(1_700_000_000_123_456_789, Direction.TO_SERVER, struct.pack("=I", 20) + b"request.........", 20),
    Traced(1_700_000_000_123_999_999, Direction.TO_KERNEL, struct.pack("=I", 18) + b"reply.........", 18),
]


@given(
    st.lists(st.sampled_from([*MESSAGES, *(one._replace(program=b"p", minor=45) for one in MESSAGES)]) | _in_context())
)
def test_many_at_once_are_the_same_blocks(messages: list[Traced]) -> None:
    one, many = io.BytesIO(), io.BytesIO()
    writer, batch = PcapngWriter(one), PcapngWriter(many)
    for message in messages:
        writer.write(message)
    batch.write_many(messages)
    batch.write_many(messages)
    assert many.getvalue().startswith(one.getvalue())
    assert len(list(read_pcapng(io.BytesIO(many.getvalue()), "t"))) == 2 * len(messages)


@given(st.lists(_in_context(), max_size=6))
def test_pcapng_gives_back_every_field(messages: list[Traced]) -> None:
    file = io.BytesIO()
    writer = PcapngWriter(file, comment="a comment")
    for message in messages:
        writer.write(message)
    file.seek(0)
    assert list(read_pcapng(file, "memory")) == messages


@pytest.mark.parametrize("form", FORMATS)
@given(messages=st.lists(_messages(), max_size=6))
def test_each_format_gives_back_the_messages(form: str, messages: list[Traced]) -> None:
    file = io.BytesIO()
    writer = trace_writer(file, form)
    for message in messages:
        writer.write(message)
    file.seek(0)
    read = list((read_pcapng if form == "pcapng" else read_fusedump)(file, "memory"))
    if form == "fusedump1":
        messages = [message._replace(time=0) for message in messages]
    assert read == messages


@pytest.mark.parametrize("form", FORMATS)
def test_the_format_of_a_file_is_seen(tmp_path: Path, form: str) -> None:
    write_trace(tmp_path / "trace", MESSAGES, form)
    assert [message.data for message in read_trace(tmp_path / "trace")] == [message.data for message in MESSAGES]


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_that_ends_anywhere_gives_what_is_whole(tmp_path: Path, form: str) -> None:
    write_trace(tmp_path / "trace", MESSAGES, form)
    whole = (tmp_path / "trace").read_bytes()
    counts = []
    for end in range(4, len(whole) + 1):
        (tmp_path / "short").write_bytes(whole[:end])
        counts.append(len(list(read_trace(tmp_path / "short"))))
    assert counts == sorted(counts)
    assert counts[0] == 0
    assert counts[-1] == len(MESSAGES)
    assert counts[-2] == len(MESSAGES) - 1


def test_a_pcapng_file_has_the_documented_bytes() -> None:
    file = io.BytesIO()
    PcapngWriter(file).write(MESSAGES[0]._replace(minor=45, connection=7, program=b"cat", setxattr_ext=True))
    data = file.getvalue()
    assert data[:4] == bytes.fromhex("0a0d0d0a")
    section = struct.unpack_from("<I", data, 4)[0]
    kind, size, link = struct.unpack_from("<IIH", data, section)
    assert (kind, link) == (1, 147)
    at = section + size
    kind, size, interface, high, low, captured, original = struct.unpack_from("<IIIIIII", data, at)
    assert (kind, interface, high << 32 | low) == (6, 0, MESSAGES[0].time)
    assert captured == original == PSEUDO_HEADER.size + 20 == 52
    header = data[at + 28 : at + 60]
    order = 1 if MESSAGES[0].byteorder == "little" else 2
    assert header == bytes([1, 1, order, 45, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 1]) + b"cat".ljust(16, b"\0")
    assert at + size == len(data)


def test_a_big_endian_pcapng_file_is_read() -> None:
    file = io.BytesIO()
    PcapngWriter(file).write(MESSAGES[0])
    little = file.getvalue()
    section = struct.unpack_from("<I", little, 4)[0]
    packet = little[-(28 + 52 + 16) :]
    payload = packet[28:80]
    stamp = MESSAGES[0].time
    big = struct.pack(">IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28)
    big += struct.pack(">IIHHIHHB3xI", 1, 28, 147, 0, 0, 9, 1, 9, 28)
    big += struct.pack(">IIIIIII", 6, 84, 0, stamp >> 32, stamp & 0xFFFFFFFF, 52, 52) + payload + struct.pack(">I", 84)
    assert section
    assert list(read_pcapng(io.BytesIO(big), "memory")) == [MESSAGES[0]]


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "neither"),
        (b"PK\x03\x04", "neither"),
        (bytes.fromhex("0a0d0d0a 1c000000 ffffffff") + bytes(16), "byte-order mark"),
        (bytes.fromhex("0a0d0d0a 02000000 4d3c2b1a") + bytes(16), "a block of 2 bytes"),
        (b"R" + struct.pack("=I", 1 << 30), "a message of 1073741824 bytes"),
        (b"R" + struct.pack("=III", 2, 1 << 20, 0), "an item of 1048576 bytes"),
        (b"R" + struct.pack("=I", 16) + bytes(12) + b"X", "begins with R or W"),
    ],
)
def test_another_file_is_refused_and_the_place_named(tmp_path: Path, data: bytes, what: str) -> None:
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(DamagedTrace, match=what) as caught:
        list(read_trace(tmp_path / "file"))
    assert str(tmp_path / "file") in str(caught.value)


@given(st.binary(max_size=300), st.integers(0, 400), st.sampled_from(FORMATS))
def test_a_damaged_trace_is_an_error_or_other_messages(noise: bytes, at: int, form: str) -> None:
    file = io.BytesIO()
    writer = trace_writer(file, form)
    for message in MESSAGES:
        writer.write(message)
    data = bytearray(file.getvalue())
    data[at : at + len(noise)] = noise
    try:
        for read in (read_pcapng if form == "pcapng" else read_fusedump)(io.BytesIO(bytes(data)), "memory"):
            assert read.length >= len(read.data)
    except DamagedTrace as error:
        assert 0 <= error.offset <= len(data)


def test_a_cut_message_cannot_be_a_fusedump() -> None:
    with pytest.raises(ValueError, match="whole messages"):
        trace_writer(io.BytesIO(), "fusedump").write(MESSAGES[0]._replace(length=4096))


async def _recorded(recorder: Recorder) -> None:
    kernels, servers = seqpacket_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Server(Hello(), TracedChannel(servers, recorder)).serve)
        async with Kernel(kernels) as kernel:
            await kernel.init()
            entry = await kernel.call(wire.Lookup(nodeid=1, pid=4711, name=b"hello"))
            assert isinstance(entry, wire.fuse_entry_out)
            await kernel.call(wire.Read(nodeid=entry.nodeid, arg=wire.fuse_read_in(size=4096)))
        nursery.cancel_scope.cancel()


async def test_a_channel_is_recorded_with_its_context() -> None:
    file = io.BytesIO()
    await _recorded(Recorder(PcapngWriter(file), connection=3, program=lambda pid: b"program %d" % pid))
    file.seek(0)
    messages = list(read_pcapng(file, "memory"))
    assert [message.direction for message in messages] == [Direction.TO_SERVER, Direction.TO_KERNEL] * 3
    assert [message.minor for message in messages] == [0] + [45] * 5
    assert {message.connection for message in messages} == {3}
    assert messages[2].program == b"program 4711"
    uniques = [struct.unpack_from("=Q", message.data, 8)[0] for message in messages]
    assert uniques[::2] == uniques[1::2]
    assert messages[5].data.endswith(b"Hello from Python!\n")
    assert [message.time for message in messages] == sorted(message.time for message in messages)


async def test_what_is_agreed_on_in_the_middle_of_a_batch_is_that_of_later_messages_alone() -> None:
    file = io.BytesIO()
    recorder = Recorder(PcapngWriter(file), batch=1000)
    await _recorded(recorder)
    recorder.flush()
    file.seek(0)
    assert [message.minor for message in read_pcapng(file, "memory")] == [0] + [45] * 5


def test_a_name_is_asked_for_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_700_000_000_000_000_000
    monkeypatch.setattr("rawfuse.trace.recorder.time_ns", lambda: now)
    asked: list[int] = []

    def program(pid: int) -> bytes:
        asked.append(pid)
        return b"name %d" % len(asked)

    file = io.BytesIO()
    recorder = Recorder(PcapngWriter(file), program=program)
    for later, pid in ((0, 7), (0, 8), (100_000_000, 7), (100_000_001, 7), (0, 0), (-3_600_000_000_000, 7)):
        now += later
        recorder.request(wire.fuse_in_header(len=40, unique=2, pid=pid).pack())
    assert asked == [7, 8, 7, 7]
    file.seek(0)
    names = [message.program for message in read_pcapng(file, "memory")]
    assert names == [b"name 1", b"name 2", b"name 1", b"name 3", b"", b"name 4"]


async def test_long_messages_are_cut_where_asked() -> None:
    file = io.BytesIO()
    await _recorded(Recorder(PcapngWriter(file), largest=64))
    file.seek(0)
    messages = list(read_pcapng(file, "memory"))
    assert max(len(message.data) for message in messages) == 64
    assert messages[0].cut
    assert messages[0].length == 104
    assert messages[0].minor == 0
    assert messages[-1].minor == 45


LONG = Traced(1_700_000_000_000_000_000, Direction.TO_SERVER, os.urandom(1 << 20), 1 << 20, minor=45)


def _blocks(data: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        found.append(data[at : at + size])
        at += size
    return found


@pytest.mark.parametrize("size", [262112, 262113, 262115, 1 << 20])
@pytest.mark.parametrize("cut", [0, 5])
def test_a_packet_is_no_longer_than_wireshark_takes(size: int, cut: int) -> None:
    message = LONG._replace(data=LONG.data[:size], length=size + cut)
    file = io.BytesIO()
    writer = PcapngWriter(file)
    writer.write(MESSAGES[0])
    writer.write(message)
    writer.write(MESSAGES[0])
    packets = [one for one in _blocks(file.getvalue()) if one[0] == 6]
    assert max(int.from_bytes(one[20:24], "little") for one in packets) <= 262144
    assert int.from_bytes(packets[1][24:28], "little") == PSEUDO_HEADER.size + size + cut
    file.seek(0)
    assert list(read_pcapng(file, "long")) == [MESSAGES[0], message, MESSAGES[0]]


def test_what_another_program_dropped_the_rest_of_is_a_cut_message() -> None:
    file = io.BytesIO()
    PcapngWriter(file).write(LONG)
    kept = b"".join(one for one in _blocks(file.getvalue()) if one[:4] != (0x80465553).to_bytes(4, "little"))
    (found,) = read_pcapng(io.BytesIO(kept), "without")
    assert found.cut
    assert (found.length, found.data) == (1 << 20, LONG.data[: 262144 - PSEUDO_HEADER.size])


def test_a_rest_that_is_longer_than_its_block_is_damage() -> None:
    file = io.BytesIO()
    PcapngWriter(file).write(LONG)
    data = bytearray(file.getvalue())
    at = data.index((0x80465553).to_bytes(4, "little"))
    data[at + 8 : at + 12] = (1 << 30).to_bytes(4, "little")
    with pytest.raises(DamagedTrace, match="a rest of"):
        list(read_pcapng(io.BytesIO(bytes(data)), "damaged"))
