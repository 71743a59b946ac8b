"""`mfs umount` where another mount namespace keeps a copy of the mount."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from mfs.tests.commanding import PATIENCE, Place, is_running, new_place

pytestmark = pytest.mark.kernel("root", programs=("unshare",))


@pytest.fixture
def place() -> Iterator[Place]:
    with new_place() as made:
        yield made


def test_who_has_a_copy_of_the_mount_is_named_and_waited_for(place: Place) -> None:
    server = place.mount()
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", "echo; exec sleep 60"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        umount = place.start("umount", place.mnt)
        assert umount.stderr is not None
        said = umount.stderr.readline()
        assert f"but process {other.pid} (" in said
        assert f"kill {server} ends the server" in said
        assert is_running(server)
        other.kill()
    assert umount.wait(PATIENCE) == 0
    umount.communicate()
    assert not is_running(server)
