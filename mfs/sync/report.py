"""What is asked of a sync, and what it says it did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from mfs.copying.outcome import Tally

__all__ = ["Action", "Change", "Options", "Report"]

Action: TypeAlias = Literal["created", "replaced", "linked", "attributes", "removed", "failed"]


@dataclass(frozen=True, slots=True)
class Options:
    """How to sync.

    Attributes:
        delete: remove what only the target has, also where a directory stands in the way of a file.
        dry_run: change nothing, and say what would be.
        in_place: write into files instead of renaming new ones over them: they keep their inodes, and a crash can
            leave one with some bytes of each.
        xattrs: carry extended attributes over too, ACLs and file capabilities among them.
    """

    delete: bool = False
    dry_run: bool = False
    in_place: bool = False
    xattrs: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """One entry that was changed, or failed. `path` is relative to both trees; `why` says what failed."""

    action: Action
    path: str
    kind: str
    size: int = 0
    why: str = ""


@dataclass(slots=True)
class Report:
    """Counts of entries, and bytes of files.

    Attributes:
        kept: entries that were right already.
        created, replaced, linked: new ones, ones with other content than before, and names given to a file that has
            another name in the tree.
        attributes: entries of which only owner, mode or extended attributes were changed.
        removed, failed: entries.
        shared: bytes that lie in the same blocks as the source's now; those of the same mount of mfs count.
        skipped: bytes that were found to be the same and stay where they are.
        holes: bytes of holes that were made.
        written: bytes that were written.
        seen: entries of the source looked at so far.
    """

    kept: int = 0
    created: int = 0
    replaced: int = 0
    linked: int = 0
    attributes: int = 0
    removed: int = 0
    failed: int = 0
    shared: int = 0
    skipped: int = 0
    holes: int = 0
    written: int = 0
    seen: int = 0

    def add(self, tally: Tally, *, offers_are_shared: bool = False) -> None:
        """Count the bytes of one file."""
        offered = tally.offered if offers_are_shared else 0
        self.shared += tally.shared + offered
        self.skipped += tally.skipped
        self.holes += tally.holes
        self.written += tally.written - offered
