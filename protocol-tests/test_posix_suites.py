"""The published POSIX suites on MFS and the examples, as root, where they are installed: `cargo install pjdfstest fsx`.

Measured with pjdfstest 0.2.2 on Linux 6.18: ext4 passes 376 of 398 and skips 22, those below. Here one more is skipped,
the largest number of links, for which no FUSE server is asked.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from rawfuse.examples.memory import MemoryFS
from rawfuse.testing import mounted
from tools.suites.command import run_in
from tools.suites.outcome import told
from tools.suites.places import RECIPES
from tools.suites.suites import MODES, NotInstalled, program

# Not the `kernel` marker, under which CI takes a missing program for a failure: no package has these.
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the suites need root")

OPERATIONS = {"mfs": 20_000, "memory": 1_000, "passthrough": 1_000}

# A second file system and a remount are not configured, and ctime after a rename is nothing that POSIX asks for.
SKIPPED_ON_EXT4 = {
    *(f"{call}::erofs_named" for call in ("unlink", "chmod", "link", "rmdir", "truncate", "open", "rename", "chown")),
    *(f"{call}::erofs_new_file" for call in ("mkfifo", "mkdir", "open", "symlink")),
    "chown::lchown::erofs_named",
    "link::exdev_target",
    "rename::exdev_target",
    *(
        f"rename::changed_ctime_success::{kind}"
        for kind in ("block", "char", "dir", "fifo", "regular", "socket", "symlink")
    ),
}
LARGEST_LINK_COUNT = "link::link_count_max"

# Other users work in there, and sockets have paths of 108 bytes at the most: pytest's own directory is of no use.
PLACE = Path(tempfile.gettempdir())


def installed(name: str) -> None:
    try:
        program(name)
    except NotInstalled as error:
        pytest.skip(str(error))


@pytest.mark.timeout(400)
@pytest.mark.parametrize("place", RECIPES)
def test_pjdfstest_finds_nothing_and_skips_what_it_skips_on_ext4(place: str) -> None:
    installed("pjdfstest")
    (outcome,) = run_in(place, ["pjdfstest"], directory=PLACE)
    assert not outcome.failed, told([outcome])
    assert set(outcome.skipped) == SKIPPED_ON_EXT4 | {LARGEST_LINK_COUNT}
    assert "filesystem limit is unknown" in outcome.skipped[LARGEST_LINK_COUNT]
    assert outcome.passed == 398 - len(outcome.skipped)


def largest_link_count(path: Path) -> int:
    """Asked by another process: os.pathconf keeps the lock of the interpreter, and so from the server beside it."""
    return int(subprocess.run(["getconf", "LINK_MAX", path], capture_output=True, check=True).stdout)


@pytest.mark.kernel("root")
def test_no_fuse_server_can_say_how_many_links_a_file_may_have(tmp_path: Path) -> None:
    """glibc goes by the type in statfs(2), which the kernel writes, and has no FUSE in its table (nor tmpfs)."""
    with mounted(MemoryFS(1 << 20)) as root:
        file = root / "file"
        file.touch()
        assert largest_link_count(file) == largest_link_count(Path("/proc")) == 127
        for number in range(200):
            os.link(file, root / str(number))
        assert largest_link_count(file) == 127


@pytest.mark.timeout(400)  # some 15 s on an idle machine
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("place", RECIPES)
def test_fsx_finds_nothing(place: str, mode: str) -> None:
    installed("fsx")
    (outcome,) = run_in(place, ["fsx"], directory=PLACE, modes=[mode], operations=OPERATIONS[place])
    assert not outcome.failed, told([outcome])
    assert outcome.passed == OPERATIONS[place]
