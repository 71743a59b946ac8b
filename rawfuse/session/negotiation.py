"""INIT: what the kernel offers, what a file system wants, and what comes of it."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Final

from rawfuse.errors import ProtocolError
from rawfuse.wire import fuse_init_in, fuse_init_out
from rawfuse.wire.flags import InitFlags as F
from rawfuse.wire.versions import SECURITY_CTX_MINOR

__all__ = [
    "DEFAULT_WANTS",
    "FLAGS",
    "MAJOR",
    "MINOR",
    "MIN_MINOR",
    "Flag",
    "KernelTooOld",
    "Negotiated",
    "Preferences",
    "negotiate",
]

MAJOR: Final = 7
MINOR: Final = 45
"""The newest minor that this library speaks; the connection speaks the smaller of this and the kernel's."""

MIN_MINOR: Final = 28
"""Linux 4.20, the first with MAX_PAGES and COPY_FILE_RANGE. Older kernels are refused."""

PAGE: Final = 4096
MAX_PAGES: Final = 256
"""What Linux clamps max_pages to unless /proc/sys/fs/fuse/max_pages_limit was raised (6.18)."""


class KernelTooOld(ProtocolError):
    """The kernel speaks a FUSE protocol older than this library does; its INIT was answered with EPROTO."""

    def __init__(self, major: int, minor: int) -> None:
        super().__init__(
            f"the kernel speaks FUSE {major}.{minor}; at least {MAJOR}.{MIN_MINOR} (Linux 4.20) is needed: "
            "run a newer kernel"
        )
        self.major = major
        self.minor = minor


_NONE: Final = F(0)
_STACK_DEPTHS: Final = (1, 2)


@dataclass(frozen=True)
class Flag:
    """One flag of INIT.

    Attributes:
        default: wanted unless a file system says otherwise. Those flags ask nothing of its methods.
        needs: flags without which it is not returned.
        excludes: flags that stand back for it; the kernel fails INIT, or ignores one of them, when both are set.
        methods: methods that a file system must override, or the flag is not returned.
        implied: information from the kernel, returned whenever it is offered, wanted or not.
        checked: the kernel must check modes itself, by the mount option default_permissions or POSIX_ACL, or it
            fails INIT and with it the mount.
        stacked: max_stack_depth must be 1 or 2, or the kernel does not heed the flag.
        minor: the first minor at which it can be spoken here, where that is not the one it came with.
        never: why it is never returned, whatever anybody wants.
    """

    flag: F
    default: bool = False
    needs: F = _NONE
    excludes: F = _NONE
    methods: tuple[str, ...] = ()
    implied: bool = False
    checked: bool = False
    stacked: bool = False
    minor: int = 0
    never: str = ""


