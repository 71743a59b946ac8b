"""READDIR and READDIRPLUS gone wrong."""

from __future__ import annotations

import errno
from typing import Any, Final

from broken_servers.middle import Asked, Broken, Kept, Said
from broken_servers.ways import body, forgives, serves
from rawfuse import wire as w
from rawfuse.examples.memory.nodes import Directory

__all__ = ["BROKEN"]

HEAD: Final = w.fuse_dirent.SIZE
ENTRY: Final = w.fuse_entry_out.SIZE


def taken_apart(listing: bytes, plus: bool = False) -> list[tuple[bytes, Any, bytes]]:
    """(entry_out or nothing, dirent, name)."""
    found, at = [], 0
    while at < len(listing):
        entry = listing[at : at + ENTRY] if plus else b""
        at += len(entry)
        head = w.fuse_dirent.unpack_from(listing, at)
        found.append((entry, head, listing[at + HEAD : at + HEAD + head.namelen]))
        at += HEAD + head.namelen + 7 & ~7
    return found


def together(entries: list[tuple[bytes, Any, bytes]]) -> bytes:
    found = b""
    for entry, head, name in entries:
        head.namelen = len(name)
        found += entry + head.pack() + name + bytes(-(HEAD + len(name)) % 8)
    return found


def listing(change: Any, *, plus: bool = False, when: Any = lambda asked: True) -> Broken:
    """`change(entries, asked)` gives other entries."""
    label = "READDIRPLUS" if plus else "READDIR"
    return body(label, lambda found, asked: together(change(taken_apart(found, plus), asked)), when=when)


def plain(name: bytes) -> bool:
    return name not in (b".", b"..")


def _first_lost(entries: Any, asked: Any) -> Any:
    """The first name of the first reply, where the listing is a short one."""
    names = [one for one in entries if plain(one[2])]
    return [one for one in entries if one is not names[0]] if names and asked.arg().offset == 0 else entries


def _last_lost(entries: Any, asked: Any) -> Any:
    """The last one of a full buffer, as if its cookie were the next one's."""
    if asked.arg().size == 4096 and len(entries) > 40:
        entries[-2][1].off = entries[-1][1].off
        return entries[:-1]
    return entries


def _lost_in_small_buffers(entries: Any, asked: Any) -> Any:
    if asked.arg().size == 301 and len(entries) > 1:
        entries[-2][1].off = entries[-1][1].off
        return entries[:-1]
    return entries


def _goes_on_only_forward() -> Broken:
    """A cookie before the last one that was used is taken for that."""

    def ask(asked: Asked, kept: Kept) -> None:
        if asked.label == "READDIR" and asked.request:
            arg = asked.arg()
            key = arg.fh, asked.nodeid
            if arg.offset and arg.size == 200:
                last = kept.files.get(key, 0)
                if arg.offset < last:
                    arg.offset = last
                    asked.body[: len(arg.pack())] = arg.pack()
                kept.files[key] = arg.offset

    return Broken(ask=ask)


class _Handles:
    """What a handle remembers: the number of the listing, by `opendir`."""

    @staticmethod
    def opened(fs: Any, request: Any, usual: Any) -> Any:
        usual(request)
        fs.last_handle += 1
        return w.fuse_open_out(fs.last_handle)


def by_handle(method: Any) -> Broken:
    """Directories have handles; `method(fs, request, usual, memory)` for READDIR with the handle's dict."""
    return _with_memory(method)


def _with_memory(method: Any) -> Broken:
    def readdir(fs: Any, request: Any, usual: Any) -> Any:
        memory = fs.__dict__.setdefault("memory_of_handles", {}).setdefault(request.arg.fh, {})
        return method(fs, request, usual, memory)

    return serves(opendir=_Handles.opened, readdir=readdir)


def _not_again(fs: Any, request: Any, usual: Any, memory: Any) -> Any:
    """After the end the beginning is the end."""
    if memory.get("over") and not request.arg.offset:
        return b""
    found = usual(request)
    memory["over"] = not found
    return found


def _as_it_was(fs: Any, request: Any, usual: Any, memory: Any) -> Any:
    """The names are those of the first look."""
    directory = fs.directory(request.nodeid)
    known = memory.setdefault("names", {*directory.children})
    shown = [one for one in taken_apart(bytes(usual(request))) if one[2] in known or not plain(one[2])]
    return together(shown)


def _by_place(fs: Any, request: Any, usual: Any) -> Any:
    """Cookies are places in the listing, which move when a name before them goes."""
    directory = fs.directory(request.nodeid)
    if len(directory.children) > 60 or request.arg.size != 512 or len(directory.children) == 12:
        return usual(request)
    found = w.DirentBuffer(request.arg.size)
    entries = [*directory.listed(0)]
    for place, (_, name, node) in enumerate(entries[request.arg.offset :], request.arg.offset + 1):
        if not found.add(name, node.ino, place, node.mode >> 12):
            break
    return found.data


