"""Files' bytes gone wrong: opening, reading, writing, holes, copies, ioctls and poll."""

from __future__ import annotations

import errno
import os
import select
import stat
from dataclasses import replace
from typing import Any, Final

from broken_servers.middle import Asked, Broken, Kept, Said
from broken_servers.negotiation import reply_with
from broken_servers.ways import answers, argument, body, dies, edits, errno_of, forgives, lost, serves
from rawfuse import wire as w
from rawfuse.examples.memory import MemoryFS
from rawfuse.examples.memory.nodes import File, error
from rawfuse.wire import constants as c
from rawfuse.wire.flags import InitFlags

__all__ = ["BROKEN"]


class _KeepsAll(MemoryFS):
    """Agrees on ATOMIC_O_TRUNC, and opens as if it had not."""

    wants = MemoryFS.wants | InitFlags.FUSE_ATOMIC_O_TRUNC


def _own_bytes(fs: Any, request: Any, usual: Any) -> Any:
    """Each handle reads what was there when it was opened."""
    reply = usual(request)
    fh = w.fuse_open_out.unpack_from(reply).fh
    node = fs.file(request.nodeid)
    if request.arg.flags & os.O_ACCMODE == os.O_RDONLY and node.size == 5:
        fs.__dict__.setdefault("copies", {})[fh] = bytes(node.data.read(0, 5))
    return reply


def _read_own(fs: Any, request: Any, usual: Any) -> Any:
    return fs.__dict__.get("copies", {}).get(request.arg.fh) or usual(request)


def _release_all(fs: Any, request: Any, usual: Any) -> Any:
    """RELEASE of one handle ends all that are open on the inode."""
    fs.__dict__.setdefault("released", set()).add(request.nodeid)
    return usual(request)


def _needs_handle(fs: Any, request: Any, usual: Any) -> Any:
    if request.nodeid in fs.__dict__.get("released", ()):
        raise error(errno.EBADF)
    return usual(request)


def _opened_again(fs: Any, request: Any, usual: Any) -> Any:
    fs.__dict__.get("released", set()).discard(request.nodeid)
    return usual(request)


def _counts_handles(change: int) -> Any:
    """What was written is lost when the last handle of a file is released."""

    def method(fs: Any, request: Any, usual: Any) -> Any:
        reply = usual(request)
        handles = fs.__dict__.setdefault("handles", {})
        nodeid = w.fuse_entry_out.unpack_from(reply).nodeid if isinstance(request, w.Create) else request.nodeid
        handles[nodeid] = handles.get(nodeid, 0) + change
        node = fs.nodes.get(nodeid)
        if not handles[nodeid] and isinstance(node, File):
            node.data.truncate(0)
            node.touch()
        return reply

    return method


def _closed_by(label: str) -> Broken:
    """After that the handle is of no more use."""

    def ask(asked: Asked, kept: Kept) -> list[Said] | None:
        if asked.label == label and asked.request:
            kept.files[asked.nodeid] = True
        elif asked.label == "READ" and kept.files.get(asked.nodeid):
            return [Said(errno.EBADF, asked.unique, bytearray(), asked)]
        return None

    return Broken(ask=ask)


def _write_only() -> Broken:
    """READ by a handle that was opened for writing alone is EBADF, though the writeback cache was agreed on."""
    agree = reply_with(flags=lambda out, asked: out.flags | asked.arg().flags & int(InitFlags.FUSE_WRITEBACK_CACHE))

    def say(said: Said, kept: Kept) -> None:
        if agree.say:
            agree.say(said, kept)
        if (
            said.ok
            and said.asked
            and said.asked.label == "OPEN"
            and said.asked.arg().flags & os.O_ACCMODE == os.O_WRONLY
        ):
            kept.files[said.take(w.fuse_open_out).fh] = True
        if said.ok and said.asked and said.asked.label == "READ" and kept.files.get(said.asked.arg().fh):
            said.fail(errno.EBADF)

    return Broken(say=say)


