"""Holding what happened against the story."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rawfuse.trace.exchanges import Exchange

from ..decode.lines import arguments_of, name_of, outcome_of
from ..decode.values import errno_text, name_text
from .story import Beat, Step, Story, versions

__all__ = ["Told", "Telling", "is_told", "match", "tells"]


@dataclass(frozen=True)
class Told:
    """An exchange, and the part of the story that it is; None: the story does not know it."""

    exchange: Exchange
    beat: Beat | None


@dataclass(frozen=True)
class Telling:
    """What happened in the words of the story: every exchange in its order, and what did not come."""

    told: list[Told] = field(default_factory=list)
    missing: list[Beat] = field(default_factory=list)

    @property
    def unexpected(self) -> list[Exchange]:
        """Exchanges that the story does not know."""
        return [one.exchange for one in self.told if one.beat is None]

    @property
    def faults(self) -> int:
        """How far it departs from the story."""
        return len(self.unexpected) + len(self.missing)


def tells(beat: Beat, exchange: Exchange, program: str) -> bool:
    """Whether `exchange` is what `beat` expects, `program` being that of the act."""
    if name_of(exchange) not in beat.label.split("|"):
        return False
    if beat.path and name_text(exchange.path) != beat.path:
        return False
    if beat.newpath and name_text(exchange.newpath) != beat.newpath:
        return False
    if exchange.request is not None and exchange.sent is not None:
        by = program if beat.by is None else beat.by
        if by != (name_text(exchange.sent.program) if exchange.request.pid else ""):
            return False
    if (errno_text(exchange.error) if exchange.error else "") != beat.error:
        return False
    said = dict(arguments_of(exchange))
    if any(text not in said.get(member, "0") for member, text in beat.given):
        return False
    return beat.reply in outcome_of(exchange)


def match(story: Story, exchanges: Sequence[Exchange], program: str) -> Telling:
    """The way of the story that fits best. `exchanges` in the order in which they were asked."""
    best: Telling | None = None
    for beats in versions(story):
        telling = _follow(beats, exchanges, program)
        if best is None or telling.faults < best.faults:
            best = telling
    return best or Telling()


def is_told(step: Step, exchanges: Sequence[Exchange], program: str) -> bool:
    """Whether all has come that the step expects."""
    return not match(step.story, sorted(exchanges, key=lambda one: one.time), program).missing


def _follow(beats: tuple[Beat, ...], exchanges: Iterable[Exchange], program: str) -> Telling:
    counts = [0] * len(beats)
    told: list[Told] = []
    place = 0
    for exchange in exchanges:
        fits = [
            index
            for index, beat in enumerate(beats)
            if (beat.most is None or counts[index] < beat.most) and tells(beat, exchange, program)
        ]
        index = _choice(beats, counts, fits, place)
        if index is None:
            told.append(Told(exchange, None))
            continue
        counts[index] += 1
        told.append(Told(exchange, beats[index]))
        if not beats[index].anytime:
            place = index
    missing = [beat for beat, count in zip(beats, counts, strict=True) if count < beat.least]
    return Telling(told, missing)


def _choice(beats: tuple[Beat, ...], counts: list[int], fits: list[int], place: int) -> int | None:
    """The next in order; else what may come at any time; else one that is behind something which did not come."""
    ahead = [index for index in fits if index >= place and not beats[index].anytime]
    if ahead and all(
        counts[index] >= beats[index].least for index in range(place, ahead[0]) if not beats[index].anytime
    ):
        return ahead[0]
    free = [index for index in fits if beats[index].anytime]
    return free[0] if free else ahead[0] if ahead else None
