"""MFS keeps the rules of the protocol, without a mount."""

from __future__ import annotations

import sys
from pathlib import Path

from rawfuse.tests.waiting import PATIENCE
from tools.conform.probe import Verdict
from tools.conform.probes import PROBES
from tools.conform.runner import Runner
from tools.conform.servers import process

MFS = [sys.executable, "-c", "import sys; from mfs.cli import main; sys.exit(main(sys.argv[1:]))"]


def test_mfs_keeps_every_rule_that_needs_no_server_of_its_own(tmp_path: Path) -> None:
    runner = Runner(process([*MFS, "mount", "--foreground", "--repo", str(tmp_path / "repo"), "{}"]), patience=PATIENCE)
    results = list(runner.run(probe for probe in PROBES if not probe.fresh))
    assert [f"{result.probe.name}: {result.detail}" for result in results if result.bad] == []
    assert sum(result.verdict is Verdict.PASSED for result in results) > 250
