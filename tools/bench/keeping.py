"""Rows of looking after a repository: a check of everything in it, and garbage taken away. Nothing is mounted.

What they are held against does the same to as many bytes, or files, on the disk itself and in a repository of kubo's
(`--peer kubo='python -m tools.bench.kubo IPFS {repo} {dir}'` says where its program is; no daemon runs).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .ground import Ground, Measure, Samples, in_turns
from .kubo import PROFILES
from .machine import GIB, MIB, Unavailable, run, seconds_of
from .sharing import MFS, quiet

KUBO = "kubo"
LARGE = GIB
SMALL = 10_000
GARBAGE = 20_000
EACH = 1000
PAGE = 4096


def fsck(peer: str | None = None) -> Measure:
    """MB/s of a whole check of 1 GiB in one file and 10 000 of 4 KiB; beside OpenSSL hashing the same bytes as files,
    or kubo's `repo verify`. All of it is in the page cache.
    """

    def measure(ground: Ground) -> Samples:
        settings = ground.settings
        with _files(ground, settings.size(LARGE), settings.count(SMALL)) as files:
            paths = [path for path in files.rglob("*") if path.is_file()]
            size = sum(path.stat().st_size for path in paths) / 1e6
            repo = _mfs(files)

            def ours() -> float:
                return size / quiet(*MFS, "fsck", "--repo", repo)

            def hashed() -> float:
                command = ("find", files, "-type", "f", "-exec", "openssl", "dgst", "-sha256", "{}", "+")
                return size / quiet(*command)

            def verified() -> float:
                ipfs = _kubo(ground, files)
                return size / quiet(*ipfs, "repo", "verify")

            return in_turns(settings.times(3), ours, verified if peer else hashed)

    return measure


def gc(peer: str | None = None) -> Measure:
    """Microseconds for each of 20 000 files of 4 KiB that nothing leads to, beside as many that stay; beside their
    removal from the disk, synced, or kubo's `repo gc`.
    """

    def measure(ground: Ground) -> Samples:
        count = ground.settings.count(GARBAGE)
        with _files(ground, 0, count) as files:
            repo = files.parent / "repo"

            def ours() -> float:
                shutil.rmtree(repo, ignore_errors=True)
                for each in _halves(files, count):
                    _mfs(each)
                run(*MFS, "rm", "-r", "--repo", repo, "/gone")
                return quiet(*MFS, "gc", "--repo", repo) * 1e6 / count

            def removed() -> float:
                _halves(files, count)
                run("sync", "-f", files)
                return (quiet("rm", "-r", files.parent / "gone") + seconds_of("sync", "-f", files)) * 1e6 / count

            def collected() -> float:
                shutil.rmtree(files.parent / "kubo", ignore_errors=True)
                stays, gone = _halves(files, count)
                _kubo(ground, stays, pin=True)
                ipfs = _kubo(ground, gone)
                return quiet(*ipfs, "repo", "gc") * 1e6 / count

            return in_turns(ground.settings.times(3), ours, collected if peer else removed)

    return measure


@contextmanager
def _files(ground: Ground, large: int, small: int) -> Iterator[Path]:
    """A directory `stays` with a file of `large` random bytes, if any, and `small` files of 4 KiB."""
    top = ground.settings.scratch / "keeping"
    files = top / "stays"
    files.mkdir(parents=True)
    try:
        _fill(files, small)
        if large:
            with open(files / "large", "wb") as file:
                for _ in range(large // MIB):
                    file.write(os.urandom(MIB))
        yield files
    finally:
        shutil.rmtree(top)


def _fill(directory: Path, count: int) -> None:
    for number in range(count):
        place = directory / str(number // EACH)
        place.mkdir(exist_ok=True)
        (place / str(number)).write_bytes(os.urandom(PAGE))


def _halves(files: Path, count: int) -> tuple[Path, Path]:
    """What is to stay, and as much that is to go, made anew."""
    gone = files.parent / "gone"
    if not gone.exists():
        gone.mkdir()
        _fill(gone, count)
    return files, gone


def _mfs(files: Path) -> Path:
    """A repository of ours beside the files that has them as well."""
    repo = files.parent / "repo"
    run(*MFS, "add", "--quieter", "-r", "--repo", repo, "--to", "/", files)
    return repo


def _kubo(ground: Ground, files: Path, *, pin: bool = False) -> tuple[str, ...]:
    """How to run kubo on a repository of its own beside the files that has them as well. Raises Unavailable."""
    recipe = ground.settings.peers.get(KUBO)
    if recipe is None or "{repo}" not in recipe.start[1:]:
        raise Unavailable(f"no reference: --peer {KUBO}=COMMAND was not given")
    repo = files.parent / "kubo"
    ipfs = ("env", f"IPFS_PATH={repo}", recipe.start[recipe.start.index("{repo}") - 1])
    if not repo.exists():
        run(*ipfs, "init", f"--profile={PROFILES}")
    marker = repo / f"has-{files.name}"
    if not marker.exists():
        run(*ipfs, "add", "-Q", "-r", f"--pin={str(pin).lower()}", files)
        marker.touch()
    return ipfs
