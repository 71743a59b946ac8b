"""mount(): a mounted device descriptor, by whichever way this system and this user allow."""

from __future__ import annotations

import errno
import os
import stat
from types import TracebackType
from typing import Final, Literal, Unpack

from rawfuse.mount.device import connection_of, connection_over, open_device, passed_fd
from rawfuse.mount.errors import (
    DeadMountError,
    DeviceError,
    HelperError,
    MountError,
    MountOptionError,
    MountPermissionError,
    MountPointError,
    UnmountError,
)
from rawfuse.mount.fusermount import Lifeline, fusermount_mount, fusermount_with_lifeline
from rawfuse.mount.kernel import attach, create_detached, mount_classic
from rawfuse.mount.mountinfo import canonical, find_mount
from rawfuse.mount.options import MountArguments, MountOptions
from rawfuse.mount.unmount import abort_connection, umount

__all__ = ["DetachedMount", "Method", "Mounted", "mount", "mount_detached"]

Method = Literal["auto", "new", "classic", "fusermount"]
Way = Literal["new", "classic", "fusermount", "passed"]
"""How it was done; "passed": by somebody else, who passed a descriptor on."""


class Mounted:
    """A mount that stands.

    Attributes:
        fd: the device, mounted, non-blocking, close-on-exec. It belongs to the channel that is made of it; whoever
            makes none closes it. When its last copy is closed the connection is over, and the mount dead.
        mountpoint: absolute, symbolic links above the last component resolved; or /dev/fd/N, as it was passed on.
        connection: the number of the connection in fusectl (minor of st_dev), or None where it cannot be known.
        method: the way it was mounted.

    As a context manager it unmounts on the way out, lazily.
    """

    __slots__ = ("_lifeline", "_standing", "connection", "fd", "method", "mountpoint")

    def __init__(
        self, fd: int, mountpoint: str, connection: int | None, method: Way, lifeline: Lifeline | None = None
    ) -> None:
        self.fd: Final = fd
        self.mountpoint: Final = mountpoint
        self.connection: Final = connection
        self.method: Final = method
        self._standing = True
        self._lifeline = lifeline

    def is_standing(self) -> bool:
        """Whether this very mount is still the topmost one at its mount point; asks the file system nothing.

        Of one that was passed on: whether its connection is not over, as far as that can be known.
        """
        if self.method == "passed":
            return not connection_over(self.fd, self.connection)
        entry = find_mount(self.mountpoint)
        if entry is None or not entry.is_fuse or connection_over(self.fd, self.connection):
            return False
        return self.connection is None or entry.connection == self.connection

    def unmount(self, *, lazy: bool = True, force: bool = False) -> None:
        """Takes it away; does nothing when it is gone already, another mount lies over it, or it was passed on.

        The last user's pages may have to be written first: a process that serves the mount calls this from a worker
        thread (`trio.to_thread.run_sync`) while serving goes on. Raises UnmountError.
        """
        if not self._standing or self.method == "passed":
            return
        if self.is_standing():
            try:
                umount(self.mountpoint, lazy=lazy, force=force)
            except UnmountError as error:
                if error.errno != errno.EINVAL:
                    raise
        self._standing = False
        if self._lifeline is not None:
            self._lifeline.close()

    def abort(self) -> bool:
        """Fails every request, now and later; False where fusectl is not mounted or not ours."""
        return self.connection is not None and abort_connection(self.connection)

    def set_read_ahead(self, size: int) -> bool:
        """Lets the kernel read up to `size` bytes ahead, in READs of that size; False where it may not be changed.

        By itself it reads 128 KiB ahead, and INIT's max_readahead can only lower that (Linux 6.18). Only root may raise
        it, after INIT. Asks sysfs, never the mount.
        """
        if self.connection is None:
            return False
        try:
            with open(f"/sys/class/bdi/0:{self.connection}/read_ahead_kb", "w", encoding="ascii") as setting:
                setting.write(str(size >> 10))
        except OSError:
            return False
        return True

    def __enter__(self) -> Mounted:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.unmount()

    def __repr__(self) -> str:
        return f"<Mounted {self.mountpoint!r} fd={self.fd} connection={self.connection} by {self.method}>"


class DetachedMount:
    """A mount that hangs nowhere: `root_fd` is its root, for use as dir_fd; `fd` is the device, as in Mounted.

    `close()` ends it: nothing is left behind, whatever happens to this process.
    """

    __slots__ = ("connection", "fd", "root_fd")

    def __init__(self, fd: int, root_fd: int) -> None:
        self.fd: Final = fd
        self.root_fd = root_fd
        self.connection: Final = connection_of(fd)

    def abort(self) -> bool:
        """Fails every request, now and later; False where fusectl is not mounted or not ours."""
        return self.connection is not None and abort_connection(self.connection)

    def close(self) -> None:
        """Closes the root; the server reads ENODEV next, unless somebody still has a file of it open."""
        root, self.root_fd = self.root_fd, -1
        if root >= 0:
            os.close(root)

    def __enter__(self) -> DetachedMount:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def mount_target(mountpoint: str | os.PathLike[str]) -> tuple[str, int]:
    """The real path of a mount point, and its type, which the mount's root must have as well.

    Raises MountPointError, DeadMountError."""
    path = canonical(mountpoint)
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        number = error.errno or errno.EIO
        if number == errno.ENOTCONN:
            message = "a mount whose server is gone lies here: take it away with umount -l, or umount(path, lazy=True)"
            raise DeadMountError(number, message, path) from error
        raise MountPointError(number, f"not a usable mount point: {os.strerror(number)}", path) from error
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        raise MountPointError(errno.ENOTDIR, "a mount point is a directory or a regular file", path)
    return os.path.realpath(path), stat.S_IFMT(mode)


