"""What lies in a repository beside blocks and the log: its directories, the keys, what damaged blocks were."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from mfs.disk import fsync_directory
from mfs.fsck.report import Finding, Report
from mfs.ipns.keys import BadKey, Keys, unpack_private
from mfs.ipns.record import InvalidRecord
from mfs.ipns.shelf import Shelf

if TYPE_CHECKING:
    from mfs.fsck.sound import Sound

__all__ = ["DAMAGED", "check_keys", "check_places", "keep_bytes"]

_PLACES = ("index", "segments", "log")
DAMAGED = "damaged"
"""The directory in which bytes are kept that are not what they ought to be."""


def check_places(root: Path, report: Report, *, repair: bool) -> bool:
    """Whether the directories of the repository at `root` are there; with `repair` empty ones are made."""
    missing = [root / place for place in _PLACES if not (root / place).is_dir()]
    for path in missing:
        finding = Finding("repository", f"the directory {path.name} is missing")
        if repair:
            path.mkdir(mode=0o700)
            fsync_directory(root)
            finding.repair = "an empty one was made"
        report.findings.append(finding)
    return not missing or repair


def check_keys(root: Path, report: Report, *, repair: bool) -> None:
    """Every key is one, and every record is signed by the key that it is named by.

    A record is made again from its key with the next commit, or brought again; a key is lost.
    """
    keys, records = root / "keys", Shelf(root / "names")
    try:
        called = sorted(path.name for path in keys.iterdir() if not path.name.startswith("."))
    except FileNotFoundError:
        called = []
    for name in called:
        try:
            if Keys(keys).get(name) is not None:
                unpack_private((keys / name).read_bytes())
        except (BadKey, ValueError) as error:
            report.findings.append(Finding("key", f"the key {name} cannot be used: {error}"))
    for name in records.names():
        try:
            records.get(name)
        except (InvalidRecord, ValueError) as error:
            finding = Finding("key", f"the record of {name}: {error}")
            if repair:
                records.remove(name)
                finding.repair = "removed; that of an own key is made again"
            report.findings.append(finding)


def keep_bytes(sound: Sound, root: Path) -> None:
    """Write what can be read of the blocks that are not what their CIDs say to files, for whoever can use it.

    They are named by the multihash.  OSError: the disk.
    """
    if not sound.bad:
        return
    place = root / DAMAGED
    place.mkdir(mode=0o700, exist_ok=True)
    for multihash in sound.bad:
        with open(place / multihash.hex(), "wb") as file:
            for at, data in sound.read_anyway(multihash):
                os.pwrite(file.fileno(), data, at)
            os.fsync(file.fileno())
    fsync_directory(place)
    fsync_directory(root)
