"""Watching a connection that one of our programs serves or relays, as long as somebody looks.

The program listens on a socket with an abstract name (unix(7)), which says the number of the connection; a thread waits
there, and nothing else is paid until somebody comes. Who is root or the program's own user may: it sends one line and
is given a pcapng stream (:mod:`rawfuse.trace.pcapng`), until one of both ends it. A watcher that is slow loses messages
and is told how many; the program waits for none. The names belong to a network namespace: from another one nothing is
found.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Final, Protocol, Self

from rawfuse.mount.connections import fuse_connections
from rawfuse.trace.agreed import Agreed
from rawfuse.trace.names import program_names
from rawfuse.trace.pcapng import PcapngWriter, read_pcapng
from rawfuse.trace.record import Traced
from rawfuse.trace.recorder import Recorder

__all__ = ["Recorded", "WatchPost", "Watched", "watch"]

_log = logging.getLogger("rawfuse.watching")

_HELLO: Final = b"rawfuse-watch 1 %d\n"
"""What a watcher says: the version, and how many bytes of each message it wants, 0 for all."""
_SEND_EVERY: Final = 0.05
_PATIENCE: Final = 5.0
_START: Final = 20.0
"""Seconds that the other end may take to begin, on a machine that is busy."""
_ROOM: Final = 16 << 20
"""Bytes that wait for a watcher before it loses messages."""
_MOST: Final = 8
_PEER: Final = struct.Struct("=iII")
_LEAST: Final = 64


def _name(connection: int) -> str:
    return f"\0rawfuse/watch/{connection}"


def _peer(sock: socket.socket) -> tuple[int, int]:
    """Its pid and uid."""
    pid, uid, _ = _PEER.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    return pid, uid


class Recorded(Protocol):
    """What gives its messages to recorders when asked: :class:`rawfuse.Server`, the relay of `rawfuse trace`."""

    def record(self, recorder: Recorder) -> None:
        """From now on."""
        ...

    def stop_recording(self, recorder: Recorder) -> None:
        """No more."""
        ...


class _Outbox:
    """Bytes on their way to a watcher. Takes whole blocks or none."""

    def __init__(self) -> None:
        self.lost = 0
        self._blocks: list[bytes] = []
        self._size = 0
        self._lock = threading.Lock()

    def write(self, block: bytes) -> None:
        with self._lock:
            if self._size + len(block) > _ROOM:
                self.lost += 1
                return
            self._blocks.append(block)
            self._size += len(block)

    def take(self) -> tuple[bytes, int]:
        """What has come, and how many did not fit."""
        with self._lock:
            blocks, lost = self._blocks, self.lost
            self._blocks, self._size, self.lost = [], 0, 0
        return b"".join(blocks), lost


class WatchPost:
    """A context manager, in which a connection can be watched.

    Args:
        connection: its number; None or one whose name is taken: nobody can watch, which is logged and no error.
        served: what gives the messages.
        agreed: says what INIT agreed on, when a watcher comes.
    """

    def __init__(self, connection: int | None, served: Recorded, agreed: Callable[[], Agreed]) -> None:
        self._connection = connection
        self._served = served
        self._agreed = agreed
        self._listener: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self._watchers = 0

    def __enter__(self) -> Self:
        if self._connection is None:
            return self
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(_name(self._connection))
            listener.listen(_MOST)
        except OSError as error:
            listener.close()
            _log.warning("connection %d cannot be watched: %s", self._connection, error)
            return self
        self._listener = listener
        self._thread = threading.Thread(target=self._accept, args=(listener,), name="rawfuse watch", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._listener is not None and self._thread is not None:
            # close(2) alone does not wake who waits in accept(2).
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._thread.join(_PATIENCE)
            self._listener.close()

    def _accept(self, listener: socket.socket) -> None:
        while not self._ended.is_set():
            try:
                watcher, _ = listener.accept()
            except OSError:
                return
            if _peer(watcher)[1] not in (0, os.geteuid()) or self._watchers >= _MOST:
                watcher.close()
                continue
            self._watchers += 1
            threading.Thread(target=self._serve, args=(watcher,), name="rawfuse watch", daemon=True).start()

    def _serve(self, watcher: socket.socket) -> None:
        try:
            with watcher, program_names() as program:
                watcher.settimeout(_PATIENCE)
                largest = _largest(watcher)
                outbox = _Outbox()
                writer = PcapngWriter(outbox)
                agreed = self._agreed()
                recorder = Recorder(
                    writer, connection=self._connection or 0, largest=largest, program=program, agreed=agreed
                )
                self._served.record(recorder)
                try:
                    self._send(watcher, outbox, writer)
                finally:
                    self._served.stop_recording(recorder)
        except (OSError, ValueError) as error:
            _log.debug("a watcher ends: %s", error)
        finally:
            self._watchers -= 1

    def _send(self, watcher: socket.socket, outbox: _Outbox, writer: PcapngWriter) -> None:
        watcher.sendall(outbox.take()[0])  # the beginning of the file says that it has begun
        last = False
        while not last:
            last = self._ended.wait(_SEND_EVERY)
            data, lost = outbox.take()
            if data:
                watcher.sendall(data)
            elif _is_gone(watcher):
                return
            if lost:
                writer.lost(lost)


def _largest(watcher: socket.socket) -> int | None:
    said = watcher.recv(64)
    words = said.split()
    if len(words) != 3 or not said.endswith(b"\n") or words[:2] != _HELLO.split()[:2]:
        raise ValueError(f"a watcher said {said!r}")
    size = int(words[2])
    return max(size, _LEAST) if size else None


def _is_gone(watcher: socket.socket) -> bool:
    poll = select.poll()
    poll.register(watcher, select.POLLIN)
    return bool(poll.poll(0)) and watcher.recv(1) == b""


class Watched:
    """Messages of a connection as they go by: an iterator over :class:`Traced`, and a context manager.

    The first that are seen may be replies to requests that were not. It ends with the connection, or with `close`,
    from any thread.

    Attributes:
        lost: messages that we were too slow for.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.lost = 0
        self._socket = sock
        self._file = sock.makefile("rb", io.DEFAULT_BUFFER_SIZE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Traced]:
        try:
            yield from read_pcapng(self._file, "the connection", lost=self._lose)
        except (ConnectionError, ValueError):
            return  # the program was killed; or closed here

    def _lose(self, messages: int) -> None:
        self.lost += messages

    def close(self) -> None:
        """Ends it."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._file.close()
        self._socket.close()


def watch(connection: int, *, largest: int | None = None) -> Watched | None:
    """The messages of a connection, of each at most `largest` bytes; None where none of our programs offers them to us.

    Only a program that has the connection's device open is believed.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(_START)
        sock.connect(_name(connection))
        pid, _ = _peer(sock)
        servers = {server.pid for one in fuse_connections() if one.number == connection for server in one.servers}
        if pid not in servers:
            raise PermissionError(f"process {pid} has not got the device of connection {connection} open")
        sock.sendall(_HELLO % (largest or 0))
        if not sock.recv(1, socket.MSG_PEEK):
            raise ConnectionError("it was refused")
        sock.settimeout(None)
    except OSError as error:
        _log.debug("connection %d is not watched: %s", connection, error)
        sock.close()
        return None
    return Watched(sock)
