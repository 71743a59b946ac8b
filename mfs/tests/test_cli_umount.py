"""`mfs umount` where another mount namespace keeps a copy of the mount."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from mfs.tests.commanding import Place, is_running, new_place, until

pytestmark = pytest.mark.kernel("root", programs=("unshare",))


@pytest.fixture
def place() -> Iterator[Place]:
    with new_place() as made:
        yield made


def test_who_has_a_copy_of_the_mount_is_named(place: Place) -> None:
    server = place.mount()
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", "echo; exec sleep 60"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        ran = place.mfs("umount", place.mnt)
        assert ran.returncode == 1
        assert f"but process {other.pid} (" in ran.stderr
        assert f"kill {server} ends it" in ran.stderr
        assert is_running(server)
        other.kill()
    assert until(lambda: not is_running(server))