FLAGS: Final[tuple[Flag, ...]] = (
    Flag(F.FUSE_ASYNC_READ, default=True),
    Flag(F.FUSE_FILE_OPS, never="no kernel ever gave it a meaning"),
    Flag(F.FUSE_POSIX_LOCKS, methods=("getlk", "setlk", "setlkw")),
    # open must truncate where O_TRUNC is among its flags; the kernel asks behind it whether the file is a program that
    # runs, and open(2) fails with ETXTBSY when it is empty already
    Flag(F.FUSE_ATOMIC_O_TRUNC, methods=("open",)),
    Flag(F.FUSE_EXPORT_SUPPORT),  # lookup must answer "." and ".."
    Flag(F.FUSE_BIG_WRITES, default=True),  # else buffered writes come in 4 KiB
    Flag(F.FUSE_DONT_MASK),  # the umask must be applied by the file system
    Flag(F.FUSE_SPLICE_WRITE),
    Flag(F.FUSE_SPLICE_MOVE),
    Flag(F.FUSE_SPLICE_READ),
    Flag(F.FUSE_FLOCK_LOCKS, methods=("setlk", "setlkw")),
    Flag(F.FUSE_HAS_IOCTL_DIR, default=True),
    Flag(F.FUSE_AUTO_INVAL_DATA, default=True, excludes=F.FUSE_EXPLICIT_INVAL_DATA),
    Flag(F.FUSE_DO_READDIRPLUS, default=True, methods=("readdirplus",)),
    Flag(F.FUSE_READDIRPLUS_AUTO, default=True, needs=F.FUSE_DO_READDIRPLUS),
    Flag(F.FUSE_ASYNC_DIO, default=True),
    Flag(F.FUSE_WRITEBACK_CACHE, excludes=F.FUSE_PASSTHROUGH),
    Flag(F.FUSE_NO_OPEN_SUPPORT, implied=True),
    Flag(F.FUSE_PARALLEL_DIROPS, default=True),
    Flag(F.FUSE_HANDLE_KILLPRIV, never="its successor HANDLE_KILLPRIV_V2 says which operations it is about"),
    Flag(F.FUSE_POSIX_ACL, methods=("getxattr", "setxattr")),
    Flag(F.FUSE_ABORT_ERROR, default=True),
    Flag(F.FUSE_MAX_PAGES, default=True),
    Flag(F.FUSE_CACHE_SYMLINKS, default=True),
    Flag(F.FUSE_NO_OPENDIR_SUPPORT, implied=True),
    Flag(F.FUSE_MAP_ALIGNMENT, never="virtiofs: the kernel tells the alignment of its DAX window"),
    Flag(F.FUSE_SUBMOUNTS, never="virtiofs: the kernel would make mounts of directories that say so"),
    Flag(F.FUSE_EXPLICIT_INVAL_DATA),  # the file system says when pages are stale, by notifications
    Flag(F.FUSE_HANDLE_KILLPRIV_V2),  # write, setattr and open must drop set-id bits where a flag tells them to
    Flag(F.FUSE_SETXATTR_EXT, default=True),
    Flag(F.FUSE_INIT_EXT, implied=True),
    Flag(F.FUSE_INIT_RESERVED, never="it has no meaning: bit 31 is kept free"),
    # Before 7.38 security contexts come without total_extlen, where nothing tells them from a name.
    Flag(F.FUSE_SECURITY_CTX, needs=F.FUSE_INIT_EXT, minor=SECURITY_CTX_MINOR),
    Flag(F.FUSE_HAS_INODE_DAX, never="virtiofs: DAX for one inode and not another"),
    Flag(F.FUSE_CREATE_SUPP_GROUP, needs=F.FUSE_INIT_EXT),
    Flag(F.FUSE_HAS_EXPIRE_ONLY, default=True, needs=F.FUSE_INIT_EXT),
    Flag(F.FUSE_DIRECT_IO_ALLOW_MMAP, needs=F.FUSE_INIT_EXT),
    Flag(F.FUSE_PASSTHROUGH, needs=F.FUSE_INIT_EXT, stacked=True),
    Flag(F.FUSE_NO_EXPORT_SUPPORT, needs=F.FUSE_INIT_EXT),
    Flag(F.FUSE_HAS_RESEND, needs=F.FUSE_INIT_EXT),
    Flag(F.FUSE_ALLOW_IDMAP, needs=F.FUSE_INIT_EXT, checked=True),
    Flag(F.FUSE_OVER_IO_URING, never="requests would come by a ring, which is not read here"),
    Flag(F.FUSE_REQUEST_TIMEOUT, needs=F.FUSE_INIT_EXT),
)


def _defaults() -> F:
    flags = F(0)
    for entry in FLAGS:
        if entry.default:
            flags |= entry.flag
    return flags


DEFAULT_WANTS: Final[F] = _defaults()
"""The flags that cost a file system nothing: it must do nothing differently for them."""


@dataclass(frozen=True)
class Preferences:
    """What a server would like; units and defaults as in `rawfuse.Filesystem`. `methods` are those it has."""

    wants: F = DEFAULT_WANTS
    methods: frozenset[str] = frozenset()
    max_write: int = 1 << 20
    max_readahead: int | None = None
    max_background: int = 0
    congestion_threshold: int = 0
    time_gran: int = 1
    max_stack_depth: int = 0
    request_timeout: int = 0
    default_permissions: bool | None = None
    """Whether the mount has that option; None where nobody said, and the author answers for what needs it."""


