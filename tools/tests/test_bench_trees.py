"""Rows of many files, of fsync in large places, and of syncs: small, under the real kernel."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools.bench.command import main

pytestmark = pytest.mark.kernel("root", programs=("git", "rsync", "tar"))

ROWS = ("stat-100k", "tar", "sync-1t", "sync-1m-entries", "sync-same")


def test_every_row_has_a_figure_and_a_reference(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    main([*ROWS, "--scale", "0.003", "--runs", "1", "--json", "--python-client", "--directory", str(tmp_path)])
    told = json.loads(capfd.readouterr().out)["rows"]
    assert [row["row"] for row in told] == list(ROWS)
    assert [(row["row"], row["note"]) for row in told if not row["ours"] or not row["reference"]] == []


def test_without_a_peer_only_the_reference_is_missing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows = ["stat-100k-ll", "sync-4k-ll", "sync-1m-entries-ll"]
    main([*rows, "--scale", "0.003", "--runs", "1", "--json", "--python-client", "--directory", str(tmp_path)])
    for row in json.loads(capfd.readouterr().out)["rows"]:
        assert row["ours"] > 0
        assert row["note"] == "no reference: --peer passthrough_ll=COMMAND was not given"
