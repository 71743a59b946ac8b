"""Making, moving and removing gone wrong."""

from __future__ import annotations

import errno
import stat
from typing import Any, Final

from broken_servers.middle import Broken
from broken_servers.references import FILE, entry
from broken_servers.ways import argument, edits, errno_of, forgives, rewrites, serves
from rawfuse import wire as w
from rawfuse.examples.memory import MemoryFS
from rawfuse.examples.memory.nodes import Directory, File, Symlink, error
from rawfuse.wire.flags import InitFlags

__all__ = ["BROKEN"]

ENTRY: Final = w.fuse_entry_out


def _exists_is_fine(label: str, *, opened: bytes = b"") -> Any:
    """A name that is there is given as if it had just been made."""

    def method(fs: Any, request: Any, usual: Any) -> Any:
        node = fs.nodes[request.nodeid].children.get(request.name)
        return fs.referred(node) + opened if node is not None else usual(request)

    return serves(**{label: method})


def _moves(fs: Any, request: Any, name: bytes, newdir: int, newname: bytes) -> tuple[Any, Any, Any]:
    old, new = fs.nodes[request.nodeid], fs.nodes[newdir]
    return old.children.get(name), new.children.get(newname), new


def _rename(change: Any) -> Broken:
    """`change(fs, request, usual, node, there)` for RENAME."""

    def rename(fs: Any, request: Any, usual: Any) -> Any:
        node, there, _ = _moves(fs, request, request.name, request.arg.newdir, request.newname)
        return change(fs, request, usual, node, there)

    return serves(rename=rename)


def _stays(fs: Any, request: Any, usual: Any, node: Any, there: Any) -> Any:
    """The old name stays where it is."""
    usual(request)
    if node is not None and request.nodeid == request.arg.newdir and there is None and isinstance(node, File):
        fs.nodes[request.nodeid].put(request.name, node)


def _same_directory(fs: Any, request: Any, usual: Any, node: Any, there: Any) -> Any:
    """newdir is not looked at."""
    if request.nodeid != request.arg.newdir and isinstance(node, File):
        return None
    return usual(request)


def _into_the_old(fs: Any, request: Any, usual: Any, node: Any, there: Any) -> Any:
    """What is replaced gets the bytes of the new one, instead of making way."""
    if isinstance(there, File) and isinstance(node, File) and there is not node:
        there.data, node.data = node.data, there.data
    return usual(request)


def _onto_full(fs: Any, request: Any, usual: Any, node: Any, there: Any) -> Any:
    if isinstance(there, Directory) and there.children and isinstance(node, Directory):
        there.children.clear()
    return usual(request)


def _onto_empty(fs: Any, request: Any, usual: Any, node: Any, there: Any) -> Any:
    if isinstance(there, Directory) and not there.children and isinstance(node, Directory):
        raise error(errno.EEXIST)
    return usual(request)


def _any_kinds(fs: Any, request: Any, usual: Any, node: Any, there: Any) -> Any:
    if isinstance(there, Directory) and isinstance(node, File):
        return None
    return usual(request)


def _same_goes(fs: Any, request: Any, usual: Any, node: Any, there: Any) -> Any:
    if node is there and node is not None:
        fs.nodes[request.nodeid].take(request.name)
        return None
    return usual(request)


def _loses_what_is_below(fs: Any, request: Any, usual: Any, node: Any, there: Any) -> Any:
    if isinstance(node, Directory):
        for name, below in [*node.children.items()]:
            if isinstance(below, File):
                new = File(fs.next_ino(), below.mode, below.uid, below.gid, fs.memory)
                new.data = below.data
                fs.add(node, name, new)
    return usual(request)


def _rename2(flag: int, change: Any) -> Broken:
    def rename2(fs: Any, request: Any, usual: Any) -> Any:
        return change(fs, request, usual) if request.arg.flags & flag else usual(request)

    return serves(rename2=rename2)


def _replaces(fs: Any, request: Any, usual: Any) -> Any:
    fs._rename(request.nodeid, request.name, request.arg.newdir, request.newname, 0)


def _removed_still_takes(fs: Any, request: Any, usual: Any) -> Any:
    parent = fs.nodes.get(request.nodeid)
    if isinstance(parent, Directory) and parent.nlink == 0:
        parent.nlink = 2
    return usual(request)


def _counts_wrong(fs: Any, request: Any, usual: Any) -> Any:
    node = fs.nodes[request.arg.oldnodeid]
    reply = usual(request)
    node.nlink -= 1
    node.touch()
    del reply
    return node.entry()


def _stays_there(fs: Any, request: Any, usual: Any) -> Any:
    """An empty directory is not removed, and no error is said."""
    node = fs.nodes[request.nodeid].children.get(request.name)
    return None if isinstance(node, Directory) and not node.children else usual(request)


