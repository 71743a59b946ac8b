"""An exchange as plain data, for JSON."""

from __future__ import annotations

import base64
from typing import Any

from rawfuse.trace.exchanges import Exchange
from rawfuse.wire.base import Record, WireStruct
from rawfuse.wire.dirent import Dirent, DirentPlus

from .lines import name_of
from .values import errno_text, flag_names, name_text

__all__ = ["as_object"]

_SHOWN = 4096


def as_object(exchange: Exchange, *, data: bool = False) -> dict[str, Any]:
    """One object: numbers are numbers; a member that holds flags has their names beside it, as `MEMBER_names`.

    Payloads are their lengths, or with `data` base64 of all of their bytes.
    """
    message = exchange.request or exchange.notification
    found: dict[str, Any] = {
        "time": exchange.time / 1e9,
        "opcode": name_of(exchange),
        "kind": "notification" if exchange.notification is not None else "request",
    }
    request = exchange.request
    if request is not None:
        found |= {name: getattr(request, name) for name in ("unique", "nodeid", "uid", "gid", "pid")}
    if exchange.sent is not None and exchange.sent.program:
        found["program"] = name_text(exchange.sent.program)
    if exchange.path:
        found["path"] = name_text(exchange.path)
    if exchange.newpath:
        found["newpath"] = name_text(exchange.newpath)
    if message is not None:
        skip = {"unique", "nodeid", "uid", "gid", "pid"}
        found["fields"] = {name: _plain(getattr(message, name), data) for name in message.FIELDS if name not in skip}
    if exchange.answer is not None and exchange.notification is None:
        found["error"] = errno_text(exchange.error) if exchange.error else None
        if not exchange.error:
            found["reply"] = _plain(exchange.value, data)
    if exchange.latency is not None:
        found["latency_us"] = exchange.latency / 1000
    if exchange.problem:
        found["problem"] = exchange.problem
    return found


def _plain(value: Any, data: bool) -> Any:
    if isinstance(value, WireStruct):
        kind = type(value).__name__
        members: dict[str, Any] = {}
        for name in value.FIELDS:
            member = getattr(value, name)
            members[name] = _plain(member, data)
            names = flag_names(kind, name, member) if isinstance(member, int) else None
            if names is not None:
                members[f"{name}_names"] = names.split("|") if names != "0" else []
        return members
    if isinstance(value, DirentPlus):
        return {"dirent": _plain(value.dirent, data), "entry": _plain(value.entry, data)}
    if isinstance(value, Dirent):
        return {"name": name_text(value.name), "ino": value.ino, "off": value.off, "type": value.type}
    if isinstance(value, Record):
        return {name: _plain(getattr(value, name), data) for name in value.FIELDS}
    if isinstance(value, tuple | list):
        return [_plain(item, data) for item in value]
    if isinstance(value, memoryview):
        value = bytes(value)
    if isinstance(value, bytes):
        text = value.decode("utf-8", "replace") if len(value) <= _SHOWN else ""
        if text and text.isprintable():
            return text
        return {"bytes": len(value)} | ({"base64": base64.b64encode(value).decode()} if data else {})
    return value
