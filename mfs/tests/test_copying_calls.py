"""The system calls of `mfs.copying.copy`, as strace sees them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from mfs.copying import copy
from mfs.tests.images import image

pytestmark = pytest.mark.kernel("root", programs=("strace", "mkfs.btrfs", "mkfs.ext4", "mkfs.xfs"))

SIZE = 200_000

# What is measured stands between two calls that nothing else makes. The second copy is the one that has been usual
# since O_TRUNC and copy_file_range(2): open, stat, open and empty, stat, permissions, copy until there is no more.
_SCRIPT = """
import os, sys
from mfs.copying import copy

def usual(source, target):
    reading = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    mode = os.fstat(reading).st_mode & 0o7777
    writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    os.fstat(writing)
    while os.copy_file_range(reading, writing, 1 << 30):
        pass
    os.close(writing)
    os.close(reading)

os.access("begin", 0)
{"copy": copy, "usual": usual}[sys.argv[1]](sys.argv[2], sys.argv[3])
os.access("end", 0)
"""

_CONTENT = ("write", "pwrite", "sendfile", "copy_file_range", "ftruncate", "fallocate", "FICLONE", "read(", "pread")


def calls(function: str, source: Path, target: Path) -> list[str]:
    """The system calls of one copy, a line each."""
    log = target.parent.parent / "calls"
    command: list[str | Path] = ["strace", "-qq", "-o", log, sys.executable, "-c", _SCRIPT, function, source, target]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2])
    lines = log.read_text().splitlines()
    begin, end = (next(i for i, line in enumerate(lines) if f'access("{word}"' in line) for word in ("begin", "end"))
    made = lines[begin + 1 : end]
    # Memory of the interpreter is not the copy's.
    return [line for line in made if not line.startswith(("brk(", "mmap(", "munmap(", "mremap("))]


def names(made: Sequence[str]) -> list[str]:
    """fstat(2) is newfstatat(2) in some C libraries."""
    return [line.split("(")[0].replace("newfstatat", "fstat") for line in made]


@pytest.fixture(scope="module", params=["btrfs", "ext4", "xfs"])
def disk(request: pytest.FixtureRequest) -> Iterator[Path]:
    with image(request.param) as made:
        (made.path / "place").mkdir()
        yield made.path / "place"


@pytest.fixture
def source(disk: Path) -> Path:
    path = disk / "source"
    path.write_bytes(os.urandom(SIZE))
    os.sync()
    return path


@pytest.mark.parametrize("size", [None, 0, SIZE - 5000, SIZE, SIZE + 5000])
def test_the_usual_case_costs_at_most_one_call_more(disk: Path, source: Path, size: int | None) -> None:
    made = {}
    for function in ("copy", "usual"):
        target = disk / "target"
        target.unlink(missing_ok=True)
        if size is not None:
            target.write_bytes(os.urandom(size))
            os.sync()
        made[function] = calls(function, source, target)
        assert target.read_bytes() == source.read_bytes()
    assert len(made["copy"]) <= len(made["usual"]) + 1, "\n".join(made["copy"])


@pytest.mark.parametrize("disk", ["btrfs", "xfs"], indirect=True)
def test_identical_content_is_compared_by_the_kernel_and_nothing_is_written(disk: Path, source: Path) -> None:
    target = disk / "identical"
    copy(source, target)
    made = calls("copy", source, target)
    assert names(made) == ["openat", "fstat", "openat", "fstat", "ioctl", "ioctl", "close", "close"]
    assert "FS_IOC_FIEMAP" in made[4]
    assert "FIDEDUPERANGE" in made[5]
    assert not any(call in line for line in made for call in _CONTENT)


def test_a_target_is_never_opened_to_be_emptied_and_loses_its_tail_last(disk: Path, source: Path) -> None:
    target = disk / "longer"
    target.write_bytes(os.urandom(2 * SIZE))
    os.sync()
    made = calls("copy", source, target)
    assert not any("O_TRUNC" in line for line in made)
    assert names(made[-3:]) == ["ftruncate", "close", "close"]


def test_one_and_the_same_file_is_looked_at_and_left(disk: Path, source: Path) -> None:
    made = calls("copy", source, source)
    assert names(made) == ["openat", "fstat", "openat", "fstat", "close", "close"]
