"""Channels over a socket pair."""

from __future__ import annotations

import os
import socket
import threading

import pytest
import trio
import trio.testing

from rawfuse.channel import ChannelClosed, SeqpacketChannel, seqpacket_pair


def test_messages_keep_their_boundaries() -> None:
    ours, theirs = seqpacket_pair()
    ours.send([b"one", bytearray(b"-"), memoryview(b"two")])
    ours.send_bytes(b"three")
    buffer = bytearray(100)
    assert [bytes(buffer[: theirs.receive_nowait(buffer) or 0]) for _ in range(2)] == [b"one-two", b"three"]
    assert theirs.receive_nowait(buffer) is None
    assert not theirs.poll(0)
    ours.close()
    theirs.close()


def test_a_message_of_max_write_passes() -> None:
    ours, theirs = seqpacket_pair()
    data = bytes(1 << 20)
    ours.send([b"h" * 80, data])
    assert theirs.receive_nowait(bytearray((1 << 20) + 4096)) == (1 << 20) + 80
    ours.close()
    theirs.close()


def test_the_other_sides_end_is_seen() -> None:
    ours, theirs = seqpacket_pair()
    ours.close()
    with pytest.raises(ChannelClosed):
        theirs.receive_nowait(bytearray(10))
    with pytest.raises(ChannelClosed):
        theirs.send_bytes(b"x")
    with pytest.raises(ChannelClosed):
        theirs.send([b"x", b"y"])
    theirs.close()


def test_a_closed_channel_says_so_and_closes_twice() -> None:
    ours, theirs = seqpacket_pair()
    ours.close()
    ours.close()
    assert ours.fileno() == -1
    with pytest.raises(ChannelClosed):
        ours.receive_nowait(bytearray(9))
    with pytest.raises(ChannelClosed):
        ours.send_bytes(b"x")
    with pytest.raises(ChannelClosed):
        ours.send([b"x", b"y"])
    theirs.close()


def test_a_reader_lingers_until_a_message_comes() -> None:
    ours, theirs = seqpacket_pair()
    ours.linger(True)
    asked, buffer = threading.Event(), bytearray(9)

    def answer() -> None:
        asked.wait()
        theirs.send_bytes(b"late")

    thread = threading.Thread(target=answer)
    thread.start()
    assert ours.receive_nowait(buffer) is None  # it waited, and not for ever
    asked.set()
    while (length := ours.receive_nowait(buffer)) is None:
        pass
    assert buffer[:length] == b"late"
    thread.join()
    ours.linger(False)
    assert not os.get_blocking(ours.fileno())
    assert ours.receive_nowait(buffer) is None
    ours.close()
    ours.linger(True)
    theirs.close()


def test_a_full_socket_is_waited_for_while_one_lingers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rawfuse.channel.holder._SEND_SECONDS", 0.01)
    ours, theirs = seqpacket_pair()
    ours.linger(True)
    with pytest.raises(ChannelClosed, match="has not read"):
        for _ in range(1000):
            ours.send_bytes(bytes(1 << 20))
    ours.close()
    theirs.close()


def test_the_program_of_the_other_end_is_known() -> None:
    ours, theirs = seqpacket_pair()
    assert not ours.another_process
    read, write = os.pipe()
    child = os.fork()
    if not child:
        one = SeqpacketChannel(socket.socket(fileno=os.dup(theirs.fileno())))
        os.write(write, b"yes" if one.another_process else b"no")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 9) == b"yes"
    for fd in (read, write):
        os.close(fd)
    ours.close()
    theirs.close()


async def test_closing_wakes_who_waits() -> None:
    ours, theirs = seqpacket_pair()
    async with trio.open_nursery() as nursery:

        async def wait() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await ours.wait()

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        ours.close()
    theirs.close()


def test_other_sockets_are_refused() -> None:
    one, two = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with one, two, pytest.raises(ValueError, match="SOCK_SEQPACKET"):
        SeqpacketChannel(one)
