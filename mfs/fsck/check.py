"""A check from end to end, and the order in which things are mended."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from mfs.blocks.index import Index
from mfs.blocks.store import EmbeddedStore
from mfs.commit.record import Commit
from mfs.fsck.heads import commits_in, newest
from mfs.fsck.history import HistoryCheck
from mfs.fsck.index import IndexFile, Unsound, salvage, take_place
from mfs.fsck.logs import LogCheck
from mfs.fsck.mending import mend, rebuild
from mfs.fsck.places import DAMAGED, check_keys, check_places, keep_bytes
from mfs.fsck.report import Finding, Report
from mfs.fsck.sound import REACHED, Sound
from mfs.fsck.tree import Damage, TreeCheck
from mfs.history.past import Past, reader
from mfs.repo import Repo, RepoDamaged
from mfs.tree.record import FIRST_INO
from mfs.unixfs.layout import leaf_wrapping
from mfs.unixfs.profile import Profile

__all__ = ["check"]

Progress = Callable[[str, int, int], None]
"""Called with what is being done ("blocks", "tree"), and how far it is: done, of how much (0: not known)."""

_EVERY = 64


def check(
    path: str | os.PathLike[str] | None = None, *, repair: bool = False, progress: Progress | None = None
) -> Report:
    """Check the repository at `path`, and with `repair` mend what is wrong with it.

    Nobody else may have it open.  Without `repair` nothing in it is changed.

    Raises:
        RepoError: there is none, it is in use, or the file that says what it is is damaged.
        OSError: the disk.
    """
    told = progress or (lambda what, done, total: None)
    report = Report()
    try:
        repo = Repo.open(path, create=False, read_only=not repair)
    except RepoDamaged as damaged:
        # Which directory is missing can be said, and the file that says what it is cannot be made up.
        if check_places(Path(damaged.path), report, repair=repair):
            if not report.findings:
                raise
            repo = Repo.open(path, create=False, read_only=not repair)
        else:
            return report
    with repo:
        _Check(repo, report, repair, told).run()
    if repair and report.findings:
        # What was mended is looked at again: only what is sound now counts as mended.
        known = {(one.kind, one.path, one.snapshot) for one in report.findings if one.repair is None}
        for left in check(repo.path, progress=progress).findings:
            if (left.kind, left.path, left.snapshot) not in known:
                left.what = f"after mending: {left.what}"
                report.findings.append(left)
    return report


class _Check:
    def __init__(self, repo: Repo, report: Report, repair: bool, progress: Progress) -> None:
        self._repo = repo
        self._repair = repair
        self._progress = progress
        self.report = report
        self._candidates: list[Commit] = []
        self._lost = False
        """Whether there was a tree, and nothing of it can be found: then nothing is changed."""
        self._next_ino = FIRST_INO
        """Inode numbers from here on are not in the log."""

    def run(self) -> None:
        with self._index() as index:
            head, damage, log_damaged = self._look(index)
        check_keys(self._repo.path, self.report, repair=self._repair)
        if self._repair and head is not None:
            if damage or log_damaged or self.report.found("commit"):
                self._mend(head, damage)
            if any(finding.snapshot is not None for finding in self.report.findings):
                self._mend_history()

    def _find(self, kind: str, what: str, repair: str | None = None) -> None:
        self.report.findings.append(Finding(kind, what, repair=repair))

    # -- the index --------------------------------------------------------------------------------------------------

    @contextmanager
    def _index(self) -> Iterator[Path]:
        """A directory with a sound index: the repository's, or one made from what can be read of that."""
        index = self._repo.index
        wrong = self._unsound(index)
        if wrong is None:
            yield index
            return
        if not self._repo.has_index() and not any((*self._repo.segments.rglob("*"), *self._repo.log.iterdir())):
            # A new repository, never used: the index is made when it is first opened.
            self._repair = False
            with tempfile.TemporaryDirectory(prefix="mfs-fsck-") as place:
                Index(place).close()
                yield Path(place)
            return
        with tempfile.TemporaryDirectory(prefix="fsck-", dir=self._repo.path if self._repair else None) as place:
            made = Path(place) / "index"
            self._candidates = salvage(index, made).commits
            if self._candidates:
                wrong += f"; the newest commit in what can be read of it is of {self._candidates[0].time / 1e9:.3f}"
            self._find("index", wrong)
            self._lost = not self._candidates
            if self._repair and not self._lost:
                kept = take_place(index, made)
                self.report.repaired(f"made again from its pages; the old one is {kept.name}", "index")
                yield index
            else:
                yield made

    def _unsound(self, index: Path) -> str | None:
        try:
            with IndexFile(index) as file:
                for _ in file.check():
                    pass
        except (Unsound, OSError) as error:
            return str(error)
        return None

    # -- what there is ----------------------------------------------------------------------------------------------

    def _look(self, index: Path) -> tuple[Commit | None, Damage, bool]:
        repo, report = self._repo, self.report
        repair = self._repair and not self._lost
        store = EmbeddedStore(index, repo.segments, lambda n: leaf_wrapping(repo.profile, n), read_only=not repair)
        sound: Sound | None = None
        try:
            sound = Sound(store, lambda n: leaf_wrapping(repo.profile, n), _room(self._repo.path))
            for done in sound.verify():
                self._progress("blocks", done, sound.marks.count)
            report.blocks, report.bytes = sound.blocks, sound.bytes
            head = newest(sound, self._candidates, report) if not self._lost else None
            damage = self._tree(sound, head) if head is not None else Damage()
            HistoryCheck(sound, report).run(head)
            log = LogCheck(sound, repo.profile, repo.log, head, report)
            log_damaged = log.run() if not self._lost else False
            self._next_ino = log.next_ino
            self._ends(sound, repair)
            self._blocks(sound)
            report.garbage = sound.garbage()
            if repair and not (head is None and report.found("commit")):
                self._remove_bad(sound)
                head, damage = self._map(sound, head, damage)
            return head, damage, log_damaged
        finally:
            if sound is not None:
                sound.close()
            store.close()

    def _tree(self, sound: Sound, head: Commit) -> Damage:
        work = TreeCheck(sound, head, self.report)
        for steps, _ in enumerate(work.run()):
            self._progress("tree", steps * _EVERY, 0)
        return work.damage

    def _ends(self, sound: Sound, repair: bool) -> None:
        """Behind the end that the index says, a segment is given back when the repository is opened."""
        said = sound.store.segment_ends()
        wrong = {number: end for number, end in sound.ends.items() if said.get(number, 0) < end}
        for number, end in wrong.items():
            self._find("segment", f"segment {number} ends at {end}, and the index says {said.get(number, 0)}")
        if wrong and repair:
            batch = sound.store.take_pending()
            batch.ends.update(wrong)
            sound.store.write(batch)
            self.report.repaired("the index says so now", "segment")

    def _blocks(self, sound: Sound) -> None:
        for multihash, wrong in sound.bad.items():
            needed = (sound.marks.get(multihash) or 0) & REACHED
            whose = "" if needed else " (nothing leads to it)"
            self._find("block", f"{multihash.hex()}: {wrong}{whose}")

    # -- mending ----------------------------------------------------------------------------------------------------

    def _remove_bad(self, sound: Sound) -> None:
        """Remove the blocks that are not what their CIDs say, durably; their bytes are kept beside."""
        if not sound.bad:
            return
        keep_bytes(sound, self._repo.path)
        for multihash in sound.bad:
            sound.store.drop(multihash)
        sound.store.sync()
        self.report.repaired(f"removed; what can be read of it is in {DAMAGED}/", "block")

    def _map(self, sound: Sound, head: Commit | None, damage: Damage) -> tuple[Commit | None, Damage]:
        """Make the metadata map whole, and the commit begin with it."""
        if head is None:
            return None, damage
        if damage.lost or damage.links:
            older = [one for one in commits_in(sound) if one.time <= head.time and one.meta != head.meta]
            older.sort(key=lambda commit: commit.time, reverse=True)
            head = replace(head, next_ino=max(head.next_ino, self._next_ino))
            made = rebuild(sound, head, older, self.report)
            head = replace(head, meta=made.meta, next_ino=made.next_ino)
            self.report.repaired("made again from what is left", "map", "inode")
            sound.store.sync()
            again = TreeCheck(sound, head, Report())
            for _ in again.run():
                pass
            directories = damage.directories | made.directories | again.damage.directories
            damage = again.damage
            damage.directories = directories
            for ino, lost in damage.files.items():
                self._new_loss(sound, head, ino, lost)
        _write(sound.store, head)
        return head, damage

    def _new_loss(self, sound: Sound, head: Commit, ino: int, lost: list[tuple[int, int]]) -> None:
        """Tell of a file whose record was found again only now."""
        past = Past(reader(sound.store, head.meta))
        inode = past.inode(ino)
        paths = [past.path(*reference) for reference in inode.references] if inode is not None else []
        path = paths[0] if paths else None
        if not any(one.kind == "file" and one.path == path and one.snapshot is None for one in self.report.findings):
            count = sum(stop - start for start, stop in lost)
            self.report.findings.append(
                Finding("file", f"{count} bytes are lost", path, ranges=list(lost), links=paths[1:])
            )

    def _mend(self, head: Commit, damage: Damage) -> None:
        repo = self._repo
        store = EmbeddedStore(repo.index, repo.segments, lambda n: leaf_wrapping(repo.profile, n))
        sound = Sound(store, lambda n: leaf_wrapping(repo.profile, n), _room(self._repo.path))
        store.close()
        try:
            done = mend(repo.duplicate(), damage, sound, self.report)
        finally:
            sound.close()
        # The commit before this one is the damaged one: nobody is to go back to that.
        with self._opened() as store:
            _write(store, replace(done, previous=head.previous))
        self.report.repaired("the lost bytes are zeros now", "file")
        self.report.repaired("made again from the metadata map", "directory")
        self.report.repaired("played as far as it could be", "log")
        self.report.repaired("the newest that could be read is the present", "commit")

    def _mend_history(self) -> None:
        """What is damaged of snapshots and older commits still, now that the present is whole: they share blocks."""
        mended = self._history_mended(HistoryCheck.mend)
        left = self._history_mended(HistoryCheck.forget)
        done = {(one.kind, one.snapshot): one.repair for one in (*left, *mended) if one.repair is not None}
        still = {(one.kind, one.snapshot) for one in left}
        for finding in self.report.findings:
            if finding.snapshot is not None and finding.repair is None:
                what = finding.kind, finding.snapshot
                finding.repair = done.get(what, None if what in still else "whole again, with the rest")

    def _history_mended(self, how: Callable[[HistoryCheck, Profile], None]) -> list[Finding]:
        with self._opened() as store:
            sound = Sound(store, lambda n: leaf_wrapping(self._repo.profile, n), _room(self._repo.path))
            try:
                record = store.commit_record()
                left = Report()
                history = HistoryCheck(sound, left)
                history.run(Commit.decode(record) if record is not None else None)
                how(history, self._repo.profile)
            finally:
                sound.close()
        return left.findings

    @contextmanager
    def _opened(self) -> Iterator[EmbeddedStore]:
        repo = self._repo
        store = EmbeddedStore(repo.index, repo.segments, lambda n: leaf_wrapping(repo.profile, n))
        try:
            yield store
        finally:
            store.close()


def _room(repo: Path) -> str:
    """Where a file without a name may lie that grows with the repository."""
    return os.fspath(repo) if os.access(repo, os.W_OK) else tempfile.gettempdir()


def _write(store: EmbeddedStore, head: Commit) -> None:
    """Let this be the newest commit."""
    store.put(head.cid, head.encode())
    store.write(store.take_pending(), head.encode())
