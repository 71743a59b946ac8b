"""The rows that need no device."""

from __future__ import annotations

import json
import os

import pytest

from tools.bench import codec, main
from tools.bench.codec import Case
from tools.bench.rows import ROWS

CASES = [*codec.requests(), *codec.structs()]


@pytest.mark.parametrize("case", [case for case in CASES if case.name.startswith("build")], ids=lambda case: case.name)
def test_all_three_ways_write_the_same_bytes(case: Case) -> None:
    assert case.ours() == case.by_hand() == case.construct()


def test_requests_and_structs_are_measured_both_ways() -> None:
    messages = ("LOOKUP", "GETATTR", "WRITE", "fuse_entry_out", "fuse_attr_out")
    assert [case.name for case in CASES] == [f"{way} {name}" for name in messages for way in ("parse", "build")]


def test_what_is_written_is_what_is_read() -> None:
    for parse, build in zip(CASES[::2], CASES[1::2], strict=True):
        request = parse.ours()
        again = codec.encode_request(request) if hasattr(request, "unique") else request.pack()  # type: ignore[arg-type,attr-defined]
        assert again == build.ours()


def test_rows_without_a_mount_need_no_root(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    status = main(["codec", "session", "--scale", "0.001", "--runs", "1", "--json", "--python-client"])
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["row"] for row in rows] == ["codec", "codec-hand", "session"]
    assert all(row["ours"] > 0 and row["reference"] > 0 for row in rows)
    assert status in (0, 1)  # so few calls say nothing about the bars


def test_other_rows_need_root(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(SystemExit):
        main(["codec", "lookup"])
    assert "run it as root" in capsys.readouterr().err


def test_only_rows_of_the_codec_the_session_and_of_checks_do_without_a_mount() -> None:
    assert {row.group for row in ROWS if not row.mounts} == {"codec", "keeping", "session"}
