"""Exchanges as columns: what the page's script reads. Repeated texts and shapes of messages are kept once."""

from __future__ import annotations

from typing import Any, Final

from rawfuse.trace.exchanges import Exchange
from rawfuse.trace.record import Traced
from rawfuse.wire.opcodes import NOTIFICATIONS, OPERATIONS

from ..dump import Field, fields
from ..lines import arguments_of, name_of, outcome_of
from ..values import errno_text, name_text

__all__ = ["Table"]

_COLUMNS: Final = (
    "time",  # nanoseconds since `start`
    "latency",  # nanoseconds; -1: no reply
    "opcode",  # number of its text
    "path",
    "newpath",
    "error",  # number of its text; that of the empty one: none
    "errno",
    "pid",
    "program",
    "arguments",
    "outcome",
    "problem",
    "sent",  # number of a message, or -1
    "answer",
)
_PLAIN: Final = 0
_SIGNED: Final = 1
_TEXT: Final = 2


class _Numbered:
    """Values, each kept once, and their numbers."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._numbers: dict[Any, int] = {}

    def of(self, value: Any) -> int:
        number = self._numbers.get(value)
        if number is None:
            number = self._numbers[value] = len(self.values)
            self.values.append(value)
        return number


class Table:
    """Filled with :meth:`add`; `content` is the bytes of all messages one after another."""

    def __init__(self, largest: int) -> None:
        self.content = bytearray()
        self._largest = largest
        self._texts = _Numbered()
        self._texts.of("")
        self._shapes = _Numbered()
        self._columns: dict[str, list[int]] = {name: [] for name in _COLUMNS}
        self._messages: list[list[Any]] = []
        self._start: int | None = None

    def __len__(self) -> int:
        return len(self._columns["time"])

    def object(self) -> dict[str, Any]:
        """All of it, for JSON.

        A message is its shape, where its bytes begin, how many of them are here, how many it had, and the texts of
        those of its fields that cannot be read off the bytes. A shape is the fields: offset, length, kind, name.
        """
        first = min(self._columns["time"], default=0)
        return {
            "start": (self._start or 0) + first,
            "opcodes": {operation.opcode: operation.label for operation in OPERATIONS},
            "labels": [one.label for one in OPERATIONS] + [one.label for one in NOTIFICATIONS],
            "columns": self._columns | {"time": [moment - first for moment in self._columns["time"]]},
            "texts": self._texts.values,
            "shapes": self._shapes.values,
            "messages": self._messages,
        }

    def add(self, exchange: Exchange) -> None:
        """One more row."""
        if self._start is None:
            self._start = exchange.time
        text = self._texts.of
        latency = exchange.latency
        request, sent = exchange.request, exchange.sent
        row = {
            "time": exchange.time - self._start,
            "latency": -1 if latency is None else latency,
            "opcode": text(name_of(exchange)),
            "path": text(name_text(exchange.path)),
            "newpath": text(name_text(exchange.newpath)),
            "error": text(errno_text(exchange.error) if exchange.error else ""),
            "errno": exchange.error or 0,
            "pid": request.pid if request is not None else 0,
            "program": text(name_text(sent.program) if sent is not None else ""),
            "arguments": text(" ".join(f"{member}={said}" for member, said in arguments_of(exchange))),
            "outcome": text(outcome_of(exchange)),
            "problem": text(exchange.problem),
            "sent": self._message(sent, exchange),
            "answer": self._message(exchange.answer, exchange),
        }
        for name, value in row.items():
            self._columns[name].append(value)

    def _message(self, message: Traced | None, exchange: Exchange) -> int:
        if message is None:
            return -1
        kept = message.data[: self._largest]
        shape: list[int | str] = []
        texts: list[int] = []
        for one in fields(message, exchange):
            if one.offset >= len(kept):
                break
            kind = _kind(one, message)
            shape += (one.offset, one.length, kind, one.name)
            if kind == _TEXT:
                texts.append(self._texts.of(one.text))
        made = [self._shapes.of(tuple(shape)), len(self.content), len(kept), message.length, *texts]
        self._messages.append(made)
        self.content += kept
        return len(self._messages) - 1


def _kind(one: Field, message: Traced) -> int:
    """Whether the text is the number that the bytes are."""
    if one.length in (1, 2, 4, 8) and message.byteorder == "little":
        raw = message.data[one.offset : one.offset + one.length]
        if one.text == str(int.from_bytes(raw, "little")):
            return _PLAIN
        if one.text == str(int.from_bytes(raw, "little", signed=True)):
            return _SIGNED
    return _TEXT
