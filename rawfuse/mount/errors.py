"""What can go wrong while mounting, each with what to do about it."""

from __future__ import annotations

import os

__all__ = [
    "DeadMountError",
    "DeviceError",
    "HelperError",
    "MountError",
    "MountOptionError",
    "MountPermissionError",
    "MountPointError",
    "NamespaceError",
    "UnmountError",
]


class MountError(OSError):
    """A mount, an unmount or what they need failed. `errno` is the kernel's, `filename` the path concerned."""

    def __init__(self, errno: int, message: str, path: str | None = None) -> None:
        super().__init__(errno, message, path)

    def __str__(self) -> str:
        where = f"{self.filename}: " if self.filename else ""
        return f"{where}{self.strerror}"


class DeviceError(MountError):
    """The FUSE device cannot be opened, or is not one."""


class MountPointError(MountError):
    """The mount point does not exist, cannot be reached, or is of a type nothing can be mounted on."""


class DeadMountError(MountPointError):
    """A mount whose server is gone lies on the mount point; `umount(path, lazy=True)` takes it away."""


class MountOptionError(MountError):
    """The kernel refused an option; the message carries the kernel's own words where it gave any."""


class MountPermissionError(MountError):
    """This process may not mount here."""


class HelperError(MountError):
    """fusermount3 is missing or failed; the message carries what it printed."""


class NamespaceError(MountError):
    """A user and mount namespace of one's own cannot be had."""


class UnmountError(MountError):
    """The mount could not be taken away."""


def kernel_words(errno: int, words: list[str]) -> str:
    """`words` are the lines the kernel left in a file system context; else the errno's text."""
    return "; ".join(words) if words else os.strerror(errno)
