"""Servers that crash, hang, flood and lie: each is survived, and the next probe gets a server that works."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rawfuse.examples.hello import Hello
from rawfuse.examples.memory import MemoryFS
from rawfuse.examples.passthrough import Passthrough
from rawfuse.tests.waiting import PATIENCE
from tools.conform.choice import UnknownProbe, chosen
from tools.conform.probe import Probe, Result, Tier, Verdict
from tools.conform.probes import PROBES
from tools.conform.reports import kept
from tools.conform.runner import Runner
from tools.conform.servers import Running, in_process, process

from .tampering import Tamper, reply, tampered

LOOKUP, GETATTR, STATFS, INIT = 1, 3, 17, 26


def judged(tamper: Tamper, *patterns: str, patience: float = PATIENCE) -> dict[str, Result]:
    runner = Runner(tampered(tamper), patience=patience)
    return {result.probe.name: result for result in runner.run(chosen(PROBES, patterns))}


def test_a_sound_server_passes() -> None:
    results = judged(lambda opcode, request, answer: iter([answer]), "shape.STATFS", "lookup")
    assert {result.verdict for result in results.values()} == {Verdict.PASSED}


def test_a_crash_is_told_and_the_next_probe_has_a_server() -> None:
    def crash(opcode: int, request: bytes, answer: bytes) -> Iterator[bytes] | None:
        return None if opcode == STATFS else iter([answer])

    results = judged(crash, "shape.STATFS", "shape.ACCESS", "attributes.statfs_bsize")
    assert results["shape.STATFS"].verdict is Verdict.CRASHED
    assert "closed its socket" in results["shape.STATFS"].detail
    assert results["shape.ACCESS"].verdict is Verdict.PASSED
    assert results["attributes.statfs_bsize"].verdict is Verdict.INAPPLICABLE
    assert "STATFS cannot be tried: the server closed its socket" in results["attributes.statfs_bsize"].reason


def test_a_hang_is_told_and_the_next_probe_has_a_server() -> None:
    def hang(opcode: int, request: bytes, answer: bytes) -> Iterator[bytes]:
        return iter([] if opcode == STATFS else [answer])

    results = judged(hang, "shape.STATFS", "shape.ACCESS", patience=2.0)
    assert results["shape.STATFS"].verdict is Verdict.HUNG
    assert "no reply to STATFS" in results["shape.STATFS"].seen
    assert results["shape.ACCESS"].verdict is Verdict.PASSED


def test_a_flood_is_told_and_the_next_probe_has_a_server() -> None:
    def flood(opcode: int, request: bytes, answer: bytes) -> Iterator[bytes]:
        if opcode == STATFS:
            while True:
                yield reply(0, error=8)  # NOTIFY_INC_EPOCH
        yield answer

    results = judged(flood, "shape.STATFS", "shape.ACCESS")
    assert results["shape.STATFS"].verdict is Verdict.FAILED
    assert "nobody asked for" in results["shape.STATFS"].seen
    assert results["shape.ACCESS"].verdict is Verdict.PASSED


def test_a_reply_that_linux_refuses_fails_the_probe_of_its_opcode() -> None:
    def short(opcode: int, request: bytes, answer: bytes) -> Iterator[bytes]:
        yield reply(int.from_bytes(answer[8:16], sys.byteorder), answer[16:-8]) if opcode == STATFS else answer

    results = judged(short, "shape.STATFS", "shape.ACCESS")
    result = results["shape.STATFS"]
    assert result.verdict is Verdict.FAILED
    assert "a reply of 72 bytes where 80 belong" in result.seen
    assert any("STATFS" in line for line in result.sent)
    assert any("fuse_statfs_out" in line for line in result.dump)
    assert results["shape.ACCESS"].verdict is Verdict.PASSED


def test_what_cannot_be_brought_about_is_not_held_against_another_rule() -> None:
    def no_files(opcode: int, request: bytes, answer: bytes) -> Iterator[bytes]:
        yield reply(int.from_bytes(answer[8:16], sys.byteorder), error=-5) if opcode == 35 else answer

    results = judged(no_files, "shape.WRITE", "shape.STATFS")
    assert results["shape.WRITE"].verdict is Verdict.INAPPLICABLE
    assert results["shape.WRITE"].reason == "CREATE before it: EIO"
    assert results["shape.STATFS"].verdict is Verdict.PASSED


def test_a_server_that_refuses_init_fails_there_and_nothing_else_can_be_tried() -> None:
    def refuse(opcode: int, request: bytes, answer: bytes) -> Iterator[bytes]:
        yield reply(int.from_bytes(answer[8:16], sys.byteorder), error=-71) if opcode == INIT else answer

    results = judged(refuse, "negotiation.answered", "lookup")
    assert results["negotiation.answered"].verdict is Verdict.FAILED
    assert {result.verdict for name, result in results.items() if name.startswith("lookup")} == {Verdict.INAPPLICABLE}
    assert "INIT" in results["lookup.same"].reason


def test_a_server_that_ends_at_once_is_survived() -> None:
    runner = Runner(process([sys.executable, "-c", "import sys; sys.exit('out of order')", "{}"]), patience=PATIENCE)
    results = list(runner.run(chosen(PROBES, ["negotiation.answered", "lookup.absent"])))
    verdicts = {result.probe.name: result for result in results}
    assert verdicts["negotiation.answered"].verdict is Verdict.CRASHED
    assert "exit status 1: out of order" in verdicts["negotiation.answered"].reason
    assert verdicts["lookup.absent"].verdict is Verdict.INAPPLICABLE


def _broken(results: list[Result]) -> list[str]:
    return [f"{result.probe.name}: {result.detail}" for result in results if result.bad]


def without_may(probes: tuple[Probe, ...]) -> list[Probe]:
    return chosen(probes, (), (Tier.MUST, Tier.SHOULD))


def test_the_hello_example_keeps_every_must_and_should() -> None:
    results = list(Runner(in_process(Hello), patience=PATIENCE).run(without_may(PROBES)))
    assert _broken(results) == []
    assert kept(results, [*Tier])
    assert sum(result.verdict is Verdict.PASSED for result in results) > 100


def test_the_passthrough_example_keeps_every_must_and_should_and_leaves_nothing(tmp_path: Path) -> None:
    results = list(Runner(in_process(lambda: Passthrough(str(tmp_path))), patience=PATIENCE).run(without_may(PROBES)))
    assert _broken(results) == []
    assert list(tmp_path.iterdir()) == []


def test_a_server_is_started_anew_for_each_probe_where_that_is_asked_for() -> None:
    started = []

    def launch() -> Running:
        started.append(1)
        return in_process(MemoryFS)()

    list(Runner(launch).run(chosen(PROBES, ["lookup.absent", "lookup.same", "lookup.type"])))
    assert len(started) == 1
    list(Runner(launch, restart=True).run(chosen(PROBES, ["lookup.absent", "lookup.same", "lookup.type"])))
    assert len(started) == 4


def test_patterns_name_probes_and_subjects() -> None:
    assert {probe.subject for probe in chosen(PROBES, ["lookup"])} == {"lookup"}
    assert [probe.name for probe in chosen(PROBES, ["shape.READ*"], [Tier.MUST])] == [
        "shape.READLINK",
        "shape.READ",
        "shape.READDIR",
        "shape.READDIRPLUS",
    ]


def test_a_pattern_that_fits_nothing_is_an_error() -> None:
    with pytest.raises(UnknownProbe, match="nonsense"):
        chosen(PROBES, ["nonsense"])
