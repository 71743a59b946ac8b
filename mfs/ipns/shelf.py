"""The records of a repository: own ones as they were published last, and those of others that were brought here."""

from __future__ import annotations

from pathlib import Path

from mfs.ipns.files import remove_file, replace_file
from mfs.ipns.record import Record, opened

__all__ = ["SUFFIX", "Shelf"]

SUFFIX = ".ipns-record"


class Shelf:
    """The records in one directory, ``NAME.ipns-record`` each, which is made with the first one."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def path(self, name: str) -> Path:
        """Where the record of `name` is."""
        return self._directory / (name + SUFFIX)

    def get(self, name: str) -> Record | None:
        """The record of `name` (``k51...``), checked again.  InvalidRecord, OSError."""
        try:
            packed = self.path(name).read_bytes()
        except FileNotFoundError:
            return None
        return opened(name, packed)

    def put(self, name: str, record: Record) -> None:
        """Keep a record, for others to read; durable on return."""
        replace_file(self.path(name), record.packed, 0o644)

    def remove(self, name: str) -> None:
        """Forget a record, if there is one."""
        if self.path(name).exists():
            remove_file(self.path(name))
