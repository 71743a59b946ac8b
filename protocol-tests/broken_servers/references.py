"""Names and references gone wrong: LOOKUP and FORGET."""

from __future__ import annotations

import errno
import stat
from dataclasses import replace
from typing import Any, Final

from broken_servers.middle import Asked, Broken, Kept, Said
from broken_servers.ways import answers, dies, edits, forgives, rewrites, serves
from rawfuse import wire as w
from rawfuse.examples.memory import MemoryFS
from rawfuse.examples.memory.nodes import Directory, File, error

__all__ = ["BROKEN", "FILE", "attributes", "entry", "named"]

ENTRY: Final = w.fuse_entry_out
FILE: Final = stat.S_IFREG | 0o644


def entry(nodeid: int, mode: int = FILE) -> bytes:
    return w.fuse_entry_out(nodeid=nodeid, entry_valid=1, attr_valid=1, attr=w.fuse_attr(ino=nodeid, mode=mode)).pack()


def attributes(nodeid: int, mode: int = FILE) -> bytes:
    return w.fuse_attr_out(attr_valid=1, attr=w.fuse_attr(ino=nodeid, mode=mode, nlink=1)).pack()


def there(found: Any) -> bool:
    return bool(found.nodeid)


def on_entry(**members: Any) -> Broken:
    """Other members in the replies to LOOKUP that have found something."""

    def change(found: Any, asked: Asked) -> None:
        if found.nodeid and found.nodeid != 1:
            for name, value in members.items():
                part, _, rest = name.partition("__")
                value = value(found) if callable(value) else value
                setattr(getattr(found, part), rest, value) if rest else setattr(found, part, value)

    return edits("LOOKUP", ENTRY, change, when=named)


def named(asked: Any) -> bool:
    return bool(asked.request and asked.request.name not in (b".", b".."))


def _new_number_each_time() -> Broken:
    def say(said: Said, kept: Kept) -> None:
        if said.ok and said.asked and said.asked.label == "LOOKUP" and named(said.asked):
            found = said.take(ENTRY)
            if found.nodeid > 1 and stat.S_ISREG(found.attr.mode):
                kept.files["count"] = kept.files.get("count", 0) + 1
                found.generation = kept.files["count"]
                said.put(found)

    return Broken(say=say)


def _one_for_all() -> Broken:
    """Every file has the nodeid of the first."""

    def say(said: Said, kept: Kept) -> None:
        if said.ok and said.asked and said.asked.label == "LOOKUP" and named(said.asked):
            found = said.take(ENTRY)
            if found.nodeid > 1 and stat.S_ISREG(found.attr.mode) and found.attr.size == 0:
                found.nodeid = kept.files.setdefault("first", found.nodeid)
                said.put(found)

    return Broken(say=say)


def _forgotten(label: str, least: int, most: int) -> Broken:
    """After a forget of so many items GETATTR of these inodes is ESTALE till they are looked up."""

    def ask(asked: Asked, kept: Kept) -> list[Said] | None:
        if asked.label == label and asked.request:
            ids = [asked.nodeid] if label == "FORGET" else [one.nodeid for one in asked.request.forgets]
            if least <= len(ids) <= most:
                kept.files.update(dict.fromkeys(ids, True))
        elif asked.label == "GETATTR" and kept.files.get(asked.nodeid) and asked.nodeid != 1:
            return [Said(errno.ESTALE, asked.unique, bytearray(), asked)]
        return None

    def say(said: Said, kept: Kept) -> None:
        if said.ok and said.asked and said.asked.label == "LOOKUP":
            kept.files.pop(said.take(ENTRY).nodeid, None)

    return Broken(ask=ask, say=say)


def _silent_no_more(label: str, when: Any = lambda asked: True) -> Broken:
    """A request without a reply is answered."""

    def ask(asked: Asked, kept: Kept) -> list[Said] | None:
        if asked.label == label and when(asked):
            return [Said(0, asked.unique, bytearray(), asked)]
        return None

    return Broken(ask=ask)


