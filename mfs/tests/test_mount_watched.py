"""Watching a mount of MFS from outside while it is used."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mfs.tests.mounting import Mount, mounted
from rawfuse.mount import find_mount
from rawfuse.trace.exchanges import Exchange, Follower
from rawfuse.trace.watching import Watched, watch
from rawfuse.wire import Write

pytestmark = pytest.mark.kernel("root")


@pytest.fixture(scope="module")
def mount() -> Iterator[Mount]:
    with mounted() as one:
        yield one


def watching(mount: Mount) -> Watched:
    entry = find_mount(mount.path)
    assert entry is not None
    watched = watch(entry.connection)
    assert watched is not None
    return watched


def test_its_messages_are_seen_while_one_looks(mount: Mount) -> None:
    follower = Follower()
    found: list[Exchange] = []
    with watching(mount) as watched:
        messages = iter(watched)
        (mount.path / "file").write_bytes(b"what is written")
        while not any(isinstance(one.request, Write) for one in found):
            found += follower.feed(next(messages))
    (written,) = [one for one in found if isinstance(one.request, Write)]
    assert written.path == b"/file"
    assert written.error == 0
    assert not [one.problem for one in found if one.problem and one.sent is not None]


def test_it_serves_on_when_nobody_reads_what_a_watcher_asked_for(mount: Mount) -> None:
    data = b"x" * (1 << 20)
    with watching(mount):
        for number in range(40):  # more than waits for a watcher
            (mount.path / f"{number}").write_bytes(data)
    assert (mount.path / "39").read_bytes() == data
