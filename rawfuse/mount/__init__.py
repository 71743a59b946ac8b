"""Getting a mounted FUSE device without libfuse. It knows nothing of channels: the descriptor is all it hands over."""

from __future__ import annotations

from rawfuse.mount.bind import bind_mount
from rawfuse.mount.connections import Connection, fuse_connections, mount_fusectl
from rawfuse.mount.device import DEFAULT_DEVICE, open_device, passed_fd, set_sync_init
from rawfuse.mount.errors import (
    DeadMountError,
    DeviceError,
    HelperError,
    MountError,
    MountOptionError,
    MountPermissionError,
    MountPointError,
    NamespaceError,
    UnmountError,
)
from rawfuse.mount.mountinfo import MountEntry, find_mount, mount_entries, parse_mountinfo
from rawfuse.mount.mounting import DetachedMount, Mounted, mount, mount_detached
from rawfuse.mount.namespace import unshare_mount_namespace, unshare_user_mount_namespace
from rawfuse.mount.options import MountArguments
from rawfuse.mount.steps import Mounting, begin_mount
from rawfuse.mount.unmount import abort_connection, clean_dead_mount, dead_mount, umount

__all__ = [
    "Connection",
    "DEFAULT_DEVICE",
    "DeadMountError",
    "DetachedMount",
    "DeviceError",
    "HelperError",
    "MountArguments",
    "MountEntry",
    "MountError",
    "MountOptionError",
    "MountPermissionError",
    "MountPointError",
    "Mounted",
    "Mounting",
    "NamespaceError",
    "UnmountError",
    "abort_connection",
    "begin_mount",
    "bind_mount",
    "clean_dead_mount",
    "dead_mount",
    "find_mount",
    "fuse_connections",
    "mount",
    "mount_detached",
    "mount_entries",
    "mount_fusectl",
    "open_device",
    "parse_mountinfo",
    "passed_fd",
    "set_sync_init",
    "umount",
    "unshare_mount_namespace",
    "unshare_user_mount_namespace",
]
