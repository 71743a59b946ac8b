"""The published POSIX suites on the examples, where they are installed: `cargo install pjdfstest fsx`, as root.

Measured with pjdfstest 0.2.2 on Linux 6.18: ext4 passes 376 of 398 and skips 22; here one more is skipped, the largest
number of links, which pathconf(3) knows of ext4 and does not ask of a FUSE mount.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from rawfuse import Filesystem
from rawfuse.examples.memory import MemoryFS
from rawfuse.examples.passthrough import Passthrough
from rawfuse.testing import mounted

# Not the `kernel` marker, under which CI takes a missing program for a failure: no package has these.
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the suites need root")

CONFIGURATION = """
[features]
posix_fallocate = {}
utime_now = {}
utimensat = {}
[settings]
naptime = 0.001
allow_remount = false
[dummy_auth]
entries = [["nobody", "nogroup"], ["daemon", "daemon"], ["bin", "bin"]]
"""

FSX = """
flen = 4000000
[opsize]
max = 300000
[weights]
read = 10
write = 10
mapread = 10
mapwrite = 10
truncate = 10
punch_hole = 10
posix_fallocate = 10
copy_file_range = 10
invalidate = 1
fsync = 1
"""

KINDS = [
    pytest.param(lambda _: MemoryFS(1 << 30), id="memory"),
    pytest.param(lambda path: Passthrough(str(path)), id="passthrough"),
]


def ran(name: str, *arguments: str | Path) -> str:
    """What it printed. Skips where it is not installed."""
    program = shutil.which(name)
    if program is None:
        pytest.skip(f"{name} is not installed: cargo install {name}")
    process = subprocess.run(
        [program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=100, check=False
    )
    assert process.returncode == 0, process.stdout[-5000:]
    return process.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_pjdfstest_finds_nothing(kind: Callable[[Path], Filesystem], tmp_path: Path, patient: None) -> None:
    below = tmp_path / "below"
    below.mkdir()
    configuration = tmp_path / "pjdfstest.toml"
    configuration.write_text(CONFIGURATION)
    with mounted(kind(below), allow_other=True, default_permissions=True, options=("dev", "suid")) as root:
        said = ran("pjdfstest", "-c", configuration, "-p", root)
    assert "Summary: 0 failed, 23 skipped, 375 passed" in said


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("configuration", ["", FSX], ids=["small", "large"])
def test_fsx_finds_nothing(
    kind: Callable[[Path], Filesystem], configuration: str, tmp_path: Path, patient: None
) -> None:
    below = tmp_path / "below"
    below.mkdir()
    (tmp_path / "fsx.toml").write_text(configuration)
    with mounted(kind(below), default_permissions=True) as root:
        said = ran("fsx", "-q", "-f", tmp_path / "fsx.toml", "-N", "4000", "-S", "7", "-P", tmp_path, root / "file")
    assert "A-OK" in said


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take longer than a test that hangs."""
    monkeypatch.setattr("rawfuse.testing.PATIENCE", 100.0)