@dataclass(frozen=True)
class Negotiated:
    """What both sides hold to. Sizes in bytes; `max_pages` in pages of 4096 bytes, 0 without MAX_PAGES."""

    minor: int
    flags: F
    kernel_minor: int
    kernel_flags: F
    max_readahead: int
    max_write: int
    max_pages: int
    time_gran: int
    max_background: int
    congestion_threshold: int

    @property
    def buffer_size(self) -> int:
        """Bytes that a read buffer must have; with fewer the device says EINVAL."""
        return max(8192, 80 + self.max_write)

    @property
    def setxattr_ext(self) -> bool:
        return bool(self.flags & F.FUSE_SETXATTR_EXT)


def agree(offered: F, preferences: Preferences, minor: int = MINOR) -> F:
    """The flags to return to a kernel of that minor: wanted or implied, offered, and neither excluded nor short of
    what they need."""
    wanted = preferences.wants
    chosen = F(0)
    for entry in FLAGS:
        present = all(method in preferences.methods for method in entry.methods)
        if entry.never or minor < entry.minor:
            continue
        if entry.flag & offered and present and (entry.implied or entry.flag & wanted):
            chosen |= entry.flag
    unchecked = preferences.default_permissions is False and not chosen & F.FUSE_POSIX_ACL
    for entry in FLAGS:  # what others need comes before them in the table
        if entry.flag & chosen and (
            entry.needs & chosen != entry.needs
            or (entry.checked and unchecked)
            or (entry.stacked and preferences.max_stack_depth not in _STACK_DEPTHS)
        ):
            chosen &= ~entry.flag
    for entry in FLAGS:
        if entry.flag & chosen and _stands_back(entry, chosen):
            chosen &= ~entry.flag
    return chosen


def _stands_back(entry: Flag, chosen: F) -> bool:
    # Of two that exclude each other the one listed as default stands back: the other was asked for by name.
    return bool(entry.excludes & chosen)


def negotiate(offer: fuse_init_in, preferences: Preferences) -> tuple[Negotiated, fuse_init_out]:
    """The answer to INIT. Raises KernelTooOld; a newer major is the caller's affair (see ServerSession)."""
    if offer.major < MAJOR or (offer.major == MAJOR and offer.minor < MIN_MINOR):
        raise KernelTooOld(offer.major, offer.minor)
    offered = F(offer.flags)
    if offered & F.FUSE_INIT_EXT:
        offered |= F(offer.flags2 << 32)
    flags = agree(offered, preferences, MINOR if offer.major > MAJOR else offer.minor)
    max_pages = 0
    max_write = max(PAGE, preferences.max_write)
    if flags & F.FUSE_MAX_PAGES:
        max_pages = min(MAX_PAGES, -(-max_write // PAGE))
        max_write = min(max_write, max_pages * PAGE)
    else:
        max_write = min(max_write, 32 * PAGE)
    readahead = offer.max_readahead
    if preferences.max_readahead is not None:
        readahead = min(readahead, preferences.max_readahead)
    agreed = Negotiated(
        minor=min(offer.minor, MINOR) if offer.major == MAJOR else MINOR,
        flags=flags,
        kernel_minor=offer.minor,
        kernel_flags=offered,
        max_readahead=readahead,
        max_write=max_write,
        max_pages=max_pages,
        time_gran=preferences.time_gran,
        max_background=preferences.max_background,
        congestion_threshold=preferences.congestion_threshold,
    )
    word = int(flags)
    answer = fuse_init_out(
        major=MAJOR,
        minor=agreed.minor,
        max_readahead=readahead,
        flags=word & 0xFFFFFFFF,
        max_background=agreed.max_background,
        congestion_threshold=agreed.congestion_threshold,
        max_write=max_write,
        time_gran=agreed.time_gran,
        max_pages=max_pages,
        flags2=word >> 32,
        max_stack_depth=preferences.max_stack_depth if flags & F.FUSE_PASSTHROUGH else 0,
        request_timeout=preferences.request_timeout if flags & F.FUSE_REQUEST_TIMEOUT else 0,
    )
    return agreed, answer


REFUSAL: Final = errno.EPROTO
"""The errno that answers the INIT of a kernel that cannot be served."""
