"""The process that test servers are forked from: everything is imported once, so that a mount costs milliseconds.

Started by :mod:`mfs.tests.mounting` with one end of a SOCK_SEQPACKET pair as its standard input.  A request is a JSON
object ``{repo, path, profile, read_only, log, filesystem}`` and the end of a pipe; the answer is the pid, in decimal.
The server writes one line to the pipe when the mount answers, ``ready`` or ``failed`` and why, and ``done`` when it has
ended in order; whatever it has to complain of goes to the file `log`.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import logging
import os
import signal
import socket
from typing import NoReturn

import trio

from mfs import service
from mfs.service import serve
from mfs.volume import Volume
from rawfuse.mount import mount

_PR_SET_PDEATHSIG = 1


def _serve(repo: str, path: str, profile: str | None, read_only: bool, filesystem: str, pipe: int) -> None:
    def ready() -> None:
        os.write(pipe, b"ready\n")

    async def run() -> None:
        await serve(volume, mounted, read_only=read_only, ready=ready)

    # In this process alone: what the tests want to answer the kernel.
    module, _, name = filesystem.partition(":")
    vars(service)["MFS"] = getattr(importlib.import_module(module), name)

    with Volume.open(repo, profile=profile) as volume:
        mounted = mount(
            path,
            fsname=repo,
            subtype="mfs",
            allow_other=True,
            default_permissions=True,
            read_only=read_only,
            options=("suid", "dev"),
        )
        trio.run(run)
    os.write(pipe, b"done\n")


def _server(
    pipe: int, log: str, repo: str, path: str, profile: str | None, read_only: bool, filesystem: str
) -> NoReturn:
    """What a forked server does with its life."""
    status = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
        try:
            _serve(repo, path, profile, read_only, filesystem, pipe)
            status = 0
        except Exception as error:
            logging.exception("the server ends")
            os.write(pipe, f"failed {type(error).__name__}: {error}".replace("\n", " ").encode() + b"\n")
    finally:
        logging.shutdown()
        os._exit(status)


def main() -> None:
    """Fork a server for every request, until the tests are gone."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    tests = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    gc.collect()
    gc.freeze()
    while True:
        message, fds, _, _ = socket.recv_fds(tests, 1 << 16, 1)
        if not message:
            return
        (pipe,) = fds
        pid = os.fork()
        if not pid:
            tests.close()
            _server(pipe, **json.loads(message))
        os.close(pipe)
        tests.send(b"%d" % pid)


if __name__ == "__main__":
    main()
