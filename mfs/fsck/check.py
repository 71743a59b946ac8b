"""A check from end to end, and the order in which things are mended."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from mfs.blocks.errors import BlockNotFound
from mfs.blocks.store import EmbeddedStore
from mfs.commit.record import Commit, DamagedCommit
from mfs.file.medium import StoreMedium
from mfs.fsck.mend import mend, remove_bad
from mfs.fsck.pages import IndexFile, Unsound
from mfs.fsck.rebuild import rebuild
from mfs.fsck.report import Finding, Report
from mfs.fsck.salvage import salvage, take_place
from mfs.fsck.sound import REACHED, Sound
from mfs.fsck.tree import Damage, TreeCheck, broken_in
from mfs.gc.collection import CUT
from mfs.history.commits import Reference, log
from mfs.history.names import pins, snapshots
from mfs.history.past import Past, reader
from mfs.journal.items import DamagedLog, NextItem, unpack_items
from mfs.journal.replay import replay
from mfs.log import LogDamaged, Replay, log_numbers
from mfs.meta.btree import BTree
from mfs.meta.node import MalformedNode
from mfs.repo import Repo
from mfs.tree.node import Directory, File
from mfs.tree.record import FIRST_INO, ROOT_INO, DamagedRecord
from mfs.tree.tree import Tree
from mfs.unixfs.cid import CID, DAG_PB, cid_str, codec_of
from mfs.unixfs.dagpb import decode_node
from mfs.unixfs.errors import UnixFSError
from mfs.unixfs.layout import leaf_wrapping

__all__ = ["check"]

Progress = Callable[[str, int, int], None]
"""Called with what is being done ("blocks", "tree"), and how far it is: done, of how much."""

_DAMAGE = (DamagedCommit, DamagedRecord, MalformedNode, BlockNotFound, UnixFSError)


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
    with Repo.open(path, create=False, read_only=not repair) as repo:
        work = _Check(repo, repair, told)
        work.run()
    if repair and work.report.findings:
        # What was mended is looked at again: only what is sound now counts as mended.
        known = {(one.kind, one.path, one.snapshot) for one in work.report.findings if one.repair is None}
        for left in check(repo.path, progress=progress).findings:
            if (left.kind, left.path, left.snapshot) not in known:
                left.what = f"after mending: {left.what}"
                work.report.findings.append(left)
    return work.report


class _Check:
    def __init__(self, repo: Repo, repair: bool, progress: Progress) -> None:
        self._repo = repo
        self._repair = repair
        self._progress = progress
        self.report = Report()
        self._candidates: list[Commit] = []
        self._next_ino = FIRST_INO
        """Inode numbers from here on are not in the log."""

    def run(self) -> None:
        with self._index() as index:
            head, damage, log_damaged = self._look(index)
        if self._repair and head is not None and (damage or log_damaged or self._found("commit")):
            self._mend(head, damage)

    def _found(self, *kinds: str) -> bool:
        return any(finding.kind in kinds for finding in self.report.findings)

    def _find(self, kind: str, what: str, repair: str | None = None, snapshot: str | None = None) -> None:
        self.report.findings.append(Finding(kind, what, snapshot=snapshot, repair=repair))

    # -- the index --------------------------------------------------------------------------------------------------

    @contextmanager
    def _index(self) -> Iterator[Path]:
        """A directory with a sound index: the repository's, or one made from what can be read of that."""
        wrong = self._unsound()
        if wrong is None:
            yield self._repo.index
            return
        self._find("index", wrong)
        if self._repair:
            target = self._repo.path / "index.new"
            shutil.rmtree(target, ignore_errors=True)
            self._candidates = salvage(self._repo.index, target).commits
            kept = take_place(self._repo.index, target)
            self.report.repaired(f"made again from its pages; the old one is {kept.name}", "index")
            yield self._repo.index
            return
        with tempfile.TemporaryDirectory(prefix="mfs-fsck-") as place:
            self._candidates = salvage(self._repo.index, Path(place) / "index").commits
            yield Path(place) / "index"

    def _unsound(self) -> str | None:
        try:
            with IndexFile(self._repo.index) as file:
                for _ in file.check():
                    pass
        except (Unsound, OSError) as error:
            return str(error)
        return None

    # -- what there is ----------------------------------------------------------------------------------------------

    def _look(self, index: Path) -> tuple[Commit | None, Damage, bool]:
        repo = self._repo
        store = EmbeddedStore(
            index, repo.segments, lambda n: leaf_wrapping(repo.profile, n), read_only=not self._repair
        )
        sound: Sound | None = None
        try:
            sound = Sound(store, lambda n: leaf_wrapping(repo.profile, n), tempfile.gettempdir())
            for done in sound.verify():
                self._progress("blocks", done, sound.marks.count)
            self.report.blocks, self.report.bytes = sound.blocks, sound.bytes
            head = self._head(sound)
            damage = self._tree(sound, head) if head is not None else Damage()
            whole = self._history(sound, head)
            log_damaged = self._log(store, sound, head)
            self._pins(sound)
            self._blocks(sound)
            self.report.garbage = sound.garbage()
            if self._repair:
                self._blocks_removed(sound)
                head, damage = self._map(sound, head, damage, whole)
            return head, damage, log_damaged
        finally:
            if sound is not None:
                sound.close()
            store.close()

    def _head(self, sound: Sound) -> Commit | None:
        """The newest commit that can be begun with; None where there never was any."""
        record = sound.store.commit_record()
        wrong = "the index has no commit record"
        if record is not None:
            try:
                head = Commit.decode(record)
                if self._begins(sound, head):
                    return head
                wrong = "what it leads to is not there"
            except DamagedCommit as error:
                wrong = str(error)
        elif not sound.blocks:
            return None
        candidates = self._candidates or self._commits(sound)
        usable = [one for one in candidates if self._begins(sound, one)]
        newest = max(usable, key=lambda commit: commit.time, default=None)
        if newest is None and record is not None and wrong == "what it leads to is not there":
            # Its tree will be made from whichever half is left.
            return Commit.decode(record)
        if newest is None and record is None and not candidates and not sound.bad:
            return None
        self._find("commit", f"the newest commit: {wrong}")
        if newest is not None:
            self.report.findings[-1].what += f"; the one before it is of {newest.time / 1e9:.0f}"
        return newest

    def _begins(self, sound: Sound, commit: Commit) -> bool:
        """Whether the roots of both halves can be read, or one of them at least."""
        found = 0
        for cid in (commit.root, commit.meta):
            try:
                found += cid is not None and bool(sound.get(cid))
            except BlockNotFound:
                continue
        return found > 0

    def _commits(self, sound: Sound) -> list[Commit]:
        """Every block that is a commit."""
        found = []
        last = b""
        while entries := sound.store.entries_behind(last, 256):
            for multihash, kind, where in entries:
                if kind == 0 and multihash not in sound.bad and int.from_bytes(where, "little") < 4096:
                    block = sound.store.get(CID(b"\x01\x55" + multihash))
                    if block.startswith(b'{"log":'):
                        try:
                            found.append(Commit.decode(block))
                        except DamagedCommit:
                            continue
            last = entries[-1][0]
        return found

    def _tree(self, sound: Sound, head: Commit) -> Damage:
        work = TreeCheck(sound, head, self.report)
        for done, _ in enumerate(work.run()):
            self._progress("tree", done * 64, 0)
        return work.damage

    def _history(self, sound: Sound, head: Commit | None) -> bool:
        """Check snapshots and older commits; says whether the unnamed ones are whole."""
        store = sound.store
        try:
            named = snapshots(store)
        except DamagedCommit as error:
            self._find("snapshot", str(error))
            named = []
        for one in named:
            sound.reached(one.commit)
            try:
                commit = Commit.decode(sound.get(one.commit))
            except (BlockNotFound, DamagedCommit) as error:
                self._find("snapshot", f"its commit cannot be read: {error}", snapshot=one.name)
                continue
            for _ in TreeCheck(sound, commit, self.report, one.name).run():
                pass
        if head is None:
            return True
        cut = store.get_meta(CUT)
        known = {one.commit for one in named}
        whole = True
        last = head
        try:
            for older in log(store, Reference(head.cid, head)):
                last = older.commit
                if last is head or older.cid in known:
                    continue
                sound.reached(older.cid)
                self.report.commits += 1
                wrong = next(broken_in(sound, last), None)
                if wrong is not None:
                    whole = False
                    self._find("commit", wrong, snapshot=cid_str(older.cid))
        except DamagedCommit as error:
            whole = False
            self._find("commit", f"an older commit: {error}", snapshot="history")
        previous = last.previous
        if previous is not None and cid_str(previous).encode() != cut and whole and last.cid not in known:
            whole = False
            self._find("commit", f"the older commit {cid_str(previous)} is lost", snapshot="history")
        return whole

    def _pins(self, sound: Sound) -> None:
        try:
            found = pins(sound.store)
        except DamagedCommit as error:
            self._find("snapshot", str(error))
            return
        for pin in found:
            waiting = [pin.cid]
            while waiting:
                cid = waiting.pop()
                if codec_of(cid) != DAG_PB:
                    sound.reached(cid)
                    if sound.length(cid) is None:
                        self._find("snapshot", f"of the pin the block {cid_str(cid)} is lost", snapshot=pin.name)
                    continue
                try:
                    if sound.leaf_pieces(cid) is None:
                        waiting += [link.hash for link in decode_node(sound.get(cid)).links]
                except (BlockNotFound, UnixFSError) as error:
                    self._find("snapshot", f"of the pin: {error}", snapshot=pin.name)
                sound.reached(cid)

    def _blocks(self, sound: Sound) -> None:
        for multihash, wrong in sound.bad.items():
            needed = (sound.marks.get(multihash) or 0) & REACHED
            whose = "" if needed else " (nothing leads to it)"
            self._find("block", f"{multihash.hex()}: {wrong}{whose}")

    # -- the log ----------------------------------------------------------------------------------------------------

    def _log(self, store: EmbeddedStore, sound: Sound, head: Commit | None) -> bool:
        """Play the log in memory; says whether it is damaged."""
        before = len(self.report.findings)
        if head is None and not log_numbers(self._repo.log):
            return False
        restored: dict[int, int] = {}

        def restore(segment: int, offset: int, data: bytes) -> None:
            restored[segment] = max(restored.get(segment, 0), offset + len(data))

        medium = StoreMedium(store, self._repo.profile)
        meta = BTree(sound.get, store.put, head.meta if head is not None else None)
        tree = Tree(meta, medium, head.next_ino if head is not None else FIRST_INO)
        if head is None:
            tree.nodes[ROOT_INO] = root = Directory(ROOT_INO, 0o40755, 0, 0, 0)
            tree.touched(root)
        try:
            for record in Replay(self._repo.log, head.log if head is not None else 1):
                for item in unpack_items(record):
                    if isinstance(item, NextItem):
                        self._next_ino = max(self._next_ino, item.ino)
                replay(tree, record, restore)
        except LogDamaged as error:
            self._find("log", str(error.strerror))
        except (DamagedLog, OSError, *_DAMAGE) as error:
            # What it says may be of a file that is lost: then it is no damage of its own.
            if not self._found("file", "map", "inode", "block", "commit"):
                self._find("log", str(error))
        for node in tree.dirty.values():
            if isinstance(node, File):
                self._written(store, node, restored)
        return len(self.report.findings) > before

    def _written(self, store: EmbeddedStore, file: File, restored: dict[int, int]) -> None:
        lost = []
        for index, leaf in sorted(file.content.leaves.items()):
            for number, offset, length in leaf.pieces or ():
                if number and offset + length > max(store.segments.size(number), restored.get(number, 0)):
                    start = index * file.content.medium.chunk
                    lost.append((start, start + leaf.length))
                    break
        if lost:
            path = file.references[0][1] if file.references else None
            self.report.findings.append(
                Finding("file", "bytes that were fsynced after the last commit are lost", path, ranges=lost)
            )

    # -- mending ----------------------------------------------------------------------------------------------------

    def _blocks_removed(self, sound: Sound) -> None:
        if sound.bad:
            remove_bad(sound)
            self.report.repaired("removed", "block")

    def _map(self, sound: Sound, head: Commit | None, damage: Damage, whole: bool) -> tuple[Commit | None, Damage]:
        """Make the metadata map whole, and the commit begin with it."""
        if head is None:
            return None, damage
        if not whole:
            # History ends here, so that nothing is promised that is not there.
            head = replace(head, previous=None)
            for finding in self.report.findings:
                if finding.kind == "commit" and finding.snapshot is not None:
                    finding.repair = "forgotten, with everything older that has no name"
        if damage.lost or damage.links:
            older = [one for one in self._commits(sound) if one.time <= head.time and one.meta != head.meta]
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
        sound.store.write(sound.store.take_pending(), head.encode())
        return head, damage

    def _new_loss(self, sound: Sound, head: Commit, ino: int, lost: list[tuple[int, int]]) -> None:
        """Tell of a file whose record was found again only now."""
        past = Past(reader(sound.store, head.meta))
        inode = past.inode(ino)
        path = past.path(*inode.references[0]) if inode is not None and inode.references else None
        if not any(one.kind == "file" and one.path == path and one.snapshot is None for one in self.report.findings):
            count = sum(stop - start for start, stop in lost)
            self.report.findings.append(Finding("file", f"{count} bytes are lost", path, ranges=list(lost)))

    def _mend(self, head: Commit, damage: Damage) -> None:
        repo = self._repo
        store = EmbeddedStore(repo.index, repo.segments, lambda n: leaf_wrapping(repo.profile, n))
        sound = Sound(store, lambda n: leaf_wrapping(repo.profile, n), tempfile.gettempdir())
        store.close()
        try:
            done = mend(repo.duplicate(), head, damage, sound, self.report)
        finally:
            sound.close()
        # The commit before this one is the damaged one: nobody is to go back to that.
        store = EmbeddedStore(repo.index, repo.segments, lambda n: leaf_wrapping(repo.profile, n))
        try:
            record = replace(done, previous=head.previous)
            store.write(store.take_pending(), record.encode())
        finally:
            store.close()
        self.report.repaired("the lost bytes are zeros now", "file")
        self.report.repaired("made again from the metadata map", "directory")
        self.report.repaired("played as far as it could be", "log")
        for finding in self.report.findings:
            if finding.kind == "commit" and finding.repair is None:
                finding.repair = "the newest that could be read is the present"
