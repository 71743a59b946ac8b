"""The file system as it is, but committing all the time, and with limits so low that all of them are met.

Commits and everything else meet much more often then; small files have segments of their own, an `fsync` of a few
leaves syncs segments, and logs and segments are soon full.  For the process that imports this, which is a test server.
"""

from __future__ import annotations

from mfs import log
from mfs.blocks import segments
from mfs.commit import committer
from mfs.fuse import MFS, files
from mfs.journal import journal

__all__ = ["Hurried"]

_STEP = 1 << 14

vars(committer).update(AFTER_CHANGE=0.03, _LOOK=0.01)
vars(files).update(OWN_SEGMENT=5000)
vars(journal).update(INLINE_MAX=2000)
vars(segments).update(SHARED_LIMIT=1 << 16)
vars(log).update(_STEP=_STEP, _ZEROS=bytes(_STEP))


class Hurried(MFS):
    """As it is."""
