"""`mfs stat PATH ...`."""

from __future__ import annotations

import argparse
import errno
import json
import os
import stat as modes
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from mfs.cli.mounts import FSTYPE, described, is_beneath
from mfs.cli.problem import Problem, explained
from mfs.cli.usage import Usage, usages
from rawfuse.mount import MountEntry, mount_entries

__all__ = ["stat"]

XATTR_CID = "ipfs.cid"
FIELDS = ("path", "cid", "type", "size", "blocks", "stored", "repeated", "shared")

_TYPES = {modes.S_IFREG: "file", modes.S_IFDIR: "directory", modes.S_IFLNK: "symlink"}
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_IN_TREE = "For a path in the tree of a repository: mfs stat --repo DIR PATH."


@dataclass
class _Subject:
    """A path that was asked for. `inside` are the names that lead to it in its file system."""

    path: str
    cid: str | None
    kind: str
    size: int
    repo: str
    inside: tuple[bytes, ...]
    usage: Usage | None = None

    def fields(self) -> dict[str, str | int | None]:
        usage = self.usage
        size = usage.size if usage is not None and self.kind == "directory" else self.size
        counted = (usage.blocks, usage.stored, usage.repeated, usage.shared) if usage is not None else (None,) * 4
        return dict(zip(FIELDS, (self.path, self.cid, self.kind, size, *counted), strict=True))


def stat(arguments: argparse.Namespace) -> int:
    """Tell about each path; 1 when something could not be told."""
    subjects: list[_Subject] = []
    failures = 0
    table = mount_entries()
    for path in arguments.paths:
        try:
            subjects.append(_in_repository(arguments, path) or _subject(path, table))
        except (Problem, OSError) as error:
            failures += 1
            _complain(f"{path}: {error.strerror}" if isinstance(error, OSError) else str(error))
    for repo in dict.fromkeys(subject.repo for subject in subjects):
        try:
            _measure(repo, [subject for subject in subjects if subject.repo == repo and subject.cid is not None])
        except Exception as error:
            problem = _of_reading(error) or explained(error)
            if problem is None:
                raise
            failures += 1
            _complain(f"cannot count blocks: {problem}")
    _show(subjects, _writer(arguments))
    return 1 if failures else 0


def _complain(text: str) -> None:
    print(f"mfs stat: {text}", file=sys.stderr)


def _of_reading(error: Exception) -> Problem | None:
    from mfs.blocks.errors import BlockNotFound
    from mfs.unixfs.errors import UnixFSError

    if isinstance(error, BlockNotFound):
        return Problem(f"{error}", "It was changed while it was looked at; try again.")
    return Problem(str(error)) if isinstance(error, UnixFSError) else None


def _subject(path: str, table: Sequence[MountEntry]) -> _Subject:
    """Asking for the CID commits what was written, so that it can be found in the repository afterwards."""
    real = _without_links(path)
    try:
        status = os.lstat(real)
    except OSError as error:
        if error.errno == errno.ENOTCONN:
            raise Problem(f"{path}: the server of this mount is gone", "Mount it again with mfs mount.") from error
        if error.errno == errno.ENOENT:
            raise Problem(f"{path}: {error.strerror}", _IN_TREE) from error
        raise
    entry = _mount_of(real, status.st_dev, table)
    if entry is None or entry.fstype != FSTYPE:
        where = f", but on {described(entry)}" if entry is not None else ""
        raise Problem(f"{path} is not in a mount of mfs{where}", _IN_TREE)
    kind = _TYPES.get(modes.S_IFMT(status.st_mode), "special")
    inside = os.path.join(entry.root, os.path.relpath(real, entry.mountpoint))
    names = tuple(os.fsencode(name) for name in os.path.normpath(inside).split("/") if name)
    return _Subject(path, _cid(real), kind, status.st_size, entry.source, names)


def _in_repository(arguments: argparse.Namespace, path: str) -> _Subject | None:
    """A path in the tree of the repository that was named, or /ipfs/CID; None for one of this machine."""
    if arguments.repo is None and (not path.startswith("/ipfs/") or os.path.lexists(path)):
        return None
    from mfs.cli.du import in_tree
    from mfs.cli.grammar.common import default_repo
    from mfs.control.frames import to_bytes
    from mfs.operations.paths import parts

    repo = os.path.realpath(arguments.repo or default_repo())
    (found,) = in_tree(repo, [path])
    if "error" in found:
        raise OSError(found["errno"], found["error"])
    return _Subject(path, found["cid"], found["type"], found["size"], repo, tuple(parts(to_bytes(path))))


def _without_links(path: str) -> str:
    """Absolute; a symbolic link in the last place stays what it is."""
    head, tail = os.path.split(path)
    return os.path.join(os.path.realpath(head), tail) if tail not in ("", ".", "..") else os.path.realpath(path)


def _mount_of(path: str, device: int, table: Sequence[MountEntry]) -> MountEntry | None:
    """The mount that a path lies in: the deepest above it with its device, the topmost of these."""
    number = (os.major(device), os.minor(device))
    above = [entry for entry in table if entry.device == number and is_beneath(path, entry.mountpoint)]
    return max(reversed(above), key=lambda entry: len(entry.mountpoint), default=None)


def _cid(path: str) -> str | None:
    try:
        return os.getxattr(path, XATTR_CID, follow_symlinks=False).decode("ascii")
    except OSError as error:
        if error.errno == errno.ENODATA:  # a device, a pipe, a socket
            return None
        raise


def _measure(repo: str, subjects: Sequence[_Subject]) -> None:
    """Fill in the usage of paths in one repository, read beside its server."""
    from mfs.blocks.store import EmbeddedStore
    from mfs.commit.record import Commit
    from mfs.repo import Repo
    from mfs.unixfs.cid import parse_cid
    from mfs.unixfs.layout import leaf_wrapping

    beside = Repo.beside(repo)
    wrap = partial(leaf_wrapping, beside.profile)
    store = EmbeddedStore(beside.index, beside.segments, wrap, read_only=True)
    try:
        record = store.commit_record()
        root = Commit.decode(record).root if record is not None else None
        if root is not None and subjects:
            wanted = [(parse_cid(subject.cid or ""), subject.inside) for subject in subjects]
            for subject, usage in zip(subjects, usages(store, root, wanted), strict=True):
                subject.usage = usage
    finally:
        store.close()


def _writer(arguments: argparse.Namespace) -> Callable[[_Subject], str]:
    if arguments.json:
        return lambda subject: json.dumps(subject.fields())
    return _paragraph if sys.stdout.isatty() else _line


def _show(subjects: Sequence[_Subject], write: Callable[[_Subject], str]) -> None:
    if write is _line and subjects:
        print("\t".join(FIELDS))
    for subject in subjects:
        print(write(subject))


def _line(subject: _Subject) -> str:
    return "\t".join(_escaped("-" if value is None else str(value)) for value in subject.fields().values())


def _escaped(text: str) -> str:
    """What would break a line into others, as in C."""
    for raw, written in (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n")):
        text = text.replace(raw, written)
    return text


def _paragraph(subject: _Subject) -> str:
    lines = [_escaped(subject.path)]
    for name, value in list(subject.fields().items())[1:]:
        text = "-" if value is None else str(value)
        if isinstance(value, int) and name != "blocks" and value >= 1024:
            text = f"{text} ({_human(value)})"
        lines.append(f"  {name:<9} {text}")
    return "\n".join(lines)


def _human(size: float) -> str:
    unit = 0
    while size >= 1024 and unit + 1 < len(_UNITS):
        size /= 1024
        unit += 1
    return f"{size:.1f} {_UNITS[unit]}"