def mount(
    mountpoint: str | os.PathLike[str],
    *,
    device: str | os.PathLike[str] | None = None,
    method: Method = "auto",
    auto_unmount: bool = False,
    **arguments: Unpack[MountArguments],
) -> Mounted:
    """Mounts a FUSE file system at `mountpoint`, an existing directory (or file: then the root is a file).

    INIT waits in the device's queue afterwards: serve it before anybody touches the mount.

    A mount point /dev/fd/N is a descriptor that the parent process has passed on: a device that it has mounted, and
    will unmount, or a socket with a kernel's role behind it. Nothing is mounted then, and all else that is given here
    is the parent's affair.

    Args:
        device: the FUSE device; default $RAWFUSE_DEVICE, else /dev/fuse.
        method: "new" (fsopen ... move_mount), "classic" (mount(2)), "fusermount" (the set-uid helper), or "auto": the
            first of them that this kernel and this user allow; not the helper, which has a device of its own, where
            `device` names one.
        auto_unmount: the helper mounts and waits, to unmount when this process ends, however it ends.
        arguments: fsname, subtype, options, allow_other, read_only, default_permissions, max_read: `MountArguments`.

    Raises:
        MountPointError, DeadMountError, DeviceError, MountOptionError, MountPermissionError, HelperError, MountError.
    """
    wanted = MountOptions.of(**arguments)
    passed = passed_fd(mountpoint)
    if passed is not None:
        return Mounted(passed, os.fspath(mountpoint), connection_of(passed), "passed")
    path, rootmode = mount_target(mountpoint)
    if auto_unmount:
        return _by_helper(path, wanted, auto_unmount=True)
    if method == "fusermount":
        return _by_helper(path, wanted)
    try:
        return _by_kernel(path, rootmode, wanted, device, method)
    except (MountPermissionError, DeviceError) as error:
        if method != "auto" or device is not None:
            raise
        try:
            return _by_helper(path, wanted)
        except HelperError as helper:
            error.add_note(f"and by the helper: {helper}")
            raise error from helper


def _by_kernel(
    path: str, rootmode: int, options: MountOptions, device: str | os.PathLike[str] | None, method: Method
) -> Mounted:
    fd = open_device(device)
    try:
        return mount_device(fd, path, rootmode, options, method)
    except BaseException:
        os.close(fd)
        raise


def mount_device(fd: int, path: str, rootmode: int, options: MountOptions, method: Method) -> Mounted:
    """Mounts an open device, which stays the caller's on error."""
    used = _mount_fd(fd, path, rootmode, options, method)
    return Mounted(fd, path, _connection(fd, path), used)


def _mount_fd(fd: int, path: str, rootmode: int, options: MountOptions, method: Method) -> Way:
    if method in ("auto", "new"):
        try:
            root = create_detached(fd, rootmode, options)
        except MountOptionError:
            raise
        except MountError as error:
            # ENOSYS: Linux before 5.2. EPERM may be a sandbox that knows mount(2) only, and mount(2) will tell.
            if method == "new" or error.errno not in (errno.ENOSYS, errno.EPERM):
                raise
        else:
            try:
                attach(root, path)
            finally:
                os.close(root)
            return "new"
    mount_classic(fd, rootmode, options, path)
    return "classic"


def _by_helper(path: str, options: MountOptions, *, auto_unmount: bool = False) -> Mounted:
    if auto_unmount:
        fd, lifeline = fusermount_with_lifeline(path, list(options.names))
        return mounted_by_helper(fd, path, lifeline)
    return mounted_by_helper(fusermount_mount(path, list(options.names)), path)


def mounted_by_helper(fd: int, path: str, lifeline: Lifeline | None = None) -> Mounted:
    return Mounted(fd, path, _connection(fd, path), "fusermount", lifeline)


def _connection(fd: int, path: str) -> int | None:
    number = connection_of(fd)
    if number is None:
        entry = find_mount(path)
        number = entry.connection if entry is not None and entry.is_fuse else None
    return number


def mount_detached(
    *,
    device: str | os.PathLike[str] | None = None,
    fd: int | None = None,
    **arguments: Unpack[MountArguments],
) -> DetachedMount:
    """As `mount`, but hung nowhere (Linux 5.2): for tests and tools, which reach it through `root_fd` alone.

    `fd` is an open device to mount, where it was made ready before (`set_sync_init`); it stays the caller's on error.
    """
    wanted = MountOptions.of(**arguments)
    if fd is not None:
        return DetachedMount(fd, create_detached(fd, stat.S_IFDIR, wanted))
    fd = open_device(device)
    try:
        return DetachedMount(fd, create_detached(fd, stat.S_IFDIR, wanted))
    except BaseException:
        os.close(fd)
        raise