def _unlinks_all(fs: Any, request: Any, usual: Any) -> Any:
    parent = fs.nodes[request.nodeid]
    gone = parent.children.get(request.name)
    usual(request)
    for name, node in [*parent.children.items()]:
        if isinstance(node, File) and node.size == 0 and node is not gone:
            fs.dropped(parent, parent.take(name))


def _times_stay(fs: Any, request: Any, usual: Any) -> Any:
    parent = fs.nodes[request.nodeid]
    times = parent.mtime, parent.ctime
    reply = usual(request)
    parent.mtime, parent.ctime = times
    parent.packed = None
    return reply


def _links_stay(fs: Any, request: Any, usual: Any) -> Any:
    reply = usual(request)
    fs.nodes[request.nodeid].nlink += 1
    fs.nodes[request.nodeid].packed = None
    return reply


def _size_of_links(fs: Any, request: Any, usual: Any) -> Any:
    node = fs.nodes.get(request.nodeid)
    if isinstance(node, Symlink):
        found = w.fuse_attr_out.unpack_from(usual(request))
        found.attr.size = 0
        return found.pack()
    return usual(request)


def _full_goes(fs: Any, request: Any, usual: Any) -> Any:
    node = fs.nodes[request.nodeid].children.get(request.name)
    if isinstance(node, Directory):
        node.children.clear()
    return usual(request)


class _WithGroups(MemoryFS):
    wants = MemoryFS.wants | InitFlags.FUSE_CREATE_SUPP_GROUP


def _no_extensions() -> Broken:
    """What follows the name is an error, though it was agreed on."""
    refused = errno_of("MKDIR", errno.EINVAL, when=lambda asked: asked.header[7])
    return Broken(say=refused.say, filesystem=_WithGroups)


BROKEN: Final[dict[str, Broken]] = {
    "making.mkdir": argument("MKDIR", lambda arg, q: setattr(arg, "mode", arg.mode & ~0o050)),
    "making.mkdir_exists": _exists_is_fine("mkdir"),
    "making.mkdir_links": serves(mkdir=_links_stay),
    "making.symlink": rewrites(
        "SYMLINK", lambda q: q.body.__setitem__(slice(-3, -1), b""), when=lambda q: b"else" in q.body
    ),
    "making.symlink_type": edits("SYMLINK", ENTRY, lambda found, q: setattr(found.attr, "mode", FILE)),
    "making.symlink_size": serves(getattr=_size_of_links),
    "making.readlink_file": forgives("READLINK", errno.EINVAL, b"nowhere"),
    "making.mknod_types": edits(
        "MKNOD",
        ENTRY,
        lambda found, q: setattr(found.attr, "mode", FILE),
        when=lambda q: not stat.S_ISREG(q.arg().mode),
    ),
    "making.link": edits("LINK", ENTRY, lambda found, q: setattr(found, "nodeid", found.nodeid + 1000)),
    "making.link_count": serves(link=_counts_wrong),
    "making.link_exists": forgives("LINK", errno.EEXIST, lambda q: entry(q.arg().oldnodeid)),
    "making.longest": errno_of("MKDIR", errno.ENAMETOOLONG, when=lambda q: len(q.request.name) > 200),
    "making.extensions": _no_extensions(),
    "making.parent_times": serves(mkdir=_times_stay),
    "removing.unlink": serves(unlink=_unlinks_all),
    "removing.unlink_absent": forgives("UNLINK", errno.ENOENT),
    "removing.unlink_directory": forgives("UNLINK", errno.EISDIR),
    "removing.rmdir": serves(rmdir=_stays_there),
    "removing.rmdir_full": serves(rmdir=_full_goes),
    "removing.rmdir_file": forgives("RMDIR", errno.ENOTDIR),
    "moving.rename": _rename(_stays),
    "moving.rename_across": _rename(_same_directory),
    "moving.rename_replaces": _rename(_into_the_old),
    "moving.rename_onto_full": _rename(_onto_full),
    "moving.rename_onto_empty": _rename(_onto_empty),
    "moving.rename_kinds": _rename(_any_kinds),
    "moving.rename_absent": forgives("RENAME", errno.ENOENT),
    "moving.rename_same": _rename(_same_goes),
    "moving.rename_subtree": _rename(_loses_what_is_below),
    "moving.noreplace": _rename2(1, _replaces),
    "moving.exchange": _rename2(2, _replaces),
    "moving.rename_unknown_flag": forgives("RENAME2", errno.EINVAL),
    "making.create_after_directory_removed": serves(create=_removed_still_takes),
}
