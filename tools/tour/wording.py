"""Messages in few words: what a reader of the tour needs to see of them, and the reason with their numbers in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from rawfuse.trace.exchanges import Exchange
from rawfuse.wire import (
    fuse_attr,
    fuse_attr_out,
    fuse_entry_out,
    fuse_init_in,
    fuse_init_out,
    fuse_statfs_out,
    fuse_statx_out,
    fuse_write_in,
)

from ..decode.lines import arguments_of, name_of, outcome_of
from ..decode.values import field_text, flag_names, name_text
from .matching import Told
from .story import Beat, Chapter, versions

__all__ = ["AS_ABOVE", "UNKNOWN", "Group", "Reasons", "Words", "grouped", "labels", "one_line", "why", "words"]

AS_ABOVE: Final = "(as above)"
UNKNOWN: Final = (
    "The story of the tour does not know this message: your kernel or your program differs from those that it \
was written with."
)

_SHOWN: Final = 2
_HIDDEN: Final = frozenset({"lock_owner", "read_flags"})
"""Members that are noise here: they differ each time and no chapter is about them."""


@dataclass(frozen=True)
class Words:
    """One exchange. `who`: the program; `arguments`: `member=text`; `outcome`: what the answer says."""

    who: str
    label: str
    path: str
    arguments: tuple[str, ...]
    outcome: str
    failed: bool


@dataclass(frozen=True)
class Group:
    """Exchanges that follow one another and are the same part of the story."""

    told: tuple[Told, ...]

    @property
    def beat(self) -> Beat | None:
        """The part of the story."""
        return self.told[0].beat

    @property
    def shown(self) -> list[Exchange | int]:
        """The exchanges to show where there are many: the first ones, how many are left out, the last."""
        every = [one.exchange for one in self.told]
        if len(every) <= _SHOWN + 2:
            return list(every)
        return [*every[:_SHOWN], len(every) - _SHOWN - 1, every[-1]]


def grouped(told: Iterable[Told]) -> Iterator[Group]:
    """Neighbours of one beat together, and what no beat knows one by one."""
    kept: list[Told] = []
    for one in told:
        if kept and (one.beat is None or one.beat is not kept[0].beat):
            yield Group(tuple(kept))
            kept = []
        kept.append(one)
    if kept:
        yield Group(tuple(kept))


class Reasons:
    """The reasons of a chapter, each of which is given once."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def of(self, group: Group) -> tuple[str, str] | None:
        """The reason and the source for a group; None where both were given before."""
        if group.beat is None:
            return UNKNOWN, ""
        if group.beat.why in self._given:
            return None
        self._given.add(group.beat.why)
        return why(group.beat, group.told[0].exchange), group.beat.source


def why(beat: Beat, exchange: Exchange) -> str:
    """The reason, with the path and the numbers of this exchange."""
    return beat.why.format_map(_Said([*arguments_of(exchange), ("path", name_text(exchange.path))]))


class _Said(dict[str, str]):
    """What a request says; what it does not say is 0."""

    def __missing__(self, key: str) -> str:
        return "0"


def words(exchange: Exchange) -> Words:
    """An exchange in few words."""
    request = exchange.request
    who = ""
    if request is not None and exchange.sent is not None and request.pid:
        who = name_text(exchange.sent.program) or f"pid {request.pid}"
    path = name_text(exchange.path)
    if exchange.newpath:
        path += f" -> {name_text(exchange.newpath)}"
    hidden = _HIDDEN
    arg = getattr(request, "arg", None)
    if isinstance(arg, fuse_init_in) or (isinstance(arg, fuse_write_in) and not arg.flags):
        # INIT's are told one by one; what the kernel writes by itself was opened by nobody in particular.
        hidden |= {"flags", "flags2"}
    arguments = [f"{member}={text}" for member, text in arguments_of(exchange) if member not in hidden]
    if isinstance(arg, fuse_init_in):
        offered = _features(arg.flags | arg.flags2 << 32)
        arguments += [f"and {len(offered)} features:", *offered]
    return Words(who, name_of(exchange), path, tuple(arguments), _outcome(exchange), bool(exchange.error))


def one_line(exchange: Exchange) -> str:
    """The same as one line of text."""
    said = words(exchange)
    outcome = f"= {said.outcome}" if said.outcome else ""
    return " ".join(filter(None, (said.who or "kernel", said.label, said.path, *said.arguments, outcome)))


def labels(chapter: Chapter) -> list[str]:
    """The requests that a chapter is about, in the order in which they come."""
    beats = [beat for step in chapter.steps for beats in versions(step.story) for beat in beats]
    return list(dict.fromkeys(label for beat in beats for label in beat.label.split("|")))


def _features(flags: int) -> list[str]:
    """What the flags of INIT stand for."""
    names = flag_names("fuse_init_in", "flags", flags) or ""
    return [name.removeprefix("FUSE_") for name in names.split("|")]


def _outcome(exchange: Exchange) -> str:
    value = exchange.value
    first = value[0] if isinstance(value, tuple) else value
    match first:
        case fuse_attr_out():
            return f"{_attributes(first.attr)}; valid for {_seconds(first.attr_valid, first.attr_valid_nsec)}"
        case fuse_statx_out():
            mode = field_text("fuse_attr", "mode", first.stat.mode)
            kept = _seconds(first.attr_valid, first.attr_valid_nsec)
            return f"{mode}, {first.stat.size} bytes, born at {first.stat.btime.tv_sec}; valid for {kept}"
        case fuse_entry_out() if first.nodeid:
            kept = _seconds(first.entry_valid, first.entry_valid_nsec)
            return f"{outcome_of(exchange)}; valid for {kept}"
        case fuse_entry_out():
            return f"absent; valid for {_seconds(first.entry_valid, first.entry_valid_nsec)}"
        case fuse_statfs_out():
            st = first.st
            return f"{st.bfree} of {st.blocks} blocks of {st.bsize} bytes are free; names of up to {st.namelen} bytes"
        case fuse_init_out():
            taken = _features(first.flags | first.flags2 << 32)
            return (
                f"minor={first.minor} max_readahead={first.max_readahead} max_write={first.max_write} "
                f"max_pages={first.max_pages} time_gran={first.time_gran} and {len(taken)} features: {' '.join(taken)}"
            )
    return outcome_of(exchange)


def _attributes(attr: fuse_attr) -> str:
    return f"{field_text('fuse_attr', 'mode', attr.mode)}, {attr.size} bytes"


def _seconds(seconds: int, nanoseconds: int) -> str:
    return f"{seconds + nanoseconds / 1e9:g} s"
