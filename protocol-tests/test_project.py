"""The project as a whole: its style, its types, and what a user gets who installs the wheel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rawfuse.cli import COMMANDS
from rawfuse.tests.waiting import PATIENCE

TOP = Path(__file__).resolve().parent.parent
IMPORT_NAMES = {"rawfuse": "rawfuse", "mfs": "mfs", "tools": "rawfuse_tools"}
LONGEST_MODULE = 500


def run(*command: str | Path, cwd: Path = TOP) -> str:
    """What the command printed; a failure shows it. PYTHONPATH is not handed on: nothing but the installed counts."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ran = subprocess.run(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if ran.returncode != 0:
        pytest.fail(f"{' '.join(map(str, command))}: exit status {ran.returncode}\n{ran.stdout}", pytrace=False)
    return ran.stdout


def sources(*tops: str) -> Iterator[Path]:
    for top in tops:
        yield from sorted((TOP / top).rglob("*.py"))


def test_ruff_finds_nothing() -> None:
    run(sys.executable, "-m", "ruff", "check", "--quiet", ".")


def test_sources_are_formatted() -> None:
    run(sys.executable, "-m", "ruff", "format", "--check", "--quiet", "--diff", ".")


@pytest.mark.timeout(600)
def test_types_are_strict() -> None:
    run(sys.executable, "-m", "mypy")


