"""`rawfuse decode -w`: from one format of traces into another."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rawfuse import wire
from rawfuse.trace.opening import read_trace, write_trace
from rawfuse.trace.record import Direction, Traced
from tools.decode.command import main
from tools.tests.made_traces import Made, everything


def converted(source: Path, form: str, *words: str) -> Path:
    target = source.with_suffix(f".{form}")
    assert main([str(source), "-w", str(target), "--format", form, *words]) == 0
    return target


def bytes_of(path: Path) -> list[tuple[Direction, bytes]]:
    return [(message.direction, message.data) for message in read_trace(path)]


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    write_trace(tmp_path / "t.first", everything(3))
    return tmp_path / "t.first"


@pytest.mark.parametrize("form", ["fusedump", "fusedump1"])
def test_fusedumps_are_written_and_read_again(trace: Path, form: str) -> None:
    back = converted(converted(trace, form), "pcapng")
    assert bytes_of(back) == bytes_of(trace)
    if form == "fusedump":
        assert [message.time for message in read_trace(back)] == [message.time for message in read_trace(trace)]


def test_a_fusedump_is_read_as_init_in_it_agreed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = Made(1, minor=45)
    flags = wire.constants.FUSE_SETXATTR_EXT
    made.call(wire.Init(arg=wire.fuse_init_in(7, 45)), wire.fuse_init_out(7, 44, flags=flags).pack())
    made.call(wire.SetXAttr(nodeid=1, name=b"user.name", value=b"value"))
    write_trace(tmp_path / "dump", made.messages, "fusedump")
    found = list(read_trace(tmp_path / "dump"))
    assert [(one.minor, one.setxattr_ext) for one in found] == [(0, False), *[(44, True)] * 3]
    assert main([str(tmp_path / "dump")]) == 0
    assert "SETXATTR" in (text := capsys.readouterr().out)
    assert "name=user.name" in text


def test_filters_choose_what_is_written(trace: Path) -> None:
    messages = list(read_trace(converted(trace, "pcapng", "--opcode", "MKDIR")))
    assert [message.direction for message in messages] == [Direction.TO_SERVER, Direction.TO_KERNEL] * 2
    opcodes = {wire.fuse_in_header.unpack_from(message.data).opcode for message in messages[::2]}
    assert opcodes == {wire.constants.FUSE_MKDIR}


def test_a_file_that_is_there_is_left_alone(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = trace.read_bytes()
    assert main([str(trace), "-w", str(trace)]) == 1
    assert "is there already" in capsys.readouterr().err
    assert trace.read_bytes() == before


def test_messages_that_were_cut_fit_no_fusedump(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cut = Traced(1, Direction.TO_SERVER, bytes(40), 100)
    write_trace(tmp_path / "t", [cut])
    assert main([str(tmp_path / "t"), "-w", str(tmp_path / "dump"), "--format", "fusedump"]) == 1
    assert "write a pcapng file" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["t"]


def test_of_a_damaged_trace_everything_before_the_damage_is_shown_and_written(
    trace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = len(bytes_of(trace))
    trace.write_bytes(trace.read_bytes() + b"no block of pcapng at all")
    assert main([str(trace), "--html"]) == 1
    shown = capsys.readouterr()
    assert shown.out.rstrip().endswith("</html>")
    assert "a block of" in shown.err
    target = trace.with_suffix(".mended")
    assert main([str(trace), "-w", str(target)]) == 1
    assert len(bytes_of(target)) == whole
