"""Names of the programs behind requests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rawfuse.processes import Programs

__all__ = ["Names", "program_names"]

_KEPT: Final = 4096


class Names:
    """The kernel's name for the program of a thread or process, at most 15 bytes; empty where nobody knows.

    Who waits for a reply can be looked at. Of those that do not wait and have ended, as with a readahead, `remembered`
    may still know.
    """

    def __init__(self, remembered: Programs | None = None) -> None:
        self._remembered = remembered
        self._names: dict[int, bytes] = {}

    def __call__(self, pid: int) -> bytes:
        if pid <= 0:
            return b""
        name = _comm(pid)
        if name is None:
            program = self._remembered.of(pid) if self._remembered is not None else None
            name = os.fsencode(program.name) if program is not None else self._names.get(pid, b"")
        if len(self._names) >= _KEPT:
            # Pids are used again, and nothing may grow for ever.
            self._names.clear()
        self._names[pid] = name
        return name


def _comm(pid: int) -> bytes | None:
    try:
        with open(f"/proc/{pid}/comm", "rb", buffering=0) as file:
            return file.read(16).rstrip(b"\n")
    except OSError:
        return None


@contextmanager
def program_names() -> Iterator[Callable[[int], bytes]]:
    """Names that outlive their programs, where we may have the kernel's process events (CAP_NET_ADMIN, pyroute2)."""
    programs = Programs()
    try:
        programs.__enter__()
    except (OSError, ImportError):
        yield Names()
        return
    try:
        yield Names(programs)
    finally:
        programs.__exit__(None, None, None)
