"""Every case of every rule, on the kernel of this machine and on `KernelSession`: the table of `conform --kernel`."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import pytest

from tools.conform.linux.rules import RULES, Rule
from tools.conform.linux.run import interruptible, try_case
from tools.conform.linux.trial import Case, Trial
from tools.conform.probe import Verdict

MARKS = {"real": [pytest.mark.kernel("root")], "fake": []}


def cases() -> Iterator[Any]:
    for rule in RULES:
        for kind in rule.kinds:
            for trial in rule.trials:
                for case in trial.cases:
                    name = "-".join(part for part in (rule.name, trial.name, case.id, kind) if part)
                    yield pytest.param(rule, trial, case, kind, id=name, marks=MARKS[kind])


@pytest.fixture(autouse=True, scope="module")
def harmless_signal() -> Generator[None, None, None]:
    with interruptible():
        yield


@pytest.mark.parametrize(("rule", "trial", "case", "kind"), [*cases()])
def test_a_rule_is_kept(rule: Rule, trial: Trial, case: Case, kind: str) -> None:
    outcome = try_case(trial, case, kind)
    if outcome.verdict is Verdict.INAPPLICABLE:
        pytest.skip(outcome.reason)
    shown = "\n".join([rule.says, *outcome.sent, f"expected: {outcome.expected}", f"seen: {outcome.seen}"])
    assert outcome.verdict is Verdict.PASSED, shown
