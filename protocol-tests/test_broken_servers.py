"""Probes find things: for each of them a server that is broken on purpose in one way, which it finds out.

Here each probe is tried on its own server, and a few that have nothing to do with it, which must not fail. All on all
is a command of its own: `PYTHONPATH=protocol-tests python -m broken_servers`.
"""

from __future__ import annotations

import logging
from collections.abc import Generator

import pytest
from broken_servers import BROKEN, Broken, launched
from broken_servers.crossing import crossed, dependents
from broken_servers.middle import Asked, Kept, Said

from rawfuse.tests.waiting import PATIENCE
from tools.conform.probe import Probe
from tools.conform.probes import PROBES
from tools.conform.runner import Runner

BY_NAME = {probe.name: probe for probe in PROBES}
SLOW = {"lifetimes.batch_of_many", "directories.many", "directories.removed_meanwhile", "malformed.many"}
SAMPLE = 3


@pytest.fixture(autouse=True, scope="module")
def quiet() -> Generator[None, None, None]:
    """Servers that are broken say so at length."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def sample(name: str) -> list[Probe]:
    """The probe and a few others that share a server and are not declared to fail with it, other ones for each."""
    declared = dependents(name)
    others = [probe for probe in PROBES if not (probe.fresh or probe.name in SLOW or probe.name in declared)]
    start = 37 * [*BY_NAME].index(name)
    return [BY_NAME[name], *(others[(start + step * 101) % len(others)] for step in range(SAMPLE))]


def test_every_probe_has_a_broken_server() -> None:
    assert sorted(BROKEN) == sorted(BY_NAME)


def test_the_server_that_is_not_broken_passes() -> None:
    results = Runner(launched(Broken()), patience=PATIENCE).run(PROBES)
    assert [f"{one.probe.name}: {one.detail}" for one in results if one.bad] == []


@pytest.mark.parametrize("name", BY_NAME)
def test_a_broken_server_is_found_out(name: str) -> None:
    crossing = crossed(name, sample(name))
    assert crossing.found, crossing.details
    assert crossing.besides == (), crossing.details


def test_dependencies_are_of_probes_that_there_are() -> None:
    for probe in PROBES:
        assert {*probe.all_depends} <= {*BY_NAME}, probe.name


def test_what_one_probe_has_broken_is_not_held_against_the_next() -> None:
    """As go-fuse's old API, which keeps a lock when it falls over an unknown nodeid."""

    def ask(asked: Asked, kept: Kept) -> list[Said] | None:
        kept.files["locked"] = kept.files.get("locked") or asked.nodeid > 1 << 40
        return [] if asked.label == "CREATE" and kept.files["locked"] else None

    probes = [BY_NAME["lifetimes.stale"], BY_NAME["attributes.type"]]
    first, second = Runner(launched(Broken(ask=ask)), patience=2.0).run(probes)
    assert (first.bad, second.bad) == (False, False)
    assert second.reason == "hung when lifetimes.stale had been tried on the same server; not on a fresh one"
