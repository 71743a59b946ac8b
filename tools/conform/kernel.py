"""What probes are written with: requests as Linux makes them, and things to try them on.

Two ways to send: :meth:`Driver.ask` for what the rule is about, whose reply is judged; :meth:`ConformKernel.need` for
what has to be there first, whose failure makes the rule impossible to try (:class:`Unready`) and nothing else.
"""

from __future__ import annotations

import errno
import itertools
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from rawfuse import wire
from rawfuse.session.kernel_session import Answered
from rawfuse.wire import Request
from rawfuse.wire.dirent import Dirent, DirentPlus
from rawfuse.wire.flags import InitFlags

from ..decode.values import errno_text, label
from .driver import Driver
from .probe import Gone, Hangs, Unready, Violation

__all__ = ["PAGE", "ROOT", "ConformKernel", "Made", "dirents"]

ROOT: Final = 1
PAGE: Final = 4096
_FILE: Final = stat.S_IFREG | 0o644
_LISTED: Final = 200
_DEPTH: Final = 3
_BRIEF: Final = 300
_counter = itertools.count(1)


def brief(value: object) -> str:
    """A value in words, the beginning of a long one."""
    if isinstance(value, (bytes, bytearray)) and len(value) > 64:
        return f"{len(value)} bytes, {bytes(value[:48])!r}..."
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _BRIEF else f"{text[:_BRIEF]} ..."


def dirents(listed: list[Dirent] | list[DirentPlus]) -> list[Dirent]:
    """The entries of a listing, by whichever opcode it came."""
    return [one.dirent if isinstance(one, DirentPlus) else one for one in listed]


@dataclass
class Made:
    """Something in the server's tree: where it is, its nodeid and, while it is open, its file handle."""

    nodeid: int
    parent: int
    name: bytes
    entry: wire.fuse_entry_out
    fh: int = 0
    open_flags: int = 0


