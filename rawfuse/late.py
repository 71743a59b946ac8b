"""Replies that other threads give: what a handler promised with a future."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

__all__ = ["LateReplies"]


class LateReplies:
    """Has futures answered by the threads that complete them, until :meth:`end`.

    A reply that had to go through the event loop would wait for what the loop is at; this one waits for nobody. From
    `end` on nothing is answered, so that a channel which is closed afterwards is not written to.
    """

    def __init__(self) -> None:
        self._waiting: set[Future[Any]] = set()
        self._lock = threading.Lock()
        self._over = False

    def __len__(self) -> int:
        """How many futures are not done."""
        return len(self._waiting)

    def add(self, future: Future[Any], answer: Callable[[Future[Any]], None]) -> None:
        """Calls `answer` with `future` when it is done, in the thread that completes it; at once if it is done."""
        self._waiting.add(future)
        future.add_done_callback(partial(self._done, answer))

    def end(self) -> None:
        """Cancels futures whose work has not begun, which answers them, and then answers nothing more: the others run
        to their end, unheard."""
        for future in tuple(self._waiting):
            future.cancel()
        with self._lock:
            self._over = True

    def _done(self, answer: Callable[[Future[Any]], None], future: Future[Any]) -> None:
        self._waiting.discard(future)
        with self._lock:
            if not self._over:
                answer(future)
