"""`rawfuse conform --kernel`: its watchdogs, its comparison of reports, and the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rawfuse.tests.waiting import PATIENCE
from rawfuse.wire import Interrupt
from tools.conform.command import main
from tools.conform.linux import command
from tools.conform.linux.compare import BadReport, differences
from tools.conform.linux.rules import RULES
from tools.conform.linux.run import Outcome, interruptible, summed, try_case
from tools.conform.linux.stage.kernels import connected, really
from tools.conform.linux.stage.real import Real
from tools.conform.linux.trial import Broken, Case, NotPossible, Trial, of, over, same, trial
from tools.conform.linux.watch import CannotTry, Watch
from tools.conform.probe import Verdict


def report(*probes: tuple[str, str, str], **kernel: Any) -> dict[str, Any]:
    return {
        "server": "Linux",
        "probes": [
            {"name": name, "verdict": verdict, "rule": "R.", "detail": detail} for name, verdict, detail in probes
        ],
        "kernel": kernel,
    }


def test_reports_that_say_the_same_do_not_differ() -> None:
    one = report(("a.b", "passed", "sent: 1\nseen: x"), release="6.18")
    other = report(("a.b", "passed", "sent: 2\nseen: y"), release="6.18")
    assert list(differences(one, other)) == []


@pytest.mark.parametrize(
    ("before", "now", "line"),
    [
        (("passed", ""), ("failed", "seen: EIO"), "a.b: passed before, failed now"),
        (("failed", "seen: EIO"), ("failed", "seen: 0"), "a.b: failed in another way"),
        (("failed", "sent: 2\nseen: EIO"), ("failed", "sent: 4\nseen: EIO"), None),
    ],
)
def test_a_rule_that_is_kept_otherwise_differs(before: tuple[str, str], now: tuple[str, str], line: str | None) -> None:
    lines = list(differences(report(("a.b", *before)), report(("a.b", *now))))
    assert lines[:1] == ([line] if line else [])


def test_rules_that_one_alone_tried_and_facts_that_changed_are_named() -> None:
    old = report(("a.b", "passed", ""), release="6.18", offers=["A", "B"])
    new = report(("a.c", "failed", ""), release="7.0", offers=["B", "C"], protocol="7.46")
    assert list(differences(old, new)) == [
        "a.b: passed before, not tried now",
        "a.c: not tried before, failed now",
        "offers: no more A; new C",
        "protocol: None before, 7.46 now",
    ]


def test_what_is_no_report_is_refused() -> None:
    with pytest.raises(BadReport):
        list(differences({"frames": []}, report()))


def tried(function: Any, **limits: float) -> Outcome:
    with interruptible():
        return try_case(function, function.cases[0], "real", **limits)


@trial(on=connected)
@over("number", [3])
def a_trial_of_a_broken_kernel(kernel: Any, number: int) -> None:
    kernel.write(b"12345")
    same(number, 4, "the number")


@trial(on=connected)
def a_trial_that_cannot_be(kernel: Any) -> None:
    raise NotPossible("no such device")


@trial(on=connected)
def a_trial_with_a_mistake(kernel: Any) -> None:
    raise LookupError("nothing there")


def test_an_outcome_says_what_was_sent_expected_and_seen() -> None:
    outcome = try_case(a_trial_of_a_broken_kernel, a_trial_of_a_broken_kernel.cases[0], "fake")
    assert (outcome.verdict, outcome.expected, outcome.seen) == (Verdict.FAILED, "the number: 4", "3")
    assert outcome.name == "a trial of a broken kernel: 3"
    assert outcome.sent[0].startswith("read INIT") and outcome.sent[-1] == "wrote 5 bytes: EINVAL"


def test_a_script_that_breaks_is_a_broken_rule() -> None:
    outcome = try_case(a_trial_with_a_mistake, Case("", {}), "fake")
    assert (outcome.verdict, outcome.seen) == (Verdict.FAILED, "LookupError: nothing there")


def test_a_message_of_another_kind_is_a_broken_rule() -> None:
    with pytest.raises(Broken, match=r"^expected Interrupt, seen None$"):
        of(Interrupt, None)


def test_a_rule_is_as_good_as_its_worst_case() -> None:
    good, left = Outcome("t", "1", Verdict.PASSED), Outcome("t", "2", Verdict.INAPPLICABLE, reason="no loop devices")
    bad = Outcome("t", "3", Verdict.FAILED, ("wrote",), "0", "EIO")
    assert summed([good, left]).verdict is Verdict.PASSED
    assert summed([good, left]).reason == "not all cases: no loop devices"
    assert summed([left]) == Outcome("", "", Verdict.INAPPLICABLE, (), "", "", "no loop devices")
    whole = summed([good, bad, left])
    assert (whole.verdict, whole.sent, whole.expected, whole.seen) == (
        Verdict.FAILED,
        ("wrote",),
        "t: 3: 0",
        "t: 3: EIO",
    )
    assert try_case(a_trial_that_cannot_be, Case("", {}), "fake").reason == "no such device"


@trial(on=really)
def a_trial_that_hangs(kernel: Real) -> None:
    os.stat("f", dir_fd=kernel.root)


@pytest.mark.kernel("root")
def test_the_watchdog_frees_a_trial_that_hangs_in_the_kernel() -> None:
    outcome = tried(a_trial_that_hangs, limit=0.5)
    # Its connection was aborted, at whichever call it was by then.
    assert outcome.verdict is Verdict.HUNG and "Error" in outcome.seen


SAY = "import json, sys, time; say = lambda **line: print(json.dumps(line)); names = sys.argv[2:]; "
PASSED = 'say(rule=names[0], verdict="passed", sent=[], expected="", seen="", reason="", seconds=0); '
DIES = f'{SAY}say(facts={{}}); say(began=[names[0], "a_trial", "x"]); sys.exit("out of luck")'
HANGS = f'{SAY}say(facts={{}}); {PASSED}say(began=[names[1], "a_trial", "x"]); sys.stdout.flush(); time.sleep(60)'
STARTS = f'{SAY}sys.exit("no FUSE here")'


def watched(script: str, count: int, limit: float = PATIENCE) -> Watch:
    return Watch(RULES[:count], limit=limit, grace=0.2, command=(sys.executable, "-c", script))


def test_a_process_that_dies_costs_the_rule_it_tried_and_no_other() -> None:
    results = list(watched(DIES, 2).results())
    assert [result.verdict for result in results] == [Verdict.CRASHED] * 2
    assert [result.probe.name for result in results] == [rule.name for rule in RULES[:2]]
    assert "while a trial: x: out of luck" in results[0].reason


def test_a_process_that_hangs_is_ended() -> None:
    results = list(watched(HANGS, 2, limit=0.3).results())
    assert [result.verdict for result in results] == [Verdict.PASSED, Verdict.HUNG]


def test_where_nothing_can_be_tried_it_says_why() -> None:
    with pytest.raises(CannotTry, match="no FUSE here"):
        list(watched(STARTS, 1).results())


@pytest.mark.kernel("root")
def test_reports_are_written_and_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [tmp_path / "out.xml", tmp_path / "out.html"]
    assert (
        main(["--kernel", "writing.once", "init.first", "--json", "--junit", str(files[0]), "--html", str(files[1])])
        == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert found["kernel"]["protocol"].startswith("7.") and "FUSE_INIT_EXT" in found["kernel"]["offers"]
    assert [(probe["name"], probe["verdict"]) for probe in found["probes"]] == [
        ("writing.once", "passed"),
        ("init.first", "passed"),
    ]
    assert all("init.first" in file.read_text() for file in files)
    found["probes"][1]["verdict"] = "failed"
    kept = tmp_path / "6.18.json"
    kept.write_text(json.dumps(found))
    assert main(["--kernel", "init.first", "--compare", str(kept)]) == 1
    assert capsys.readouterr().out.startswith("init.first: failed before, passed now\n")


def test_the_report_of_linux_6_18_comes_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    kept = json.loads((Path(command.__file__).parent / "kept" / "6.18.json").read_text())
    assert [probe["name"] for probe in kept["probes"]] == [rule.name for rule in RULES]
    assert {probe["verdict"] for probe in kept["probes"]} == {"passed"}
    assert kept["kernel"]["protocol"] == "7.45"


@pytest.mark.kernel("root")
def test_a_kernel_is_compared_with_linux_6_18(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["--kernel", "init.first", "--compare", "6.18"])
    said = capsys.readouterr().out
    assert (status, said) == (0, "no difference from Linux 6.18, FUSE 7.45\n") or (status == 1 and "before" in said)


def test_rules_are_listed_without_trying_any(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--kernel", "--list", "enosys"]) == 0
    listed = capsys.readouterr().out
    assert "enosys.remembered (must)" in listed and "writing" not in listed


@pytest.mark.parametrize(
    ("words", "said"),
    [(["nonsense"], "no probe is called 'nonsense'"), (["--compare", "/nowhere"], "/nowhere")],
)
def test_a_wrong_command_line_is_status_2(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--kernel", *words])
    assert ended.value.code == 2 and said in capsys.readouterr().err


def test_without_a_device_nothing_is_tried(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAWFUSE_DEVICE", "/nowhere/fuse")
    assert main(["--kernel"]) == 2
    assert "modprobe fuse" in capsys.readouterr().err


AS_NOBODY = """
import ctypes, os, sys
from tools.conform.linux import worker
os.setgroups([]); os.setgid(65534); os.setuid(65534)
ctypes.CDLL(None).prctl(4, 1)  # PR_SET_DUMPABLE: changing ids took /proc/self away, as exec would not have
sys.exit(worker.main())
"""


@pytest.mark.kernel("root", "userns")
def test_an_ordinary_user_tries_nearly_all(tmp_path: Path) -> None:
    device = Path("/run") / f"rawfuse-conform-{os.getpid()}"
    os.mknod(device, 0o20666, os.stat("/dev/fuse").st_rdev)
    try:
        device.chmod(0o666)
        ran = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, "10", "writing.once", "reading.abort", "passthrough.beside"],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "RAWFUSE_DEVICE": str(device)},
        )
    finally:
        device.unlink()
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    verdicts = {line["rule"]: line["verdict"] for line in lines if "rule" in line}
    assert verdicts == {
        "writing.once": "passed",
        "reading.abort": "passed",
        "passthrough.beside": "not applicable",
    }, ran.stderr


def test_a_trial_is_tried_with_every_combination() -> None:
    @over("one", [1, 2])
    @over(("two", "three"), [("a", 3), ("b", 4)])
    def function(kernel: object, one: int, two: str, three: int) -> None: ...

    made: Trial = trial(on=connected)(function)
    assert [case.id for case in made.cases] == ["1, a-3", "1, b-4", "2, a-3", "2, b-4"]
    assert made.cases[1].arguments == {"one": 1, "two": "b", "three": 4}
