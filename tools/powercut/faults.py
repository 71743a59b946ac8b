"""Disks that fail or are full: which calls are refused, and with what."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import asdict, dataclass, fields

__all__ = ["KINDS", "Fault", "Faults"]

KINDS = ("create", "names", "resize", "write", "zero", "read", "sync")
"""What can be refused: making an inode, changing names otherwise, changing a size, writing, punching holes, reading,
and fsync or fdatasync of a file or directory."""


@dataclass(frozen=True)
class Fault:
    """Refuse calls.

    Attributes:
        kinds: which ones count.
        errno: with what they are refused.
        after: how many of them pass before.
        times: how many are refused then; 0 for all.
        within: only those on inodes of this name, or in directories of this name; "" for all.
    """

    kinds: tuple[str, ...]
    errno: int
    after: int = 0
    times: int = 1
    within: str = ""

    def encode(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, text: bytes) -> Fault:
        """The inverse of `encode`. Raises ValueError."""
        said = json.loads(text)
        if not isinstance(said, dict) or not said.keys() <= {field.name for field in fields(cls)}:
            raise ValueError(f"not a fault: {text!r}")
        try:
            fault = cls(**{**said, "kinds": tuple(said["kinds"])})
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a fault: {text!r}: {error}") from error
        if set(fault.kinds) - set(KINDS) or fault.errno <= 0:
            raise ValueError(f"not a fault: {text!r}: kinds are {', '.join(KINDS)}")
        return fault


class Faults:
    """The fault in force, if any. `counts` are all calls so far by kind, `refused` those that were refused."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.refused = 0
        self._fault: Fault | None = None
        self._seen = 0

    def use(self, fault: Fault | None) -> None:
        """From now on this one, or none."""
        self._fault, self._seen = fault, 0

    def meet(self, kind: str, names: set[str]) -> None:
        """A call of this kind comes, on what bears these names. Raises the OSError that it is to be refused with."""
        self.counts[kind] += 1
        fault = self._fault
        if fault is None or kind not in fault.kinds or (fault.within and fault.within not in names):
            return
        self._seen += 1
        if self._seen > fault.after and (not fault.times or self._seen <= fault.after + fault.times):
            self.refused += 1
            raise OSError(fault.errno, f"refused: {os.strerror(fault.errno)}")
