"""A repository: the directory in which a mutable file system lives, and the lock on it.

    DIRECTORY/mfs.repo      text: what this is, the number of its format, its profile
    DIRECTORY/lock          locked (flock) by the process that uses it, whose number is in it
    DIRECTORY/index/        LMDB: block index, commit record (`mfs.blocks.index`)
    DIRECTORY/segments/     data (`mfs.blocks.segments`)
    DIRECTORY/log/          what was fsynced since the last commit (`mfs.log`)
    DIRECTORY/mfs.log       text: what a server in the background had to say
    DIRECTORY/damaged/      bytes of blocks that were not what their CIDs say, kept by `mfs fsck --repair`

`mfs.repo` is written last when a repository is made; without it, and with nothing in the other places, making it is
simply begun again.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING

from mfs.disk import fsync_directory
from mfs.unixfs.profile import DEFAULT_PROFILE, profile_named, satisfies

if TYPE_CHECKING:
    from types import TracebackType

    from mfs.unixfs.profile import Profile

__all__ = [
    "FORMAT",
    "Repo",
    "RepoDamaged",
    "RepoError",
    "RepoForeign",
    "RepoLocked",
    "RepoMissing",
    "RepoNewer",
    "RepoProfile",
    "default_path",
    "holder_of",
]

FORMAT = 1
"""The number of the format that this version reads and writes."""

_MARKER = "mfs.repo"
_TITLE = "mfs repository"
_LOCK = "lock"
_TEMPORARY = "mfs.repo.new"
_PLACES = ("index", "segments", "log")
# Found in a directory that a file system was just made on.
_IGNORED = frozenset({"lost+found"})
_MARKER_LIMIT = 4096


class RepoError(Exception):
    """Base of what can be wrong with a repository. `path` is its directory."""

    def __init__(self, path: str | os.PathLike[str], message: str) -> None:
        super().__init__(message)
        self.path = os.fspath(path)


class RepoMissing(RepoError):
    """There is none, and none was to be made."""


class RepoLocked(RepoError):
    """Another process uses it. `pid` is its number, None when the kernel does not show it (another container)."""

    def __init__(self, path: str | os.PathLike[str], pid: int | None) -> None:
        who = f"process {pid} ({_command(pid)})" if pid else "another process, which is not visible from here,"
        super().__init__(path, f"the repository {os.fspath(path)} is in use: {who} holds its lock")
        self.pid = pid


class RepoForeign(RepoError):
    """The directory holds something else."""


class RepoNewer(RepoError):
    """Its format is one that this version does not know. `format` is the number."""

    def __init__(self, path: str | os.PathLike[str], number: int) -> None:
        super().__init__(
            path,
            f"the repository {os.fspath(path)} has format {number}, and this version of mfs knows formats up to"
            f" {FORMAT}: use a newer mfs",
        )
        self.format = number


class RepoProfile(RepoError):
    """It has another profile than was asked for. The profile decides every CID, so it is chosen once."""

    def __init__(self, path: str | os.PathLike[str], has: str, asked: str) -> None:
        base, *wanted = asked.split("+")
        lacking = [what for what in wanted if what not in has.split("+")[1:]]
        wrong = f"has the profile {has}, not {base}"
        if lacking and (not base or base == has.partition("+")[0]):
            wrong = f"does not store the {' and the '.join(lacking)} in UnixFS"
        super().__init__(
            path,
            f"the repository {os.fspath(path)} {wrong}, which is chosen when it is made: leave that option out,"
            " or use another directory",
        )
        self.has = has
        self.asked = asked


class RepoDamaged(RepoError):
    """Part of it is absent or not as it was written. `where` is the file or directory, `what` is wrong with it."""

    def __init__(self, path: str | os.PathLike[str], what: str, where: str | os.PathLike[str]) -> None:
        super().__init__(path, f"the repository {os.fspath(path)} is damaged: {os.fspath(where)}: {what}")
        self.what = what
        self.where = os.fspath(where)


def default_path() -> Path:
    """``$MFS_PATH``, else ``~/.mfs``."""
    given = os.environ.get("MFS_PATH")
    return Path(given) if given else Path.home() / ".mfs"


class Repo:
    """An open, locked repository. Made by `Repo.open`; a context manager that closes it.

    The lock belongs to the open file, so it passes to a process forked from here and lasts until both have closed.

    Attributes:
        path: the directory, absolute.
        profile: how its files are cut and named.
        read_only: opened for reading; several processes may do that at once.
        index, segments, log: the directories in it.
    """

    def __init__(self, path: Path, profile: Profile, lock: int, *, read_only: bool) -> None:
        self.path = path
        self.profile = profile
        self.read_only = read_only
        self.index, self.segments, self.log = (path / place for place in _PLACES)
        self._lock = lock

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str] | None = None,
        *,
        profile: str | None = None,
        create: bool = True,
        read_only: bool = False,
    ) -> Repo:
        """Open the repository at `path` (None: `default_path`), or make one in a directory that is absent or empty.

        Args:
            profile: name of the profile that it must have, or gets; None: whatever it has, or the default. What roots
                are to carry besides (`mfs.unixfs.profile.profile_named`) may be asked for alone: ``+mode+mtime``.
            create: make it when there is none.
            read_only: change nothing in it, and make none.

        Raises:
            RepoMissing, RepoLocked, RepoForeign, RepoNewer, RepoProfile, RepoDamaged: see there.
            ValueError: there is no profile of this name.
            OSError: the file system did not let us.
        """
        asked = profile_named(profile).name if profile is not None else DEFAULT_PROFILE.name
        root = Path(os.path.abspath(path if path is not None else default_path()))
        make = create and not read_only
        _check_kind(root, make=make)
        if make:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = _take_lock(root, read_only=read_only)
        try:
            if make and not (root / _MARKER).exists():
                # Again, now that nobody else can be making it.
                _check_kind(root, make=True)
                _make(root, asked)
            has = _read_marker(root)
            if profile is not None and not satisfies(has, profile):
                raise RepoProfile(root, has.name, profile)
            for place in _PLACES:
                if not (root / place).is_dir():
                    raise RepoDamaged(root, "the directory is missing", root / place)
            repo = cls(root, has, lock, read_only=read_only)
            repo.claim()
        except BaseException:
            os.close(lock)
            raise
        return repo

    @classmethod
    def beside(cls, path: str | os.PathLike[str]) -> Repo:
        """The repository at `path` for reading only, and without the lock, which the process that serves it may hold.

        What is committed meanwhile may take away blocks that a reader has just heard of.

        Raises:
            RepoMissing, RepoForeign, RepoNewer, RepoDamaged: see there.
            OSError: it may not be read.
        """
        root = Path(os.path.abspath(path))
        _check_kind(root, make=False)
        return cls(root, _read_marker(root), -1, read_only=True)

    def duplicate(self) -> Repo:
        """The same repository, to be closed apart: the lock is held until both are."""
        return Repo(self.path, self.profile, os.dup(self._lock), read_only=self.read_only)

    def has_index(self) -> bool:
        """Whether the file of the index is there, which is made when the repository is first used."""
        return (self.index / "data.mdb").exists()

    def claim(self) -> None:
        """Write this process's number into the lock, for whoever finds it locked. Also to be called after a fork."""
        if not self.read_only:
            text = f"{os.getpid()}\n".encode()
            os.pwrite(self._lock, text, 0)
            os.ftruncate(self._lock, len(text))

    def close(self) -> None:
        """Let go of the lock."""
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)

    def __enter__(self) -> Repo:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _check_kind(root: Path, *, make: bool) -> None:
    """Raise unless `root` is a repository, or (with `make`) may become one."""
    try:
        names = set(os.listdir(root)) - _IGNORED
    except FileNotFoundError:
        if make:
            return
        raise RepoMissing(root, f"there is no repository at {root}: the directory does not exist") from None
    except NotADirectoryError:
        raise RepoForeign(root, f"{root} is not a directory") from None
    if _MARKER in names:
        return
    if {"config", "version"} <= names and names & {"datastore_spec", "blocks", "keystore"}:
        raise RepoForeign(root, f"{root} is a repository of IPFS (kubo), not of mfs: use another directory")
    strange = sorted(names - {_LOCK, _TEMPORARY, *_PLACES})
    if strange:
        raise RepoForeign(
            root,
            f"{root} is not a repository of mfs and not empty (it has {strange[0]!r}): use a directory of its own",
        )
    for place in _PLACES:
        if place in names and os.listdir(root / place):
            raise RepoDamaged(root, f"the file is missing, though {place} is not empty", root / _MARKER)
    if not make:
        raise RepoMissing(root, f"there is no repository at {root}: the directory is empty")


