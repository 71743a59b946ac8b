"""Waiting for what others do: as long as a machine may take that has much else to do, and no longer than it takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

__all__ = ["PATIENCE", "until"]

PATIENCE: Final = 60.0
"""Seconds: long enough for anything that happens at all, and less than a test may take."""


def until(condition: Callable[[], object]) -> None:
    """Returns when the condition is true. Raises TimeoutError where it never is."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {PATIENCE:g} s for nothing")
        time.sleep(0.005)
