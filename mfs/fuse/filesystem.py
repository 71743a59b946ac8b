"""The tree as a FUSE file system.

One method per opcode, in a module for each subject.  The warm path is plain methods that return bytes.  Three things
are waited for, in a task of the request's own: bytes that are not in the page cache, the log (`fsync`), and a commit
(somebody asks for the CID of what is not hashed yet).
"""

from __future__ import annotations

from typing import ClassVar

from mfs.fuse.allocation import Allocation
from mfs.fuse.directories import Directories
from mfs.fuse.files import Files
from mfs.fuse.inodes import Inodes
from mfs.fuse.names import Names
from mfs.fuse.xattrs import Xattrs
from rawfuse.session.negotiation import DEFAULT_WANTS
from rawfuse.wire.flags import InitFlags


class MFS(Names, Inodes, Xattrs, Files, Allocation, Directories):
    """The files of a :class:`~mfs.volume.Volume`.

    Locks are the kernel's own; it checks permissions too (``default_permissions``).

    FUSE_ATOMIC_O_TRUNC, which would save one message where O_TRUNC meets a file that is there, is not wanted: the OPEN
    comes before the kernel asks whether a program that runs lies in the file, and ETXTBSY would find it empty.
    """

    wants: ClassVar[InitFlags] = (
        (DEFAULT_WANTS & ~InitFlags.FUSE_AUTO_INVAL_DATA)
        | InitFlags.FUSE_EXPORT_SUPPORT
        | InitFlags.FUSE_HANDLE_KILLPRIV_V2
        | InitFlags.FUSE_ALLOW_IDMAP
        | InitFlags.FUSE_POSIX_ACL
        | InitFlags.FUSE_DONT_MASK
        | (InitFlags.FUSE_DIRECT_IO_ALLOW_MMAP)
    )
