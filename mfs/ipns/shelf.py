"""The records of a repository: own ones as they were published last, and those of others that were brought here."""

from __future__ import annotations

from pathlib import Path

from mfs.ipns.files import remove_file, replace_file
from mfs.ipns.record import Record, claimed, opened

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
            return opened(name, self.path(name).read_bytes())
        except FileNotFoundError:
            return None

    def claimed(self, name: str) -> Record | None:
        """The record of `name`, as it was when it was put there: not checked again.  InvalidRecord, OSError."""
        try:
            return claimed(self.path(name).read_bytes())
        except FileNotFoundError:
            return None

    def names(self) -> list[str]:
        """Whose records are here."""
        try:
            found = sorted(path.name for path in self._directory.iterdir())
        except FileNotFoundError:
            return []
        return [name.removesuffix(SUFFIX) for name in found if name.endswith(SUFFIX) and not name.startswith(".")]

    def put(self, name: str, record: Record) -> None:
        """Keep a record, for others to read; durable on return."""
        replace_file(self.path(name), record.packed, 0o644)

    def put_new(self, name: str, record: Record) -> None:
        """Keep a record, unless this very one is here."""
        try:
            if self.path(name).read_bytes() == record.packed:
                return
        except FileNotFoundError:
            pass
        self.put(name, record)

    def remove(self, name: str) -> None:
        """Forget a record, if there is one."""
        if self.path(name).exists():
            remove_file(self.path(name))
