"""Two reports of kernels: what the later one does otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["BadReport", "differences"]


_WHICH = frozenset({"release", "machine"})
"""Facts that say which kernel it is, and not what it does."""


class BadReport(Exception):
    """What is compared with is not a report of `rawfuse conform --kernel --json`."""


def _probes(report: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    try:
        return {one["name"]: one for one in report["probes"]}
    except (KeyError, TypeError) as error:
        raise BadReport("no report of rawfuse conform --kernel --json") from error


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Lines that say what differs: rules whose verdict is another, or that are broken in another way; and the facts.

    A rule that only one of the two tried is named, too. What was sent is left out: uniques and lengths differ.
    """
    old, new = _probes(before), _probes(now)
    for name in dict.fromkeys((*old, *new)):
        if name not in new:
            yield f"{name}: {old[name]['verdict']} before, not tried now"
        elif name not in old:
            yield f"{name}: not tried before, {new[name]['verdict']} now"
        elif old[name]["verdict"] != new[name]["verdict"]:
            yield f"{name}: {old[name]['verdict']} before, {new[name]['verdict']} now"
            yield f"    rule      {new[name]['rule']}"
            for when, one in (("before", old[name]), ("now", new[name])):
                yield from (f"    {when:<9} {line}" for line in _telling(one))
        elif new[name]["verdict"] != "passed" and _telling(old[name]) != _telling(new[name]):
            yield f"{name}: {new[name]['verdict']} in another way"
            for when, one in (("before", old[name]), ("now", new[name])):
                yield from (f"    {when:<9} {line}" for line in _telling(one))
    yield from _facts(before.get("kernel", {}), now.get("kernel", {}))


def _telling(one: Mapping[str, Any]) -> list[str]:
    return [
        line for line in str(one.get("detail", "")).splitlines() if line.startswith(("expected:", "seen:", "reason:"))
    ]


def _facts(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for name in dict.fromkeys((*old, *new)):
        if name in _WHICH:
            continue
        was, is_ = old.get(name), new.get(name)
        if was == is_:
            continue
        if isinstance(was, list) and isinstance(is_, list):
            gone, come = [one for one in was if one not in is_], [one for one in is_ if one not in was]
            yield f"{name}: " + "; ".join(
                f"{what} {', '.join(map(str, ones))}" for what, ones in (("no more", gone), ("new", come)) if ones
            )
        else:
            yield f"{name}: {was} before, {is_} now"
