"""What a suite came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class Outcome:
    """One suite, in one mode, in one place.

    Attributes:
        suite: `pjdfstest` or `fsx`; `mode` says which of its ways to run, empty where it has one.
        place: where it ran.
        passed: tests of pjdfstest, operations of fsx.
        failed: test, or operation, to what was wrong with it.
        skipped: test to the reason.
        seconds: how long it took.
        seed: of fsx, which makes the same operations again.
        said: the last words of the server, where something failed.
    """

    suite: str
    mode: str
    place: str
    passed: int
    failed: Mapping[str, str] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    seed: int | None = None
    said: str = ""

    @property
    def name(self) -> str:
        """The suite with its mode."""
        return f"{self.suite} {self.mode}".strip()


def as_fields(outcomes: Sequence[Outcome]) -> list[dict[str, object]]:
    """For JSON."""
    return [{**asdict(outcome), "seconds": round(outcome.seconds, 3)} for outcome in outcomes]


def told(outcomes: Sequence[Outcome]) -> str:
    """A line for each outcome, then what failed, then how what was skipped differs from place to place."""
    lines = [f"{'suite':<22} {'place':<12} {'passed':>9} {'failed':>7} {'skipped':>8} {'seconds':>8}"]
    for one in outcomes:
        lines.append(
            f"{one.name:<22} {one.place:<12} {one.passed:>9} {len(one.failed):>7} {len(one.skipped):>8} "
            f"{one.seconds:>8.1f}"
        )
    for one in outcomes:
        for test, why in one.failed.items():
            lines += ["", f"{one.name} on {one.place}: {test} failed", *(f"    {line}" for line in why.splitlines())]
    for said in dict.fromkeys(one.said for one in outcomes if one.said):
        lines += ["", said]
    lines += _differences([one for one in outcomes if one.suite == "pjdfstest"])
    for one in outcomes:
        if one.suite == "fsx":
            lines += [f"skipped on {one.place}: fsx {mode}: {why}" for mode, why in one.skipped.items()]
    return "\n".join(lines)


def _differences(outcomes: Sequence[Outcome]) -> list[str]:
    """What is skipped in some of the places and not in all."""
    if not outcomes:
        return []
    common = set.intersection(*(set(one.skipped) for one in outcomes))
    lines = []
    for one in outcomes:
        for test in sorted(set(one.skipped) - common):
            lines.append(f"skipped on {one.place} alone: {test}: {one.skipped[test]}")
    return ["", *lines] if lines else []
