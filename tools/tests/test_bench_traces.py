"""Rows of tracing and of recorded work, measured small."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tools.bench import main


@pytest.mark.kernel("root")
def test_tracing_and_recorded_work_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = ["traced-lookup", "replay-sqlite"]
    main([*rows, "--scale", "0.01", "--runs", "1", "--directory", str(tmp_path)])
    heading, *lines = capsys.readouterr().out.splitlines()
    found = [dict(zip(heading.split("\t"), line.split("\t"), strict=True)) for line in lines]
    assert [one["row"] for one in found] == rows
    assert all(float(one["ours"]) > 0 and float(one["reference"]) > 0 for one in found), found
    assert os.listdir(tmp_path) == []
