"""Attributes and extended attributes gone wrong."""

from __future__ import annotations

import errno
import stat
from typing import Any, Final

from broken_servers.middle import Asked, Broken, Kept, Said
from broken_servers.references import FILE
from broken_servers.ways import argument, body, edits, errno_of, forgives, serves
from rawfuse import wire as w
from rawfuse.examples.memory.nodes import File
from rawfuse.wire import constants as c
from rawfuse.wire.flags import InitFlags

__all__ = ["BROKEN"]

ATTR: Final = w.fuse_attr_out


def got(**members: Any) -> Broken:
    """Other members in the replies to GETATTR, of files."""

    def change(found: Any, asked: Any) -> None:
        if asked.nodeid != 1 and stat.S_ISREG(found.attr.mode):
            for name, value in members.items():
                setattr(found.attr, name, value(found.attr) if callable(value) else value)

    return edits("GETATTR", ATTR, change)


def has(bit: int) -> Any:
    return lambda asked: asked.request and asked.arg().valid & bit


def ignoring(bit: int, *, only: int = 0) -> Broken:
    """A bit of `valid` is not looked at; with `only`, where the other bits are not there."""
    return argument(
        "SETATTR",
        lambda arg, asked: setattr(arg, "valid", arg.valid & ~bit),
        when=lambda q: has(bit)(q) and (not only or q.arg().valid & only),
    )


def _ctime_stays(fs: Any, request: Any, usual: Any) -> Any:
    node = fs.nodes.get(request.nodeid)
    before = node.ctime if node else 0
    reply = usual(request)
    if node is None or request.arg.valid & c.FATTR_SIZE:
        return reply
    node.ctime, node.packed = before, None
    return node.attr()


def _mtime_stays(fs: Any, request: Any, usual: Any) -> Any:
    node = fs.nodes.get(request.nodeid)
    before = node.mtime if node else 0
    reply = usual(request)
    if node is not None:
        node.mtime, node.packed = before, None
    return reply


def _all_that_is_there(fs: Any, request: Any, usual: Any) -> Any:
    if request.arg.valid == c.FATTR_MODE and request.arg.uid:
        request.arg.valid |= c.FATTR_UID | c.FATTR_GID
    return usual(request)


def _mode_always(fs: Any, request: Any, usual: Any) -> Any:
    if not request.arg.valid:
        request.arg.valid = c.FATTR_MODE
    return usual(request)


def _not_before_1970(arg: Any, asked: Any) -> None:
    if arg.mtime >> 63:
        arg.mtime = 0


def _takes_memory(fs: Any, request: Any, usual: Any) -> Any:
    if request.arg.valid & c.FATTR_SIZE and request.arg.size > 1 << 40:
        raise MemoryError
    return usual(request)


def _keeps_old(fs: Any, request: Any, usual: Any) -> Any:
    old = fs.nodes[request.nodeid].xattrs.get(request.name, b"")
    reply = usual(request)
    if old:
        fs.nodes[request.nodeid].xattrs[request.name] = bytes(request.value) + old[len(request.value) :]
    return reply


def _empty_is_absent(fs: Any, request: Any, usual: Any) -> Any:
    if not request.value:
        return None
    return usual(request)


def _acl_is_bytes(fs: Any, request: Any, usual: Any) -> Any:
    if request.name.startswith(b"system."):
        fs.nodes[request.nodeid].xattrs[request.name] = bytes(request.value)
        return None
    return usual(request)


def _truncated(limit: int) -> Any:
    def setxattr(fs: Any, request: Any, usual: Any) -> Any:
        if len(request.value) > limit:
            fs.nodes[request.nodeid].xattrs[request.name] = bytes(request.value[:limit])
            return None
        return usual(request)

    return setxattr


def _cut(fs: Any, request: Any, usual: Any) -> Any:
    value = fs.nodes[request.nodeid].xattrs.get(request.name)
    if value is not None and 0 < request.arg.size < len(value):
        return value[: request.arg.size]
    return usual(request)


def _by_handle(fs: Any, request: Any, usual: Any) -> Any:
    if request.arg.getattr_flags & c.FUSE_GETATTR_FH and isinstance(fs.nodes.get(request.nodeid), File):
        found = w.fuse_attr_out.unpack_from(usual(request))
        if found.attr.nlink:
            found.attr.size = 0
        return found.pack()
    return usual(request)


def _not_exactly(fs: Any, request: Any, usual: Any) -> Any:
    value = fs.nodes[request.nodeid].xattrs.get(request.name)
    if value and len(value) == request.arg.size:
        raise OSError(errno.ERANGE, "no room for an end")
    return usual(request)


def _whatever_flags(fs: Any, request: Any, usual: Any) -> Any:
    request.arg.flags = 0
    return usual(request)