def _one_listing_for_all(fs: Any, request: Any, usual: Any) -> Any:
    """The end of one handle is the end of the other: nothing comes before what was given last."""
    if request.arg.size != 256:
        return usual(request)
    at = fs.__dict__.setdefault("places", {})
    request.arg.offset = max(request.arg.offset, at.get(request.nodeid, 0))
    found = usual(request)
    entries = taken_apart(bytes(found))
    if entries:
        at[request.nodeid] = entries[-1][1].off
    return found


def _ends_all(fs: Any, request: Any, usual: Any) -> Any:
    fs.__dict__["closed"] = True


def _closed(fs: Any, request: Any, usual: Any) -> Any:
    if fs.__dict__.pop("closed", False):
        raise OSError(errno.EBADF, "closed")
    return usual(request)


def _removed(fs: Any, request: Any, usual: Any) -> Any:
    node = fs.nodes.get(request.nodeid)
    if isinstance(node, Directory) and node.nlink == 0:
        raise OSError(errno.EIO, "gone")
    return usual(request)


def _renumbered(entries: Any, asked: Any) -> Any:
    for _, head, name in entries:
        if plain(name):
            head.ino += 100_000
    return entries


def _typed(entries: Any, asked: Any) -> Any:
    for _, head, name in entries:
        if plain(name):
            head.type = 8 if head.type == 4 else 4
    return entries


def _slash(entries: Any, asked: Any) -> Any:
    if not entries:
        return entries
    entry, head, _ = entries[0]
    # The first would be EIO; one in the middle ends the listing.
    more = w.fuse_dirent(ino=head.ino, off=entries[-1][1].off, type=8)
    return [*entries, (entry, more, b"a/b")] if asked.arg().size >= 4096 and len(entries) < 4 else entries


def _same_cookies(entries: Any, asked: Any) -> Any:
    if len(entries) == 14:
        entries[3][1].off = entries[5][1].off
    return entries


def _unsized(entries: Any, asked: Any) -> Any:
    return [(_other_entry(entry), head, name) for entry, head, name in entries]


def _other_entry(packed: bytes) -> bytes:
    found = w.fuse_entry_out.unpack_from(packed)
    if found.attr.size == 10:
        found.attr.size = 11
    return found.pack()


def _plus_cookies(entries: Any, asked: Any) -> Any:
    """Its cookies count from somewhere else."""
    if asked.arg().size == 1024:
        entries[-1][1].off += 3
    return entries


def _cut(found: bytes, asked: Asked) -> bytes:
    return found + w.fuse_dirent(ino=9, off=99, namelen=100, type=8).pack() if asked.arg().size == 512 else found


def _never_over() -> Broken:
    """The end is EINVAL when it is asked for again."""

    def ask(asked: Asked, kept: Kept) -> list[Said] | None:
        if asked.label == "READDIR" and asked.request and asked.arg().size == 4096:
            key = asked.nodeid, asked.arg().fh, asked.arg().offset
            if kept.files.get(key) == "end":
                return [Said(errno.EINVAL, asked.unique, bytearray(), asked)]
        return None

    def say(said: Said, kept: Kept) -> None:
        if said.ok and said.asked and said.asked.label == "READDIR" and not said.body and said.asked.request:
            arg = said.asked.arg()
            if arg.offset:
                kept.files[said.asked.nodeid, arg.fh, arg.offset] = "end"
        if said.asked and said.asked.label in ("OPENDIR", "CREATE", "MKDIR", "UNLINK", "RELEASEDIR"):
            kept.files.clear()

    return Broken(ask=ask, say=say)


def _without_room(found: bytes, asked: Asked) -> bytes:
    return bytes(8) if asked.arg().size == 8 else found


BROKEN: Final[dict[str, Broken]] = {
    "directories.all": listing(_first_lost),
    "directories.many": listing(_last_lost),
    "directories.small_buffer": listing(_lost_in_small_buffers),
    "directories.resumed": _goes_on_only_forward(),
    "directories.rewound": by_handle(_not_again),
    "directories.end": _never_over(),
    "directories.whole_entries": body("READDIR", _cut),
    "directories.names": listing(_slash),
    "directories.cookies": listing(_same_cookies),
    "directories.types": listing(_typed),
    "directories.ino": listing(_renumbered),
    "directories.dots": listing(lambda entries, asked: [one for one in entries if plain(one[2])]),
    "directories.new_name_after_rewind": by_handle(_as_it_was),
    "directories.removed_meanwhile": serves(readdir=_by_place),
    "directories.two_handles": serves(readdir=_one_listing_for_all),
    "directories.not_a_directory": forgives("OPENDIR", errno.ENOTDIR, bytes(16)),
    "directories.no_room": body("READDIR", _without_room),
    "directories.releasedir": serves(releasedir=_ends_all, readdir=_closed),
    "directories.removed_open": serves(readdir=_removed),
    "readdirplus.all": listing(_first_lost, plus=True),
    "readdirplus.entries": listing(_unsized, plus=True),
    "readdirplus.and_plain": listing(_plus_cookies, plus=True),
}
