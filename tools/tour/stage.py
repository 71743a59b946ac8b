"""The stage: a server that is mounted, programs that run on the mount, and every message that passes."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final

from rawfuse.mount import Mounted, UnmountError, mount
from rawfuse.processes import program_of
from rawfuse.trace import Direction, Recorder, Traced, TraceWriter
from rawfuse.trace.exchanges import Exchange, Follower
from rawfuse.wire import fuse_in_header, fuse_out_header
from rawfuse.wire.opcodes import BY_OPCODE
from rawfuse.wire.replies import answered

from ..trace.relay import Pending, Relay
from .served import Make, Served

__all__ = ["MOUNT", "PYTHON", "Act", "Ran", "Stage", "StageError"]

MOUNT: Final = "mnt"
"""The mount point, as commands are given it: they run in the directory that it lies in."""

PYTHON: Final = "python"
"""What the words of an act have in place of this interpreter, and how the programs that it runs are called."""

PATIENCE: Final = 10.0
"""Seconds that a command may take before the server is held to hang."""

MOST: Final = 5000
"""Messages of one act. A server that makes the kernel ask without an end is stopped there."""

LATE: Final = 2.0
"""Seconds that what is expected may come after the command's end."""

_QUIET: Final = 0.02
_OUTPUT: Final = 1 << 16
_NAME: Final = os.path.basename(sys.executable).encode()[:15]


class StageError(Exception):
    """The server did not come so far as to be mounted. `said`: what it printed."""

    def __init__(self, what: str, said: str = "") -> None:
        super().__init__(what)
        self.said = said


@dataclass(frozen=True)
class Act:
    """Something to run in the directory of the mount.

    Attributes:
        words: the command; none stands for umount(2), which the tour does itself.
        shown: how it is shown, where that is not the words.
        ctrl_c: the label of a request: while that waits, the command gets SIGINT.
    """

    words: tuple[str, ...] = ()
    shown: str = ""
    ctrl_c: str = ""


@dataclass
class Ran:
    """What came of an act.

    Attributes:
        status: exit status, negative for a signal.
        output: what it printed, errors too.
        exchanges: in the order in which the kernel asked.
        trouble: why it was ended before its time; empty where it was not.
        seconds: how long it took.
    """

    status: int = 0
    output: bytes = b""
    exchanges: list[Exchange] = field(default_factory=list)
    trouble: str = ""
    seconds: float = 0.0

    @property
    def text(self) -> str:
        """The output as text."""
        return self.output.decode(errors="backslashreplace")


Enough = Callable[[list[Exchange]], bool]


