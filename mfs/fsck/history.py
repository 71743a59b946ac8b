"""What names keep, and what came before: snapshots, pins, older commits."""

from __future__ import annotations

from dataclasses import dataclass, replace

import trio

from mfs.blocks.errors import BlockNotFound
from mfs.commit.build import Builder
from mfs.commit.point import PointInTime
from mfs.commit.record import Commit, DamagedCommit
from mfs.file.medium import StoreMedium
from mfs.fsck.heads import commits_in
from mfs.fsck.mending import Mender, rebuild
from mfs.fsck.report import Finding, Report
from mfs.fsck.sound import PINNED, Sound
from mfs.fsck.tree import Damage, TreeCheck, broken_in
from mfs.gc.collection import CUT
from mfs.history import names
from mfs.history.commits import Reference, log
from mfs.meta.btree import BTree
from mfs.tree.record import ROOT_INO
from mfs.tree.tree import Tree
from mfs.unixfs.cid import CID, DAG_PB, cid_str, codec_of
from mfs.unixfs.dagpb import decode_node
from mfs.unixfs.errors import UnixFSError
from mfs.unixfs.profile import Profile

__all__ = ["HistoryCheck"]


@dataclass
class _Snapshot:
    """One that is damaged; `commit` is None where that cannot be read, `kept` the name as it is recorded."""

    name: str
    kept: names.Snapshot | None
    commit: Commit | None
    damage: Damage


