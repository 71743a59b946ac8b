"""The table of rules against the tests: none is missing, and what is said to hold for both kernels is tried on both."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
from message_rules import RULES, Rule

HERE = Path(__file__).parent
WHOLE = ("rules", "queue", "half", "listings", "notify", "interrupt", "enosys", "init", "requests", "mounting_rules")
"""Modules that hold nothing but tests of rules."""
ABOUT_TESTS = {"enosys.test_every_opcode_that_is_answered_is_tried"}
_LINE = re.compile(r"test_kernel_(\w+)\.py::(\w+)(?:\[(.*)\])?")


@pytest.fixture(scope="module")
def collected() -> dict[str, set[str]]:
    """By `module.function`: the kernels that it is run on."""
    modules = sorted({test.partition(".")[0] for rule in RULES for test in rule.tests} | {*WHOLE})
    files = [str(HERE / f"test_kernel_{module}.py") for module in modules]
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *files]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=HERE.parent)
    found: defaultdict[str, set[str]] = defaultdict(set)
    for line in ran.stdout.splitlines():
        if match := _LINE.search(line):
            module, function, parameters = match.groups()
            kinds = {"real", "fake"} & {*(parameters or "").split("-")}
            found[f"{module}.{function}"] |= kinds or {"real"}
    return found


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.says)
def test_a_rule_is_tested_on_the_kernels_it_is_said_to_be(rule: Rule, collected: dict[str, set[str]]) -> None:
    assert rule.tests
    kinds = {"real"} if rule.real_alone else {"real", "fake"}
    assert {test: collected.get(test) for test in rule.tests} == dict.fromkeys(rule.tests, kinds)


def test_every_test_of_a_rule_belongs_to_one(collected: dict[str, set[str]]) -> None:
    tests = {test for test in collected if test.partition(".")[0] in WHOLE}
    assert tests - ABOUT_TESTS - {test for rule in RULES for test in rule.tests} == set()


def test_no_rule_is_said_twice() -> None:
    assert len({rule.says for rule in RULES}) == len(RULES)
