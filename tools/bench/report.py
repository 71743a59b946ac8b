"""Results as a table for people, as tab-separated lines for programs, and as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence

from .ground import Settings
from .rows import Result

HEADINGS = ("row", "ours", "reference", "ratio", "bar", "verdict")


def figure(value: float | None, unit: str = "") -> str:
    """Three significant digits, never in powers of ten."""
    if value is None:
        return "-"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:.{digits}f} {unit}".rstrip()


def table(results: Sequence[Result]) -> str:
    """For a terminal; what each figure is stands below, and what went wrong."""
    lines = [HEADINGS]
    for result in results:
        row = result.row
        beside = f"{figure(result.reference, row.unit)} ({row.reference})" if result.reference is not None else "-"
        bar = row.bar.text(row.unit) if row.bar else "-"
        lines.append((row.name, figure(result.ours, row.unit), beside, figure(result.ratio), bar, result.verdict))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    notes = [f"{result.row.name}: {result.samples.note}" for result in results if result.samples.note]
    return "\n".join([*text, *(["", *notes] if notes else [])])


def separated(results: Sequence[Result]) -> str:
    """Tab-separated with a heading; figures are plain numbers, units and notes are columns of their own."""
    lines = ["\t".join((*HEADINGS, "unit", "reference_is", "note"))]
    for result in results:
        row = result.row
        numbers = ["" if value is None else f"{value:.6g}" for value in (result.ours, result.reference, result.ratio)]
        bar = row.bar.text(row.unit) if row.bar else ""
        note = " ".join(result.samples.note.split())
        lines.append("\t".join((row.name, *numbers, bar, result.verdict, row.unit, row.reference, note)))
    return "\n".join(lines)


def as_json(results: Sequence[Result], settings: Settings) -> str:
    """Everything, with every run's figure."""
    rows = [
        {
            "row": result.row.name,
            "measures": result.row.measures,
            "server": _server(result, settings),
            "unit": result.row.unit,
            "ours": result.ours,
            "reference": result.reference,
            "reference_is": result.row.reference,
            "ratio": result.ratio,
            "bar": result.row.bar.text(result.row.unit) if result.row.bar else None,
            "verdict": result.verdict,
            "runs": result.samples.ours,
            "reference_runs": result.samples.reference,
            "note": result.samples.note,
        }
        for result in results
    ]
    return json.dumps({"machine": machine(settings), "scale": settings.scale, "rows": rows}, indent=2)


def _server(result: Result, settings: Settings) -> str | None:
    """Which of our servers the figures are of; None for a row that needs none."""
    if not result.row.mounts:
        return None
    return (result.row.server or settings.ours).name


def machine(settings: Settings) -> dict[str, str | int | list[float]]:
    return {
        "kernel": platform.release(),
        "python": platform.python_version(),
        "cpus": len(os.sched_getaffinity(0)),
        "client": settings.caller.kind,
        "load": [round(average, 2) for average in os.getloadavg()],
    }


def footer(settings: Settings) -> str:
    """What the figures were taken with; said to the person, not to the pipe."""
    facts = machine(settings)
    text = (
        f"Linux {facts['kernel']}, {facts['cpus']} CPUs, Python {facts['python']}, "
        f"client of the round trips in {facts['client']}; medians."
    )
    if settings.scale != 1:
        text += f"\nSizes and counts are {settings.scale:g} of the real ones: a trial, the bars are not about it."
    return text
