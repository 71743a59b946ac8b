"""Servers killed at any time: what was fsynced is there afterwards, and a whole tree.

Sequences of 50 random steps against a model in memory, on a real mount.  ``MFS_CRASH_SEQUENCES`` says how many: 500
under CI, else 50.  A failure names the seed of its sequences; they are the same ones every time, the kills that fall
into the middle of a step are not.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from conftest import UNDER_CI
from mfs.tests.crash_steps import PROFILE, Actor
from mfs.tests.mounting import mounted

SEQUENCES = int(os.environ.get("MFS_CRASH_SEQUENCES", "500" if UNDER_CI else "50"))
STEPS = 50
TOGETHER = 10
"""Sequences on one mount, one after the other."""


@pytest.mark.kernel
@pytest.mark.parametrize("first", range(0, SEQUENCES, TOGETHER))
def test_a_kill_at_any_time_leaves_what_was_durable(first: int, tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    with mounted(repo, profile=PROFILE.name) as mount:
        kills = 0
        for seed in range(first, min(first + TOGETHER, SEQUENCES)):
            actor = Actor(mount, seed)
            actor.play(STEPS)
            kills += actor.kills
        assert kills >= TOGETHER
