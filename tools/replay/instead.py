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
        talk.unreleased.add(wire.Release)
        return what, Reply(value=(entry, fuse_open_out()))
    if isinstance(opened.value, fuse_open_out):
        return what, Reply(value=(entry, opened.value))
    talk.send(wire.Forget(nodeid=entry.nodeid, arg=wire.fuse_forget_in(nlookup=1)))
    return what, opened


def _opened(talk: Conversation, request: wire.Open | wire.OpenDir, recorded: Reply) -> Done:
    talk.unreleased.add(wire.ReleaseDir if isinstance(request, wire.OpenDir) else wire.Release)
    return f"{label(request)} not at all, which succeeds with handle 0", Reply(value=fuse_open_out())


def _copied(talk: Conversation, request: wire.CopyFileRange | wire.CopyFileRange64, recorded: Reply) -> Done | None:
    """As many bytes as were copied in the recording, in as many requests as it takes."""
    if isinstance(recorded.value, wire.fuse_copy_file_range_out):
        reply = _in_parts(talk, request, recorded.value.bytes_copied, _copy)
        what = "COPY_FILE_RANGE_64 as COPY_FILE_RANGE"
        if missing(c.FUSE_COPY_FILE_RANGE, reply.error):
            reply = _in_parts(talk, request, recorded.value.bytes_copied, _read_and_write)
            what = "COPY_FILE_RANGE_64 as READ and WRITE"
        if isinstance(reply.value, wire.fuse_write_out):
            reply = Reply(value=wire.fuse_copy_file_range_out(reply.value.size))
        return what, reply
    if isinstance(recorded.value, wire.fuse_write_out):
        return "COPY_FILE_RANGE as READ and WRITE", _in_parts(talk, request, recorded.value.size, _read_and_write)
    return None


def _in_parts(talk: Conversation, request: Any, size: int, part: Callable[[Conversation, Any, int], Reply]) -> Reply:
    """`part` says how far it got with a request for so many bytes: as a fuse_write_out, here and for the whole."""
    done = 0
    while done < size:
        one = copy.copy(request)
        one.arg = copy.copy(request.arg)
        one.arg.off_in += done
        one.arg.off_out += done
        reply = part(talk, one, size - done)
        if reply.error or reply.problem or not isinstance(reply.value, wire.fuse_write_out):
            return reply
        if not reply.value.size:
            break
        done += reply.value.size
    return Reply(value=wire.fuse_write_out(done))


def _copy(talk: Conversation, request: Any, size: int) -> Reply:
    request.arg.len = min(size, _MOST_COPIED)
    return talk.call(_like(wire.CopyFileRange(arg=request.arg), request))


def _read_and_write(talk: Conversation, request: Any, size: int) -> Reply:
    arg = request.arg
    read = talk.call(_like(wire.Read(arg=wire.fuse_read_in(arg.fh_in, arg.off_in, min(size, _MOST_READ))), request))
    if read.error or read.problem or not isinstance(read.value, bytes):
        return read
    if not read.value:
        return Reply(value=wire.fuse_write_out(0))
    into = wire.fuse_write_in(fh=arg.fh_out, offset=arg.off_out, size=len(read.value))
    one = _like(wire.Write(arg=into, data=memoryview(read.value)), request)
    one.nodeid = arg.nodeid_out
    return written(talk, one)


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
        # A server may say that it took more than it was given: that shows in the sum, and is no reason to go on.
        if done >= len(data) or reply.value.size < len(part):
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
