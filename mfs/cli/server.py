"""The server: a process that opens a repository, mounts it and serves it until it is unmounted."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from mfs.cli.problem import Problem

if TYPE_CHECKING:
    from mfs.binds import Bind
    from rawfuse.trace.keeping import KeptTrace

__all__ = ["FAILED", "LOG", "Service", "serve_here"]

LOG = "mfs.log"
"""Name of the file in the repository to which a server in the background writes."""

FAILED = "the server failed: "
"""What stands in the log before the reason, when a server ends otherwise than it should."""

_LOG_SIZE = 4 << 20
_PATIENCE = 10.0
_PAUSE = 0.05
_STOP_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})


@dataclass(frozen=True)
class Service:
    """What is to be served where. Paths are absolute, and without symbolic links where they name mounts."""

    repo: str
    mountpoint: str
    profile: str | None = None
    read_only: bool = False
    allow_other: bool = False
    device: str | None = None
    ipfs: str | None = None
    ipns: str | None = None
    publish: str | None = None
    trace: str | None = None

    @property
    def binds(self) -> list[Bind]:
        """What is shown besides in places of its own."""
        from mfs.binds import IPFS_ROOT, IPNS_ROOT, Bind

        found = [(IPFS_ROOT, self.ipfs, True), (IPNS_ROOT, self.ipns, False)]
        return [Bind(root, directory, read_only) for root, directory, read_only in found if directory is not None]


def serve_here(service: Service, ready: Callable[[], None], *, background: bool) -> None:
    """Serve in this process; returns when the mount is gone and everything is committed.

    `ready` is called once the mount answers. With `background` this process gives up its standard streams when the
    repository is open: they become the repository's log.

    Raises what `Volume.open`, `rawfuse.mount` and `serve` raise.
    """
    import trio

    import rawfuse
    from mfs.cli.mounts import SUBTYPE
    from mfs.service import serve
    from mfs.volume import Volume

    def answering() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
        ready()

    with ExitStack() as stack:
        opening = partial(Volume.open, service.repo, profile=service.profile)
        volume = stack.enter_context(_patiently(service.repo, opening))
        trace = stack.enter_context(_kept(service.trace)) if service.trace is not None else None
        _log_to(os.path.join(service.repo, LOG) if background else None)
        # A signal between the mount and the task that takes signals would leave a dead mount behind.
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
        mounted = rawfuse.mount(
            service.mountpoint,
            fsname=service.repo,
            subtype=SUBTYPE,
            options=("suid", "dev") if os.geteuid() == 0 else (),
            allow_other=service.allow_other,
            read_only=service.read_only,
            default_permissions=True,
            device=service.device,
        )
        logging.getLogger("mfs").info("process %d serves %s on %s", os.getpid(), service.repo, service.mountpoint)
        if service.publish is not None:
            volume.naming.published = Path(service.publish)
        with mounted:
            binds = service.binds
            serving = partial(serve, read_only=service.read_only, ready=answering, binds=binds, trace=trace)
            trio.run(serving, volume, mounted)


def _kept(path: str) -> KeptTrace:
    from rawfuse.trace.keeping import KeptTrace

    try:
        return KeptTrace(path)
    except OSError as error:
        raise Problem(f"the trace {path} cannot be written: {error.strerror}", "Name another file.") from error


_Opened = TypeVar("_Opened")


def _patiently(repo: str, opening: Callable[[], _Opened]) -> _Opened:
    """Open a repository, or wait for a moment for a server that has unmounted it and is committing still."""
    from mfs.cli.mounts import mounts_of
    from mfs.repo import RepoLocked

    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return opening()
        except RepoLocked as locked:
            if locked.pid is None or mounts_of(repo, locked.pid) or time.monotonic() > deadline:
                raise
        time.sleep(_PAUSE)


def _log_to(path: str | None) -> None:
    """Standard output and error, and the log, go to this file (None: the log goes to standard error)."""
    if path is not None:
        with open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        if os.path.exists(path) and os.path.getsize(path) > _LOG_SIZE:
            os.replace(path, f"{path}.old")
        log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
