"""`mfs mount DIR`."""

from __future__ import annotations

import argparse
import errno
import os
import stat
from collections.abc import Sequence

from mfs.cli.mounts import described, is_beneath, mount_at
from mfs.cli.problem import Problem, explained
from mfs.cli.server import Service, serve_here
from rawfuse.mount import clean_dead_mount
from rawfuse.mount.device import passed_fd

__all__ = ["checked_beside", "checked_places", "device_path", "mount", "trace_path"]


def mount(arguments: argparse.Namespace) -> int:
    """Mount, and return when the mount answers; with --foreground, when it is gone."""
    if passed_fd(arguments.directory) is not None:
        if arguments.ipfs or arguments.ipns:
            raise Problem(f"{arguments.directory} is no place that --ipfs and --ipns could be beside")
        repo, mountpoint = os.path.realpath(arguments.repo), arguments.directory
    else:
        repo, mountpoint = checked_places(arguments.repo, arguments.directory)
    ipfs, ipns = checked_beside(repo, mountpoint, arguments.ipfs, arguments.ipns)
    service = Service(
        repo,
        mountpoint,
        profile=arguments.profile,
        read_only=arguments.read_only,
        allow_other=arguments.allow_other,
        device=device_path(arguments.device),
        ipfs=ipfs,
        ipns=ipns,
        publish=_checked_publish(arguments.publish, (mountpoint, ipfs, ipns)),
        trace=trace_path(arguments.trace, mountpoint),
    )
    if arguments.foreground or passed_fd(mountpoint) is not None:
        return _serve_in_foreground(service)
    from mfs.cli.background import start_server

    start_server(service)
    _tell_places(service)
    return 0


def _tell_places(service: Service) -> None:
    """Where what is, when it is more than one place, as kubo's `ipfs mount` says it."""
    for what, directory in (("IPFS", service.ipfs), ("IPNS", service.ipns)):
        if directory is not None:
            print(f"{what} mounted at: {directory}")
    if service.binds:
        print(f"MFS  mounted at: {service.mountpoint}", flush=True)


def _serve_in_foreground(service: Service) -> int:
    try:
        serve_here(service, lambda: _tell_places(service), background=False)
    except Exception as error:
        problem = explained(error)
        if problem is None:
            raise
        raise problem from error
    return 0


def device_path(given: str | None) -> str | None:
    """The device that was asked for, absolute: a server in the background works elsewhere. None: what is usual."""
    name = given or os.environ.get("RAWFUSE_DEVICE")
    return os.path.abspath(name) if name else None


def trace_path(name: str | None, mountpoint: str) -> str | None:
    """The file of --trace, absolute. Raises Problem where the mount would hide it."""
    if name is None:
        return None
    path = os.path.realpath(name)
    if is_beneath(path, mountpoint):
        raise Problem(f"the trace {name} lies beneath the mount point {mountpoint}", "Name a file elsewhere.")
    return path


def checked_places(repo: str, directory: str) -> tuple[str, str]:
    """The repository and the mount point as absolute paths without symbolic links.

    A dead mount on the mount point is cleared away. Raises Problem where nothing can be mounted there, or where the
    repository and the mount point would lie in each other.
    """
    mountpoint = _free_directory(directory)
    real_repo = os.path.realpath(repo)
    if is_beneath(real_repo, mountpoint):
        raise Problem(
            f"the repository {real_repo} lies beneath its own mount point {mountpoint}, which would hide it",
            "Mount on another directory, or name another repository with --repo.",
        )
    if is_beneath(mountpoint, real_repo):
        raise Problem(
            f"the mount point {mountpoint} lies inside the repository {real_repo}", "Mount on another directory."
        )
    return real_repo, mountpoint


def checked_beside(repo: str, mountpoint: str, *directories: str | None) -> tuple[str | None, ...]:
    """The directories for bind mounts beside `mountpoint` as absolute paths without symbolic links, None for None.

    Dead mounts on them are cleared away. Raises Problem where nothing can be mounted there, or where one would lie in
    another or hide the repository.
    """
    places: list[str | None] = []
    taken = [(mountpoint, mountpoint)]
    for directory in directories:
        place = _free_directory(directory) if directory is not None else None
        places.append(place)
        if directory is None or place is None:
            continue
        if is_beneath(repo, place):
            raise Problem(f"the repository {repo} lies beneath {directory}, which would hide it", "Name another one.")
        for name, other in taken:
            if is_beneath(place, other) or is_beneath(other, place):
                raise Problem(
                    f"{directory} and {name} lie in each other" if place != other else f"{directory} is named twice",
                    "Mount on directories side by side, as in --ipfs /ipfs --ipns /ipns /mfs.",
                )
        taken.append((directory, place))
    return tuple(places)


def _checked_publish(directory: str | None, places: Sequence[str | None]) -> str | None:
    """The directory for records as an absolute path, None for None; not in the mount, which would wait for itself."""
    if directory is None:
        return None
    path = os.path.realpath(directory)
    if not os.path.isdir(path) or not os.access(path, os.W_OK | os.X_OK):
        raise Problem(
            f"{directory} is no directory that can be written in", "Name one that is there: --publish /var/www/ipns"
        )
    if any(place is not None and is_beneath(path, place) for place in places):
        raise Problem(f"{directory} lies in the mount itself", "Name a directory outside with --publish.")
    return path


def _free_directory(directory: str) -> str:
    # Not realpath of the whole: its last component may be a mount that is dead, and nothing can be asked of that.
    head, tail = os.path.split(os.path.abspath(directory))
    path = os.path.join(os.path.realpath(head), tail) if tail else os.path.realpath(head)
    try:
        clean_dead_mount(path)
        mode = os.stat(path).st_mode
        path = os.path.realpath(path)
    except OSError as error:
        raise _unusable(directory, error) from error
    if not stat.S_ISDIR(mode):
        raise Problem(f"{directory} is not a directory", "Mount on a directory.")
    entry = mount_at(path)
    if entry is not None:
        raise Problem(
            f"{directory} is busy: it is {described(entry)} already",
            f"End that with mfs umount {directory}, or mount on another directory."
            if entry.is_fuse
            else "Mount on another directory.",
        )
    return path


def _unusable(directory: str, error: OSError) -> Problem:
    if error.errno == errno.ENOENT:
        return Problem(f"{directory} does not exist", f"Make it first: mkdir -p {directory}")
    if error.errno == errno.ENOTDIR:
        return Problem(f"{directory} is not a directory", "Mount on a directory.")
    return Problem(f"{directory}: {error.strerror}")
