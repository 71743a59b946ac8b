"""The probes of `rawfuse conform`, each a test: on the example in memory, or on any server.

pytest protocol-tests                                        rawfuse.examples.memory, in this process
pytest protocol-tests --server "./memfs_ll -f {}"            a server; {} is its mount point
pytest protocol-tests --server "./memfs_ll -f {}" -k must    what Linux relies on
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import pytest

from rawfuse.examples.memory import MemoryFS
from tools.conform.probe import Probe, Verdict
from tools.conform.probes import PROBES
from tools.conform.runner import Runner
from tools.conform.servers import in_process, process

# Those that share a server first, then those that want one of their own.
PATIENCE = 20.0  # seconds: machines that run tests are busy
ORDERED = sorted(PROBES, key=lambda probe: probe.fresh)


@pytest.fixture(scope="module")
def runner(request: pytest.FixtureRequest) -> Iterator[Runner]:
    command = request.config.getoption("--server")
    made = Runner(process(shlex.split(command)) if command else in_process(MemoryFS), patience=PATIENCE)
    yield made
    made.close()


@pytest.mark.probe
@pytest.mark.parametrize("probe", [pytest.param(probe, id=f"{probe.tier}-{probe.name}") for probe in ORDERED])
def test_rule(probe: Probe, runner: Runner) -> None:
    result = runner.one(probe)
    if result.verdict is Verdict.INAPPLICABLE:
        pytest.skip(result.reason)
    if result.bad:
        pytest.fail("\n".join((probe.rule, str(result.verdict), result.detail, *result.dump)), pytrace=False)
