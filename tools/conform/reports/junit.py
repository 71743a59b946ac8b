"""JUnit's XML, which continuous integration shows: a suite per subject, a case per probe."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import groupby
from typing import Final
from xml.etree import ElementTree

from ..probe import Result, Verdict

__all__ = ["junit"]

_UNPRINTABLE: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd]")
"""What XML 1.0 cannot carry."""


def junit(server: str, results: Iterable[Result]) -> str:
    """The document. What was not applicable is skipped; a crash or a hang is an error, a broken rule a failure."""
    ordered = sorted(results, key=lambda result: result.probe.subject)
    root = ElementTree.Element("testsuites", name=_clean(server))
    for subject, group in groupby(ordered, key=lambda result: result.probe.subject):
        members = list(group)
        errors = sum(result.verdict in (Verdict.CRASHED, Verdict.HUNG) for result in members)
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=subject,
            tests=str(len(members)),
            failures=str(sum(result.verdict is Verdict.FAILED for result in members)),
            errors=str(errors),
            skipped=str(sum(result.verdict is Verdict.INAPPLICABLE for result in members)),
            time=f"{sum(result.seconds for result in members):.3f}",
        )
        for result in members:
            _case(suite, result)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _case(suite: ElementTree.Element, result: Result) -> None:
    probe = result.probe
    case = ElementTree.SubElement(
        suite, "testcase", classname=f"conform.{probe.subject}", name=probe.name, time=f"{result.seconds:.3f}"
    )
    if result.verdict is Verdict.INAPPLICABLE:
        ElementTree.SubElement(case, "skipped", message=_clean(result.reason))
    elif result.bad:
        kind = "failure" if result.verdict is Verdict.FAILED else "error"
        trouble = ElementTree.SubElement(case, kind, type=str(probe.tier), message=_clean(f"{probe.rule}"))
        trouble.text = _clean("\n".join((result.detail, *result.dump)))
    ElementTree.SubElement(case, "system-out").text = _clean(f"{probe.rule}\nsource: {probe.source}\n{result.detail}")


def _clean(text: str) -> str:
    return _UNPRINTABLE.sub("?", text)
