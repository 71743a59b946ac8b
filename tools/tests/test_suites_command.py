"""The command that runs the POSIX suites: what it reads out of their words, and what it tells."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tools.bench.machine import Unavailable
from tools.suites.command import main, run_in
from tools.suites.outcome import Outcome, told
from tools.suites.places import place
from tools.suites.suites import MODES, NotInstalled, fsx, open_directly, pjdfstest, program, takes_any_direct

root = pytest.mark.skipif(os.geteuid() != 0, reason="the suites need root")

PJDFSTEST = """\
link::link_count_max                     skipped
\tthe limit is unknown
chmod::changes                           ok
chmod::other                             FAILED
\tassertion failed
\tleft: 1
Backtrace:
   0: main
rename::more                             \x1b[32mok\x1b[0m
Summary: 1 failed, 1 skipped, 2 passed, 0 expected failures, 4 total
"""


@pytest.fixture
def suites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory, first in PATH, in which tests put programs with the names of the suites."""
    place = tmp_path / "programs"
    place.mkdir()
    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")
    return place


def pretend(place: Path, name: str, text: str, status: int = 0, then: str = "") -> None:
    """A program that says `text` and ends."""
    (place / f"{name}.txt").write_text(text)
    script = f"#!/bin/sh\n{then}\ncat {place / name}.txt\nexit {status}\n"
    (place / name).write_text(script)
    (place / name).chmod(0o755)


def test_pjdfstest_is_read_test_by_test(suites: Path, tmp_path: Path) -> None:
    pretend(suites, "pjdfstest", PJDFSTEST, 1)
    outcome = pjdfstest("here", Path("/tmp"), tmp_path)
    assert outcome.passed == 2
    assert outcome.failed == {"chmod::other": "assertion failed\nleft: 1"}
    assert outcome.skipped == {"link::link_count_max": "the limit is unknown"}


def test_pjdfstest_that_ends_early_has_failed(suites: Path, tmp_path: Path) -> None:
    pretend(suites, "pjdfstest", PJDFSTEST[:200], 101)
    assert "exit status 101" in pjdfstest("here", Path("/tmp"), tmp_path).failed["the suite itself"]


def test_a_directory_too_deep_for_sockets_is_refused(suites: Path, tmp_path: Path) -> None:
    pretend(suites, "pjdfstest", PJDFSTEST)
    with pytest.raises(Unavailable, match="longer than 45 bytes"):
        pjdfstest("here", Path("/var/tmp") / ("d" * 40), tmp_path)


@pytest.mark.parametrize(
    ("text", "status", "good"), [("A-OK!", 0, True), ("A-OK!", 1, False), ("MISCOMPARE", 0, False)]
)
def test_fsx_is_good_when_it_says_so_and_ends_well(
    suites: Path, tmp_path: Path, text: str, status: int, good: bool
) -> None:
    pretend(suites, "fsx", text, status, then=f"touch {tmp_path / 'fsx-plain'}")
    outcome = fsx("here", tmp_path, tmp_path, "plain", 500, 7)
    assert (outcome.passed, bool(outcome.failed)) == ((500, False) if good else (0, True))


def test_fsx_is_run_in_parts_each_with_the_next_seed_up_to_one_that_fails(suites: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    say = f'echo "$5 $7" >> {log}; for last; do :; done; touch "$last"; [ "$7" != 9 ] || exit 1'
    pretend(suites, "fsx", "All operations completed A-OK!\n", then=say)
    outcome = fsx("here", tmp_path, tmp_path, "plain", 250_000, 1)
    assert log.read_text().split("\n") == ["100000 1", "100000 2", "50000 3", ""]
    assert (outcome.passed, outcome.failed) == (250_000, {})
    outcome = fsx("here", tmp_path, tmp_path, "plain", 500_000, 7)
    assert outcome.passed == 200_000
    assert list(outcome.failed) == ["seed 9"]


@pytest.mark.parametrize("mode", MODES)
def test_a_mode_of_fsx_leaves_out_what_it_is_named_for(
    suites: Path, tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tools.suites.suites.takes_any_direct", lambda directory: True)
    pretend(suites, "fsx", "A-OK", then=f"touch {tmp_path}/fsx-{mode}")
    fsx("here", tmp_path, tmp_path, mode, 1, 1)
    configuration = (tmp_path / f"fsx-{mode}.toml").read_text()
    for name in MODES[mode]:
        assert configuration.count(f"{name} = ") == 1
        assert f"{name} = 0\n" in configuration


def test_what_is_not_installed_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    monkeypatch.setenv("CARGO_HOME", os.fspath(tmp_path))
    with pytest.raises(NotInstalled, match=r"cargo install fsx@"):
        program("fsx")


def test_an_open_file_of_another_process_is_given_o_direct(tmp_path: Path) -> None:
    path = tmp_path / "file"
    code = "import sys; f = open(sys.argv[1], 'wb'); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        open_directly(process, path)
        found = [
            int(line.split()[1], 8)
            for one in Path(f"/proc/{process.pid}/fd").iterdir()
            if os.readlink(one) == os.fspath(path)
            for line in Path(f"/proc/{process.pid}/fdinfo/{one.name}").read_text().splitlines()
            if line.startswith("flags:")
        ]
        assert found[0] & os.O_DIRECT
        process.communicate("")
    open_directly(process, path)


@pytest.mark.kernel("root")
@pytest.mark.parametrize(("name", "takes"), [("memory", True), ("passthrough", True), ("ext4", False)])
def test_a_place_is_asked_whether_it_takes_any_direct_write(tmp_path: Path, name: str, takes: bool) -> None:
    with place(name, tmp_path) as directory:
        assert takes_any_direct(directory) is takes
        if not takes:
            outcome = fsx(name, directory, tmp_path, "direct", 9, 1)
            assert (outcome.passed, outcome.failed) == (0, {})
            assert f"skipped on {name}: fsx direct: O_DIRECT takes whole blocks" in told([outcome])


def test_what_is_skipped_in_one_place_alone_is_told() -> None:
    one = Outcome("pjdfstest", "", "mfs", 5, {}, {"common": "why", "own": "because"})
    other = Outcome("pjdfstest", "", "ext4", 6, {"bad": "this\nand that"}, {"common": "why"})
    text = told([one, other])
    assert "skipped on mfs alone: own: because" in text
    assert "common" not in text
    assert "pjdfstest on ext4: bad failed\n    this\n    and that" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["unheard"], "no suite unheard"),
        (["--ops", "0"], "--ops and --jobs are at least 1"),
        (["--on", "/nowhere"], "no place '/nowhere'"),
        (["--mode", "sideways"], "invalid choice"),
    ],
)
def test_a_wrong_command_line_is_explained(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@root
def test_the_exit_status_and_json_say_what_failed(
    suites: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend(suites, "pjdfstest", PJDFSTEST, 1)
    short = Path(tempfile.mkdtemp())
    pretend(suites, "fsx", "A-OK", then=f"touch {short}/fsx-plain")
    here = ["--on", os.fspath(short), "--directory", os.fspath(tmp_path), "--json"]
    assert main([*here, "pjdfstest"]) == 1
    assert json.loads(capsys.readouterr().out)[0]["failed"] == {"chmod::other": "assertion failed\nleft: 1"}
    assert main([*here, "fsx", "--mode", "plain", "--ops", "3"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["passed"] == 3
    short.rmdir()


@root
@pytest.mark.kernel("root")
def test_a_server_that_fails_is_quoted(suites: Path, tmp_path: Path) -> None:
    pretend(suites, "fsx", "MISCOMPARE", 1, then='for last in "$@"; do :; done; touch "$last"')
    (outcome,) = run_in("mfs", ["fsx"], directory=tmp_path, modes=["no-mmap"], operations=9)
    assert "serves" in outcome.said
    assert outcome.said in told([outcome])


@root
@pytest.mark.kernel("root")
def test_a_server_of_anybodys_is_a_place(suites: Path, tmp_path: Path) -> None:
    pretend(suites, "fsx", "A-OK", then='for last in "$@"; do :; done; touch "$last"')
    server = f"{sys.executable} -m rawfuse.cli mount rawfuse.examples.memory:MemoryFS {{dir}}"
    (outcome,) = run_in(server, ["fsx"], directory=tmp_path, modes=["no-mmap"], operations=9)
    assert (outcome.place, outcome.passed, outcome.failed) == ("other", 9, {})
