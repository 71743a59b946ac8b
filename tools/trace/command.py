"""The command: `rawfuse trace`, or `python -m tools.trace` in a checkout."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import FrameType

from rawfuse.mount import Mounted, MountError, UnmountError, mount
from rawfuse.trace import Recorder, TraceWriter
from rawfuse.trace.kernel_events import NoKernelEvents
from rawfuse.trace.names import program_names
from rawfuse.trace.opening import FORMATS, trace_writer
from rawfuse.trace.watching import WatchPost

from ..top.sources import NoSuchMount
from .faults import BadFault, Faults, parse_fault
from .output import Both, Flushed, Followed, Lines
from .relay import Relay
from .report import Report
from .servers import ServerProcess, status_text
from .watch import NotWatched, follow

__all__ = ["main"]

_GRACE = 5.0
_BUFFER = 1 << 18
_BATCH = 64
"""Messages that are written at once, where nobody watches: the relay sees to it four times a second."""
_SWITCH = 0.0002
"""Seconds after which the reader of process events hands the interpreter to the relay (Python's own: 5 ms)."""

USAGE = """\
rawfuse trace [OPTION ...] -m DIR -- SERVER ARGUMENT ... {}
       rawfuse trace --follow [OPTION ...] DIR"""

DESCRIPTION = """\
Starts a FUSE server, mounts DIR in its place, and passes every message between the kernel and the server on, keeping
it in FILE (pcapng: `rawfuse decode` and Wireshark read it). {} in the server's command line stands for the mount point;
the server is given a socket there, as libfuse 3.3, go-fuse, pyfuse3 and rawfuse take it.

A server that ends, hangs or breaks the protocol is reported with the message that shows it; those who use the mount
get errors, they do not hang. What a relay cannot give to a server: clones of the device, passthrough, and the errors
that the kernel has for its replies and notifications.

rawfuse trace --follow DIR prints a line a request of a mount that is there: with names and all, and kept in FILE where
that is asked for, of one that `rawfuse mount`, `mfs mount` or `rawfuse trace` serves; of any other, for root, from the
kernel's events, which have no names and no data, no FORGETs, INTERRUPTs and notifications.
"""

EPILOG = """\
faults: OPCODES [path=PATTERN] [every=N] [after=N] [first=N] [chance=P%] [times=N], then one of
  error=ERRNO   the caller gets it, the server never sees the request
  delay=TIME    the reply comes later (50ms, 2s), or somewhere between two times (10ms-200ms)
  drop          the reply is lost: the caller waits, until --give-up
  short=BYTES   a short read or write: of the data, or of the number that a reply to WRITE says, so much is left
OPCODES is one, several with commas, or a pattern: READ,WRITE  READDIR*  *. The path is that from the root of the
mount, as `rawfuse decode` shows it; of RENAME, LINK and copies also the new one. Counted are the requests that match:
every=3 is the third, sixth, ...; after=10 lets ten pass; first=5 takes five; times=1 strikes once. The first rule that
strikes a request counts. With the same --seed and the same requests, chance= strikes the same ones.

exit status: 0 after the unmount; 1 when the server ended first, broke the protocol or left requests unanswered, or
nothing could be mounted; 2 for a wrong command line.

examples:
  rawfuse trace -o t.pcapng -m /mnt -- ./passthrough_ll -f {}          until `umount /mnt` or Ctrl-C
  rawfuse trace --follow -m /mnt -- rawfuse mount rawfuse.examples.hello:Hello {}
  rawfuse trace --follow /mnt                                          of a mount that is there, until Ctrl-C
  rawfuse trace -o t.pcapng --largest 256 -m /mnt -- ./loopback {} /srv    (the file: rawfuse dissector --help)
  rawfuse trace --fault 'WRITE every=100 error=EIO' -m /mnt -- ./memfs_ll -f {}
  rawfuse trace --fault 'FSYNC path=*.db after=20 times=1 error=EIO' -m /mnt -- mfs mount --repo r {}
  rawfuse trace --fault 'READ chance=5% delay=10ms-200ms' --fault 'READ,WRITE every=7 short=512' --seed 3 -m /mnt -- ...
"""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="rawfuse trace",
        usage=USAGE,
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("server", nargs="+", metavar="SERVER", help="the server's command line, {} for its mount point")
    made.add_argument("-m", "--mount", metavar="DIR", help="where to mount; without it, a mount is followed")
    made.add_argument("-o", "--output", type=Path, metavar="FILE", help="keep the messages here")
    made.add_argument("--format", choices=FORMATS, default="pcapng", help="of FILE (default: pcapng)")
    made.add_argument("--largest", type=int, metavar="BYTES", help="keep so much of each message (default: all)")
    made.add_argument("--follow", action="store_true", help="print a line a message, as `rawfuse decode` does")
    made.add_argument("--fault", action="append", default=[], metavar="RULE", help="let things go wrong; see below")
    made.add_argument("--seed", type=int, default=0, metavar="N", help="for chance=: the same requests meet the same")
    made.add_argument(
        "--patience", type=float, default=10.0, metavar="S", help="report what waits longer (default: 10)"
    )
    made.add_argument(
        "--give-up", type=float, default=60.0, metavar="S", help="answer it with ETIMEDOUT then (default: 60; 0: never)"
    )
    made.add_argument("--allow-other", action="store_true", help="let other users in")
    made.add_argument("--options", default="", metavar="OPT,...", help="mount options, as of mount(8)")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    arguments = parser().parse_args(argv)
    try:
        faults = Faults([parse_fault(text) for text in arguments.fault], arguments.seed)
    except BadFault as error:
        parser().error(f"--fault: {error}")
    if not (arguments.output or arguments.follow or faults):
        parser().error("nothing to do: give -o FILE, --follow, or a --fault")
    followed = arguments.mount is None
    if followed and (not arguments.follow or len(arguments.server) != 1 or faults):
        parser().error("give -m DIR and a server, or --follow DIR alone")
    try:
        with ExitStack() as stack:
            if followed:
                return _follow(arguments, stack)
            writer = _writer(arguments, stack)
            return _trace(arguments, writer, faults, stack)
    except (MountError, UnmountError, OSError, ValueError, NoKernelEvents, NoSuchMount, NotWatched) as error:
        print(f"rawfuse trace: {error}", file=sys.stderr)
        return 1


def _follow(arguments: argparse.Namespace, stack: ExitStack) -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    keep = None if arguments.output is None else partial(_file, arguments, stack)
    try:
        follow(arguments.server[0], colours=_colours(), keep=keep, largest=arguments.largest)
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _colours() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def _file(arguments: argparse.Namespace, stack: ExitStack) -> TraceWriter:
    file = stack.enter_context(open(arguments.output, "wb", buffering=_BUFFER))
    return Flushed(trace_writer(file, arguments.format, comment=" ".join(arguments.server)), file)


def _writer(arguments: argparse.Namespace, stack: ExitStack) -> TraceWriter | None:
    kept: TraceWriter | None = None if arguments.output is None else _file(arguments, stack)
    if arguments.follow:
        followed = Followed(Lines(colours=_colours()))
        kept = followed if kept is None else Both(kept, followed)
    return kept


def _trace(arguments: argparse.Namespace, writer: TraceWriter | None, faults: Faults, stack: ExitStack) -> int:
    server = ServerProcess(arguments.server)
    stack.callback(server.end)
    mounted = stack.enter_context(
        mount(
            arguments.mount,
            fsname=os.path.basename(arguments.server[0]),
            options=[option for option in arguments.options.split(",") if option],
            allow_other=arguments.allow_other,
        )
    )
    stack.callback(_close, mounted.fd)
    recorder = None
    if writer is not None:
        recorder = Recorder(
            writer,
            connection=mounted.connection or 0,
            largest=arguments.largest,
            program=stack.enter_context(program_names()),
            batch=1 if arguments.follow else _BATCH,
        )
    report = Report(sys.stderr)
    relay = Relay(
        mounted.fd,
        server.socket,
        recorder,
        report,
        faults=faults,
        patience=arguments.patience,
        give_up=arguments.give_up,
    )
    stack.callback(relay.close)
    sys.setswitchinterval(_SWITCH)
    with _stopping(mounted, relay), WatchPost(mounted.connection, relay, lambda: relay.agreed):
        print(f"rawfuse trace: {mounted.mountpoint} is mounted", file=sys.stderr, flush=True)
        unmounted = relay.run()
    if not unmounted:
        # Who waits for the server must not wait for ever: closing the device fails all that is pending.
        mounted.unmount()
        report.died(status_text(server.end()))
    for line in report.summary(recorder.messages if recorder is not None else None, faults):
        print(f"rawfuse trace: {line}", file=sys.stderr)
    return 1 if report.troubles else 0


def _close(fd: int) -> None:
    os.close(fd)


@contextmanager
def _stopping(mounted: Mounted, relay: Relay) -> Iterator[None]:
    """SIGINT and SIGTERM unmount. Who lingers in the mount has `_GRACE` seconds; the second signal ends that."""
    asked: list[int] = []

    def unmount() -> None:
        try:
            mounted.unmount()
        except UnmountError as error:
            print(f"rawfuse trace: {error}", file=sys.stderr)
            relay.stop()
        time.sleep(_GRACE)
        relay.stop()

    def stop(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        if len(asked) > 1:
            relay.stop()
        else:
            # The kernel may write pages back first, through the very relay that this signal interrupted.
            threading.Thread(target=unmount, daemon=True).start()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
