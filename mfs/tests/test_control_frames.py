"""Frames of the control socket, in any division, and what is no frame."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfs.control.frames import MAX_DATA, MAX_LINE, BrokenFrame, FrameReader, Message, encode, to_bytes, to_text

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20), lambda of: st.lists(of, max_size=3), max_leaves=6
)
KEYS = st.text(max_size=8).filter(lambda key: key != "data")
MESSAGES = st.lists(st.binary(max_size=300) | st.dictionaries(KEYS, VALUES, max_size=4), max_size=6)


@given(MESSAGES, st.lists(st.integers(1, 40), min_size=1))
def test_messages_come_out_as_they_went_in_whatever_arrives_together(messages: list[Message], sizes: list[int]) -> None:
    sent = b"".join(map(encode, messages))
    reader, got, at, turn = FrameReader(), [], 0, 0
    while at < len(sent):
        step = sizes[turn % len(sizes)]
        reader.feed(sent[at : at + step])
        at, turn = at + step, turn + 1
        while (message := reader.next()) is not None:
            got.append(message)
    assert got == messages
    assert reader.empty


@pytest.mark.parametrize(
    "line",
    [
        b"not json\n",
        b"[1, 2]\n",
        b'"text"\n',
        b'{"data": -1}\n',
        b'{"data": true}\n',
        b'{"data": 1.5}\n',
        b'{"data": %d}\n' % (MAX_DATA + 1),
        b"[" * 100_000 + b"\n",
        b"\xff\xfe\n",
    ],
)
def test_what_is_no_frame_is_refused(line: bytes) -> None:
    reader = FrameReader()
    reader.feed(line)
    with pytest.raises(BrokenFrame):
        reader.next()


def test_a_line_without_an_end_is_refused_before_it_fills_the_memory() -> None:
    reader = FrameReader()
    reader.feed(b"x" * (MAX_LINE + 1))
    with pytest.raises(BrokenFrame, match="longer"):
        reader.next()


def test_a_frame_that_is_cut_short_shows() -> None:
    reader = FrameReader()
    reader.feed(encode(b"12345")[:-1])
    assert reader.next() is None
    assert not reader.empty


def test_too_large_a_message_is_not_sent() -> None:
    with pytest.raises(ValueError, match="bytes"):
        encode(bytes(MAX_DATA + 1))
    with pytest.raises(ValueError, match="bytes"):
        encode({"item": "x" * MAX_LINE})


@given(st.binary())
def test_names_of_any_bytes_survive_json(name: bytes) -> None:
    reader = FrameReader()
    reader.feed(encode({"item": to_text(name)}))
    message = reader.next()
    assert isinstance(message, dict)
    assert to_bytes(message["item"]) == name
