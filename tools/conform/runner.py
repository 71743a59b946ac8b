"""Runs probes against a server, which may crash, hang or flood, and goes on with the next."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from typing import Final

from rawfuse.errors import ProtocolError

from .kernel import ConformKernel
from .offers import Offers
from .probe import Gone, Hangs, Probe, Result, Unready, Verdict, Violation
from .record import dump_of, sent_lines
from .servers import Launch, Running

__all__ = ["Runner"]

_TRIES: Final = 2


class _Connection:
    """A server that runs, and the kernel that drives it."""

    def __init__(self, launch: Launch, patience: float, starting: float, uid: int | None) -> None:
        self.server: Running = launch()
        self.kernel = ConformKernel(self.server.socket, patience=patience, starting=starting, uid=uid, gid=uid)

    def end(self) -> str:
        """How the server ended."""
        return self.server.end()


class Runner:
    """One server under judgement.

    Args:
        launch: starts it.
        patience: seconds that a reply may take.
        starting: seconds that the first one may take, of a server that is only starting; `patience` once it has hung.
        restart: starts the server anew for each probe; else only for those that ask for it, and after trouble.
        uid: of the caller in the requests; default the user's own.
    """

    def __init__(
        self,
        launch: Launch,
        *,
        patience: float = 5.0,
        starting: float = 15.0,
        restart: bool = False,
        uid: int | None = None,
    ) -> None:
        self._launch = launch
        self._patience = patience
        self._starting = starting
        self._restart = restart
        self._uid = uid
        self._offers = Offers()
        self._shared: _Connection | None = None
        self._before = ""
        self._failures = 0
        self._silences = 0
        self._problem = ""

    def run(self, probes: Iterable[Probe]) -> Iterator[Result]:
        """Yields a result for each: first those that share a server, then those that have one of their own."""
        ordered = sorted(probes, key=lambda probe: probe.fresh)
        needs = {need for probe in ordered if probe.fresh for need in probe.needs}
        for probe in ordered:
            if probe.fresh and self._shared is not None:
                self._try_out(needs)
            yield self.one(probe)
        self.close()

    def close(self) -> None:
        """Ends the server that is kept for the next probe."""
        self._drop()

    def _try_out(self, needs: Iterable[str]) -> None:
        """Finds out what is offered while there is a server to ask."""
        for need in sorted(needs):
            with contextlib.suppress(Unready):  # it will be said of the probe that needs it
                self._missing(need)

    # -- one probe ------------------------------------------------------------------------------------------------

    def one(self, probe: Probe) -> Result:
        """Runs one; the server is kept for the next, unless that wants one of its own."""
        began = time.perf_counter()
        try:
            for need in probe.needs:
                if (why := self._missing(need)) is not None:
                    return Result(probe, Verdict.INAPPLICABLE, reason=why)
            result = self._alone(probe) if probe.fresh else self._together(probe)
        except Unready as why:
            result = Result(probe, Verdict.INAPPLICABLE, reason=str(why))
        result.seconds = time.perf_counter() - began
        return result

    def _alone(self, probe: Probe) -> Result:
        self._drop()  # two servers of one command might be in each other's way
        connection = self._started(initialized=probe.init)
        result = self._judge(probe, connection.kernel)
        if result.verdict in (Verdict.CRASHED, Verdict.HUNG):
            if result.verdict is Verdict.HUNG and connection.kernel.session.agreed is None:
                self._slow_start()
            self._ended(result, connection)
            return result
        if connection.kernel.session.agreed is not None:
            self._tidied(connection.kernel)
        connection.end()
        return result

    def _together(self, probe: Probe) -> Result:
        kernel = self._connection().kernel
        result = self._judge(probe, kernel)
        before, self._before = self._before, probe.name
        if result.verdict in (Verdict.CRASHED, Verdict.HUNG):
            if self._shared is not None:
                self._ended(result, self._shared)
                self._shared = None
            return self._tried_again(result, before) if before else result
        if not self._tidied(kernel) or result.bad or self._restart:
            self._drop()
        return result

    def _tried_again(self, result: Result, before: str) -> Result:
        """On a fresh server: what is wrong may have come of the probe before, unseen by it."""
        again = self._together(result.probe)
        if not again.bad:
            again.reason = f"{result.verdict} when {before} had been tried on the same server; not on a fresh one"
        return again

    def _judge(self, probe: Probe, kernel: ConformKernel) -> Result:
        kernel.begin()
        try:
            probe.function(kernel)
        except Violation as error:
            if error.opcode and error.opcode not in probe.opcodes:
                reason = f"{error.opcode} goes wrong, which this is not about: {error}"
                result = Result(probe, Verdict.INAPPLICABLE, reason=reason)
            else:
                result = Result(probe, Verdict.FAILED, expected=error.expected, seen=error.seen)
        except Unready as why:
            result = Result(probe, Verdict.INAPPLICABLE, reason=str(why))
        except Gone as error:
            result = Result(probe, Verdict.CRASHED, expected=kernel.expected, seen=str(error))
        except Hangs as error:
            result = Result(probe, Verdict.HUNG, expected=kernel.expected or "a reply", seen=str(error))
        except ProtocolError as error:
            result = Result(probe, Verdict.FAILED, expected="messages that Linux takes", seen=str(error))
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            # A value of another form than the opcode's, which nothing before has noticed.
            what = f"{type(error).__name__}: {error}"
            result = Result(probe, Verdict.FAILED, expected=kernel.expected or "a reply that can be read", seen=what)
        else:
            result = Result(probe, Verdict.PASSED, expected=kernel.expected, seen=kernel.seen)
        result.sent = sent_lines(kernel.messages)
        if result.bad:
            result.dump = dump_of(kernel.messages)
        return result

    @staticmethod
    def _ended(result: Result, connection: _Connection) -> None:
        result.reason = f"the server: {connection.end()}"

    @staticmethod
    def _tidied(kernel: ConformKernel) -> bool:
        """Whether the connection can be used on."""
        try:
            kernel.tidy()
        except (Gone, Hangs, Violation, ProtocolError):
            return False
        return True

    # -- servers --------------------------------------------------------------------------------------------------

    def _missing(self, need: str) -> str | None:
        if self._offers.knows(need):
            return self._offers.known(need)
        connection = self._connection()
        connection.kernel.begin()
        try:
            why = self._offers.missing(need, connection.kernel)
            connection.kernel.tidy()
        except (Gone, Hangs) as error:
            # Once is enough: the probe of that opcode's shape has the verdict.
            self._shared = None
            self._offers.lacks(need, f"{need} cannot be tried: {error}; the server: {connection.end()}")
            return self._offers.known(need)
        except (Violation, ProtocolError):
            self._drop()
            return self._offers.known(need)
        return why

    def _connection(self) -> _Connection:
        if self._shared is None:
            self._shared = self._started(initialized=True)
            self._before = ""
        return self._shared

    def _started(self, *, initialized: bool) -> _Connection:
        if initialized and self._failures >= _TRIES:
            raise Unready(f"the server does not get through INIT: {self._problem}")
        try:
            connection = _Connection(self._launch, self._patience, self._starting, self._uid)
        except (OSError, ValueError) as error:
            raise Unready(f"the server cannot be started: {error}") from error
        if not initialized:
            return connection
        try:
            answer = connection.kernel.init()
        except (Gone, Hangs, Violation, ProtocolError) as error:
            self._failures += 1
            self._slow_start()
            self._problem = f"{error}; the server: {connection.end()}"
            raise Unready(f"INIT before it: {self._problem}") from error
        if connection.kernel.session.agreed is None:
            self._failures += 1
            self._problem = connection.kernel.session.refused or str(answer.errno)
            connection.end()
            raise Unready(f"INIT before it: {self._problem}")
        self._failures = 0
        connection.kernel.purge()
        return connection

    def _slow_start(self) -> None:
        """After a few of them no more is waited for a server that never answers."""
        self._silences += 1
        if self._silences >= _TRIES:
            self._starting = self._patience

    def _drop(self) -> None:
        """Ends the shared server, with nothing left of what was made on it."""
        if self._shared is None:
            return
        connection, self._shared = self._shared, None
        try:
            connection.kernel.tidy(everything=True)
        except (Gone, Hangs, Violation, ProtocolError):
            pass  # it has shown by its verdict that it is of no more use
        connection.end()