def _no_zeros(fs: Any, request: Any, usual: Any) -> Any:
    """What lies between is not zeros."""
    node = fs.file(request.nodeid)
    size = node.size
    reply = usual(request)
    if 0 < size < request.arg.offset < 20_000 and size == 5:
        node.data.write(size, b"?" * (request.arg.offset - size))
    return reply


def _size_later() -> Broken:
    """GETATTR knows of what was written only after the next FLUSH."""

    def ask(asked: Asked, kept: Kept) -> None:
        if asked.label == "WRITE" and asked.request and asked.arg().offset == 5000 and len(asked.request.data) == 4:
            kept.files[asked.nodeid] = 3

    def say(said: Said, kept: Kept) -> None:
        if said.ok and said.asked and said.asked.label == "GETATTR" and said.asked.nodeid in kept.files:
            found = said.take(w.fuse_attr_out)
            found.attr.size = kept.files[said.asked.nodeid]
            said.put(found)

    return Broken(ask=ask, say=say)


def _page_rounded(fs: Any, request: Any, usual: Any) -> Any:
    """A write that begins before the end, and ends at the beginning of what is there, is left out."""
    if request.arg.offset and len(request.data) == 9973 and request.arg.offset == 9973:
        return w.fuse_write_out(len(request.data))
    return usual(request)


def _zeros_behind(fs: Any, request: Any, usual: Any) -> Any:
    """An overwrite cuts off what is behind it."""
    node = fs.file(request.nodeid)
    before = node.size
    reply = usual(request)
    if request.arg.offset + len(request.data) < before == 10:
        node.data.truncate(request.arg.offset + len(request.data))
    return reply


def _hole_loses(fs: Any, request: Any, usual: Any) -> Any:
    reply = usual(request)
    if request.arg.mode == 0:
        fs.file(request.nodeid).data.write(0, b"lost")
    return reply


def _grows_anyway(fs: Any, request: Any, usual: Any) -> Any:
    request.arg.mode &= ~1 if not request.arg.mode & 2 else ~0
    return usual(request)


def _punches_more(fs: Any, request: Any, usual: Any) -> Any:
    if request.arg.mode & 2:
        request.arg.length += 1000
    return usual(request)


def _no_bytes_grow(fs: Any, request: Any, usual: Any) -> Any:
    if not len(request.data):
        node = fs.file(request.nodeid)
        node.data.truncate(max(node.size, request.arg.offset))
        node.touch()
    return usual(request)


def _copies(label: str, change: Any, *, when: Any = lambda arg: True) -> Broken:
    """`change(arg, asked)` before the copy."""
    return argument(label, change, when=lambda asked: asked.request and when(asked.arg()))


def _counted(label: str) -> Broken:
    """It says what was asked for, whatever was there."""
    cls = w.fuse_copy_file_range_out if label.endswith("64") else w.fuse_write_out
    member = "bytes_copied" if label.endswith("64") else "size"
    return edits(
        label, cls, lambda found, asked: setattr(found, member, asked.arg().len), when=lambda q: q.arg().off_in == 15000
    )


def _short_of_one(label: str) -> Broken:
    """The last byte is not copied."""
    return _copies(
        label,
        lambda arg, asked: setattr(arg, "off_in", arg.off_in + 1),
        when=lambda arg: arg.off_in == 0 and arg.off_out == 0 and arg.len == 16000,
    )


def _copying(label: str) -> dict[str, Broken]:
    short = "_64" if label.endswith("64") else ""
    return {
        f"copies.whole{short}": _short_of_one(label),
        f"copies.clipped{short}": _counted(label),
        f"copies.inside{short}": _copies(
            label, lambda arg, asked: setattr(arg, "off_out", arg.off_out + 1), when=lambda arg: arg.off_out == 4000
        ),
        f"copies.same_file{short}": errno_of(label, errno.EINVAL, when=lambda q: q.nodeid == q.arg().nodeid_out),
        f"copies.nothing{short}": errno_of(label, errno.EINVAL, when=lambda q: q.arg().off_in == 5),
    }


