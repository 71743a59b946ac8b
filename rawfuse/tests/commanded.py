"""A mount of the command `rawfuse mount`, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rawfuse.tests.waiting import PATIENCE

__all__ = ["command_serving"]


@contextmanager
def command_serving(directory: Path) -> Iterator[None]:
    """MemoryFS on `directory`, from when the command says that it is mounted."""
    command = [sys.executable, "-m", "rawfuse.cli", "mount", "rawfuse.examples.memory:MemoryFS", str(directory)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        assert "is mounted" in process.stderr.readline()
        yield
    finally:
        subprocess.run(["umount", "-l", directory], check=False, capture_output=True)
        process.terminate()
        process.wait(PATIENCE)
        process.stderr.close()
