"""The command: what it counts, what it finds, and giving a finding again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from rawfuse.errors import RemoteProtocolError
from rawfuse.session.server_session import ServerSession
from rawfuse.tests.waiting import PATIENCE
from rawfuse.wire import Request
from rawfuse.wire.opcodes import OPERATIONS
from tools.fuzz import main
from tools.fuzz.corpus import Corpus, recorded
from tools.fuzz.life import Hang
from tools.fuzz.mutate import Mutator
from tools.fuzz.replay import Case, give_again, read_case, write_case
from tools.fuzz.work import Plan, lived


def plan(directory: Path, **changed: object) -> Plan:
    usual: dict[str, object] = {
        "seed": "test",
        "roles": ("server",),
        "messages": 1000,
        "limit": 1024,
        "patience": 20.0,
        "output": directory,
    }
    return Plan(**{**usual, **changed})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--messages", "0"], "are more than 0"),
        (["--output", "/nowhere"], "/nowhere is no directory"),
        (["--replay", "/nowhere/file"], "No such file"),
        (["--replay", __file__], "line 1 is neither a comment nor a message"),
    ],
)
def test_a_wrong_command_line_is_explained(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("role", ["both", "mfs"])
def test_the_summary_accounts_for_every_message(role: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--messages", "3000", "--role", role, "--json", "--output", str(tmp_path)]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["messages"] >= 3000
    assert summary["findings"] == []
    assert 0 < summary["peak_memory_mib"] < 500
    assert sum(counted["messages"] for counted in summary["roles"].values()) == summary["messages"]
    for counted in summary["roles"].values():
        assert len(counted["outcomes"]) > 5


def test_the_corpus_has_every_opcode_and_recorded_messages() -> None:
    opcodes = {int.from_bytes(message[4:8], "little") for message in Corpus("any").requests}
    assert opcodes >= {operation.opcode for operation in OPERATIONS}
    assert {kind for kind, _ in recorded()} == {"R", "W"}


def test_a_mutated_message_is_never_empty_nor_longer_than_allowed() -> None:
    messages = Corpus("any").requests
    mutator = Mutator(Random(1), messages)
    for message in messages:
        assert 0 < len(mutator.mutated(message, 200)) <= 200


@pytest.mark.parametrize("role", ["server", "kernel"])
def test_a_life_is_what_its_seed_says(role: str, tmp_path: Path) -> None:
    first, second = (lived(plan(tmp_path), role, 3) for _ in range(2))
    assert first.script == second.script
    assert lived(plan(tmp_path, seed="other"), role, 3).script != first.script


@pytest.mark.parametrize("role", ["server", "kernel", "mfs"])
def test_a_life_can_be_given_again_from_a_file(role: str, tmp_path: Path) -> None:
    life = lived(plan(tmp_path), role, 1)
    path = write_case(tmp_path, Case(role, 1, life.script, life.findings))
    again = give_again(read_case(path))
    assert again.findings == []
    assert [message for kind, message in again.script] == [message for kind, message in life.script]


@pytest.mark.parametrize("seed", ["0", "night/7 b\nc", "\u00e4" * 300, ""])
def test_a_finding_says_by_which_seed_its_run_can_be_done_again(seed: str, tmp_path: Path) -> None:
    path = write_case(tmp_path, Case("server", 7, [("R", b"message")], seed=seed))
    again = read_case(path)
    assert (again.seed, again.role, again.number, again.script) == (seed, "server", 7, [("R", b"message")])
    other = write_case(tmp_path, Case("server", 7, [], seed=seed[:20] + "x"))
    assert other != path and path.exists()


Receive = Callable[[ServerSession, bytearray, int], Request | None]


def broken(session: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the server's session do with SETXATTR what it must not do."""
    real: Receive = ServerSession.receive

    def receive(self: ServerSession, buffer: bytearray, length: int) -> Request | None:
        if buffer[4] == 21 and self.negotiated is not None:
            if session == "raises":
                raise IndexError("out of bounds")
            if session == "hangs":
                while True:
                    pass
            raise RemoteProtocolError("not answered")
        return real(self, buffer, length)

    monkeypatch.setattr(ServerSession, "receive", receive)


@pytest.mark.parametrize(
    ("defect", "found"), [("raises", "serving ended"), ("hangs", Hang.__name__), ("loses", "never answered")]
)
def test_a_defect_is_found_and_found_again(
    defect: str, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(defect, monkeypatch)
    life = lived(plan(tmp_path, patience=0.3 if defect == "hangs" else PATIENCE), "server", 0)
    assert found in life.findings[0].what
    if defect != "hangs":
        path = write_case(tmp_path, Case("server", 0, life.script, life.findings))
        assert main(["--replay", str(path)]) == 1
