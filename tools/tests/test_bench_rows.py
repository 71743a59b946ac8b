"""The table, its verdicts and its three ways of printing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tools.bench.caller import Caller
from tools.bench.command import parser
from tools.bench.ground import Samples, Settings, in_turns
from tools.bench.machine import GIB, MIB, Unavailable
from tools.bench.report import as_json, figure, separated, table
from tools.bench.rows import ROWS, Bar, Result, Row
from tools.bench.servers import MEMORY, MFS


def row(bar: Bar | None) -> Row:
    return Row("name", "group", "what it is", "us", "the other", lambda ground: Samples([]), bar)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path, MFS, {}, Caller(tmp_path, compiled=False), scale=0.5)


def test_names_are_unique_and_groups_are_together() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
    groups = [row.group for row in ROWS]
    assert groups == sorted(groups, key=groups.index)


def test_the_help_explains_every_row() -> None:
    text = parser().format_help()
    assert [row.name for row in ROWS if f"  {row.name:<23}{row.measures}" not in text] == []


@pytest.mark.parametrize(
    ("bar", "verdict"),
    [
        (Bar(2), "met"),
        (Bar(1.9), "missed"),
        (Bar(2, at_most=False), "met"),
        (Bar(2.1, at_most=False), "missed"),
        (Bar(20, of_ratio=False), "met"),
        (Bar(19, of_ratio=False), "missed"),
        (None, "-"),
    ],
)
def test_the_median_is_held_against_the_bar(bar: Bar | None, verdict: str) -> None:
    result = Result(row(bar), Samples([1000, 20, 1], [10]))
    assert (result.ours, result.reference, result.ratio, result.verdict) == (20, 10, 2, verdict)


def test_without_a_reference_a_ratio_is_not_judged() -> None:
    assert Result(row(Bar(2)), Samples([20])).verdict == "-"


def test_what_could_not_be_measured_failed() -> None:
    assert Result(row(Bar(2)), Samples([], note="why")).verdict == "failed"


def test_a_missing_reference_costs_only_its_column() -> None:
    def missing() -> float:
        raise Unavailable("not here")

    assert in_turns(range(2), lambda: 1.0, missing) == Samples([1.0, 1.0], [], "not here")


@pytest.mark.parametrize(("value", "text"), [(0.0567, "0.06"), (11.44, "11.4"), (1081.4, "1081"), (None, "-")])
def test_figures_have_three_digits(value: float | None, text: str) -> None:
    assert figure(value) == text


def test_the_table_shows_units_and_notes() -> None:
    heading, first, _, note = table([Result(row(Bar(2)), Samples([20], [10], "a note"))]).splitlines()
    assert heading.split() == ["row", "ours", "reference", "ratio", "bar", "verdict"]
    assert first.split() == ["name", "20.0", "us", "10.0", "us", "(the", "other)", "2.00", "<=", "2", "x", "met"]
    assert note == "name: a note"


def test_separated_lines_have_one_cell_per_heading() -> None:
    heading, line = separated([Result(row(None), Samples([20], note="two\nlines\there"))]).splitlines()
    cells = dict(zip(heading.split("\t"), line.split("\t"), strict=True))
    assert (cells["ours"], cells["reference"], cells["note"]) == ("20", "", "two lines here")


def test_json_has_every_run(settings: Settings) -> None:
    (first,) = json.loads(as_json([Result(row(Bar(2)), Samples([3, 1], [2]))], settings))["rows"]
    assert (first["runs"], first["reference_runs"], first["ours"], first["bar"]) == ([3, 1], [2], 2, "<= 2 x")


def test_json_says_whose_figures_a_row_has(settings: Settings) -> None:
    rows = [
        replace(row(None), server=server, mounts=mounts)
        for server, mounts in ((MEMORY, True), (None, True), (None, False))
    ]
    found = json.loads(as_json([Result(one, Samples([1])) for one in rows], settings))["rows"]
    assert [one["server"] for one in found] == ["memory", "mfs", None]


def test_scaled_sizes_stay_whole_mebibytes(settings: Settings) -> None:
    assert [settings.size(full) for full in (4096, 3 * MIB, 4 * GIB)] == [4096, MIB, 2 * GIB]
