"""`rawfuse mount MODULE:CLASS DIR`."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import signal
import sys
from collections.abc import Sequence

import trio

from rawfuse import Filesystem, Mounted, MountError, Server, mount
from rawfuse.channel import channel_of_fd
from rawfuse.errors import ProtocolError
from rawfuse.mount import UnmountError
from rawfuse.serve import let_read_ahead, watchable
from rawfuse.trace.keeping import KeptTrace

__all__ = ["main"]

_EPILOG = """\
CLASS is a subclass of rawfuse.Filesystem, or anything that returns one, in MODULE, which is looked for in the current
directory as well. It is called with the ARGUMENTs. For instance:

  rawfuse mount rawfuse.examples.hello:Hello /mnt

The mount is served until it is unmounted (umount DIR, fusermount3 -u DIR) or this program gets SIGINT (Ctrl-C) or
SIGTERM. Then it vanishes at once from the tree, and is served on until nobody uses it; the signal again ends that.
With --trace FILE every message is kept there (pcapng, or fusedump where FILE ends on .fusedump), for rawfuse decode,
rawfuse replay and Wireshark. A disk that fails or fills up ends the trace, which is said once, and not the mount.
DIR may read /dev/fd/N: a FUSE device that the calling program has mounted, and will unmount.
The kernel checks permissions (default_permissions) unless told otherwise.
"""


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="rawfuse mount",
        description="Mount a file system that is written in Python, and serve it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("filesystem", metavar="MODULE:CLASS")
    parser.add_argument("directory", metavar="DIR")
    parser.add_argument("arguments", metavar="ARGUMENT", nargs="*")
    parser.add_argument("--allow-other", action="store_true", help="let other users in")
    parser.add_argument("--read-only", action="store_true", help="refuse all changes (EROFS)")
    parser.add_argument("--no-default-permissions", action="store_true", help="leave permissions to the file system")
    parser.add_argument("--device", metavar="PATH", help="the FUSE device (default: $RAWFUSE_DEVICE, else /dev/fuse)")
    parser.add_argument(
        "-o", "--options", metavar="OPT,...", action="append", default=[], help="mount options, as of mount(8)"
    )
    parser.add_argument("--trace", metavar="FILE", help="keep every message there, as rawfuse trace does")
    parser.add_argument("-v", "--verbose", action="store_true", help="log what the library has to say")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Mounts and serves; returns 0 after the unmount, 1 when something failed, which stderr tells."""
    arguments = _arguments(argv)
    logging.basicConfig(
        level=logging.DEBUG if arguments.verbose else logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )
    try:
        filesystem = load(arguments.filesystem, arguments.arguments)
        trace = _trace(arguments.trace, arguments.directory) if arguments.trace else None
        mounted = mount(
            arguments.directory,
            fsname=arguments.filesystem,
            subtype="rawfuse",
            options=[option for options in arguments.options for option in options.split(",")],
            allow_other=arguments.allow_other,
            read_only=arguments.read_only,
            default_permissions=not arguments.no_default_permissions,
            device=arguments.device,
        )
    except (LoadError, MountError) as error:
        print(f"rawfuse mount: {error}", file=sys.stderr)
        return 1
    with mounted:
        try:
            trio.run(_serve, filesystem, mounted, trace)
        except ProtocolError as error:
            print(f"rawfuse mount: {error}", file=sys.stderr)
            return 1
        finally:
            if trace is not None:
                trace.close()
    return 0


class LoadError(Exception):
    """What was named is not there, or is no file system."""


def load(name: str, arguments: Sequence[str]) -> Filesystem:
    """The file system that `name`, module:class, makes of `arguments`. Raises LoadError."""
    module_name, colon, path = name.partition(":")
    if not (module_name and colon and path):
        raise LoadError(f"{name!r} is not of the form MODULE:CLASS")
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: object = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # something that the module itself imports
        raise LoadError(f"there is no module {error.name} (looked in {here} and where Python looks)") from error
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise LoadError(f"{module_name} has no {path}") from None
    if not callable(found):
        raise LoadError(f"{name} is not a class")
    try:
        filesystem = found(*arguments)
    except (TypeError, OSError) as error:
        raise LoadError(f"{path}({', '.join(map(repr, arguments))}): {error}") from error
    if not isinstance(filesystem, Filesystem):
        raise LoadError(f"{name} makes a {type(filesystem).__name__}, not a rawfuse.Filesystem")
    return filesystem


def _trace(name: str, directory: str) -> KeptTrace:
    """The file of --trace, made before the mount is. Raises LoadError."""
    path, below = os.path.realpath(name), os.path.realpath(directory)
    if os.path.commonpath((path, below)) == below:
        raise LoadError(f"the trace {name} would lie beneath the mount on {directory}: name a file elsewhere")
    try:
        return KeptTrace(name)
    except OSError as error:
        raise LoadError(f"the trace cannot be written: {error}") from error


async def _serve(filesystem: Filesystem, mounted: Mounted, trace: KeptTrace | None) -> None:
    server = Server(filesystem, channel_of_fd(mounted.fd))
    if trace is not None:
        server.record(trace.recorder(mounted.connection))
    failure: ProtocolError | None = None
    async with trio.open_nursery() as nursery:
        await nursery.start(_stop_on_signal, mounted, nursery.cancel_scope)
        nursery.start_soon(_ready, server, mounted)
        try:
            with watchable(server, mounted):
                await server.serve()
        except ProtocolError as error:
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _ready(server: Server, mounted: Mounted) -> None:
    await server.initialized.wait()
    await let_read_ahead(mounted, server.filesystem)
    print(f"rawfuse mount: {mounted.mountpoint} is mounted", file=sys.stderr, flush=True)


async def _stop_on_signal(
    mounted: Mounted, serving: trio.CancelScope, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        stopping = False
        async for _ in signals:
            if stopping or mounted.method == "passed":
                serving.cancel()
                return
            stopping = True
            try:
                await trio.to_thread.run_sync(mounted.unmount, abandon_on_cancel=True)
            except UnmountError as error:
                print(f"rawfuse mount: {error}", file=sys.stderr)
                serving.cancel()