def _never_again() -> Broken:
    """What was forgotten wholly cannot be found any more."""

    def lookup(fs: Any, request: Any, usual: Any) -> Any:
        parent = fs.nodes.get(request.nodeid)
        node = parent.children.get(request.name) if isinstance(parent, Directory) else None
        if isinstance(node, File) and node.nlookup <= 0:
            raise error(errno.ESTALE)
        return usual(request)

    return serves(lookup=lookup)


def _unlinked_is_gone(label: str) -> Broken:
    """`label` of an inode without names is ESTALE."""

    def method(fs: Any, request: Any, usual: Any) -> Any:
        node = fs.nodes.get(request.nodeid)
        if isinstance(node, File) and node.nlink == 0 and node.size and request.pid:
            raise error(errno.ESTALE)
        return usual(request)

    return serves(**{label: method})


def _reuses() -> Broken:
    """A new file gets the nodeid of the one of that name before it, which is still open."""

    def say(said: Said, kept: Kept) -> None:
        if said.ok and said.asked and said.asked.label == "CREATE":
            found = said.take(ENTRY)
            found.nodeid = kept.files.setdefault((said.asked.nodeid, said.asked.request.name), found.nodeid)
            said.put(found)

    return Broken(say=say)


def _same_number_again() -> Broken:
    """The number of a file that is gone is given to the next."""

    def made() -> Any:
        class Again(MemoryFS):
            free: list[int]

            def __init__(self) -> None:
                super().__init__()
                self.free = []

            def collect(self, node: Any) -> None:
                there = node.ino in self.nodes
                super().collect(node)
                if there and node.ino not in self.nodes and isinstance(node, File):
                    self.free.append(node.ino)

            def next_ino(self) -> int:
                return self.free.pop() if self.free else super().next_ino()

        return Again()

    return Broken(filesystem=made)


def _looked_up_first() -> Broken:
    """A new directory has no attributes before it was looked up."""

    def ask(asked: Asked, kept: Kept) -> list[Said] | None:
        if asked.label == "GETATTR" and kept.files.get(asked.nodeid):
            return [Said(errno.ESTALE, asked.unique, bytearray(), asked)]
        return None

    def say(said: Said, kept: Kept) -> None:
        if said.ok and said.asked and said.asked.label in ("MKDIR", "LOOKUP"):
            kept.files[said.take(ENTRY).nodeid] = said.asked.label == "MKDIR"

    return Broken(ask=ask, say=say)


def plus_takes_too_much() -> Broken:
    """References of READDIRPLUS are not counted: their FORGETs take what CREATE gave."""

    def readdirplus(fs: Any, request: Any, usual: Any) -> Any:
        before = {ino: node.nlookup for ino, node in fs.nodes.items()}
        listing = usual(request)
        for ino, node in fs.nodes.items():
            node.nlookup = before[ino]
        return listing

    def getattr_(fs: Any, request: Any, usual: Any) -> Any:
        node = fs.nodes.get(request.nodeid)
        if isinstance(node, File) and node.nlookup <= 0:
            raise error(errno.ESTALE)
        return usual(request)

    return serves(readdirplus=readdirplus, getattr=getattr_)


def _root_forgotten() -> Broken:
    def ask(asked: Asked, kept: Kept) -> list[Said] | None:
        if asked.label == "FORGET" and asked.nodeid == 1 and asked.request:
            kept.files["root"] = True
        if asked.label == "GETATTR" and asked.nodeid == 1 and kept.files.get("root"):
            return [Said(errno.ESTALE, asked.unique, bytearray(), asked)]
        return None

    return Broken(ask=ask)


def _forgets(asked: Any, nodeid: int = 0, least: int = 0) -> bool:
    request = asked.request
    return bool(request and (not nodeid or asked.nodeid == nodeid) and request.arg.nlookup >= least)


def _lowered(fs: Any, request: Any, usual: Any) -> Any:
    parent = fs.nodes.get(request.nodeid)
    if isinstance(parent, Directory) and request.name not in parent.children:
        for name, node in parent.children.items():
            if name.lower() == request.name.lower():
                return fs.referred(node)
    return usual(request)


