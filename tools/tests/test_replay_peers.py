"""Servers of others, from what distributions and registries have: recorded, decoded, replayed on themselves."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

from rawfuse.trace.exchanges import exchanges
from rawfuse.trace.opening import read_trace
from tools.decode.command import main as decode
from tools.replay.command import main
from tools.tests.test_replay_kernel import WORK, recorded

# One file, which pyfuse3 hands to libfuse.
PYFUSE3 = """
import errno, os, stat, sys
import pyfuse3, trio
class One(pyfuse3.Operations):
    async def getattr(self, inode, ctx=None):
        entry = pyfuse3.EntryAttributes()
        entry.st_ino = inode
        entry.st_mode = stat.S_IFDIR | 0o755 if inode == 1 else stat.S_IFREG | 0o444
        entry.st_size = 0 if inode == 1 else 4
        return entry
    async def lookup(self, parent, name, ctx=None):
        if name != b"one":
            raise pyfuse3.FUSEError(errno.ENOENT)
        return await self.getattr(2)
    async def opendir(self, inode, ctx):
        return inode
    async def readdir(self, fh, start, token):
        if start == 0:
            pyfuse3.readdir_reply(token, b"one", await self.getattr(2), 1)
    async def open(self, inode, flags, ctx):
        return pyfuse3.FileInfo(fh=inode)
    async def read(self, fh, off, size):
        return b"text"[off:off + size]
pyfuse3.init(One(), sys.argv[1], {"fsname=one"})
trio.run(pyfuse3.main)
"""
# No dependency of the project's: not marked as a test that must run where the kernel is there.
NEEDS_PYFUSE3 = pytest.mark.skipif(
    importlib.util.find_spec("pyfuse3") is None or os.geteuid() != 0, reason="needs pyfuse3, and root to mount"
)


def kept_whole(trace: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every message of it was understood, and is printed."""
    found = list(exchanges(read_trace(trace)))
    assert [one.problem for one in found if one.problem] == []
    assert decode([trace]) == 0
    assert len(capsys.readouterr().out.splitlines()) >= len(found)


@pytest.mark.kernel("root", programs=("fuse-overlayfs",))
def test_a_server_over_libfuse_replays_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def command(name: str) -> list[str]:
        places = [tmp_path / name / kind for kind in ("lower", "upper", "work")]
        for place in places:
            place.mkdir(parents=True)
        lower, upper, work = places
        return ["fuse-overlayfs", "-f", "-o", f"lowerdir={lower},upperdir={upper},workdir={work}", "{}"]

    trace = recorded(tmp_path, command("one"), WORK)
    kept_whole(trace, capsys)
    assert main([trace, "--", *command("two")]) == 0
    assert ", 0 differ" in capsys.readouterr().out
    assert (tmp_path / "two" / "upper" / "big").stat().st_size == 1000


@NEEDS_PYFUSE3
def test_a_server_over_pyfuse3_replays_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-c", PYFUSE3, "{}"]
    trace = recorded(tmp_path, command, "cat one > /dev/null; ls -la > /dev/null; ls absent 2> /dev/null || true")
    kept_whole(trace, capsys)
    assert main([trace, "--", *command]) == 0
    assert ", 0 differ" in capsys.readouterr().out
