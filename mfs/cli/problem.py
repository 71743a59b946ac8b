"""What stands in the way, in a line or two for the person at the keyboard."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

__all__ = ["Problem", "explained"]


class Problem(Exception):
    """The command cannot do what it was asked to.

    `what` says what is wrong and where; each of `advice` is a line on what to do about it.
    """

    def __init__(self, what: str, *advice: str) -> None:
        super().__init__("\n  ".join((what, *advice)))
        self.what = what
        self.advice = advice


def explained(error: BaseException) -> Problem | None:
    """The problem behind an exception; None for what is a defect of ours and wants its traceback."""
    for cause in _causes(error):
        if isinstance(cause, Problem):
            return cause
        problem = _of_repository(cause) or _of_mount(cause) or _of_system(cause)
        if problem is not None:
            return problem
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception, or what is in a group of them (a nursery makes groups)."""
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _causes(one)
    else:
        yield error


def _of_repository(error: BaseException) -> Problem | None:
    from mfs.repo import RepoDamaged, RepoError, RepoLocked

    if not isinstance(error, RepoError):
        return None
    if isinstance(error, RepoLocked):
        return Problem(str(error), *_where_mounted(error.path, error.pid))
    if isinstance(error, RepoDamaged):
        return Problem(
            str(error),
            f"Nothing was changed. mfs fsck --repo {error.path} says what is damaged, and with --repair mends it;",
            "make a copy of the directory first, if there is room.",
        )
    return Problem(str(error))


def _where_mounted(repo: str, holder: int | None) -> list[str]:
    from mfs.cli.mounts import mounts_of

    for entry in mounts_of(repo):
        return [f"It is mounted on {entry.mountpoint}; mfs umount {entry.mountpoint} ends that."]
    if holder is not None and mounts_of(repo, holder):
        return ["It is mounted for one command (mfs run), and free when that has ended."]
    return [
        "It is not mounted: that process is committing still, or serves those who used the mount when it was ended."
    ]


def _of_mount(error: BaseException) -> Problem | None:
    from mfs.binds import BindRefused
    from rawfuse.mount import DeviceError, MountError, MountPermissionError, NamespaceError
    from rawfuse.session.negotiation import KernelTooOld

    if isinstance(error, KernelTooOld):
        return Problem(str(error))
    if isinstance(error, DeviceError):
        return _of_device(error)
    if isinstance(error, NamespaceError):
        return Problem(str(error))
    if isinstance(error, BindRefused):
        return Problem(
            f"{error.filename}: may not show a part of the mount in another place"
            f" ({os.strerror(error.errno or errno.EPERM)})",
            "That is a bind mount, which takes root: fusermount3 makes none. mfs run --ipfs --ipns has its own;",
            "without --ipfs and --ipns the same is in the mount itself, as .mfs/ipfs and .mfs/ipns.",
        )
    if isinstance(error, MountPermissionError):
        # What the helper said, where it was asked.
        notes = [note.strip() for note in getattr(error, "__notes__", ())]
        return Problem(
            f"{error.filename}: may not mount ({os.strerror(error.errno or errno.EPERM)})",
            *notes,
            "Be root, or have the package fuse3 (fusermount3); mfs run -- COMMAND needs neither.",
        )
    if isinstance(error, MountError):
        return Problem(str(error))
    return None


def _of_device(error: OSError) -> Problem:
    name = error.filename
    if error.errno in (errno.ENOENT, errno.ENXIO, errno.ENODEV):
        return Problem(
            f"{name}: there is no FUSE device ({os.strerror(error.errno or 0)})",
            "Ask an administrator for: modprobe fuse; for a container: --device /dev/fuse.",
        )
    if error.errno not in (errno.EACCES, errno.EPERM):
        return Problem(str(error))
    return Problem(
        f"{name}: may not open the FUSE device ({os.strerror(error.errno or 0)})",
        f"Ask an administrator for: chmod 0666 {name}, or membership of its group; then mfs run needs nothing more,",
        "and mfs mount the package fuse3 (fusermount3). For a container: --device /dev/fuse.",
    )


def _of_system(error: BaseException) -> Problem | None:
    if not isinstance(error, OSError):
        return None
    where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
    return Problem(f"{where}{error.strerror or error}")
