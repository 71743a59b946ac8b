"""What a check found, and what it means for the exit status."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["CLEAN", "CORRECTED", "OPERATIONAL", "UNCORRECTED", "Finding", "Report"]

CLEAN, CORRECTED, UNCORRECTED, OPERATIONAL = 0, 1, 4, 8
"""Exit statuses, as those of fsck(8)."""


@dataclass
class Finding:
    """One thing that is wrong.

    Attributes:
        kind: what it is about: "repository", "index", "block", "commit", "map" (of metadata), "directory", "file",
            "inode", "log", "segment", "snapshot", "pin", "key".
        what: what is wrong with it.
        path: whose it is, in the tree; None where that is nobody's or not known.
        links: the other paths of the same file.
        snapshot: in which snapshot or older commit, None for the present tree.
        ranges: of a file, the bytes that are lost (from, up to).
        repair: what was done about it; None for nothing.
    """

    kind: str
    what: str
    path: bytes | None = None
    snapshot: str | None = None
    ranges: list[tuple[int, int]] = field(default_factory=list)
    repair: str | None = None
    links: list[bytes] = field(default_factory=list)


@dataclass
class Report:
    """What came of a check.

    Attributes:
        findings: everything that is wrong; nothing in a sound repository.
        notes: what is worth knowing and need not be wrong.
        blocks, bytes: how many blocks were verified, and how long they are.
        garbage: how many of them nothing leads to (`mfs gc` removes them).
        inodes: how many there are in the present tree.
        commits: how many were checked, snapshots included.
    """

    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    blocks: int = 0
    bytes: int = 0
    garbage: int = 0
    inodes: int = 0
    commits: int = 0

    @property
    def status(self) -> int:
        """The exit status."""
        if not self.findings:
            return CLEAN
        return CORRECTED if all(finding.repair is not None for finding in self.findings) else UNCORRECTED

    def repaired(self, how: str, *kinds: str, snapshot: str | None = None) -> None:
        """Everything of these kinds in the present tree, or in a snapshot, is mended."""
        for finding in self.findings:
            if finding.kind in kinds and finding.repair is None and finding.snapshot == snapshot:
                finding.repair = how

    def found(self, *kinds: str) -> bool:
        """Whether something of these kinds is wrong."""
        return any(finding.kind in kinds for finding in self.findings)
