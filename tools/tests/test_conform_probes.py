"""The table of probes: complete, and readable."""

from __future__ import annotations

from collections import Counter

import pytest

from rawfuse.wire.enums import Opcode
from rawfuse.wire.flags import InitFlags
from tools.conform.probe import Tier
from tools.conform.probes import PROBES, TABLES
from tools.conform.samples import SAMPLES

NAMES = {probe.name for probe in PROBES}


@pytest.mark.parametrize("opcode", Opcode, ids=lambda opcode: opcode.name)
def test_every_opcode_has_a_probe(opcode: Opcode) -> None:
    assert [probe.name for probe in PROBES if opcode.name.removeprefix("FUSE_") in probe.opcodes]


def test_there_are_at_least_150_probes() -> None:
    assert len(PROBES) >= 150


def test_names_are_unique() -> None:
    assert [name for name, count in Counter(probe.name for probe in PROBES).items() if count > 1] == []


def test_each_tier_and_subject_has_probes() -> None:
    assert {probe.tier for probe in PROBES} == {*Tier}
    assert all(table.probes and table.about for table in TABLES)
    assert len({table.subject for table in TABLES}) == len(TABLES)


def test_a_record_is_whole() -> None:
    labels = {opcode.name.removeprefix("FUSE_") for opcode in Opcode}
    for probe in PROBES:
        assert probe.rule.endswith(".") and len(probe.rule) > 25, probe.name
        assert probe.source, probe.name
        assert {*probe.all_depends} <= NAMES - {probe.name}, probe.name
        assert {*probe.opcodes} <= labels, probe.name
        needs = {one for need in probe.needs for one in need.split("|")}
        assert needs <= {*SAMPLES, *InitFlags.__members__}, probe.name


def test_no_probe_depends_on_itself_by_others() -> None:
    depends = {probe.name: set(probe.all_depends) for probe in PROBES}
    for name in NAMES:
        seen: set[str] = set()
        waiting = list(depends[name])
        while waiting:
            one = waiting.pop()
            if one not in seen:
                seen.add(one)
                waiting += depends[one]
        assert name not in seen, f"{name} depends on itself"
