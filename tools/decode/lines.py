"""One line for an exchange."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from rawfuse.trace.exchanges import Exchange
from rawfuse.wire import Request, UnknownRequest, fuse_entry_out, fuse_init_out, fuse_open_out
from rawfuse.wire.base import WireStruct
from rawfuse.wire.dirent import DirentPlus
from rawfuse.wire.replies import answered

from .values import errno_text, fields_of, flag_names, label, name_text

__all__ = ["Painter", "Style", "arguments_of", "coloured", "line", "name_of", "outcome_of", "plain", "program_of"]

Painter = Callable[[str, str], str]
"""Paints a text in a style's name: opcode, path, error, time, program."""

_COLOURS: Final = {"opcode": "1;36", "path": "33", "error": "1;31", "time": "2", "program": "2", "problem": "1;35"}
_MANY: Final = 3


def plain(text: str, _: str) -> str:
    """No colour."""
    return text


def coloured(text: str, style: str) -> str:
    """For a terminal (ECMA-48)."""
    return f"\033[{_COLOURS[style]}m{text}\033[0m" if text else text


class Style:
    """How lines look: `paint`, and whether times count from `start` (nanoseconds) or are those of the day."""

    def __init__(self, paint: Painter = plain, *, start: int | None = None, absolute: bool = False) -> None:
        self.paint = paint
        self.start = start
        self.absolute = absolute

    def stamp(self, moment: int) -> str:
        """Seconds since the first message, or the time of day, to the microsecond."""
        if self.absolute:
            seconds, rest = divmod(moment, 1_000_000_000)
            return time.strftime("%H:%M:%S", time.localtime(seconds)) + f".{rest // 1000:06d}"
        if self.start is None:
            self.start = moment
        return f"{(moment - self.start) / 1e9:11.6f}"


def line(exchange: Exchange, style: Style) -> str:
    """`time opcode path arguments = outcome <latency> program`."""
    paint = style.paint
    words = [paint(style.stamp(exchange.time), "time"), paint(f"{name_of(exchange):<16}", "opcode")]
    if exchange.path:
        path = name_text(exchange.path)
        if exchange.newpath:
            path += f" -> {name_text(exchange.newpath)}"
        words.append(paint(path, "path"))
    words += [f"{member}={text}" for member, text in arguments_of(exchange)]
    outcome = outcome_of(exchange)
    if outcome:
        words += ["=", paint(outcome, "error") if exchange.error else outcome]
    if exchange.latency is not None:
        words.append(paint(f"<{latency_text(exchange.latency)}>", "time"))
    program = program_of(exchange)
    if program:
        words.append(paint(program, "program"))
    if exchange.problem:
        words.append(paint(f"[{exchange.problem}]", "problem"))
    return " ".join(words)


def name_of(exchange: Exchange) -> str:
    """The opcode's or notification's label; `?` for what could not be decoded."""
    message = exchange.request or exchange.notification
    return label(message) if message is not None else "?"


def latency_text(nanoseconds: int) -> str:
    """In the unit that leaves a readable number."""
    if nanoseconds < 1_000_000:
        return f"{nanoseconds / 1000:.0f} us"
    if nanoseconds < 1_000_000_000:
        return f"{nanoseconds / 1_000_000:.1f} ms"
    return f"{nanoseconds / 1_000_000_000:.2f} s"


def program_of(exchange: Exchange) -> str:
    """`cat[123]`."""
    request, sent = exchange.request, exchange.sent
    if request is None or sent is None or not (request.pid or sent.program):
        return ""
    return f"{name_text(sent.program)}[{request.pid}]"


def arguments_of(exchange: Exchange) -> list[tuple[str, str]]:
    """What the request says besides names; zeros are left out."""
    message = exchange.request or exchange.notification
    if message is None:
        return []
    if isinstance(message, UnknownRequest):
        return []
    found: list[tuple[str, str]] = []
    arg = getattr(message, "arg", None)
    if isinstance(arg, WireStruct):
        found += fields_of(arg)
        flags2 = getattr(arg, "flags2", 0)
        if flags2:
            found = [(key, text) for key, text in found if key != "flags2"]
            found.append(("flags2", flag_names("fuse_init_in", "flags", flags2 << 32) or ""))
    for extra in ("target", "value"):
        content = getattr(message, extra, None)
        if isinstance(content, bytes):
            found.append((extra, name_text(content[:64]) if extra == "target" else f"{len(content)} bytes"))
    if isinstance(message, Request) and label(message).endswith("XATTR"):
        name = getattr(message, "name", b"")
        if name:
            found.insert(0, ("name", name_text(name)))
    forgets = getattr(message, "forgets", None)
    if forgets:
        found.append(("forgets", ",".join(f"{one.nodeid}:{one.nlookup}" for one in forgets[:_MANY])))
        if len(forgets) > _MANY:
            found.append(("more", str(len(forgets) - _MANY)))
    return found


def outcome_of(exchange: Exchange) -> str:
    """What came of it."""
    if exchange.error is None:
        waited = exchange.request is not None and exchange.answer is None
        return "(no reply)" if waited and _is_answered(exchange) else ""
    if exchange.error:
        return errno_text(exchange.error)
    value = exchange.value
    if value is None:
        return "ok"
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, list):
        names = [name_text((one.dirent if isinstance(one, DirentPlus) else one).name) for one in value]
        shown = ", ".join(names[:_MANY]) + (", ..." if len(names) > _MANY else "")
        return f"{len(names)} entries" + (f" ({shown})" if names else "")
    parts = value if isinstance(value, tuple) else (value,)
    return ", ".join(filter(None, map(_struct_text, parts))) or "ok"


def _is_answered(exchange: Exchange) -> bool:
    return exchange.request is not None and answered(exchange.request.opcode)


def _struct_text(value: WireStruct) -> str:
    if isinstance(value, fuse_entry_out):
        if not value.nodeid:
            return "absent"
        shown = dict(fields_of(value.attr))
        return f"nodeid {value.nodeid}, {shown.get('mode', '?')}, {value.attr.size} bytes"
    if isinstance(value, fuse_open_out):
        flags = flag_names("fuse_open_out", "open_flags", value.open_flags)
        return f"fh {value.fh}" + (f" {flags}" if value.open_flags else "")
    if isinstance(value, fuse_init_out):
        high = flag_names("fuse_init_out", "flags", value.flags2 << 32) if value.flags2 else ""
        return " ".join(f"{k}={v}" for k, v in fields_of(value) if k != "flags2") + (f" flags2={high}" if high else "")
    return " ".join(f"{member}={text}" for member, text in fields_of(value))