def _everywhere(fs: Any, request: Any, usual: Any) -> Any:
    """A name that is not in the root is looked for in all directories."""
    if request.nodeid == 1 and request.name not in fs.root.children:
        for node in fs.nodes.values():
            if isinstance(node, Directory) and request.name in node.children:
                return fs.referred(node.children[request.name])
    return usual(request)


def _text_only(fs: Any, request: Any, usual: Any) -> Any:
    try:
        request.name.decode()
    except UnicodeDecodeError:
        raise error(errno.EILSEQ) from None
    return usual(request)


BROKEN: Final[dict[str, Broken]] = {
    "lookup.found": on_entry(nodeid=1),
    "lookup.absent": answers(
        "LOOKUP",
        lambda asked: entry(1 << 30),
        when=lambda q: q.nodeid == 1 and q.request and q.request.name.startswith(b"absent"),
    ),
    "lookup.type": on_entry(attr__mode=0o644),
    "lookup.size": on_entry(attr__size=1 << 63),
    "lookup.same": _new_number_each_time(),
    "lookup.distinct": _one_for_all(),
    "lookup.root_parent": serves(lookup=_everywhere),
    "lookup.attributes": on_entry(attr__uid=4242),
    "lookup.ino": on_entry(attr__ino=0),
    "lookup.valid_nsec": on_entry(entry_valid_nsec=2_000_000_000),
    "lookup.in_file": forgives("LOOKUP", errno.ENOTDIR, entry(1 << 30)),
    "lookup.long_name": forgives("LOOKUP", errno.ENAMETOOLONG, bytes(128)),
    "lookup.dots": rewrites(
        "LOOKUP", lambda q: q.body.__setitem__(slice(None), b".\0"), when=lambda q: q.body == b"..\0"
    ),
    "lookup.bytes": serves(lookup=_text_only),
    "lookup.as_written": serves(lookup=_lowered),
    "lifetimes.forget_silent": _silent_no_more("FORGET", lambda q: q.request and q.nodeid < 1 << 40),
    "lifetimes.batch_forget_silent": _silent_no_more("BATCH_FORGET", lambda q: q.request and q.request.forgets),
    "lifetimes.counted": _forgotten("FORGET", 1, 1),
    "lifetimes.counted_in_batches": _forgotten("BATCH_FORGET", 2, 999),
    "lifetimes.again": _never_again(),
    "lifetimes.unlinked_referenced": _unlinked_is_gone("getattr"),
    "lifetimes.unlinked_nlink": edits(
        "GETATTR", w.fuse_attr_out, lambda found, asked: setattr(found.attr, "nlink", max(1, found.attr.nlink))
    ),
    "lifetimes.unlinked_open": _unlinked_is_gone("write"),
    "lifetimes.replaced": _reuses(),
    "lifetimes.generation": _same_number_again(),
    "lifetimes.created_directory_lives": _looked_up_first(),
    "lifetimes.readdirplus_reference": replace(plus_takes_too_much(), also=("lifetimes.forget_too_many",)),
    "lifetimes.root_stays": _root_forgotten(),
    "lifetimes.forget_unknown": _silent_no_more("FORGET", lambda q: q.nodeid > 1 << 40),
    "lifetimes.forget_too_many": dies("FORGET", when=lambda q: q.nodeid != 1 and _forgets(q, least=1000)),
    "lifetimes.batch_of_none": _silent_no_more("BATCH_FORGET", lambda q: q.request and not q.request.forgets),
    "lifetimes.batch_of_many": _forgotten("BATCH_FORGET", 1000, 1 << 20),
    "lifetimes.stale": answers("GETATTR", lambda q: attributes(q.nodeid), when=lambda q: q.nodeid > 1 << 40),
    "lifetimes.stale_parent": answers("LOOKUP", entry(1 << 30), when=lambda q: q.nodeid > 1 << 40),
}
