"""Making a tree whole again of what is left of it."""

from mfs.fsck.mending.mend import Mender, mend
from mfs.fsck.mending.rebuild import rebuild

__all__ = ["Mender", "mend", "rebuild"]