class HistoryCheck:
    """Checks what is not the present tree, and mends it."""

    def __init__(self, sound: Sound, report: Report) -> None:
        self._sound = sound
        self._report = report
        self._damaged: list[_Snapshot] = []
        self._known: set[CID] = set()
        self._bad_pins: list[str] = []
        self._end: CID | None = None
        """The newest of the older commits that is damaged: history is to end there."""

    def run(self, head: Commit | None) -> None:
        """Check everything but `head` itself."""
        for key in self._sound.store.metas(names.SNAPSHOT):
            self._snapshot(key[len(names.SNAPSHOT) :].decode("utf-8", "replace"))
        if head is not None:
            self._older(head)
        for key in self._sound.store.metas(names.PIN):
            self._pin(key[len(names.PIN) :].decode("utf-8", "replace"))

    def _find(self, kind: str, what: str, name: str) -> None:
        self._report.findings.append(Finding(kind, what, snapshot=name))

    # -- snapshots --------------------------------------------------------------------------------------------------

    def _snapshot(self, name: str) -> None:
        sound = self._sound
        kept: names.Snapshot | None = None
        try:
            kept = names.snapshot_named(sound.store, name)
            if kept is None:
                return
            sound.reached(kept.commit)
            commit = Commit.decode(sound.get(kept.commit))
        except (BlockNotFound, DamagedCommit) as error:
            self._find("snapshot", f"its commit cannot be read: {error}", name)
            self._damaged.append(_Snapshot(name, kept, None, Damage()))
            return
        self._known.add(kept.commit)
        work = TreeCheck(sound, commit, self._report, name)
        for _ in work.run():
            pass
        if work.damage:
            self._damaged.append(_Snapshot(name, kept, commit, work.damage))

    def mend(self, profile: Profile) -> None:
        """Give each damaged snapshot's name to what is left of it, durably.  What is pinned is what it is, or lost."""
        store = self._sound.store
        for name in self._bad_pins:
            names.remove(store, names.PIN, name)
            self._report.repaired("the name was taken away", "pin", snapshot=name)
        for one in self._damaged:
            if one.kept is None or one.commit is None:
                store.set_meta(names.SNAPSHOT + one.name.encode("utf-8", "replace"), None)
                self._report.repaired("the name was taken away", "snapshot", snapshot=one.name)
                store.sync()
                continue
            made = self._mended(profile, one.name, one.commit, one.damage)
            store.put(made.cid, made.encode())
            names.remove(store, names.SNAPSHOT, one.name)
            names.add_snapshot(store, one.name, made.cid, one.kept.made)
            store.sync()
            self._report.repaired(
                "made again of what is left", *("map", "inode", "directory", "commit"), snapshot=one.name
            )
            self._report.repaired("the lost bytes are zeros now", "file", snapshot=one.name)

    def _mended(self, profile: Profile, name: str, commit: Commit, damage: Damage) -> Commit:
        sound = self._sound
        if damage.lost or damage.links:
            before = len(self._report.findings)
            older = [one for one in commits_in(sound) if one.time <= commit.time and one.meta != commit.meta]
            made = rebuild(sound, commit, sorted(older, key=lambda one: -one.time), self._report)
            commit = replace(commit, meta=made.meta, next_ino=made.next_ino)
            sound.store.sync()
            again = TreeCheck(sound, commit, Report(), name)
            for _ in again.run():
                pass
            again.damage.directories |= damage.directories | made.directories
            damage = again.damage
            for finding in self._report.findings[before:]:
                finding.snapshot = name
        return trio.run(self._built, profile, commit, damage)

    async def _built(self, profile: Profile, commit: Commit, damage: Damage) -> Commit:
        store = self._sound.store
        medium = StoreMedium(store, profile)
        tree = Tree(BTree(store.get, store.put, commit.meta), medium, commit.next_ino)
        Mender(damage, self._sound, self._report).mend(tree, medium)
        tree.touched(tree.node(ROOT_INO))

        async def flush() -> None:
            store.sync()

        point = PointInTime(tree, commit.log)
        built = await Builder(point, tree.meta, medium, flush).run()
        return replace(commit, root=built.root, meta=built.meta, next_ino=point.next_ino)

    # -- older commits ----------------------------------------------------------------------------------------------

    def _older(self, head: Commit) -> None:
        sound = self._sound
        cut = sound.store.get_meta(CUT)
        last = head
        sound.reached(head.cid)
        try:
            for older in log(sound.store, Reference(head.cid, head)):
                last = older.commit
                if last is head:
                    continue
                sound.reached(older.cid)
                wrong = self._wrong(older)
                if wrong is not None and self._end is None:
                    self._end = older.cid
                if wrong:
                    self._find("commit", wrong, cid_str(older.cid))
        except DamagedCommit as error:
            self._end = self._end or last.previous
            self._find("commit", f"an older commit: {error}", "history")
            return
        previous = last.previous
        if previous is not None and cid_str(previous).encode() != cut:
            self._end = self._end or previous
            if not self._is_damaged(previous):
                self._find("commit", f"the older commit {cid_str(previous)} is lost", "history")

    def _is_damaged(self, cid: CID) -> bool:
        """Whether it is that of a snapshot of which it was told already."""
        return any(one.kept is not None and one.kept.commit == cid for one in self._damaged)

    def _wrong(self, older: Reference) -> str | None:
        """What is wrong with it, nothing where it was told of already; None where it is sound."""
        if older.cid in self._known:
            return "" if self._is_damaged(older.cid) else None
        self._report.commits += 1
        return next(broken_in(self._sound, older.commit), None)

    def forget(self, profile: Profile) -> None:
        """End history before the newest damaged commit, so that nothing is promised that is not there; durably."""
        if self._end is None:
            return
        store = self._sound.store
        store.delete(self._end)
        store.set_meta(CUT, cid_str(self._end).encode())
        store.sync()
        for finding in self._report.findings:
            if finding.kind == "commit" and finding.snapshot is not None and finding.repair is None:
                finding.repair = "forgotten, with everything older that has no name"

    # -- pins -------------------------------------------------------------------------------------------------------

    def _pin(self, name: str) -> None:
        try:
            found = names.pin_named(self._sound.store, name)
        except DamagedCommit as error:
            self._find("pin", str(error), name)
            self._bad_pins.append(name)
            return
        if found is not None:
            self._pinned(name, found.cid)

    def _pinned(self, name: str, root: CID) -> None:
        sound = self._sound
        waiting = [root]
        lost: set[CID] = set()
        while waiting:
            cid = waiting.pop()
            if cid in lost or sound.reached(cid, PINNED) & PINNED:
                continue
            if codec_of(cid) != DAG_PB:
                if sound.length(cid) is None:
                    lost.add(cid)
                    self._find("pin", f"the block {cid_str(cid)} is lost", name)
                continue
            try:
                if sound.leaf_pieces(cid) is None:
                    waiting += [link.hash for link in decode_node(sound.get(cid)).links]
            except (BlockNotFound, UnixFSError) as error:
                lost.add(cid)
                self._find("pin", str(error), name)
