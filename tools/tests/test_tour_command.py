"""`rawfuse tour` at the command line: in a pipe, at a terminal, as a page, without root."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from rawfuse.trace.exchanges import exchanges
from rawfuse.trace.opening import read_trace
from tools.decode.lines import name_of
from tools.tests.tour_answers import HEAD, SOLUTIONS
from tools.tour.chapters import CHAPTERS
from tools.tour.command import main
from tools.tour.exercises import EXERCISES

CHECKOUT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "rawfuse.cli", "tour"]
KERNEL = pytest.mark.kernel("root")


def tour(*arguments: str | Path, directory: Path = CHECKOUT) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], cwd=directory, env=environment, capture_output=True, text=True, check=False
    )


def test_the_list_for_programs_is_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("\t")[0] for line in lines] == [str(one.number) for one in CHAPTERS]


@pytest.mark.parametrize("number", EXERCISES)
def test_an_exercise_is_a_program_that_says_what_is_to_be_done(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["exercise", str(number)]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f'"""Exercise {number}: ')
    assert "TODO" in text and "noqa" not in text
    scope: dict[str, object] = {"__name__": "skeleton"}
    exec(compile(text, "skeleton.py", "exec"), scope)
    assert EXERCISES[number].name in scope


@pytest.mark.parametrize("words", [["0"], ["9"], ["one"], ["exercise"], ["exercise", "x"], ["check", "1"]])
def test_what_there_is_not_is_a_wrong_command_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    assert "rawfuse tour: error:" in capsys.readouterr().err


def test_an_answer_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "1", "/nowhere/my.py"]) == 1
    assert "/nowhere/my.py" in capsys.readouterr().err


@KERNEL
def test_in_a_pipe_nothing_waits_and_nothing_is_coloured() -> None:
    ran = tour("1", "--hex")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "fuse_in_header.opcode = 26" in ran.stdout
    assert "\033" not in ran.stdout
    assert "Chapter 1." in ran.stdout and "INIT major=7" in ran.stdout
    assert max(map(len, ran.stdout.splitlines())) <= 120
    assert not [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if "rawfuse-tour" in line]


@KERNEL
def test_at_a_terminal_it_waits_for_the_reader() -> None:
    seen = b""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(CHECKOUT)
        os.execve(sys.executable, [*COMMAND, "1"], {**os.environ, "TERM": "xterm"})
    # Enter at the first two stops, the bytes and q at the third.
    for answer in (b"\n", b"\n", b"b\n", b"q\n"):
        while not seen.endswith(b"q: end] \033[0m"):
            seen += os.read(terminal, 4096)
        seen += b"*"
        os.write(terminal, answer)
    try:
        while part := os.read(terminal, 4096):
            seen += part
    except OSError:
        pass  # EIO: the other side is closed
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    text = re.sub(rb"\033\[[0-9;]*m", b"", seen).decode()
    assert b"\033[1;36mINIT" in seen
    assert "1.2  The first look" in text and "GETATTR /" in text
    assert "fuse_attr_out.attr.mode = drwxr-xr-x" in text
    assert "1.4  " not in text


class _Reader(HTMLParser):
    """Looks for what a page would load, and for tags that are not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.ids += filter(None, [found.get("id")])
        if tag in ("script", "link", "img", "iframe") or "src" in found:
            self.loads.append(tag)
        if "href" in found:
            self.links.append(found["href"] or "")
        if tag != "meta" and tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("p", "li"):
            while self.open[-1] in ("p", "li") and self.open[-1] != tag:
                self.open.pop()
        assert self.open.pop() == tag


@KERNEL
def test_the_page_is_complete_in_itself_and_the_messages_are_kept(tmp_path: Path) -> None:
    ran = tour("1", "8", "--html", tmp_path / "tour.html", "--trace", tmp_path / "tour.pcapng")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    text = (tmp_path / "tour.html").read_text()
    reader = _Reader()
    reader.feed(text)
    assert reader.loads == [] and reader.open == []
    assert reader.links == ["#chapter1", "#chapter8"]
    assert {"chapter1", "chapter8", "step1.1", "step8.1", "exercise1"} <= set(reader.ids)
    assert "fuse_in_header.opcode" in text and "fuse_init_out.max_write" in text and "<td>0000</td>" in text
    assert "Not as told" not in text
    kept = [name_of(one) for one in exchanges(read_trace(tmp_path / "tour.pcapng"))]
    assert kept.count("INIT") == 2 and "INTERRUPT" in kept


@KERNEL
def test_what_is_wrong_is_told_with_the_message_that_shows_it(tmp_path: Path) -> None:
    (tmp_path / "my.py").write_text(EXERCISES[3].skeleton)
    ran = tour("check", "3", "my.py", directory=tmp_path)
    assert (ran.returncode, ran.stderr) == (1, "")
    assert "WRONG" in ran.stdout and "READ /numbers" in ran.stdout
    assert "solved" not in ran.stdout


@KERNEL
def test_a_judgement_for_programs(tmp_path: Path) -> None:
    (tmp_path / "skeleton.py").write_text(EXERCISES[1].skeleton)
    (tmp_path / "my.py").write_text(HEAD + SOLUTIONS[1])
    ran = tour("check", "1", "my.py:Mine", "--json", directory=tmp_path)
    said = json.loads(ran.stdout)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert (said["exercise"], said["solved"]) == (1, True)
    assert all(finding["right"] for finding in said["findings"])
    assert said["findings"][0]["message"].startswith("kernel INIT major=7")


@pytest.mark.kernel("root", "userns")
def test_it_needs_no_root(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path.parent):
        directory.chmod(0o755)
    os.chown(tmp_path, 65534, 65534)
    harness = [sys.executable, "-m", "mfs.tests.ordinary", "--home", str(tmp_path), "--device", "666", "--"]
    ran = subprocess.run(
        [*harness, *COMMAND, "5"],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "COPY_FILE_RANGE" in ran.stdout
