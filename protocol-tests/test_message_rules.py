"""The table of the kernel's rules: no trial is without a rule, no rule without trials, no opcode left out."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

from rawfuse.session.absence import INSTEAD
from rawfuse.wire import constants as c
from rawfuse.wire.opcodes import OPERATIONS
from rawfuse.wire.replies import answered
from tools.conform.linux import trials
from tools.conform.linux.rules import RULES, Rule
from tools.conform.linux.trial import Trial
from tools.conform.linux.trials import absence

ELSEWHERE = {c.FUSE_INTERRUPT, c.FUSE_INIT, c.FUSE_DESTROY}
"""Trials of their own."""
NEVER_SENT = {c.FUSE_SETUPMAPPING, c.FUSE_REMOVEMAPPING, c.CUSE_INIT}
"""Of virtiofs and of CUSE."""


def all_trials() -> dict[str, Trial]:
    modules = [
        importlib.import_module(f"{trials.__name__}.{one.name}") for one in pkgutil.iter_modules(trials.__path__)
    ]
    return {
        f"{module.__name__}.{name}": value
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, Trial)
    }


def test_every_trial_belongs_to_a_rule() -> None:
    used = {id(trial) for rule in RULES for trial in rule.trials}
    assert [name for name, trial in all_trials().items() if id(trial) not in used] == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_says_what_holds_and_has_trials(rule: Rule) -> None:
    assert rule.says and rule.source and rule.trials
    assert all(trial.cases for trial in rule.trials)


def test_no_rule_is_said_twice() -> None:
    assert len({rule.name for rule in RULES}) == len({rule.says for rule in RULES}) == len(RULES)


def test_cases_of_a_trial_have_names_of_their_own() -> None:
    for name, trial in all_trials().items():
        ids = [case.id for case in trial.cases]
        assert len({*ids}) == len(ids), name


def test_enosys_is_tried_for_every_opcode_that_is_answered() -> None:
    tried = {opcode for opcode, _ in absence.CASES} | {*INSTEAD} | ELSEWHERE | absence.IGNORED
    assert {one.opcode for one in OPERATIONS if answered(one.opcode)} - NEVER_SENT <= tried
