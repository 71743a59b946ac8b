"""The tour on this kernel: every step happens as it is told, every exercise judges as it should."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rawfuse.tests.waiting import PATIENCE
from tools.decode.lines import name_of
from tools.tests.tour_answers import HANGS, HEAD, MISTAKES, SOLUTIONS
from tools.tour import stage
from tools.tour.chapters import CHAPTERS
from tools.tour.exercises import EXERCISES, Verdict, judge, learners
from tools.tour.matching import match
from tools.tour.playing import on_stage, program
from tools.tour.servers import Plain, WithoutPlus
from tools.tour.stage import StageError
from tools.tour.story import Beat, Scene

pytestmark = pytest.mark.kernel("root", programs=("dd", "md5sum", "cmp"))
SCENES = {f"{one.number}-{count}": scene for one in CHAPTERS for count, scene in enumerate(one.scenes, 1)}


@pytest.mark.parametrize("name", SCENES)
def test_every_step_happens_as_it_is_told(name: str) -> None:
    with on_stage(SCENES[name]) as play:
        departures = {step.title: play(step).departures for step in SCENES[name].steps}
    assert departures == {step.title: [] for step in SCENES[name].steps}


@pytest.mark.parametrize(
    ("name", "step", "label"), [("1-1", 3, "STATX"), ("5-2", 0, "COPY_FILE_RANGE_64"), ("5-3", 0, "COPY_FILE_RANGE_64")]
)
def test_a_kernel_that_lacks_a_request_is_told_as_well(name: str, step: int, label: str) -> None:
    """What comes here, without the request that an older kernel does not know."""
    told = SCENES[name].steps[step]
    with on_stage(SCENES[name]) as play:
        exchanges = [play(one) for one in SCENES[name].steps[: step + 1]][-1].ran.exchanges
    older = [one for one in exchanges if name_of(one) != label]
    assert len(older) < len(exchanges)
    assert match(told.story, older, program(told)).faults == 0


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is told may come late on a machine that is busy; it is waited for no longer than until it comes."""
    monkeypatch.setattr(stage, "LATE", PATIENCE)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "LATE", 0.1)


@pytest.mark.usefixtures("impatient")
def test_a_server_that_does_otherwise_is_noticed() -> None:
    (scene, *_) = CHAPTERS[1].scenes
    with on_stage(replace(scene, make=WithoutPlus)) as play:
        played = play(scene.steps[0])
    assert played.telling.unexpected
    assert [beat.label for beat in played.telling.missing] == ["READDIRPLUS"]
    assert len(played.departures) == 2


@pytest.mark.usefixtures("impatient")
def test_what_does_not_come_is_not_waited_for_without_an_end() -> None:
    step = replace(CHAPTERS[0].scenes[0].steps[2], story=(Beat("FSYNC", "/", "never"),))
    with on_stage(Scene(Plain, "", (step,))) as play:
        played = play(step)
    assert [beat.label for beat in played.telling.missing] == ["FSYNC"]


def test_a_server_that_cannot_be_made_is_an_error_with_what_it_said() -> None:
    with pytest.raises(StageError) as failed:
        with on_stage(Scene(lambda: 1 // 0, "", ())):  # type: ignore[arg-type, return-value]
            pass
    assert "ZeroDivisionError" in failed.value.said


def judged(number: int, directory: Path, answer: str | None, patience: float = PATIENCE) -> Verdict:
    """`answer`: a class on top of the skeleton; None: the skeleton as it is."""
    exercise = EXERCISES[number]
    file, name = directory / "skeleton.py", exercise.name
    file.write_text(exercise.skeleton)
    if answer is not None:
        file, name = directory / "mine.py", "Mine"
        file.write_text(HEAD + answer)
    return judge(exercise.check, learners(file, name), directory, patience=patience)


@pytest.mark.parametrize("number", EXERCISES)
def test_the_right_answer_solves_an_exercise(number: int, tmp_path: Path) -> None:
    verdict = judged(number, tmp_path, SOLUTIONS[number])
    assert [finding.text for finding in verdict.findings if not finding.good] == []
    assert verdict.good, verdict.said


@pytest.mark.parametrize("number", EXERCISES)
def test_the_untouched_skeleton_does_not(number: int, tmp_path: Path) -> None:
    verdict = judged(number, tmp_path, None, 2.0 if number == 8 else PATIENCE)
    assert not verdict.good
    last = verdict.findings[-1]
    assert last.shown is not None, "it names the message that shows it"


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named(name: str, tmp_path: Path) -> None:
    number, answer, hint = MISTAKES[name]
    verdict = judged(number, tmp_path, answer, 2.0 if name in HANGS else PATIENCE)
    assert not verdict.good
    assert hint in f"{verdict.findings[-1].text} {verdict.findings[-1].hint}"


def test_what_a_server_says_at_its_end_is_kept(tmp_path: Path) -> None:
    verdict = judged(3, tmp_path, "class Mine(Numbers):\n    def __init__(self):\n        raise ValueError('odd')\n")
    assert "ValueError: odd" in verdict.said
