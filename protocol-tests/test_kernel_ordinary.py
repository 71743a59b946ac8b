"""Mounting without root: in a user namespace, where the device may be opened by everybody."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.kernel("userns", "root", programs=("unshare",))
CHECKOUT = Path(__file__).parents[1]


def ordinary(home: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Runs a command as user 65534, in `home`."""
    for directory in (home, *home.parents):
        if directory.stat().st_mode & 0o001 == 0 and directory.is_relative_to(home.parents[1]):
            directory.chmod(0o755)
    os.chown(home, 65534, 65534)
    harness = [sys.executable, "-m", "mfs.tests.ordinary", "--home", str(home), "--device", "666", "--"]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [*harness, *command], cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False, timeout=60
    )


IN_ONES_OWN_NAMESPACE = """
import os, pathlib, trio, rawfuse
from rawfuse.examples.memory import MemoryFS
from rawfuse.mount import unshare_user_mount_namespace

unshare_user_mount_namespace()
here = pathlib.Path("mnt")
here.mkdir()

async def main():
    async with rawfuse.serving(MemoryFS(), here, default_permissions=True):
        await trio.Path(here / "f").write_text("text")
        print(os.getuid(), (await trio.Path(here / "f").stat()).st_uid, await trio.Path(here / "f").read_text())

trio.run(main)
"""


def test_a_program_enters_a_namespace_and_serves(tmp_path: Path) -> None:
    ran = ordinary(tmp_path, sys.executable, "-c", IN_ONES_OWN_NAMESPACE)
    assert (ran.stderr, ran.stdout) == ("", "65534 65534 text\n")


COMMAND = """
mkdir mnt
: > said
"$1" -m rawfuse.cli mount rawfuse.examples.memory:MemoryFS mnt 2> said &
until grep -q "is mounted" said; do kill -0 $! || { cat said; exit 1; }; sleep 0.02; done
echo text > mnt/f
cat mnt/f
umount mnt
wait $!
"""


def test_the_command_mounts_in_a_namespace(tmp_path: Path) -> None:
    ran = ordinary(tmp_path, "unshare", "-Urm", "sh", "-ec", COMMAND, "sh", sys.executable)
    assert (ran.stderr, ran.stdout, ran.returncode) == ("", "text\n", 0)


AUTHORS_TEST = """
pytest_plugins = ["rawfuse.testing"]
from rawfuse.examples.hello import TEXT, Hello
from rawfuse.testing import mounted

async def test_hello(fuse_mount):
    root = await fuse_mount(Hello())
    assert await (root / "hello").read_bytes() == TEXT

def test_hello_without_trio():
    with mounted(Hello()) as root:
        assert (root / "hello").read_bytes() == TEXT
"""


@pytest.mark.parametrize(
    ("around", "outcome"),
    [
        pytest.param(["unshare", "-Urm"], "2 passed", id="in a namespace"),
        pytest.param(
            ["env"],
            "2 passed",
            id="by the set-uid helper",
            marks=pytest.mark.kernel("root", programs=("fusermount3",)),
        ),
        pytest.param(["env", "PATH=/nowhere"], "2 skipped", id="with neither"),
    ],
)
def test_an_authors_tests_run_where_they_can(tmp_path: Path, around: list[str], outcome: str) -> None:
    (tmp_path / "test_hello.py").write_text(AUTHORS_TEST)
    line = [*around, sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "-o", "trio_mode=true"]
    ran = ordinary(tmp_path, *line, "--basetemp", "tmp", "test_hello.py")
    assert outcome in ran.stdout, ran.stdout + ran.stderr
    assert ("cannot mount: " in ran.stdout) == ("skipped" in outcome)
