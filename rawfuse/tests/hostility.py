"""Strategies for messages that somebody has tampered with; `tools/fuzz` has more of them, and faster."""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final

from hypothesis import strategies as st

from rawfuse.tests.wire_samples import notifications, requests
from rawfuse.wire import Request, encode_notification, encode_request
from rawfuse.wire.opcodes import NOTIFICATIONS, OPERATIONS

_U16: Final = Struct("=H")
_U32: Final = Struct("=I")
_U64: Final = Struct("=Q")
EDGES: Final = (0, 1, 7, 8, 40, 255, 4096, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 63, (1 << 64) - 1)

Step = Callable[[bytearray], None]


def _numbered(code: Struct) -> st.SearchStrategy[Step]:
    def step(place: int, number: int) -> Step:
        def apply(message: bytearray) -> None:
            if len(message) >= code.size:
                at = place % (len(message) - code.size + 1)
                code.pack_into(message, at - at % code.size, number & ((1 << 8 * code.size) - 1))

        return apply

    return st.builds(step, st.integers(0, 200), st.sampled_from(EDGES))


def _flip(place: int, bit: int) -> Step:
    def apply(message: bytearray) -> None:
        if message:
            message[place % len(message)] ^= 1 << bit

    return apply


def _cut(number: int) -> Step:
    def apply(message: bytearray) -> None:
        del message[len(message) - min(number, len(message) - 1) :]

    return apply


def _append(more: bytes) -> Step:
    def apply(message: bytearray) -> None:
        message.extend(more)

    return apply


def _mend(message: bytearray) -> None:
    """Makes the length in the header right again: other checks than that of the length are reached."""
    if len(message) >= _U32.size:
        _U32.pack_into(message, 0, len(message))


steps: Final[st.SearchStrategy[Step]] = st.one_of(
    st.builds(_flip, st.integers(0, 200), st.integers(0, 7)),
    _numbered(_U16),
    _numbered(_U32),
    _numbered(_U64),
    st.builds(_cut, st.integers(1, 60)),
    st.builds(_append, st.binary(min_size=1, max_size=40)),
)


def tampered(message: bytes, changes: list[Step], mend: bool) -> bytes:
    """The message after all of the changes; never empty."""
    made = bytearray(message)
    for change in changes:
        change(made)
    if mend:
        _mend(made)
    return bytes(made)


any_request: Final[st.SearchStrategy[Request]] = st.one_of(*(requests(operation) for operation in OPERATIONS))
hostile_requests: Final[st.SearchStrategy[bytes]] = st.builds(
    tampered, any_request.map(encode_request), st.lists(steps, max_size=3), st.booleans()
)
hostile_notifications: Final[st.SearchStrategy[bytes]] = st.builds(
    tampered,
    st.one_of(*(notifications(notice) for notice in NOTIFICATIONS)).map(encode_notification),
    st.lists(steps, max_size=3),
    st.booleans(),
)
