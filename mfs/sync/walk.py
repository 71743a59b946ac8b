"""Walking two trees side by side and making the second what the first is.

For every entry of the source, in the order in which its directory lists them:

* A regular file of the same size is compared, by CIDs where both ends have them, else see :mod:`mfs.sync.content`. One
  with the same bytes keeps its blocks, its mtime and so its CID; owner and mode are made the source's.
* Any other is made beside it and renamed over it when it is whole: who has the old one open keeps it, a program that
  runs does too, and a crash leaves one or the other. Its blocks are the source's where they can be shared.
* Links keep their text, several names of one file in the source are names of one file in the target. Devices, pipes
  and sockets are made anew. A directory takes the place of whatever is in its way; nothing takes that of a directory,
  unless deleting was asked for.

A directory's mtime becomes the source's where something in it was changed. What fails is counted and told, and the rest
goes on. Files that a killed sync left half made (.mfs-sync-...) are taken away. When all is done the target's file
system is synced.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable

from mfs.copying.outcome import Tally
from mfs.sync.attributes import carry_xattrs, differ, give, give_by_name
from mfs.sync.content import Contents
from mfs.sync.durable import sync_file_system
from mfs.sync.level import Level
from mfs.sync.place import DIRECTORY, installed, is_left_over, lstat, open_beneath, path_of, remove
from mfs.sync.report import Action, Change, Options, Report

__all__ = ["Refused", "sync"]

_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


class Refused(Exception):
    """The two trees cannot be synced as they lie; the message says why. Nothing was changed."""


def sync(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    options: Options | None = None,
    *,
    told: Callable[[Change], None] | None = None,
    seen: Callable[[Report], None] | None = None,
) -> Report:
    """Make the directory `target`, which may not exist yet, what the directory `source` is.

    `told` is called with every change and every failure, `seen` before every entry. Memory is proportional to the depth
    of the tree, and to the files in it that have several names.

    Raises:
        Refused: one lies in the other, or another sync is at work in the target.
        OSError: `source` or `target` itself cannot be opened, or the target's disk does not take what was written.
    """
    options = options or Options()
    outer = os.open(source, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _check_places(os.fspath(source), os.fspath(target), options)
        fresh = not os.path.isdir(target)
        if fresh and not options.dry_run:
            os.mkdir(target, 0o700)
        inner = None
        if not fresh or not options.dry_run:
            inner = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if inner is not None and not options.dry_run:
                _lock(inner, os.fspath(target))
            walk = _Walk(options, inner, told, seen)
            walk.all_of(outer, inner, fresh=fresh)
            if inner is not None and walk.wrote and not options.dry_run:
                walk.make_durable(inner)
        finally:
            if inner is not None:
                os.close(inner)
    finally:
        os.close(outer)
    return walk.report


def _check_places(source: str, target: str, options: Options) -> None:
    ours, theirs = os.path.realpath(source), os.path.realpath(target)
    if ours == theirs:
        return
    if theirs.startswith(ours.rstrip("/") + "/"):
        raise Refused(f"{target} lies in {source}: it would be copied into itself")
    if options.delete and ours.startswith(theirs.rstrip("/") + "/"):
        raise Refused(f"{source} lies in {target}, where everything else is to be removed")


def _lock(directory: int, name: str) -> None:
    """Two at a time would take each other's unfinished files for left over ones."""
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Refused(f"{name}: another sync is at work there") from error
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.ENOLCK, errno.ENOSYS, errno.EINVAL):
            raise


