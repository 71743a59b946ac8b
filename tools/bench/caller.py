"""The client of the round-trip rows: client.c where a compiler is, else client.py."""

from __future__ import annotations

import itertools
import shutil
import sys
from pathlib import Path

from .machine import Unavailable, run


class Caller:
    """Runs the client's verbs; all times in microseconds.

    `kind` says which client it is: "C" or "Python". Every use of `fresh_prefix` gives names never used before, so that
    the kernel's name cache has not seen them.
    """

    def __init__(self, scratch: Path, *, compiled: bool = True) -> None:
        self.kind = "Python"
        self._command: tuple[str, ...] = (sys.executable, str(Path(__file__).with_name("client.py")))
        self._numbers = itertools.count()
        compiler = shutil.which("cc") or shutil.which("gcc") if compiled else None
        if compiler is not None:
            binary = scratch / "client"
            try:
                run(compiler, "-O2", "-o", binary, Path(__file__).with_name("client.c"))
            except Unavailable:  # a compiler without headers: the other client does
                return
            self.kind = "C"
            self._command = (str(binary),)

    def fresh_prefix(self) -> str:
        return f"name-{next(self._numbers)}-"

    def lookup(self, directory: Path, count: int) -> float:
        """One `stat` of a name that is absent."""
        return self._one("lookup", directory, self.fresh_prefix(), count)

    def create(self, directory: Path, prefix: str, count: int, size: int) -> float:
        """One file: create, write `size` bytes, close."""
        return self._one("create", directory, prefix, count, size)

    def unlink(self, directory: Path, prefix: str, count: int) -> float:
        return self._one("unlink", directory, prefix, count)

    def sync(self, file: Path, other: Path, count: int, span: int) -> tuple[float, float]:
        """Median of overwrite 4 KiB + fsync in `file`, and of append 4 KiB + fdatasync to `other`, in turns."""
        one, two = self._run("fsync", file, other, count, span)
        return one, two

    def _one(self, *words: object) -> float:
        (result,) = self._run(*words)
        return result

    def _run(self, *words: object) -> list[float]:
        return [int(number) / 1000 for number in run(*self._command, *map(str, words)).split()]
