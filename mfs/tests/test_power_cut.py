"""Power cuts at any point: what was fsynced is there afterwards, and a whole tree.

A repository on a file system that records every write and sync (`tools.powercut`), mounted and worked on at random from
its making to its unmounting; then disks that a cut could have left are rebuilt and opened.  ``mfs.tests.long_runs
power`` tries as many as one likes.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from mfs.tests.power_work import Figures, tried, worked
from tools.powercut.disk import MODELS

DISKS = 120
STEPS = 200


@pytest.mark.kernel("root")
@pytest.mark.parametrize("seed", range(4))
def test_a_cut_at_any_point_leaves_what_was_durable(seed: int, tmp_path: Path) -> None:
    work = worked(tmp_path / "log", seed, STEPS)
    figures = Figures()
    for model in MODELS:
        counted, complaints = tried(work, DISKS, str(seed), durability=model)
        figures.add(counted)
        assert not complaints, "\n\n".join(complaints[:3])
    assert figures.disks > DISKS
    assert figures.bytes_promised > 0
    assert figures.bytes_lost == 0
