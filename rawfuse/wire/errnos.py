"""What an errno means to FUSE, beside what the calls' manual pages say of it.

In three places: a read or write of the device says something to the server; a reply says something to the kernel; the
kernel says something to a caller by itself. Measured on Linux 6.18 where not marked.
"""

from __future__ import annotations

__all__ = ["ERRNOS"]

ERRNOS: dict[str, tuple[str, ...]] = {
    "ENOSYS": (
        "In a reply: the server has not got this operation. What the kernel makes of it depends on the opcode; most "
        "it never asks for again on that connection.",
        "So a file system must not use it for one object: it switches the operation off for the whole mount. "
        "EOPNOTSUPP speaks of one call.",
        "In the reply to INTERRUPT it ends interrupts for the connection.",
    ),
    "EINVAL": (
        "From a read of the device: the buffer is shorter than 8192 bytes, or than max_write and 80.",
        "From a write of the device: the message has fewer than 16 bytes, its len is not the number written, or its "
        "error is above 0 or below -511: the request is still pending. A body of a wrong size, or one beside an error: "
        "the request has failed with EIO, do not write again.",
        "From a write of a notification: its size is wrong, or there is no such code.",
    ),
    "ENOENT": (
        "From a read of the device: the request was withdrawn while it was copied; read again (kernel source).",
        "From a write of the device: no request with that unique waits for a reply. It was answered before, "
        "is never answered (FORGET), or was read from another descriptor.",
        "From a write of a notification: the kernel does not know the inode or name, which is as well.",
        "In the reply to LOOKUP: the name is absent, and that is not cached; nodeid 0 with an entry_valid is.",
    ),
    "ENODEV": ("From a read of the device: unmounted, or aborted. The server's work is done.",),
    "ECONNABORTED": (
        "From a read of the device: aborted, where ABORT_ERROR was negotiated.",
        "To callers: the connection was aborted, or its last descriptor closed, while their request was in flight.",
    ),
    "ENOTCONN": (
        "To callers: the server has gone and its mount is still there; unmount it.",
        "From mount(2) with SYNC_INIT: INIT was refused.",
    ),
    "ECONNREFUSED": (
        "To callers: the reply to INIT was an error or no version 7; the mount is dead from the beginning.",
    ),
    "EPERM": (
        "From a read or write of the device: it belongs to no mount yet.",
        "From FUSE_DEV_IOC_BACKING_OPEN: PASSTHROUGH was not negotiated. From FUSE_DEV_IOC_CLONE: not mounted yet.",
    ),
    "EAGAIN": (
        "From a read of the device opened with O_NONBLOCK: no request waits.",
        "In the reply to INTERRUPT: ask again later.",
    ),
    "EINTR": (
        "From a read of the device: a signal came before a request did; read again.",
        "In a reply: given up because of an INTERRUPT. The caller's system call fails, or is begun anew.",
    ),
    "EIO": (
        "To callers: also what the kernel itself makes of a reply of a wrong size or with impossible content, and of a "
        "request that does not fit the server's buffer.",
    ),
    "E2BIG": ("To callers of setxattr(2): the request does not fit the server's buffer (kernel source).",),
    "ENOTTY": (
        "To callers of ioctl(2): ENOSYS in the reply to IOCTL becomes this. From an ioctl of the device: not known.",
    ),
    "EOPNOTSUPP": (
        "In a reply: not for this object or this call. Nothing is remembered, unlike with ENOSYS.",
        "To callers: what ENOSYS in the reply to SETXATTR, GETXATTR, LISTXATTR, REMOVEXATTR, FALLOCATE and TMPFILE "
        "becomes, then and ever after.",
    ),
    "EXDEV": ("In the reply to a copy: the kernel reads and writes instead, for this call.",),
    "ESTALE": ("In a reply: the inode is gone; the VFS walks the path once more from its beginning (kernel source).",),
    "EPROTO": ("In the reply to INIT: by convention, a version that cannot be served. Callers then get ECONNREFUSED.",),
    "ENAMETOOLONG": (
        "To callers: the name has more than 1024 bytes, or 4095 with MAX_PAGES; the server is not asked.",
        "From a write of a notification: the same.",
    ),
    "ERANGE": ("In the reply to GETXATTR and LISTXATTR: longer than arg.size.",),
    "EACCES": (
        "To callers: also without any request, where they are not the mount's owner and it has no allow_other, or "
        "where default_permissions says so.",
    ),
    "EBUSY": ("To callers of umount(2): the mount is in use; MNT_DETACH serves it until it no longer is.",),
    "EROFS": ("To callers: also without any request, where the mount is read-only.",),
}
"""errno's name to sentences; an errno that is not here has no meaning of its own to FUSE and is passed on."""
