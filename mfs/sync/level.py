"""A directory that both trees have, on the way through them."""

from __future__ import annotations

import os

__all__ = ["Level"]


class Level:
    """A directory in both trees while it is walked; owns the two descriptors.

    Attributes:
        source, target: the directory in each; no target in a dry run where it would yet have to be made.
        path: from the top of both, "" for the top.
        status: the source's, when it was met.
        fresh: whether the target's was made just now.
        same: whether both have the same CID, and so every file in them.
        changed: whether an entry of the target's was changed.
        entries: what is left to do of the source's.
    """

    def __init__(
        self, source: int, target: int | None, path: str, status: os.stat_result, *, fresh: bool, same: bool
    ) -> None:
        self.source = source
        self.target = target
        self.path = path
        self.status = status
        self.fresh = fresh
        self.same = same
        self.changed = fresh
        self.entries = os.scandir(source)

    def close(self) -> None:
        self.entries.close()
        os.close(self.source)
        if self.target is not None:
            os.close(self.target)

    def path_to(self, name: str) -> str:
        return f"{self.path}/{name}" if self.path else name
