"""A server in a process of its own, which tells the one that started it how the start went."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import traceback
from typing import NoReturn

from mfs.cli.problem import Problem, explained
from mfs.cli.server import FAILED, LOG, Service, serve_here

__all__ = ["start_server"]

_READY = b"{}"


def start_server(service: Service, *, dies_with_us: bool = False) -> int:
    """Start a server and return its process id when the mount answers.

    It is forked, so this process must have no second thread yet. It leads a session of its own: no terminal signals
    it. With `dies_with_us` it unmounts and ends when this process does, however that comes.

    Raises Problem with what the server says when it cannot serve; it is gone then.
    """
    reading, writing = os.pipe()
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _serve_and_exit(service, writing, parent if dies_with_us else None)
    os.close(writing)
    try:
        with open(reading, "rb") as said:
            message = said.read()
    except BaseException:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)
        raise
    if message == _READY:
        return pid
    _, status = os.waitpid(pid, 0)
    if message:
        raise Problem(*json.loads(message))
    raise Problem(
        f"the server ended while it was starting ({_how(status)})", f"{service.repo}/{LOG} may say more, if it is there"
    )


def _how(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"exit status {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"


def _serve_and_exit(service: Service, pipe: int, parent: int | None) -> NoReturn:
    """What the forked process does. It never returns into the code of its parent."""
    status = 1
    told = False

    def tell(message: bytes) -> None:
        nonlocal told
        if not told:
            told = True
            os.write(pipe, message)
            os.close(pipe)

    try:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        os.chdir("/")
        # Pipes of the caller must not stay open because we do.
        os.closerange(3, pipe)
        os.closerange(pipe + 1, os.sysconf("SC_OPEN_MAX"))
        if parent is not None:
            _end_with(parent)
        serve_here(service, lambda: tell(_READY), background=True)
        status = 0
    except BaseException as error:
        problem = explained(error)
        if told:
            logging.getLogger("mfs").critical("%s%s", FAILED, error, exc_info=error)
        elif problem is not None:
            tell(json.dumps([problem.what, *problem.advice]).encode())
        else:
            tell(json.dumps(["the server failed", *traceback.format_exc().splitlines()]).encode())
    finally:
        logging.shutdown()
        os._exit(status)


_PR_SET_PDEATHSIG = 1


def _end_with(parent: int) -> None:
    """Have the kernel send SIGTERM to this process when its parent ends."""
    import ctypes

    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != parent:
        raise Problem("the process that started the server has ended")