class ConformKernel(Driver):
    """A :class:`Driver` that makes files.

    All that it makes is in one directory of its own (in the root where the server has no MKDIR), and removed by
    :meth:`tidy`.

    Attributes:
        quiet_opens: OPEN was answered ENOSYS, so that files are used without it, as Linux does.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._place = 0
        self._made: list[tuple[int, bytes, bool]] = []
        self._open: list[tuple[Made, bool]] = []
        self._no_create = False
        self._lister: type[wire.ReadDir] | type[wire.ReadDirPlus] | None = None

    # -- preparing ------------------------------------------------------------------------------------------------

    def need(self, request: Request) -> Any:
        """The value of a successful reply. Raises Unready where it does not come."""
        try:
            answer = self.ask(request)
        except Violation as error:
            raise Unready(f"{label(request)} before it: {error}") from error
        if answer.errno:
            raise Unready(f"{label(request)} before it: {errno_text(answer.errno)}")
        return answer.value

    def needs_flag(self, flag: InitFlags) -> None:
        """Raises Unready unless INIT agreed on `flag`."""
        if not self.session.flags & flag:
            raise Unready(f"{flag.name} was not agreed on")

    def name(self, stem: str = "n") -> bytes:
        """A name that nothing has."""
        return f"{stem}{next(_counter)}".encode()

    def place(self) -> int:
        """The directory in which things are made."""
        if not self._place:
            name = f"conform-{os.getpid()}-{next(_counter)}".encode()
            answer = self._tried(wire.MkDir(nodeid=ROOT, arg=wire.fuse_mkdir_in(0o755, 0o022), name=name))
            if answer is None or answer.errno:
                self._place = ROOT
            else:
                value: Any = answer.value
                self._place = value.nodeid
                self._made.append((ROOT, name, True))
        return self._place

    def _tried(self, request: Request) -> Answered | None:
        try:
            return self.ask(request)
        except Violation:
            return None

    def created(self, parent: int, name: bytes, *, directory: bool = False) -> None:
        """Takes note of a name that a probe has made itself, so that it is removed."""
        self._made.append((parent, name, directory))

    def file(
        self, content: bytes = b"", *, parent: int | None = None, flags: int = os.O_RDWR, name: bytes | None = None
    ) -> Made:
        """Makes a file with `content`, and opens it: CREATE, or MKNOD and OPEN where there is none."""
        parent = self.place() if parent is None else parent
        name = name or self.name("file")
        made = None
        if not self._no_create:
            create = wire.Create(nodeid=parent, arg=wire.fuse_create_in(flags | os.O_CREAT, _FILE, 0o022), name=name)
            answer = self._tried(create)
            if answer is not None and not answer.errno:
                value: Any = answer.value
                made = Made(value[0].nodeid, parent, name, value[0], value[1].fh, value[1].open_flags)
                self._open.append((made, False))
            elif answer is not None and answer.errno == errno.ENOSYS:
                self._no_create = True
            else:
                raise Unready("CREATE before it: " + (errno_text(answer.errno) if answer else "refused by Linux"))
        if made is None:
            entry = self.need(wire.MkNod(nodeid=parent, arg=wire.fuse_mknod_in(_FILE, 0, 0o022), name=name))
            made = Made(entry.nodeid, parent, name, entry)
            self.open(made, flags)
        self._made.append((parent, name, False))
        if content:
            self.fill(made, content)
        return made

    def fill(self, made: Made, content: bytes, offset: int = 0) -> None:
        """Writes all of `content`, in pieces that INIT allows."""
        step = max(PAGE, min(self.session.holds.write, 1 << 17))
        for at in range(0, len(content), step):
            piece = content[at : at + step]
            value = self.need(
                wire.Write(nodeid=made.nodeid, arg=wire.fuse_write_in(made.fh, offset + at), data=memoryview(piece))
            )
            if value.size != len(piece):
                raise Unready(f"WRITE before it: {value.size} of {len(piece)} bytes written")

    def open(self, made: Made, flags: int = os.O_RDONLY) -> Made:
        """Opens it; where OPEN is ENOSYS the handle is 0, as for Linux. Returns `made`."""
        answer = self.ask(wire.Open(nodeid=made.nodeid, arg=wire.fuse_open_in(flags)))
        value: Any = answer.value
        if not answer.errno:
            made.fh, made.open_flags = value.fh, value.open_flags
            self._open.append((made, False))
        elif answer.errno != errno.ENOSYS:
            raise Unready(f"OPEN before it: {errno_text(answer.errno)}")
        return made

    def opened_directory(self, nodeid: int = ROOT) -> Made:
        """A directory, opened; where OPENDIR is ENOSYS the handle is 0."""
        made = Made(nodeid, 0, b"", wire.fuse_entry_out(nodeid))
        answer = self.ask(wire.OpenDir(nodeid=nodeid, arg=wire.fuse_open_in(os.O_RDONLY | os.O_DIRECTORY)))
        value: Any = answer.value
        if not answer.errno:
            made.fh = value.fh
            self._open.append((made, True))
        elif answer.errno != errno.ENOSYS:
            raise Unready(f"OPENDIR before it: {errno_text(answer.errno)}")
        return made

    def send(self, request: Request) -> int:
        """As :meth:`Driver.send`; a handle that a probe releases itself is not released once more by :meth:`tidy`."""
        if isinstance(request, wire.Release | wire.ReleaseDir):
            released = (request.nodeid, request.arg.fh, isinstance(request, wire.ReleaseDir))
            for one in self._open:
                if (one[0].nodeid, one[0].fh, one[1]) == released:
                    self._open.remove(one)
                    break
        return super().send(request)

    def close(self, made: Made) -> None:
        """RELEASE or RELEASEDIR of what is open."""
        for one, directory in [pair for pair in self._open if pair[0] is made]:
            self._open.remove((one, directory))
            kind = wire.ReleaseDir if directory else wire.Release
            self._tried(kind(nodeid=one.nodeid, arg=wire.fuse_release_in(one.fh)))

    def directory(self, parent: int | None = None) -> Made:
        """Makes a directory."""
        parent = self.place() if parent is None else parent
        name = self.name("dir")
        entry = self.need(wire.MkDir(nodeid=parent, arg=wire.fuse_mkdir_in(0o755, 0o022), name=name))
        self._made.append((parent, name, True))
        return Made(entry.nodeid, parent, name, entry)

    def symlink(self, target: bytes = b"to/where") -> Made:
        """Makes a symbolic link."""
        parent, name = self.place(), self.name("link")
        entry = self.need(wire.Symlink(nodeid=parent, name=name, target=target))
        self._made.append((parent, name, False))
        return Made(entry.nodeid, parent, name, entry)

    def any_file(self) -> Made:
        """A regular file with bytes in it, open for reading: a new one, else one that is there."""
        try:
            return self.file(b"conform\n" * 1000)
        except Unready:
            found = next(self._files(ROOT, _DEPTH), None)
        if found is None:
            raise Unready("there is no file with bytes in it, and none can be made")
        return self.open(found)

    def _files(self, parent: int, depth: int) -> Iterator[Made]:
        directories = []
        for name in self.listed(parent)[:_LISTED]:
            if name in (b".", b".."):
                continue
            answer = self._tried(wire.Lookup(nodeid=parent, name=name))
            if answer is None or answer.errno:
                continue
            entry: Any = answer.value
            if stat.S_ISREG(entry.attr.mode) and entry.attr.size:
                yield Made(entry.nodeid, parent, name, entry)
            elif stat.S_ISDIR(entry.attr.mode):
                directories.append(entry.nodeid)
        if depth:
            for nodeid in directories:
                yield from self._files(nodeid, depth - 1)

    # -- what is judged -------------------------------------------------------------------------------------------

    def success(self, request: Request, expected: str = "success") -> Any:
        """The value of a reply that the rule says is a success."""
        answer = self.ask(request)
        self.expect(not answer.errno, expected, answer)
        return answer.value

    def refused(self, request: Request, *errnos: int) -> None:
        """The rule says that the reply is one of these errnos; any where none is given."""
        answer = self.ask(request)
        expected = " or ".join(map(errno_text, errnos)) or "an errno"
        self.expect(answer.errno in errnos if errnos else answer.errno, expected, answer)

    def equal(self, expected: object, seen: object, what: str = "") -> None:
        """Holds a value against what the rule says it is."""
        self.expect(expected == seen, f"{what} {brief(expected)}".strip(), brief(seen))

    def entry(self, parent: int, name: bytes) -> Any:
        """The entry of a name that the rule says is there."""
        entry = self.success(wire.Lookup(nodeid=parent, name=name), "an entry")
        self.expect(entry.nodeid, f"an entry of {name!r}", "nodeid 0: there is no such name")
        return entry

    def absent(self, parent: int, name: bytes, expected: str = "ENOENT, or nodeid 0") -> None:
        """The rule says that there is no such name: ENOENT, or an entry with nodeid 0."""
        answer = self.lookup(parent, name)
        value: Any = answer.value
        self.expect(answer.errno == errno.ENOENT or (not answer.errno and value.nodeid == 0), expected, answer)

    # -- what many probes do --------------------------------------------------------------------------------------

    def lookup(self, parent: int, name: bytes) -> Answered:
        """LOOKUP."""
        return self.ask(wire.Lookup(nodeid=parent, name=name))

    def getattr(self, nodeid: int = ROOT) -> Answered:
        """GETATTR without a handle."""
        return self.ask(wire.GetAttr(nodeid=nodeid, arg=wire.fuse_getattr_in()))

    def attributes(self, nodeid: int = ROOT) -> wire.fuse_attr:
        """The attributes, where they are not what the rule is about."""
        attr: wire.fuse_attr = self.need(wire.GetAttr(nodeid=nodeid, arg=wire.fuse_getattr_in())).attr
        return attr

    def read(self, made: Made, offset: int, size: int) -> Answered:
        """READ."""
        return self.ask(wire.Read(nodeid=made.nodeid, arg=wire.fuse_read_in(made.fh, offset, size)))

    def write(self, made: Made, offset: int, data: bytes) -> Answered:
        """WRITE."""
        return self.ask(wire.Write(nodeid=made.nodeid, arg=wire.fuse_write_in(made.fh, offset), data=memoryview(data)))

    def content(self, made: Made) -> bytes:
        """All bytes of an open file, where reading is not what the rule is about."""
        found = b""
        while True:
            request = wire.Read(nodeid=made.nodeid, arg=wire.fuse_read_in(made.fh, len(found), 1 << 16))
            piece = self.need(request)
            if not piece:
                return found
            found += piece

    def entries(self, made: Made, size: int = PAGE, offset: int = 0) -> list[Dirent]:
        """A whole listing in buffers of `size` bytes, from the cookie `offset`."""
        found: list[Dirent] = []
        while True:
            part = dirents(self.need(self.listing(made, offset, size)))
            if not part:
                return found
            found += part
            if len(found) > 100_000:
                raise Violation("a listing that ends", f"{len(found)} entries and no end")
            offset = part[-1].off

    def listing(self, made: Made, offset: int, size: int) -> wire.ReadDir | wire.ReadDirPlus:
        """A request for a part of a listing: READDIR, or READDIRPLUS of a server that has nothing else."""
        if self._lister is None:
            plain = self.ask(wire.ReadDir(nodeid=made.nodeid, arg=wire.fuse_read_in(made.fh, 0, PAGE)))
            plus = plain.errno == errno.ENOSYS and self.session.flags & InitFlags.FUSE_DO_READDIRPLUS
            self._lister = wire.ReadDirPlus if plus else wire.ReadDir
        if self._lister is wire.ReadDirPlus:
            size *= 4  # room for about as many entries
        return self._lister(nodeid=made.nodeid, arg=wire.fuse_read_in(made.fh, offset, size))

    def entries_plus(self, made: Made, size: int = PAGE) -> list[DirentPlus]:
        """The same by READDIRPLUS."""
        found: list[DirentPlus] = []
        offset = 0
        while True:
            part = self.need(wire.ReadDirPlus(nodeid=made.nodeid, arg=wire.fuse_read_in(made.fh, offset, size)))
            if not part:
                return found
            found += part
            if len(found) > 100_000:
                raise Violation("a listing that ends", f"{len(found)} entries and no end")
            offset = part[-1].dirent.off

    def listed(self, nodeid: int) -> list[bytes]:
        """The names in a directory."""
        opened = self.opened_directory(nodeid)
        names = [entry.name for entry in self.entries(opened)]
        self.close(opened)
        return names

    def alive(self) -> None:
        """Raises unless the server still answers."""
        self.getattr(ROOT)

    def serves(self) -> None:
        """Raises Violation unless the root has attributes."""
        self.success(wire.GetAttr(nodeid=ROOT, arg=wire.fuse_getattr_in()), "attributes of the root")

    # -- afterwards -----------------------------------------------------------------------------------------------

    def tidy(self, *, everything: bool = False) -> None:
        """Closes and removes what was made; with `everything` also the directory that it was in."""
        while self._open:
            self.close(self._open[-1][0])
        kept: list[tuple[int, bytes, bool]] = []
        for parent, name, directory in reversed(self._made):
            if parent == ROOT and directory and not everything and name.startswith(b"conform-"):
                kept.append((parent, name, directory))
                continue
            kind = wire.RmDir if directory else wire.Unlink
            self._tried(kind(nodeid=parent, name=name))
        self._made = kept
        if everything and self._place:
            self._place = 0
            self.purge()

    def purge(self) -> None:
        """Removes what is left of this run: of servers that ended before it was tidied, and under names unknown."""
        prefix = f"conform-{os.getpid()}-".encode()
        try:
            for name in self.listed(ROOT):
                if name.startswith(prefix):
                    self._remove(ROOT, name)
        except (Unready, Violation, Gone, Hangs):
            return

    def _remove(self, parent: int, name: bytes) -> None:
        entry = self.need(wire.Lookup(nodeid=parent, name=name))
        if not stat.S_ISDIR(entry.attr.mode):
            self._tried(wire.Unlink(nodeid=parent, name=name))
            return
        for child in self.listed(entry.nodeid):
            if child not in (b".", b".."):
                self._remove(entry.nodeid, child)
        self._tried(wire.RmDir(nodeid=parent, name=name))