class _Walk:
    def __init__(
        self,
        options: Options,
        top: int | None,
        told: Callable[[Change], None] | None,
        seen: Callable[[Report], None] | None,
    ) -> None:
        self.options = options
        self.report = Report()
        self.wrote = False
        self._top = top
        self._told = told
        self._seen = seen
        self._contents = Contents(options)
        self._names: dict[tuple[int, int], tuple[str, int]] = {}
        self._would_be_new: set[str] = set()  # of those with several names, in a dry run

    def all_of(self, source: int, target: int | None, *, fresh: bool) -> None:
        """Everything in a directory, level by level: as deep as descriptors go."""
        status = os.fstat(source)
        first = Level(
            os.dup(source),
            os.dup(target) if target is not None else None,
            "",
            status,
            fresh=fresh,
            same=self._same_tree(source, status, target),
        )
        if fresh:
            self._did("created", "", status)
        levels = [first]
        try:
            while levels:
                level = levels[-1]
                entry = next(level.entries, None)
                if entry is not None:
                    below = self._guarded(level, entry.name)
                    if below is not None:
                        levels.append(below)
                    continue
                self._leave(level)
                levels.pop().close()
        finally:
            for level in levels:
                level.close()

    def make_durable(self, target: int) -> None:
        """Asking mfs for a CID commits all of it; other file systems are synced."""
        if self._contents.cids.of(path_of(target) + "/.", os.fstat(target).st_dev) is None:
            sync_file_system(target)

    def _guarded(self, level: Level, name: str) -> Level | None:
        """One entry. Returns the level of a directory to go on with."""
        self.report.seen += 1
        if self._seen is not None:
            self._seen(self.report)
        status: os.stat_result | None = None
        try:
            status = os.stat(name, dir_fd=level.source, follow_symlinks=False)
            there = lstat(level.target, name) if level.target is not None else None
            if stat.S_ISDIR(status.st_mode):
                return self._directory(level, name, status, there)
            self._entry(level, name, status, there)
        except OSError as error:
            self._failed(level.path_to(name), status, error)
        return None

    def _entry(self, level: Level, name: str, status: os.stat_result, there: os.stat_result | None) -> None:
        first = self._first_name(level, name, status)
        if there is not None and os.path.samestat(status, there):
            self.report.kept += 1
            self.report.skipped += status.st_size if stat.S_ISREG(status.st_mode) else 0
        elif first is not None:
            self._linked(level, name, status, there, first)
        elif there is None:
            self._installed(level, name, status, None)
        elif self._is_same(level, name, status, there):
            self._same_content(level, name, status, there)
        else:
            self._make_way(level, name, there)
            self._installed(level, name, status, there)

    def _same_content(self, level: Level, name: str, status: os.stat_result, there: os.stat_result) -> None:
        """Owner, mode and extended attributes of an entry that is otherwise right."""
        assert level.target is not None
        changed = differ(status, there)
        if changed and not self.options.dry_run:
            give_by_name(level.target, name, status, times=False)
        if self.options.xattrs:
            ours, theirs = path_of(level.source, name), path_of(level.target, name)
            changed |= carry_xattrs(ours, theirs, dry_run=self.options.dry_run)
        if changed:
            self._did("attributes", level.path_to(name), status)
        else:
            self.report.kept += 1

    def _is_same(self, level: Level, name: str, status: os.stat_result, there: os.stat_result) -> bool:
        kind = stat.S_IFMT(status.st_mode)
        if kind != stat.S_IFMT(there.st_mode) or level.target is None:
            return False
        if kind == stat.S_IFLNK:
            return os.readlink(name, dir_fd=level.source) == os.readlink(name, dir_fd=level.target)
        if kind != stat.S_IFREG:
            return status.st_rdev == there.st_rdev
        if status.st_size != there.st_size:
            return False
        tally = Tally()
        if level.same or not status.st_size:
            tally.skipped = status.st_size
        elif not self._contents.same(level.source, name, status, level.target, there, tally):
            return False
        self.report.add(tally)
        return True

    def _installed(self, level: Level, name: str, status: os.stat_result, there: os.stat_result | None) -> None:
        target = level.target
        if not self.options.dry_run and target is not None:
            if stat.S_ISREG(status.st_mode):
                self._install_file(level.source, name, status, target, there)
            else:

                def make(fresh: str) -> None:
                    if stat.S_ISLNK(status.st_mode):
                        os.symlink(os.readlink(name, dir_fd=level.source), fresh, dir_fd=target)
                    else:
                        os.mknod(fresh, stat.S_IFMT(status.st_mode) | 0o600, status.st_rdev, dir_fd=target)
                    give_by_name(target, fresh, status, times=True)
                    if self.options.xattrs:
                        carry_xattrs(path_of(level.source, name), path_of(target, fresh))

                installed(target, name, make, replace=there is not None)
        else:
            self.report.written += status.st_size if stat.S_ISREG(status.st_mode) else 0
            if status.st_nlink > 1:
                self._would_be_new.add(level.path_to(name))
        level.changed = True
        self._did("created" if there is None else "replaced", level.path_to(name), status)

    def _install_file(
        self, source: int, name: str, status: os.stat_result, target: int, there: os.stat_result | None
    ) -> None:
        tally = Tally()
        into = self.options.in_place and there is not None and stat.S_ISREG(there.st_mode) and there.st_nlink == 1
        if into and there is not None:
            self._contents.write_into(source, name, status, target, there, tally)
        else:
            self._contents.install(source, name, status, target, there, tally)
        one_mount = self._contents.cids.known(status.st_dev) and status.st_dev == os.fstat(target).st_dev
        self.report.add(tally, offers_are_shared=one_mount)

    def _first_name(self, level: Level, name: str, status: os.stat_result) -> str | None:
        """Where a file that has several names was met first."""
        if status.st_nlink < 2 or stat.S_ISDIR(status.st_mode):
            return None
        key = status.st_dev, status.st_ino
        path, more = self._names.pop(key, ("", status.st_nlink))
        if more > 1:
            self._names[key] = path or level.path_to(name), more - 1
        return path or None

    def _linked(
        self, level: Level, name: str, status: os.stat_result, there: os.stat_result | None, first: str
    ) -> None:
        """Give the name to what the first name of the source's file is in the target."""
        if not self.options.dry_run and self._top is not None and level.target is not None:
            directory, _, last = first.rpartition("/")
            target = level.target
            origin = open_beneath(self._top, directory)
            try:
                linked = lstat(origin, last)
                if linked is not None and there is not None and os.path.samestat(linked, there):
                    self.report.kept += 1
                    return
                if there is not None:
                    self._make_way(level, name, there)

                def make(fresh: str) -> None:
                    os.link(last, fresh, src_dir_fd=origin, dst_dir_fd=target, follow_symlinks=False)

                installed(target, name, make, replace=there is not None)
            finally:
                os.close(origin)
        elif self._top is not None and there is not None and first not in self._would_be_new:
            linked = self._beneath_top(first)
            if linked is not None and os.path.samestat(linked, there):
                self.report.kept += 1
                return
        level.changed = True
        self._did("linked", level.path_to(name), status)

    def _beneath_top(self, path: str) -> os.stat_result | None:
        """What the target has there now; None where a directory on the way would yet have to be made."""
        assert self._top is not None
        directory, _, last = path.rpartition("/")
        try:
            origin = open_beneath(self._top, directory)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            return lstat(origin, last)
        finally:
            os.close(origin)

    def _make_way(self, level: Level, name: str, there: os.stat_result) -> None:
        """A directory goes only when that was asked for; anything else is renamed over. Raises IsADirectoryError."""
        if not stat.S_ISDIR(there.st_mode):
            return
        if not self.options.delete:
            raise IsADirectoryError(errno.EISDIR, "a directory is in the way, and deleting was not asked for")
        self._removed(level, name)

    def _directory(self, level: Level, name: str, status: os.stat_result, there: os.stat_result | None) -> Level | None:
        path = level.path_to(name)
        if self._top is not None and os.path.samestat(status, os.fstat(self._top)):
            raise OSError(errno.ELOOP, "is the target itself")
        fresh = there is None or not stat.S_ISDIR(there.st_mode)
        source = os.open(name, DIRECTORY, dir_fd=level.source)
        target: int | None = None
        try:
            if fresh:
                level.changed = True
                if not self.options.dry_run and level.target is not None:
                    if there is not None:
                        os.unlink(name, dir_fd=level.target)
                    os.mkdir(name, 0o700, dir_fd=level.target)
                self._did("created", path, status)
            if level.target is not None and not (fresh and self.options.dry_run):
                target = os.open(name, DIRECTORY, dir_fd=level.target)
            same = level.same or (not self.wrote and self._same_tree(source, status, target))
            return Level(source, target, path, status, fresh=fresh, same=same)
        except OSError:
            os.close(source)
            if target is not None:
                os.close(target)
            raise

    def _same_tree(self, source: int, status: os.stat_result, target: int | None) -> bool:
        """Whether both directories have one CID, which costs nothing as long as nothing was written."""
        if target is None:
            return False
        cids = self._contents.cids
        ours = cids.of(path_of(source) + "/.", status.st_dev)
        return ours is not None and ours == cids.of(path_of(target) + "/.", os.fstat(target).st_dev)

    def _leave(self, level: Level) -> None:
        """What is left to do when all entries are done."""
        try:
            if level.target is not None and not level.fresh:
                self._clear(level, level.target)
            if level.target is None:
                return
            there = os.fstat(level.target)
            dry_run = self.options.dry_run
            changed = self.options.xattrs and carry_xattrs(level.source, level.target, dry_run=dry_run)
            if differ(level.status, there):
                changed = True
            if not dry_run and (changed or level.changed):
                give(level.target, level.status, there, times=level.changed)
            if level.fresh:
                return
            if changed:
                self._did("attributes", level.path or ".", level.status)
            else:
                self.report.kept += 1
        except OSError as error:
            self._failed(level.path or ".", level.status, error)

    def _clear(self, level: Level, target: int) -> None:
        """Take away what a sync that was killed left behind, and with `delete` what the source does not have."""
        others = []
        with os.scandir(target) as entries:
            for entry in entries:
                if is_left_over(entry.name) and not self.options.dry_run:
                    os.unlink(entry.name, dir_fd=target)
                elif self.options.delete and lstat(level.source, entry.name) is None:
                    others.append(entry.name)
        for name in others:
            try:
                self._removed(level, name)
            except OSError as error:
                self._failed(level.path_to(name), None, error)

    def _removed(self, level: Level, name: str) -> None:
        assert level.target is not None
        level.changed = True
        if self.options.dry_run:
            self._did("removed", level.path_to(name), os.stat(name, dir_fd=level.target, follow_symlinks=False))
        else:
            remove(level.target, name, lambda path, status: self._did("removed", path, status), level.path_to(name))

    def _did(self, action: Action, path: str, status: os.stat_result) -> None:
        self.wrote = True
        setattr(self.report, action, getattr(self.report, action) + 1)
        if self._told is not None:
            kind = _KINDS.get(stat.S_IFMT(status.st_mode), "special")
            self._told(Change(action, path or ".", kind, status.st_size if kind == "file" else 0))

    def _failed(self, path: str, status: os.stat_result | None, error: OSError) -> None:
        self.report.failed += 1
        if self._told is not None:
            kind = _KINDS.get(stat.S_IFMT(status.st_mode), "special") if status is not None else "unknown"
            self._told(Change("failed", path, kind, 0, error.strerror or str(error)))
