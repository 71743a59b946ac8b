"""The rows of rawfuse's own examples: whose server they start, and each kind measured for real, small."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from tools.bench import main
from tools.bench.rows import PEERS, ROWS
from tools.bench.servers import MEMORY, PASSTHROUGH, Recipe, Server

SMALL = ("--scale", "0.005", "--runs", "1", "--json", "--python-client")


def measured(tmp_path: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, dict[str, object]]:
    main([*arguments, *SMALL, "--directory", str(tmp_path)])
    return {row["row"]: row for row in json.loads(capsys.readouterr().out)["rows"]}


def test_a_group_has_one_server() -> None:
    for _, rows in itertools.groupby(ROWS, key=lambda row: row.group):
        assert len({row.server for row in rows}) == 1


def test_each_kind_of_row_is_beside_each_peer() -> None:
    beside = {row.name: row.reference for row in ROWS if row.server == MEMORY}
    for kind in ("create", "unlink", "write", "read"):
        assert [beside[f"memory-{kind}{suffix}"] for suffix in PEERS.values()] == list(PEERS)
    assert [name for name in beside if name.startswith("memory-lookup")] == [
        "memory-lookup",
        "memory-lookup-c",
        "memory-lookup-pyfuse3",
        "memory-lookup-mfusepy",
    ]


@pytest.mark.kernel("root")
@pytest.mark.parametrize("recipe", [MEMORY, PASSTHROUGH], ids=lambda recipe: recipe.name)
def test_an_example_is_mounted_and_stopped(recipe: Recipe, tmp_path: Path) -> None:
    with Server(recipe, tmp_path) as server:
        (server.mount / "file").write_bytes(b"content")
        assert (server.mount / "file").read_bytes() == b"content"
        assert (server.source / "file").exists() == (recipe is PASSTHROUGH)


@pytest.mark.kernel("root")
def test_without_peers_only_ours_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["memory-create", "memory-unlink", "memory-write", "memory-read"]
    rows = measured(tmp_path, capsys, *names)
    assert list(rows) == names
    for row in rows.values():
        assert row["runs"]
        assert row["reference_runs"] == []
        assert row["note"] == "no reference: --peer memfs_ll=COMMAND was not given"
        assert row["verdict"] == "-"


@pytest.mark.kernel("root")
def test_what_needs_no_peer_has_its_ratio(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = measured(tmp_path, capsys, "memory-lookup", "passthrough-read")
    assert list(rows) == ["memory-lookup", "passthrough-read"]
    assert all(row["runs"] and row["reference_runs"] for row in rows.values())
