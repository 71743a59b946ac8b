"""Read-only trees beside the live one, in the same mount: what any CID names, and what commits had.

The root of the mount has one name that is never listed, ``.mfs``::

    .mfs/ipfs/CID[/PATH]       whatever is stored under a CID
    .mfs/ipns/NAME[/PATH]      the trees of the keys, which are part of the live tree
    .mfs/snapshots/NAME[/PATH] a commit that was given a name
    .mfs/commits/CID[/PATH]    any commit that is kept

A *view* answers for a range of inode numbers of its own (:mod:`mfs.tree.numbers`) with the nodes of
:mod:`mfs.tree.node`, made anew whenever they are asked for and not at hand: nothing in them can change.
"""

from mfs.tree.numbers import RESERVED_NAME, is_view
from mfs.views.views import Views

__all__ = ["RESERVED_NAME", "Views", "is_view"]