class Stage:
    """Mounts what `make` gives on `directory`/mnt, and takes it away on the way out, whatever has happened to it.

    A command may take `patience` seconds and cause `most` messages; then it is ended, and the server too if it hangs.
    The messages go to `trace` as well.
    """

    def __init__(
        self,
        make: Make,
        directory: Path,
        *,
        patience: float = PATIENCE,
        most: int = MOST,
        trace: TraceWriter | None = None,
    ) -> None:
        self._most = most
        self._trace = trace
        self._make = make
        self._directory = directory
        self._patience = patience
        self._messages: list[Traced] = []
        self._pending: dict[int, str] = {}
        self._taken = 0
        self._follower = Follower()
        self._mounted: Mounted | None = None
        self._thread: threading.Thread | None = None
        self._relay: Relay | None = None
        self._failure = ""
        self.refusals: list[str] = []
        """Replies that the kernel refused."""
        self.over = False
        """Whether the connection has ended."""

    # -- the way in and out ---------------------------------------------------------------------------------------

    def __enter__(self) -> Stage:
        (self._directory / MOUNT).mkdir(exist_ok=True)
        self._served = Served(self._make, self._directory / "server.log")
        try:
            # As `rawfuse mount` does it: the kernel checks permissions.
            self._mounted = mount(self._directory / MOUNT, fsname="tour", subtype="rawfuse", default_permissions=True)
        except BaseException:
            self._served.end()
            raise
        relay = self._relay = Relay(
            self._mounted.fd,
            self._served.socket,
            Recorder(self, connection=self._mounted.connection or 0, program=_name_of),
            self,
            patience=1e9,
        )
        self._thread = threading.Thread(target=self._relayed, args=(relay,), daemon=True, name="tour relay")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._mounted is not None and self._thread is not None and self._relay is not None
        try:
            self._mounted.unmount()
        finally:
            self._relay.stop()
            self._thread.join()
            self._served.end()
            self._relay.close()

    def _relayed(self, relay: Relay) -> None:
        assert self._mounted is not None
        try:
            relay.run()
        except OSError as error:
            self._failure = f"a message could not be passed on: {error}"
        finally:
            self.over = True
            # Whoever still waits for an answer is let go.
            os.close(self._mounted.fd)

    # -- what the relay tells -------------------------------------------------------------------------------------

    def write(self, message: Traced) -> None:
        """Keeps a message; the recorder's."""
        if message.direction is Direction.TO_SERVER and len(message.data) >= fuse_in_header.SIZE:
            header = fuse_in_header.unpack_from(message.data)
            if answered(header.opcode):
                self._pending[header.unique] = _label(header.opcode)
        elif len(message.data) >= fuse_out_header.SIZE:
            self._pending.pop(fuse_out_header.unpack_from(message.data).unique, None)
        if self._trace is not None:
            self._trace.write(message)
        self._messages.append(message)

    def broken(self, message: bytes, error: OSError, request: Pending | None) -> None:
        """A reply that the kernel refused."""
        if len(message) >= 16 and int.from_bytes(message[8:16], sys.byteorder) == 0 and error.errno == errno.ENOENT:
            return  # a notification about something that the kernel does not know: as good as done
        about = request.label if request is not None else "a request that does not wait"
        self.refusals.append(f"the kernel refused the reply to {about}: {os.strerror(error.errno or 0)}")

    def hangs(self, unique: int, request: Pending, seconds: float) -> None:
        """Told by our own clock instead."""

    def ended(self, pending: dict[int, Pending]) -> None:
        """Seen by the server's status."""

    # -- what happens on it ---------------------------------------------------------------------------------------

    @property
    def said(self) -> str:
        """What the server has printed."""
        return self._served.said()

    def fate(self) -> str:
        """How the server ended; empty while it serves."""
        if self._failure:
            return self._failure
        if self._served.is_running() and not self.over:
            return ""
        self._served.is_running()
        status = self._served.status
        if status is None:
            return "the connection is over"
        return f"the server ended: {signal.Signals(-status).name if status < 0 else f'exit status {status}'}"

    def started(self, enough: Enough | None = None) -> Ran:
        """Waits for the answer to INIT, the first thing there is. Raises StageError."""
        ran = Ran()
        until = time.monotonic() + self._patience
        while not any(one.answer is not None for one in ran.exchanges):
            if self.fate() or time.monotonic() > until:
                what = self.fate() or "the server did not answer INIT"
                self._served.kill()
                raise StageError(what, self.said)
            time.sleep(0.001)
            ran.exchanges += self._complete()
        self._settle(ran, enough)
        return ran

    def run(self, act: Act, enough: Enough | None = None) -> Ran:
        """Runs the act until it ends, and waits until what it caused has come, which may be a little later.

        `enough` says whether all has come that is expected; without it a pause is waited for.
        """
        begun = time.monotonic()
        ran = Ran()
        if not act.words:
            self._unmount(ran)
        else:
            self._command(act, ran)
        self._settle(ran, enough)
        if ran.trouble and self.over:
            # Who hangs shows in what was never answered.
            ran.exchanges += self._follower.finish()
        ran.seconds = time.monotonic() - begun
        ran.exchanges.sort(key=lambda exchange: exchange.time)
        return ran

    def _unmount(self, ran: Ran) -> None:
        assert self._mounted is not None
        try:
            self._mounted.unmount(lazy=False)
        except UnmountError as error:
            ran.status, ran.output = 1, f"umount: {error}\n".encode()

    def _command(self, act: Act, ran: Ran) -> None:
        first = len(self._messages)
        words = [sys.executable if word == PYTHON else word for word in act.words]
        environment = {**os.environ, "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
        with open(self._directory / "output", "w+b") as output:
            process = subprocess.Popen(
                words,
                cwd=self._directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            ctrl_c = act.ctrl_c
            until = time.monotonic() + self._patience
            while (status := process.poll()) is None:
                ran.exchanges += self._complete()
                if ctrl_c and self.waits_for(ctrl_c):
                    ctrl_c = ""
                    process.send_signal(signal.SIGINT)
                elif not ran.trouble and (trouble := self._trouble(until, first)):
                    ran.trouble = trouble
                    # Who waits in the kernel for this server is freed by its end only.
                    if "without an end" not in trouble:
                        self._served.kill()
                    # What it has started, too: all of it is in a session of its own.
                    os.killpg(process.pid, signal.SIGKILL)
                time.sleep(0.001)
            ran.status = status
            output.seek(0)
            ran.output = output.read(_OUTPUT)

    def _trouble(self, until: float, first: int) -> str:
        if time.monotonic() > until:
            waiting = ", ".join(label for label in self._waiting()) or "nothing"
            return f"still running after {self._patience:g} s; not answered: {waiting}"
        if len(self._messages) - first > self._most:
            return f"{self._most} messages and more: the kernel is made to ask without an end"
        return ""

    def _settle(self, ran: Ran, enough: Enough | None) -> None:
        """RELEASE, FORGET and readahead come when the kernel finds the time."""
        until = time.monotonic() + (LATE if enough is not None else _QUIET)
        while True:
            before = len(self._messages)
            time.sleep(_QUIET)
            ran.exchanges += self._complete()
            quiet = before == len(self._messages) and not self._waiting()
            if self.over or time.monotonic() > until or (quiet and (enough is None or enough(ran.exchanges))):
                return

    def _complete(self) -> list[Exchange]:
        found: list[Exchange] = []
        while self._taken < len(self._messages):
            found += self._follower.feed(self._messages[self._taken])
            self._taken += 1
        return found

    def _waiting(self) -> list[str]:
        return list(self._pending.values())

    def waits_for(self, label: str) -> bool:
        """Whether a request of this label waits for its answer."""
        return label in self._waiting()


def _name_of(pid: int) -> bytes:
    program = program_of(pid)
    if program is None:
        return b""
    name = program.name.encode()
    return PYTHON.encode() if name == _NAME else name


def _label(opcode: int) -> str:
    operation = BY_OPCODE.get(opcode)
    return operation.label if operation is not None else f"OPCODE_{opcode}"
