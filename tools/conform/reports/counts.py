"""How many probes of a tier came to which verdict. Never one figure for all: what matters is which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from ..probe import Result, Tier, Verdict

__all__ = ["counts", "kept"]


def counts(results: Iterable[Result]) -> dict[Tier, Counter[Verdict]]:
    """By tier."""
    found: dict[Tier, Counter[Verdict]] = {tier: Counter() for tier in Tier}
    for result in results:
        found[result.probe.tier][result.verdict] += 1
    return found


def kept(results: Iterable[Result], tiers: Iterable[Tier] = (Tier.MUST,)) -> bool:
    """Whether no probe of these tiers failed, crashed or hung."""
    wanted = set(tiers)
    return not any(result.bad and result.probe.tier in wanted for result in results)