def _always_16() -> Broken:
    """The head of SETXATTR is taken for 16 bytes, whatever was agreed on."""

    def say(said: Said, kept: Kept) -> None:
        if said.asked and said.asked.label == "INIT" and len(said.body) == 64:
            kept.files["short"] = not said.take(w.fuse_init_out).flags & InitFlags.FUSE_SETXATTR_EXT

    def ask(asked: Asked, kept: Kept) -> None:
        if asked.label == "SETXATTR" and kept.files.get("short"):
            del asked.body[8:16]

    return Broken(ask=ask, say=say)


BROKEN: Final[dict[str, Broken]] = {
    "attributes.root": edits(
        "GETATTR", ATTR, lambda found, q: setattr(found.attr, "mode", FILE), when=lambda q: q.nodeid == 1
    ),
    "attributes.type": got(mode=stat.S_IFDIR | 0o755),
    "attributes.size": got(size=lambda attr: attr.size if attr.size != 5000 else 4096),
    "attributes.by_handle": serves(getattr=_by_handle),
    "attributes.nsec": edits(
        "GETATTR", ATTR, lambda found, q: setattr(found.attr, "mtimensec", 1_500_000_000), when=lambda q: q.nodeid == 1
    ),
    "attributes.ino": got(ino=lambda attr: attr.ino + 1000),
    "attributes.nlink": got(nlink=0),
    "attributes.blksize": got(blksize=1000),
    "attributes.blocks": got(blocks=0),
    "setattr.chmod": ignoring(c.FATTR_MODE),
    "setattr.truncate": errno_of(
        "SETATTR",
        errno.EPERM,
        when=lambda q: has(c.FATTR_SIZE)(q) and not has(c.FATTR_FH)(q) and q.arg().size < 1 << 40,
    ),
    "setattr.truncate_by_handle": ignoring(c.FATTR_SIZE, only=c.FATTR_FH),
    "setattr.truncate_far": serves(setattr=_takes_memory),
    "setattr.times": argument(
        "SETATTR", lambda arg, q: setattr(arg, "mtime", arg.mtime + 60), when=lambda q: has(c.FATTR_ATIME)(q)
    ),
    "setattr.time_now": ignoring(c.FATTR_MTIME_NOW),
    "setattr.times_before_1970": argument("SETATTR", _not_before_1970),
    "setattr.owner": ignoring(c.FATTR_UID | c.FATTR_GID),
    "setattr.only_valid": serves(setattr=_all_that_is_there),
    "setattr.nothing": serves(setattr=_mode_always),
    "setattr.ctime": serves(setattr=_ctime_stays),
    "setattr.mtime": serves(write=_mtime_stays),
    "attributes.statx": edits(
        "STATX",
        w.fuse_statx_out,
        lambda found, q: setattr(found.stat, "size", found.stat.size + 1),
        when=lambda q: q.nodeid != 1,
    ),
    "attributes.statx_mask": edits(
        "STATX",
        w.fuse_statx_out,
        lambda found, q: setattr(found.stat, "mask", found.stat.mask | q.arg().sx_mask & 0x40000000),
    ),
    "attributes.access": errno_of("ACCESS", errno.EIO),
    "attributes.statfs_namelen": edits("STATFS", w.fuse_statfs_out, lambda found, q: setattr(found.st, "namelen", 0)),
    "attributes.statfs_bsize": edits("STATFS", w.fuse_statfs_out, lambda found, q: setattr(found.st, "bsize", 0)),
    "attributes.statfs_free": edits(
        "STATFS", w.fuse_statfs_out, lambda found, q: setattr(found.st, "bfree", found.st.blocks + 1)
    ),
    "xattrs.kept": body(
        "GETXATTR",
        lambda found, q: found.split(b"\0")[0] if len(found) == 256 else found,
        when=lambda q: q.arg().size == 4096,
    ),
    "xattrs.size": edits(
        "GETXATTR",
        w.fuse_getxattr_out,
        lambda found, q: setattr(found, "size", max(0, found.size - 1)),
        when=lambda q: not q.arg().size,
    ),
    "xattrs.range": serves(getxattr=_cut),
    "xattrs.exact": serves(getxattr=_not_exactly),
    "xattrs.absent": serves(
        getxattr=lambda fs, request, usual: usual(request) if request.name in fs.nodes[request.nodeid].xattrs else b""
    ),
    "xattrs.empty": serves(setxattr=_empty_is_absent),
    "xattrs.replaced": serves(setxattr=_keeps_old),
    "xattrs.flags": serves(setxattr=_whatever_flags),
    "xattrs.listed": body(
        "LISTXATTR", lambda found, q: found[: found.index(b"\0") + 1], when=lambda q: q.arg().size > 4096
    ),
    "xattrs.list_size": forgives("LISTXATTR", errno.ERANGE),
    "xattrs.list_none": serves(listxattr=lambda fs, request, usual: usual(request) or b"user.nobody\0"),
    "xattrs.removed": forgives("REMOVEXATTR", errno.ENODATA),
    "xattrs.acl": serves(setxattr=_acl_is_bytes),
    "xattrs.short_header": _always_16(),
    "xattrs.large": serves(setxattr=_truncated(4096)),
}
