"""What the kernel makes of the answer to INIT: the flags that count, and the sizes that follow (fs/fuse/inode.c)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rawfuse.wire import fuse_init_out
from rawfuse.wire.flags import InitFlags as F

__all__ = ["Agreement", "BadInit", "MAX_PAGES_LIMIT", "agreement"]

PAGE: Final = 4096
MAX_PAGES_LIMIT: Final = 256
"""/proc/sys/fs/fuse/max_pages_limit, where nobody changed it."""

_PAGES_WITHOUT_MAX_PAGES: Final = 32
_SMALLEST_BUFFER: Final = 8192
_HEADERS: Final = 80
"""fuse_in_header and fuse_write_in."""

_MAJOR: Final = 7
_FLAGS_SINCE: Final = 6
_MAX_WRITE_SINCE: Final = 5
_DEEPEST_STACK: Final = 2


class BadInit(ValueError):
    """An answer that ends the connection: every call says ECONNREFUSED from then on, and INIT never comes again."""


@dataclass(frozen=True)
class Agreement:
    """What holds on a connection. Sizes in bytes, measured on Linux 6.18.

    minor: as the server said it, whatever the kernel's own is.
    flags: those that have an effect.
    max_write: the server's, at least 4096.
    read: the largest READ. write: the largest WRITE. buffered_write: the largest that comes from the page cache or
        an ordinary write(2).
    name: the longest name. buffer: the smallest buffer that the device may be read with.
    default_permissions: whether the kernel checks modes by itself.
    """

    minor: int
    flags: F
    max_write: int
    read: int
    write: int
    buffered_write: int
    name: int
    buffer: int
    default_permissions: bool


BEFORE_INIT: Final = Agreement(0, F(0), PAGE, PAGE, PAGE, PAGE, 1024, _SMALLEST_BUFFER, False)
"""What holds until INIT is answered."""


def _flags(answer: fuse_init_out, default_permissions: bool) -> F:
    if answer.minor < _FLAGS_SINCE:
        return F(0)
    flags = F(answer.flags)
    if flags & F.FUSE_INIT_EXT:
        flags |= F(answer.flags2 << 32)
    if flags & F.FUSE_PASSTHROUGH and (
        flags & F.FUSE_WRITEBACK_CACHE or not 0 < answer.max_stack_depth <= _DEEPEST_STACK
    ):
        flags &= ~F.FUSE_PASSTHROUGH
    if flags & F.FUSE_ALLOW_IDMAP and not (default_permissions or flags & F.FUSE_POSIX_ACL):
        raise BadInit("ALLOW_IDMAP needs the mount option default_permissions, or POSIX_ACL")
    return flags


def agreement(
    answer: fuse_init_out,
    *,
    default_permissions: bool = False,
    max_read: int | None = None,
    max_pages_limit: int = MAX_PAGES_LIMIT,
) -> Agreement:
    """What `answer` brings about on a mount with these options; `max_read` is the mount's, None without one.

    Flags that were not offered are believed, as Linux believes them. Raises BadInit.
    """
    if answer.major != _MAJOR:
        raise BadInit(f"INIT was answered with major version {answer.major}")
    flags = _flags(answer, default_permissions)
    max_write = max(PAGE, answer.max_write) if answer.minor >= _MAX_WRITE_SINCE else PAGE
    pages = min(max_pages_limit, max(1, answer.max_pages)) if flags & F.FUSE_MAX_PAGES else _PAGES_WITHOUT_MAX_PAGES
    read = pages * PAGE if max_read is None else min(pages * PAGE, max(PAGE, max_read))
    write = min(max_write, pages * PAGE)
    return Agreement(
        minor=answer.minor,
        flags=flags,
        max_write=max_write,
        read=read,
        write=write,
        buffered_write=write if flags & F.FUSE_BIG_WRITES else PAGE,
        name=4095 if flags & F.FUSE_MAX_PAGES else 1024,
        buffer=max(_SMALLEST_BUFFER, _HEADERS + max_write),
        default_permissions=default_permissions or bool(flags & F.FUSE_POSIX_ACL),
    )