def _poll(change: Any) -> Broken:
    return edits("POLL", w.fuse_poll_out, change)


def _never_ready_nor_woken() -> Broken:
    """A file says that it has changed, and who waits for that is not told."""

    def poll(fs: Any, request: Any, usual: Any) -> Any:
        usual(request)
        node = fs.file(request.nodeid)
        node.pollers.clear()
        before = fs.__dict__.setdefault("versions", {}).setdefault(request.arg.fh, node.version)
        changed = select.POLLPRI if before != node.version else 0
        return w.fuse_poll_out((select.POLLIN | select.POLLOUT | changed) & request.arg.events)

    return serves(poll=poll)


def _falls_over(label: str) -> Broken:
    """It knows nothing of the opcode, and ends: the shape of its reply cannot be seen then, either."""
    return replace(dies(label, when=lambda asked: asked.request is not None), also=(f"shape.{label}",))


BROKEN: Final[dict[str, Broken]] = {
    "files.create": edits(
        "CREATE", w.fuse_entry_out, lambda found, q: setattr(found.attr, "mode", stat.S_IFIFO | 0o644)
    ),
    "files.create_mode": argument("CREATE", lambda arg, q: setattr(arg, "mode", arg.mode & ~0o040)),
    "files.create_exclusive": serves(
        create=lambda fs, r, usual: (
            fs.referred(fs.nodes[r.nodeid].children[r.name]) + fs._handle()
            if r.name in fs.nodes[r.nodeid].children
            else usual(r)
        )
    ),
    "files.create_owner": edits("CREATE", w.fuse_entry_out, lambda found, q: setattr(found.attr, "uid", 12345)),
    "files.open_directory": forgives("OPEN", errno.EISDIR, bytes(16)),
    "files.two_opens": serves(open=_own_bytes, read=_read_own),
    "files.open_truncates": Broken(filesystem=_KeepsAll),
    "files.read": argument(
        "READ", lambda arg, q: setattr(arg, "offset", 0), when=lambda q: q.request and q.arg().offset == 1000
    ),
    "files.read_whole": body(
        "READ",
        lambda found, q: found[:4095],
        when=lambda q: q.request and q.arg().size == 65536 and q.arg().offset == 8191,
    ),
    "files.read_across_end": body(
        "READ",
        lambda found, q: (
            found.ljust(q.arg().size, b"\0")
            if q.arg().size == 4096 and 0 < len(found) < 100 and q.arg().offset == 4
            else found
        ),
    ),
    "files.read_behind_end": errno_of(
        "READ", errno.EINVAL, when=lambda q: q.request and q.arg().offset == 4096 and q.arg().size == 4096
    ),
    "files.read_far": body("READ", lambda found, q: b"x", when=lambda q: q.request and q.arg().offset >= 1 << 62),
    "files.read_largest": errno_of("READ", errno.ENOMEM, when=lambda q: q.request and q.arg().size == 1 << 20),
    "files.read_nothing": errno_of("READ", errno.EINVAL, when=lambda q: q.request and q.arg().size == 0),
    "files.read_write_only": _write_only(),
    "files.flush_often": _closed_by("FLUSH"),
    "files.release_one": serves(release=_release_all, read=_needs_handle, open=_opened_again),
    "files.release_keeps": serves(create=_counts_handles(1), open=_counts_handles(1), release=_counts_handles(-1)),
    "files.fsync_kinds": errno_of("FSYNC", errno.EINVAL, when=lambda q: q.arg().fsync_flags),
    "files.fsyncdir": errno_of("FSYNCDIR", errno.EINVAL),
    "files.syncfs": errno_of("SYNCFS", errno.EIO),
    "files.mknod_opens": edits(
        "MKNOD",
        w.fuse_entry_out,
        lambda found, q: setattr(found, "nodeid", 1 << 40),
        when=lambda q: stat.S_ISREG(q.arg().mode),
    ),
    "files.tmpfile": edits("TMPFILE", w.fuse_entry_out, lambda found, q: setattr(found.attr, "nlink", 1)),
    "files.unknown_handle": dies("READ", when=lambda q: q.request and q.arg().fh == (1 << 64) - 1),
    "writing.count": edits(
        "WRITE",
        w.fuse_write_out,
        lambda found, q: setattr(found, "size", 0),
        when=lambda q: q.request and len(q.request.data) == 1000,
    ),
    "writing.largest": errno_of("WRITE", errno.E2BIG, when=lambda q: q.request and len(q.request.data) > 1 << 19),
    "writing.overwrite": serves(write=_zeros_behind),
    "writing.hole": serves(write=_no_zeros),
    "writing.grows": _size_later(),
    "writing.unaligned": serves(write=_page_rounded),
    "writing.from_cache": errno_of(
        "WRITE", errno.EBADF, when=lambda q: q.request and q.arg().write_flags & c.FUSE_WRITE_CACHE
    ),
    "writing.kill_suidgid": argument(
        "WRITE", lambda arg, q: setattr(arg, "write_flags", arg.write_flags & ~c.FUSE_WRITE_KILL_SUIDGID)
    ),
    "writing.nothing": serves(write=_no_bytes_grow),
    "writing.far": answers("WRITE", w.fuse_write_out(10).pack(), when=lambda q: q.request and q.arg().offset > 1 << 62),
    "writing.fallocate": serves(fallocate=_hole_loses),
    "writing.keep_size": serves(fallocate=_grows_anyway),
    "writing.punch_hole": serves(fallocate=_punches_more),
    "writing.fallocate_unknown": answers("FALLOCATE", when=lambda q: q.request and q.arg().mode & ~0x7F),
    "writing.seek_hole": edits(
        "LSEEK",
        w.fuse_lseek_out,
        lambda found, q: setattr(found, "offset", q.arg().offset),
        when=lambda q: q.arg().whence == os.SEEK_HOLE,
    ),
    "writing.seek_data": edits(
        "LSEEK",
        w.fuse_lseek_out,
        lambda found, q: setattr(found, "offset", 0),
        when=lambda q: q.arg().whence == os.SEEK_DATA and q.arg().offset == 100,
    ),
    "writing.seek_behind": forgives("LSEEK", errno.ENXIO, bytes(8), when=lambda q: q.arg().whence == os.SEEK_HOLE),
    "writing.seek_before_data": edits(
        "LSEEK",
        w.fuse_lseek_out,
        lambda found, q: setattr(found, "offset", found.offset + 2),
        when=lambda q: q.arg().offset == 0 and q.arg().whence == os.SEEK_DATA,
    ),
    "writing.seek_unknown": answers("LSEEK", bytes(8), when=lambda q: q.request and q.arg().whence == 99),
    **_copying("COPY_FILE_RANGE"),
    **_copying("COPY_FILE_RANGE_64"),
    "copies.long_64": errno_of("COPY_FILE_RANGE_64", errno.EINVAL, when=lambda q: q.arg().len >> 32),
    "commands.ioctl_unknown": forgives(
        "IOCTL", errno.ENOTTY, bytes(16), when=lambda q: not q.arg().flags & c.FUSE_IOCTL_DIR
    ),
    "commands.ioctl_directory": forgives(
        "IOCTL", errno.ENOTTY, bytes(16), when=lambda q: q.arg().flags & c.FUSE_IOCTL_DIR
    ),
    "commands.ioctl_room": edits(
        "IOCTL", w.fuse_ioctl_out, lambda found, q: setattr(found, "flags", c.FUSE_IOCTL_RETRY)
    ),
    "commands.poll_file": _poll(lambda found, q: setattr(found, "revents", 0)),
    "commands.poll_schedule": lost("POLL", when=lambda q: q.request and q.arg().flags & c.FUSE_POLL_SCHEDULE_NOTIFY),
    "commands.bmap": answers("BMAP", number=errno.EIO),
    "commands.setupmapping": _falls_over("SETUPMAPPING"),
    "commands.removemapping": _falls_over("REMOVEMAPPING"),
    "notifies.poll_woken": _never_ready_nor_woken(),
}
