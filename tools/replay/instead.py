"""What the kernel sends where a server lacks an operation that the recorded one had: other requests, the same effect.

Without them the rest of a trace would be played to a tree in which a file, or its bytes, are missing.
"""

from __future__ import annotations

import copy
import errno
import os
from collections.abc import Callable
from typing import Any, Final, TypeAlias, TypeVar

from rawfuse import wire
from rawfuse.wire import Request, fuse_entry_out, fuse_open_out
from rawfuse.wire import constants as c

from ..decode.values import label
from .compare import Reply, missing
from .conversation import Conversation

__all__ = ["INSTEAD", "truncated", "written"]

_NOREPLACE: Final = 1
_CREATING: Final = os.O_CREAT | os.O_EXCL | os.O_NOCTTY | os.O_TRUNC
_MOST_COPIED: Final = 0xFFFFF000
"""Bytes of one COPY_FILE_RANGE."""
_MOST_READ: Final = 1 << 17
"""Bytes of one READ that every server answers in one piece."""

Done: TypeAlias = tuple[str, Reply]
_R = TypeVar("_R", bound=Request)


def _renamed(talk: Conversation, request: wire.Rename2, recorded: Reply) -> Done | None:
    """mv(1) goes on without NOREPLACE; there is nothing instead of the other flags."""
    if request.arg.flags != _NOREPLACE:
        return None
    one = _like(wire.Rename(arg=wire.fuse_rename_in(newdir=request.arg.newdir)), request)
    one.name, one.newname = request.name, request.newname
    return "RENAME2 with NOREPLACE as RENAME", talk.call(one)


def _created(talk: Conversation, request: wire.Create, recorded: Reply) -> Done:
    what = "CREATE as MKNOD and OPEN"
    arg = request.arg
    made = talk.call(
        _like(wire.MkNod(arg=wire.fuse_mknod_in(mode=arg.mode, umask=arg.umask), name=request.name), request)
    )
    entry = made.value
    if not isinstance(entry, fuse_entry_out):
        return what, made
    opening = _like(wire.Open(arg=wire.fuse_open_in(arg.flags & ~_CREATING)), request)
    opening.nodeid = entry.nodeid
    opened = talk.call(opening)
    if missing(c.FUSE_OPEN, opened.error):
        return what, Reply(value=(entry, fuse_open_out()))
    if isinstance(opened.value, fuse_open_out):
        return what, Reply(value=(entry, opened.value))
    talk.send(wire.Forget(nodeid=entry.nodeid, arg=wire.fuse_forget_in(nlookup=1)))
    return what, opened


def _opened(talk: Conversation, request: wire.Open | wire.OpenDir, recorded: Reply) -> Done:
    return f"{label(request)} not at all, which succeeds with handle 0", Reply(value=fuse_open_out())


def _copied(talk: Conversation, request: wire.CopyFileRange | wire.CopyFileRange64, recorded: Reply) -> Done:
    """As many bytes as were copied in the recording, in as many requests as it takes."""
    if isinstance(recorded.value, wire.fuse_copy_file_range_out):
        copied, error = _by_copy_file_range(talk, request, recorded.value.bytes_copied)
        if not missing(c.FUSE_COPY_FILE_RANGE, error):
            reply = Reply(error) if error else Reply(value=wire.fuse_copy_file_range_out(copied))
            return "COPY_FILE_RANGE_64 as COPY_FILE_RANGE", reply
        copied, error = _by_reading(talk, request, recorded.value.bytes_copied)
        reply = Reply(error) if error else Reply(value=wire.fuse_copy_file_range_out(copied))
    else:
        assert isinstance(recorded.value, wire.fuse_write_out)
        copied, error = _by_reading(talk, request, recorded.value.size)
        reply = Reply(error) if error else Reply(value=wire.fuse_write_out(copied))
    return f"{label(request)} as READ and WRITE", reply


def _by_copy_file_range(talk: Conversation, request: Any, size: int) -> tuple[int, int]:
    """Bytes copied, and the errno that ended it before."""
    done = 0
    while done < size:
        arg = copy.copy(request.arg)
        arg.off_in, arg.off_out, arg.len = arg.off_in + done, arg.off_out + done, min(size - done, _MOST_COPIED)
        reply = talk.call(_like(wire.CopyFileRange(arg=arg), request))
        if reply.error or not isinstance(reply.value, wire.fuse_write_out):
            return done, reply.error or errno.EIO
        if not reply.value.size:
            break
        done += reply.value.size
    return done, 0


def _by_reading(talk: Conversation, request: Any, size: int) -> tuple[int, int]:
    """The same, with the kernel between."""
    arg, done = request.arg, 0
    while done < size:
        asked = wire.fuse_read_in(arg.fh_in, arg.off_in + done, min(size - done, _MOST_READ))
        read = talk.call(_like(wire.Read(arg=asked), request))
        if read.error or not isinstance(read.value, bytes):
            return done, read.error or errno.EIO
        if not read.value:
            break
        into = wire.fuse_write_in(fh=arg.fh_out, offset=arg.off_out + done, size=len(read.value))
        one = _like(wire.Write(arg=into, data=memoryview(read.value)), request)
        one.nodeid = arg.nodeid_out
        reply = written(talk, one)
        if reply.error or not isinstance(reply.value, wire.fuse_write_out):
            return done, reply.error or errno.EIO
        done += reply.value.size
    return done, 0


def written(talk: Conversation, request: wire.Write) -> Reply:
    """A WRITE in parts that this server takes."""
    most, data, done = talk.max_write, request.data, 0
    while True:
        part = data[done : done + most]
        arg = copy.copy(request.arg)
        arg.offset, arg.size = arg.offset + done, len(part)
        reply = talk.call(_like(wire.Write(arg=arg, data=part), request))
        if reply.error or reply.problem or not isinstance(reply.value, wire.fuse_write_out):
            return reply
        done += reply.value.size
        if done == len(data) or reply.value.size < len(part):
            return Reply(value=wire.fuse_write_out(done))


def truncated(talk: Conversation, request: wire.Open, opened: Reply) -> Reply:
    """What open(2) with O_TRUNC comes to without ATOMIC_O_TRUNC, where OPEN, without it, was answered so."""
    if opened.problem or opened.error not in (0, errno.ENOSYS):
        return opened
    killed = request.arg.open_flags & c.FUSE_OPEN_KILL_SUIDGID
    arg = wire.fuse_setattr_in(valid=c.FATTR_SIZE | (c.FATTR_KILL_SUIDGID if killed else 0))
    reply = talk.call(_like(wire.SetAttr(arg=arg), request))
    return reply if reply.error or reply.problem else opened


def _like(one: _R, request: Request) -> _R:
    """From the same caller, about the same inode."""
    one.nodeid, one.uid, one.gid, one.pid = request.nodeid, request.uid, request.gid, request.pid
    return one


INSTEAD: Final[dict[type[Request], Callable[[Conversation, Any, Reply], Done | None]]] = {
    wire.Open: _opened,
    wire.OpenDir: _opened,
    wire.Create: _created,
    wire.Rename2: _renamed,
    wire.CopyFileRange: _copied,
    wire.CopyFileRange64: _copied,
}
"""By the operation that a server lacks: plays the request, with today's numbers, which succeeded in the recording.

Gives words for the report (what was asked, and as what it was sent), and what its caller would see; None where the
kernel has nothing instead."""
