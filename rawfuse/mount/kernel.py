"""Mounting by system call: the mount API of Linux 5.2 (fsopen ... move_mount), and mount(2) behind it."""

from __future__ import annotations

import errno
import os
from typing import NoReturn

from rawfuse.mount import _syscalls as sc
from rawfuse.mount.errors import MountError, MountOptionError, MountPermissionError, MountPointError, kernel_words
from rawfuse.mount.options import MountOptions

__all__ = ["attach", "create_detached", "mount_classic"]

_MESSAGE_SIZE = 4096
_MAX_MESSAGES = 64


def _words(fs: int) -> list[str]:
    """What the kernel has to say about a file system context: lines such as "e fuse: Unknown parameter 'foo'"."""
    lines = []
    for _ in range(_MAX_MESSAGES):
        try:
            line = os.read(fs, _MESSAGE_SIZE)
        except OSError:
            break
        if not line:
            break
        lines.append(line.decode("utf-8", "replace").strip().removeprefix("e ").removeprefix("w "))
    return lines


def create_detached(fd: int, rootmode: int, options: MountOptions) -> int:
    """A FUSE mount on the device `fd` that hangs nowhere yet: its descriptor works as a dir_fd.

    Closing the descriptor unmounts it. INIT is in the device's queue when this returns.

    Raises:
        MountOptionError: an option was refused.
        MountPermissionError: CAP_SYS_ADMIN is missing.
        MountError: anything else; errno ENOSYS where the kernel or a sandbox does not know these calls.
    """
    try:
        fs = sc.fsopen(b"fuse")
    except OSError as error:
        _raise(error, [], None)
    try:
        try:
            _configure(fs, fd, rootmode, options)
            return sc.fsmount(fs, options.attributes)
        except OSError as error:
            if isinstance(error, MountError):
                raise
            _raise(error, _words(fs), None)
    finally:
        os.close(fs)


def _configure(fs: int, fd: int, rootmode: int, options: MountOptions) -> None:
    # FSCONFIG_SET_FD is EINVAL on Linux 6.18 for "fd"; the number as a string works everywhere.
    settings: list[tuple[str, str | None]] = [("source", options.fsname)]
    settings += [("subtype", options.subtype)] if options.subtype else []
    settings += [("ro", None)] if options.read_only else []
    for key, value in settings + options.settings(fd, rootmode):
        name = key.encode()
        try:
            if value is None:
                sc.fsconfig(fs, sc.FSCONFIG_SET_FLAG, name)
            else:
                sc.fsconfig(fs, sc.FSCONFIG_SET_STRING, name, os.fsencode(value))
        except OSError as error:
            number = error.errno or errno.EINVAL
            if number == errno.EPERM:
                raise
            message = f"mount option {key!r} was refused: {kernel_words(number, _words(fs))}"
            raise MountOptionError(number, message) from error
    sc.fsconfig(fs, sc.FSCONFIG_CMD_CREATE)


def attach(mount: int, mountpoint: str) -> None:
    """Hangs a detached mount at `mountpoint`. Raises MountPointError or MountPermissionError."""
    try:
        sc.move_mount(mount, os.fsencode(mountpoint))
    except OSError as error:
        _raise(error, [], mountpoint)


def mount_classic(fd: int, rootmode: int, options: MountOptions, mountpoint: str) -> None:
    """The same by mount(2), which knows no words: errno is all there is. Raises as `create_detached` and `attach`."""
    settings = options.settings(fd, rootmode)
    settings += [("subtype", options.subtype)] if options.subtype else []
    data = ",".join(name if value is None else f"{name}={value}" for name, value in settings)
    try:
        sc.mount(os.fsencode(options.fsname), os.fsencode(mountpoint), b"fuse", options.flags, os.fsencode(data))
    except OSError as error:
        _raise(error, [], mountpoint)


def _raise(error: OSError, words: list[str], mountpoint: str | None) -> NoReturn:
    number = error.errno or errno.EIO
    text = kernel_words(number, words)
    if number in (errno.EPERM, errno.EACCES):
        advice = "run as root, install fusermount3, or enter a user namespace first (unshare_user_mount_namespace)"
        raise MountPermissionError(number, f"may not mount ({text}): {advice}", mountpoint) from error
    if number == errno.ENODEV:
        raise MountError(number, "this kernel has no FUSE: load the module with modprobe fuse", mountpoint) from error
    if mountpoint is not None and number in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG):
        raise MountPointError(number, f"not a usable mount point: {text}", mountpoint) from error
    if number == errno.EINVAL:
        raise MountOptionError(number, f"the kernel refused the mount's options: {text}", mountpoint) from error
    raise MountError(number, f"cannot mount: {text}", mountpoint) from error
