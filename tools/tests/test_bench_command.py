"""The command: what it refuses, what it survives, the clients, and one row measured for real."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from time import sleep

import pytest

from tools.bench import main
from tools.bench.caller import Caller
from tools.bench.machine import PeakMemory, Unavailable, anonymous_bytes, disk_bytes, on_one_cpu, run, seconds_of
from tools.bench.servers import BARE, Recipe
from tools.bench.streams import read_file, write_file

BARE_COMMAND = " ".join(BARE.start)

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")


@pytest.fixture(params=[False, pytest.param(True, marks=needs_compiler)], ids=["python", "c"])
def caller(request: pytest.FixtureRequest, tmp_path: Path) -> Caller:
    made = Caller(tmp_path, compiled=request.param)
    assert made.kind == ("C" if request.param else "Python")
    return made


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no-such-row"], "no row no-such-row; there are lookup, "),
        (["--peer", "memfs_ll"], "'memfs_ll' is not NAME=COMMAND"),
        (["--peer", "memfs_ll=memfs_ll -f /mnt"], "the command has no {dir}"),
        (["--server", "my-fs"], "the command has no {dir}"),
        (["--scale", "0"], "--scale is more than 0"),
        (["--runs", "0"], "--runs at least 1"),
    ],
)
def test_a_wrong_command_line_is_explained(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_recipe_keeps_its_words_together() -> None:
    assert Recipe.parse("peer='/a b/server' -o source={src} {dir}").start == (
        "/a b/server",
        "-o",
        "source={src}",
        "{dir}",
    )


@pytest.mark.kernel("root")
def test_a_server_that_does_not_start_fails_its_rows_in_its_own_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = f"{sys.executable} -c \"raise SystemExit('out of order')\" {{dir}}"
    assert main(["lookup", "create", "--scale", "0.01", "--directory", str(tmp_path), "--server", broken]) == 1
    _, *lines = capsys.readouterr().out.splitlines()
    assert [line.split("\t")[5] for line in lines] == ["failed", "failed"]
    assert all(line.endswith("server: out of order") for line in lines)
    assert os.listdir(tmp_path) == []


@pytest.mark.kernel("root")
def test_a_row_is_measured_beside_its_reference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here = os.sched_getaffinity(0)
    main(["lookup", "--scale", "0.005", "--runs", "1", "--directory", str(tmp_path), "--server", BARE_COMMAND])
    heading, line = capsys.readouterr().out.splitlines()
    cells = dict(zip(heading.split("\t"), line.split("\t"), strict=True))
    assert float(cells["ours"]) > 0
    assert float(cells["reference"]) > 0
    assert cells["reference_is"] == "bare.py"
    assert os.listdir(tmp_path) == []
    assert os.sched_getaffinity(0) == here


@pytest.mark.kernel("root")
def test_a_row_that_fails_leaves_the_others_their_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """bare.py cannot create: the row says so, and the one before it has its figure."""
    options = ["--scale", "0.005", "--runs", "1", "--directory", str(tmp_path), "--server", BARE_COMMAND]
    assert main(["lookup", "create", *options]) == 1
    _, lookup, create = capsys.readouterr().out.splitlines()
    assert lookup.split("\t")[5] != "failed"
    assert create.split("\t")[5] == "failed"
    assert "Function not implemented" in create


def test_the_client_creates_distinct_files_and_removes_them(caller: Caller, tmp_path: Path) -> None:
    prefix = caller.fresh_prefix()
    (tmp_path / "files").mkdir()
    assert caller.create(tmp_path / "files", prefix, 20, 4096) > 0
    contents = {path.read_bytes() for path in (tmp_path / "files").iterdir()}
    assert len(contents) == 20
    assert {len(content) for content in contents} == {4096}
    assert caller.unlink(tmp_path / "files", prefix, 20) > 0
    assert os.listdir(tmp_path / "files") == []


def test_the_client_looks_up_what_is_absent(caller: Caller, tmp_path: Path) -> None:
    assert caller.lookup(tmp_path, 20) > 0


def test_the_client_fails_on_a_name_that_is_there(caller: Caller, tmp_path: Path) -> None:
    (tmp_path / "name-0-3").touch()
    with pytest.raises(Unavailable, match="name-0-3"):
        caller.lookup(tmp_path, 20)


def test_the_client_syncs_both_files(caller: Caller, tmp_path: Path) -> None:
    target, other = tmp_path / "target", tmp_path / "other"
    target.write_bytes(bytes(8192))
    ours, reference = caller.sync(target, other, 3, 8192)
    assert min(ours, reference) > 0
    assert (target.stat().st_size, other.stat().st_size) == (8192, 3 * 4096)


def test_written_files_have_no_two_equal_chunks(tmp_path: Path) -> None:
    write_file(tmp_path / "file", 4 << 20)
    read_file(tmp_path / "file")
    content = (tmp_path / "file").read_bytes()
    assert len({content[at : at + (256 << 10)] for at in range(0, len(content), 256 << 10)}) == 16


def test_a_hole_occupies_nothing(tmp_path: Path) -> None:
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(1 << 40)
    assert disk_bytes(tmp_path) < 1 << 20


def test_memory_is_sampled_while_the_block_runs() -> None:
    with PeakMemory([os.getpid()]) as peak:
        held = bytearray(os.urandom(32 << 20))
        least = anonymous_bytes(os.getpid())
        while peak.bytes < least:
            sleep(0.001)
    assert peak.bytes >= len(held)


def test_one_cpu_is_for_the_block_only() -> None:
    before = os.sched_getaffinity(0)
    with on_one_cpu([]):
        assert len(os.sched_getaffinity(0)) == 1
    assert os.sched_getaffinity(0) == before


def test_a_command_that_fails_is_not_a_time() -> None:
    assert seconds_of("true") > 0
    with pytest.raises(Unavailable, match="exit status 1"):
        seconds_of("false")
    with pytest.raises(Unavailable, match="ls: cannot access"):
        run("ls", "/no/such/directory")


def test_it_runs_as_a_module_and_teaches() -> None:
    top = Path(__file__).parent.parent.parent
    command = [sys.executable, "-m", "tools.bench", "--help"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=top)
    assert "reading the table:" in ran.stdout