def _make(root: Path, profile: str) -> None:
    for place in _PLACES:
        (root / place).mkdir(mode=0o700, exist_ok=True)
    # What says that it is made must not be there before what was made.
    fsync_directory(root)
    temporary = root / _TEMPORARY
    with open(temporary, "w", encoding="ascii") as file:
        file.write(f"{_TITLE}\nformat: {FORMAT}\nprofile: {profile}\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(root / _MARKER)
    fsync_directory(root)
    # How far up directories are new is not known, and a needless sync costs little here.
    fsync_directory(root.parent)


def _read_marker(root: Path) -> Profile:
    path = root / _MARKER
    try:
        with open(path, "rb") as file:
            text = file.read(_MARKER_LIMIT).decode("utf-8", "replace")
    except FileNotFoundError:
        raise RepoMissing(root, f"there is no repository at {root}") from None
    title, _, rest = text.partition("\n")
    if title != _TITLE:
        raise RepoDamaged(root, f"it begins with {title[:40]!r}, not with {_TITLE!r}", path)
    fields = dict(line.split(": ", 1) for line in rest.splitlines() if ": " in line)
    number = fields.get("format", "")
    if not number.isdecimal():
        raise RepoDamaged(root, f"it says format {number!r}, which is no number", path)
    if int(number) > FORMAT:
        raise RepoNewer(root, int(number))
    if int(number) < FORMAT:
        raise RepoDamaged(root, f"it says format {number}, which never was one", path)
    name = fields.get("profile", "")
    try:
        if not name or name.startswith("+"):
            raise ValueError(name)
        return profile_named(name)
    except ValueError:
        raise RepoDamaged(root, f"it says profile {name!r}, which is not known", path) from None


def _take_lock(root: Path, *, read_only: bool) -> int:
    path = root / _LOCK
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC if read_only else os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        raise RepoDamaged(root, "the file is missing", path) from None
    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if read_only else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        pid = _holder(fd)
        os.close(fd)
        if error.errno in (errno.EAGAIN, errno.EACCES):
            raise RepoLocked(root, pid) from None
        raise
    return fd


def holder_of(path: str | os.PathLike[str]) -> int | None:
    """The live process that holds the lock of the repository at `path`.

    None where nobody does, where the process cannot be seen from here, or where there is no repository to be read.
    """
    try:
        fd = os.open(Path(path) / _LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        # Held for a moment where it is free; /proc/locks alone would not do (overlayfs shows other numbers there).
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return _holder(fd)
    else:
        return None
    finally:
        os.close(fd)


def _holder(fd: int) -> int | None:
    """The live process that holds a lock on this file: whom the kernel names, else the one that wrote its number there.

    The kernel names the process that locked, which may have handed the lock to a child and ended.
    """
    pids = _lockers(fd)
    written = os.pread(fd, 32, 0).strip()
    if written.isdigit():
        pids.append(int(written))
    return next((pid for pid in pids if pid > 0 and os.path.exists(f"/proc/{pid}")), None)


def _lockers(fd: int) -> list[int]:
    status = os.fstat(fd)
    file = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    try:
        with open("/proc/locks", encoding="ascii") as locks:
            # "1: FLOCK ADVISORY WRITE 1234 fe:00:5678 0 EOF"; a waiting one has "->" for its second field.
            lines = [line.split() for line in locks]
    except OSError:
        return []
    return [int(fields[4]) for fields in lines if len(fields) > 5 and fields[1] == "FLOCK" and fields[5] == file]


def _command(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read(4096).rstrip(b"\0").split(b"\0")
    except OSError:
        words = []
    return b" ".join(words).decode("utf-8", "backslashreplace") or "command unknown"