def test_sources_are_ascii_and_modules_short() -> None:
    wrong = []
    for path in sources(*IMPORT_NAMES, "protocol-tests"):
        text = path.read_bytes()
        lines = text.count(b"\n")
        if not text.isascii():
            wrong.append(f"{path}: not ASCII")
        if path.name != "_generated.py" and lines > LONGEST_MODULE:
            wrong.append(f"{path}: {lines} lines, two subjects?")
    assert wrong == []


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", directory)
    (built,) = directory.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin directory of a fresh virtual environment that has the wheel; dependencies are those of this one."""
    home = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index", "--no-deps", wheel)
    site_packages = Path(sysconfig.get_path("purelib", vars={"base": str(home)}))
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home / "bin"


def test_the_wheel_holds_the_packages_and_no_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = set()
    for top, installed_as in IMPORT_NAMES.items():
        for path in (TOP / top).rglob("*"):
            inside = path.relative_to(TOP / top)
            if path.is_file() and not any(part in ("tests", "__pycache__") or part[0] == "." for part in inside.parts):
                expected.add(f"{installed_as}/{inside}")
    assert found == expected
    assert {f"{name}/py.typed" for name in IMPORT_NAMES.values()} <= found


def test_the_wheel_carries_its_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (licence,) = [name for name in archive.namelist() if name.endswith(".dist-info/licenses/LICENSE")]
        assert b"the rawfuse authors" in archive.read(licence)


def test_the_installed_packages_do_not_come_from_the_checkout(installed: Path, tmp_path: Path) -> None:
    show = "import rawfuse, mfs, rawfuse_tools; print(rawfuse.__file__, mfs.__file__, rawfuse_tools.__file__)"
    files = run(installed / "python", "-c", show, cwd=tmp_path).split()
    assert all(Path(file).is_relative_to(installed.parent) for file in files), files


@pytest.mark.parametrize("name", ["rawfuse", "mfs"])
def test_an_installed_command_says_its_version(installed: Path, tmp_path: Path, name: str) -> None:
    scope: dict[str, str] = {}
    exec((TOP / "rawfuse" / "_version.py").read_text(), scope)
    assert run(installed / name, "--version", cwd=tmp_path).strip() == f"{name} {scope['__version__']}"


@pytest.mark.parametrize("name", ["rawfuse", "mfs"])
def test_an_installed_command_has_help(installed: Path, tmp_path: Path, name: str) -> None:
    assert run(installed / name, "--help", cwd=tmp_path).startswith(f"usage: {name}")


@pytest.mark.parametrize("name", [name for name, *_ in COMMANDS])
def test_an_installed_subcommand_has_help(installed: Path, tmp_path: Path, name: str) -> None:
    assert run(installed / "rawfuse", name, "--help", cwd=tmp_path).startswith(f"usage: rawfuse {name}")


def test_an_installed_fuzz_has_its_corpus(installed: Path, tmp_path: Path) -> None:
    summary = json.loads(run(installed / "rawfuse", "fuzz", "--messages", "500", "--json", cwd=tmp_path))
    assert summary["messages"] >= 500
    assert summary["findings"] == []


@pytest.mark.kernel("root")
def test_an_installed_powercut_records_and_checks(installed: Path, tmp_path: Path) -> None:
    powercut, log = (installed / "rawfuse", "powercut"), tmp_path / "log"
    fill = "import os, sys; os.write(os.open(sys.argv[1] + '/f', os.O_CREAT | os.O_RDWR | os.O_SYNC), b'data')"
    run(*powercut, "record", log, "--", installed / "python", "-c", fill, "{}", cwd=tmp_path)
    checker = ("--model", "ordered", "--json", "--", "sh", "-c", "! test -s {}/f || grep -q data {}/f")
    summary = json.loads(run(*powercut, "check", log, *checker, cwd=tmp_path))
    assert summary["disks"] > 1
    assert summary["bad"] == []


@pytest.mark.kernel("root", programs=("tshark",))
def test_an_installed_trace_is_decoded_shown_and_opened_by_tshark(installed: Path, tmp_path: Path) -> None:
    rawfuse, mount = installed / "rawfuse", tmp_path / "mnt"
    mount.mkdir()
    server = (rawfuse, "mount", "rawfuse.examples.hello:Hello", "{}")
    command: list[str | Path] = [rawfuse, "trace", "-o", "t.pcapng", "-m", mount, "--", *server]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as tracer:
        assert tracer.stderr is not None
        while "is mounted" not in (line := tracer.stderr.readline()):
            assert line
        assert (mount / "hello").read_text() == "Hello from Python!\n"
        subprocess.run(["umount", mount], check=True)
        tracer.communicate(timeout=30)
    assert " READ             /hello " in run(rawfuse, "decode", "t.pcapng", "--opcode", "READ", cwd=tmp_path)
    assert run(rawfuse, "decode", "t.pcapng", "--html", cwd=tmp_path).startswith("<!doctype html>")
    (tmp_path / "fuse.lua").write_text(run(rawfuse, "dissector", cwd=tmp_path))
    show = ("-Y", 'fuse.path == "/hello" && fuse.opcode == 15 && fuse.error == 0', "-T", "fields", "-e", "fuse.data")
    seen = run("tshark", "-X", "lua_script:fuse.lua", "-r", "t.pcapng", *show, cwd=tmp_path)
    assert b"Hello from Python!\n".hex() in seen


@pytest.mark.kernel("root")
def test_an_installed_tour_has_its_pages_and_exercises(installed: Path, tmp_path: Path) -> None:
    assert "INIT major=7" in run(installed / "rawfuse", "tour", "1", cwd=tmp_path)
    run(installed / "rawfuse", "tour", "1", "--html", "tour.html", cwd=tmp_path)
    assert (tmp_path / "tour.html").read_text().count("<h3") > 5
    assert "class Stars" in run(installed / "rawfuse", "tour", "exercise", "2", cwd=tmp_path)


@pytest.mark.kernel("root")
def test_an_installed_example_mounts_and_is_listed(installed: Path, tmp_path: Path) -> None:
    command: list[str | Path] = [installed / "rawfuse", "mount", "rawfuse.examples.hello:Hello", tmp_path]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=installed) as server:
        assert server.stderr is not None
        try:
            assert "is mounted" in server.stderr.readline()
            assert (tmp_path / "hello").read_text() == "Hello from Python!\n"
            assert f"\t{tmp_path}\tfuse.rawfuse\t" in run(installed / "rawfuse", "list", cwd=installed)
            looked = run(installed / "rawfuse", "top", "--once", "--interval", "0.1", "--json", tmp_path, cwd=installed)
            assert json.loads(looked.splitlines()[-1])["mounts"][0]["source"] == "messages"
            run(installed / "rawfuse", "abort", tmp_path, cwd=installed)
            assert server.wait(PATIENCE) == 0
        finally:
            server.kill()


def test_the_server_does_not_import_construct(installed: Path, tmp_path: Path) -> None:
    show = "import rawfuse.cli, mfs.cli, sys; print([name for name in sys.modules if name.startswith('construct')])"
    assert run(installed / "python", "-c", show, cwd=tmp_path).strip() == "[]"
