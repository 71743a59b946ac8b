"""What went wrong between a kernel and a server, in words, as it happens and at the end."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Final, TextIO

from rawfuse import wire
from rawfuse.errors import ProtocolError
from rawfuse.wire import Request, fuse_out_header

from ..decode.values import errno_text, label
from .faults import Faults
from .pending import Pending

__all__ = ["Report"]

_SHOWN: Final = 20
_NEWEST: Final = 45


class Report:
    """A :class:`~.pending.Watcher` that says things to `out`; of one kind no more than twenty.

    ``troubles`` counts what a sound server would not have done.
    """

    def __init__(self, out: TextIO) -> None:
        self.troubles = 0
        self._out = out
        self._unanswered: list[str] = []

    def _say(self, text: str) -> None:
        self.troubles += 1
        if self.troubles <= _SHOWN:
            print(f"rawfuse trace: {text}", file=self._out, flush=True)
        elif self.troubles == _SHOWN + 1:
            print("rawfuse trace: more of this is not shown", file=self._out, flush=True)

    def broken(self, message: bytes, error: OSError, request: Pending | None) -> None:
        header = fuse_out_header.unpack_from(message) if len(message) >= fuse_out_header.SIZE else None
        told = errno_text(error.errno or errno.EIO)
        if header is None:
            what = f"a message of {len(message)} bytes, shorter than a header"
        elif not header.unique:
            what = f"notification {header.error} of {header.len} bytes"
            if error.errno == errno.ENOENT:
                return  # what it names is not in the kernel's caches: part of normal life
            if error.errno == errno.ENOBUFS:
                self._say(f"too many that wait in the kernel: lost is {what}")
                return
        else:
            what = f"a reply of {header.len} bytes, error {header.error}, to {_described(request)} ({header.unique})"
        self._say(f"the kernel refused {what}: {told}\n  {message[:48].hex(' ')}")

    def hangs(self, unique: int, request: Pending, seconds: float) -> None:
        instead = "; it was answered with ETIMEDOUT in the server's place" if request.given_up else ""
        self._say(f"no reply for {seconds:.0f} s to {_described(request)} (unique {unique}){instead}")

    def ended(self, pending: dict[int, Pending]) -> None:
        self._unanswered = [f"{_described(request)} (unique {unique})" for unique, request in pending.items()]

    def died(self, status: str) -> None:
        """The server's end, and what it left."""
        self._say(f"the server ended before the unmount: {status}")
        for text in self._unanswered[:_SHOWN]:
            self._say(f"it left unanswered: {text}")

    def summary(self, messages: int | None, faults: Faults) -> Iterator[str]:
        """Lines for the end."""
        if messages is not None:
            yield f"{messages} messages"
        for fault in faults.faults:
            yield f"fault {fault.text!r} struck {fault.done} of {fault.seen} requests"


def _described(request: Pending | None) -> str:
    if request is None:
        return "no request that is waiting"
    text = request.label
    decoded = _decoded(request)
    if decoded is not None:
        text = f"{label(decoded)} of nodeid {decoded.nodeid}"
        name = getattr(decoded, "name", b"")
        if name:
            text += f", name {name.decode(errors='backslashreplace')!r}"
    return text


def _decoded(request: Pending) -> Request | None:
    try:
        return wire.decode_request(bytearray(request.head), len(request.head), _NEWEST, True)
    except ProtocolError:
        return None  # a longer message than was kept, or a malformed one: its opcode says enough
