"""Requests on their way to a server."""

from __future__ import annotations

import errno
import select
import socket
from collections import deque
from typing import Final

from rawfuse.channel.holder import ENDS

__all__ = ["Sending"]

_NO_WAIT: Final = socket.MSG_DONTWAIT


class Sending:
    """Sends to `sock` without waiting: what it does not take is kept until it does, and no more is read for it.

    `poll` waits for `sock` and for `device`, where more would come from.
    """

    def __init__(self, sock: socket.socket, device: int, poll: select.poll) -> None:
        self._socket = sock
        self._device = device
        self._poll = poll
        self._kept: deque[bytes] = deque()
        poll.register(sock, select.POLLIN)
        poll.register(device, select.POLLIN)

    def __bool__(self) -> bool:
        """Whether something waits."""
        return bool(self._kept)

    def send(self, message: memoryview | bytes) -> None:
        """Sends one, or keeps it behind those that wait."""
        if self._kept:
            self._kept.append(bytes(message))
            return
        try:
            self._socket.send(message, _NO_WAIT)
        except OSError as error:
            self.failed(error, message)

    def failed(self, error: OSError, message: memoryview | bytes) -> None:
        """`message` was refused with `error`."""
        if error.errno == errno.EAGAIN:
            self._kept.append(bytes(message))
            self._watch(device=False)
        elif error.errno not in ENDS:
            # A server's end is seen, and told, where it is read from.
            raise error

    def again(self) -> None:
        """Sends what waits, as far as there is room."""
        messages = list(self._kept)
        self._kept.clear()
        self._watch(device=True)
        for message in messages:
            self.send(message)

    def _watch(self, *, device: bool) -> None:
        self._poll.modify(self._socket, select.POLLIN if device else select.POLLIN | select.POLLOUT)
        self._poll.modify(self._device, select.POLLIN if device else 0)
