"""`rawfuse conform`: its reports, and its exit status."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tools.conform.command import main
from tools.conform.probes import PROBES

MEMORY = ["--module", "rawfuse.examples.memory:MemoryFS"]
SILENT = ["--patience", "0.2", "--starting", "0.2", "--", sys.executable, "-c", "import time; time.sleep(60)", "{}"]
KEYS = ["name", "tier", "rule", "source", "verdict", "detail"]


def test_json_says_what_was_sent_expected_and_seen(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json", "lookup.absent", "shape.BMAP", *MEMORY]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [*report] == ["server", "probes"]
    assert report["server"] == "rawfuse.examples.memory:MemoryFS"
    first, second = sorted(report["probes"], key=lambda one: str(one["name"]))
    assert [*first] == [*second] == KEYS
    assert (first["name"], first["tier"], first["verdict"]) == ("lookup.absent", "must", "passed")
    assert "sent: LOOKUP nodeid 1 name=absent" in first["detail"]
    assert "expected: ENOENT, or nodeid 0" in first["detail"]
    assert "seen: absent" in first["detail"]
    assert second["verdict"] == "not applicable"
    assert "reason: BMAP is answered with ENOSYS" in second["detail"]


def test_text_groups_by_subject_and_counts_by_tier(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lookup", *MEMORY]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "LOOKUP: from names to nodeids (lookup)"
    assert "  passed          must    lookup.absent" in lines
    musts = sum(probe.subject == "lookup" and probe.tier == "must" for probe in PROBES)
    assert any(line.split()[:2] == ["must", str(musts)] for line in lines[-4:])


def test_verbose_text_says_the_rule_of_what_passed(capsys: pytest.CaptureFixture[str]) -> None:
    main(["lookup.absent", "-v", *MEMORY])
    out = capsys.readouterr().out
    assert "rule:     A name that is not there is ENOENT" in out
    assert "expected: ENOENT, or nodeid 0" in out


def test_junit_has_a_case_for_each_probe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["lookup.absent", "shape.BMAP", "--junit", str(tmp_path / "out.xml"), *MEMORY])
    suites = {suite.get("name"): suite for suite in ElementTree.parse(tmp_path / "out.xml").getroot()}
    assert suites["lookup"].get("tests") == "1"
    assert suites["lookup"][0].get("name") == "lookup.absent"
    assert suites["shape"].get("skipped") == "1"
    assert suites["shape"].find("testcase/skipped") is not None


def test_junit_tells_failures_from_hangs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.xml"
    assert main(["negotiation.lower_major", "--junit", str(out), *SILENT]) == 0  # a may does not count
    assert ElementTree.parse(out).getroot().find("testsuite/testcase/error") is not None


def test_html_needs_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["lookup", "--html", str(tmp_path / "out.html"), *MEMORY])
    page = (tmp_path / "out.html").read_text()
    assert "<code>lookup.absent</code>" in page
    assert "http" not in page.replace("http-equiv", "")
    assert "&#x27;" in page or "&lt;" in page


def test_the_exit_status_goes_by_the_tiers_that_count(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["negotiation.lower_major", "--fail-on", "may", *SILENT]) == 1


def test_a_server_that_cannot_be_started_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--", "/no/such/server", "{}"]) == 1
    assert "cannot be started: [Errno 2]" in capsys.readouterr().err


def test_a_command_without_a_place_for_the_mount_point_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--", "true"]) == 1
    assert "write {} where the server's mount point belongs" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["nonsense", *MEMORY], ["--tier", "most", *MEMORY]])
def test_a_wrong_command_line_is_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2


def test_the_list_names_every_rule(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    out = capsys.readouterr().out
    assert all(f"{probe.name} ({probe.tier})" in out for probe in PROBES)


def test_the_list_is_there_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list", "--json", "locks"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {one["name"].partition(".")[0] for one in listed} == {"locks"}
    assert "shape.SETLK" in next(one["depends"] for one in listed if one["name"] == "locks.conflict")


def test_arguments_of_the_class_stand_behind_the_dashes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = ["--module", "rawfuse.examples.passthrough:Passthrough", "--", str(tmp_path)]
    assert main(["lookup.same", *module]) == 0
    assert "passed" in capsys.readouterr().out
