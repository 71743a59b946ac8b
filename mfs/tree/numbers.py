"""Which inode number belongs to whom: to the live tree, or to the read-only ones beside it (:mod:`mfs.views`).

====================  ============================================================================================
1                     the root of the live tree
2, 4, 5, 6            ``.mfs``, ``.mfs/ipfs``, ``.mfs/snapshots``, ``.mfs/commits``
3                     ``.mfs/ipns``, a directory of the live tree
16 to 2**47 - 1       the live tree
n * 2**47 and on      the n-th view: 1 is that of CIDs, those from 2 on are commits
====================  ============================================================================================
"""

from __future__ import annotations

from mfs.tree.record import FIRST_INO, ROOT_INO

__all__ = [
    "COMMITS_INO",
    "CONTROL_INO",
    "FIRST_VIEW",
    "IPFS_INO",
    "IPNS_INO",
    "RANGE",
    "RESERVED_NAME",
    "SNAPSHOTS_INO",
    "is_view",
    "view_number",
]

CONTROL_INO = 2
IPNS_INO = 3
IPFS_INO = 4
SNAPSHOTS_INO = 5
COMMITS_INO = 6

RESERVED_NAME = b".mfs"
"""The name in the root that cannot be made, removed or listed."""

RANGE = 1 << 47
"""How many inode numbers a view has."""
FIRST_VIEW = RANGE
"""The first inode number that is not the live tree's."""


def is_view(ino: int) -> bool:
    """Whether the live tree does not know `ino`, a view does."""
    return ino >= FIRST_VIEW or (ROOT_INO < ino < FIRST_INO and ino != IPNS_INO)


def view_number(ino: int) -> int:
    """Which view `ino` is in: 0 for the live tree and the directories above the views."""
    return ino >> 47
