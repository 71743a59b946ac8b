"""The published POSIX suites on the examples, where they are installed: `cargo install pjdfstest fsx`, as root.

Measured with pjdfstest 0.2.2 on Linux 6.18: 384 of its 398 tests pass. It skips 14: 13 that remount read-only, for
which mount(8) would look for a helper program of the name of the mount's source (EROFS has tests of its own), and the
largest number of links, which pathconf(3) knows of ext4 and does not ask a FUSE mount.
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
rename_ctime = {}
[settings]
naptime = 0.01
allow_remount = false
[dummy_auth]
entries = [["nobody", "nogroup"], ["daemon", "daemon"], ["bin", "bin"]]
"""

SKIPPED = {
    "Remounts (allow_remount) are not allowed in the configuration file": 13,
    "Cannot get value for LINK_MAX: filesystem limit is unknown": 1,
}

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
    at = process.stdout.find("FAILED")
    assert process.returncode == 0, process.stdout[max(0, at - 100) : at + 1000] if at >= 0 else process.stdout[-5000:]
    return process.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_pjdfstest_finds_nothing(kind: Callable[[Path], Filesystem], tmp_path: Path, patient: None) -> None:
    below = tmp_path / "below"
    below.mkdir()
    other = tmp_path / "other"
    other.mkdir()
    configuration = tmp_path / "pjdfstest.toml"
    configuration.write_text(CONFIGURATION)
    with mounted(kind(below), allow_other=True, default_permissions=True, options=("dev", "suid")) as root:
        said = ran("pjdfstest", "-c", configuration, "-s", other, "-p", root)
    assert "Summary: 0 failed, 14 skipped, 384 passed" in said
    for reason, times in SKIPPED.items():
        assert said.count(reason) == times


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
