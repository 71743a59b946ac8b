"""When commits happen, and what follows from one that is durable."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from mfs.commit.build import Builder, Built
from mfs.commit.point import PointInTime
from mfs.commit.reclaim import Reclaimer, Window
from mfs.commit.record import Commit
from mfs.file.medium import StoreMedium
from mfs.journal.journal import Journal
from mfs.tree.node import Directory, File
from mfs.tree.tree import Tree
from mfs.tree.xattrs import saved

logger = logging.getLogger("mfs")

AFTER_CHANGE = 5.0
"""Seconds from the first change after a commit to the next commit."""
MANY_NODES = 16_000
MANY_LEAVES = 50_000
"""More changed nodes, or changed leaves of one file, are committed at once: so memory stays bounded."""
_LOOK = 0.25
_RETRY_MAX = 60.0


class Committer:
    """Commits of one volume.  ``head`` is the newest that is durable.

    `drop_logs` removes the logs below a number, in a worker thread.

    A failed commit leaves the tree as it is and everything to be committed still; it is tried again, and who asked for
    one is told.
    """

    def __init__(
        self, tree: Tree, medium: StoreMedium, journal: Journal, head: Commit, drop_logs: Callable[[int], None]
    ) -> None:
        self.head = head
        self._tree = tree
        self._medium = medium
        self._store = medium.store
        self._journal = journal
        self._drop_logs = drop_logs
        self._lock = trio.Lock()
        self._flushing = trio.Lock()
        self._reclaimer = Reclaimer(tree, journal, medium.store)
        self._changed = trio.Event()
        self.on_landed: Callable[[], None] | None = None
        """Called when a commit is durable and in effect."""
        tree.on_change = self._on_change
        if tree.dirty:
            self._on_change()

    def _on_change(self) -> None:
        self._changed.set()

    async def run(self) -> None:
        """Commit when it is time, for ever."""
        pause = AFTER_CHANGE
        while True:
            await self._changed.wait()
            await self._until_due(pause)
            try:
                await self.commit()
            except Exception as error:
                # Whatever it was: what is not committed can still be read, written and fsynced.
                pause = min(max(pause, AFTER_CHANGE) * 2, _RETRY_MAX)
                trace = None if isinstance(error, OSError) else error
                logger.error("commit failed, trying again in %.0f s: %s", pause, error, exc_info=trace)
                self._changed.set()
            else:
                pause = AFTER_CHANGE

    async def _until_due(self, pause: float) -> None:
        due = trio.current_time() + pause
        while trio.current_time() < due:
            await trio.sleep(min(_LOOK, pause))
            if not self._tree.dirty:
                return
            if pause <= AFTER_CHANGE and (len(self._tree.dirty) > MANY_NODES or self._many_leaves()):
                return

    def _many_leaves(self) -> bool:
        return any(
            isinstance(node, File) and len(node.content.leaves) > MANY_LEAVES for node in self._tree.dirty.values()
        )

    def _behind(self) -> bool:
        return len(self._tree.dirty) > MANY_NODES

    @property
    def settled(self) -> bool:
        """Whether everything done so far is in :attr:`head`."""
        return not self._tree.dirty and not self._lock.locked()

    async def commit(self) -> Commit:
        """Make everything done so far part of a durable commit, and say which.

        OSError: the disk did not take it; nothing is lost from memory or from the log.
        """
        async with self._lock:
            if self._tree.dirty:
                with trio.CancelScope(shield=True):
                    await self._commit()
            return self.head

    @asynccontextmanager
    async def at_once(self) -> AsyncIterator[None]:
        """What is done meanwhile is in one commit, whole: neither a commit nor an fsync sees a part of it.

        The commit is durable when this returns.  OSError: the disk did not take it, and it is to be committed still.
        """
        with trio.CancelScope(shield=True):
            async with self._lock:
                async with self._journal.lock:
                    yield
                if self._tree.dirty:
                    await self._commit()

    @asynccontextmanager
    async def between(self) -> AsyncIterator[None]:
        """No commit is under way meanwhile, and everything that was put before is in the index."""
        async with self._lock:
            await self._flush()
            yield

    async def _commit(self) -> None:
        point, window = await self._point()
        builder = Builder(point, self._tree.meta, self._medium, self._flush, self._behind)
        try:
            built = await builder.run()
            commit = self._sealed(point, built)
            record = commit.encode()
            await self._flush(record)
        except BaseException:
            point.put_back(self._tree)
            self._journal.failed()
            self._reclaimer.failed(window)
            self._changed.set()
            raise
        self._land(point, built)
        self.head = commit
        if self.on_landed is not None:
            self.on_landed()
        self._journal.landed(point.log)
        await self._drop_old_logs(point.log)
        await self._reclaimer.reclaim(window)
        self._tree.trim()

    async def _drop_old_logs(self, below: int) -> None:
        try:
            await trio.to_thread.run_sync(self._drop_logs, below)
        except OSError as error:
            # The commit stands: whatever is left of them is not looked at again, and the next commit tries anew.
            logger.warning("logs below %d could not be removed: %s", below, error)

    async def _point(self) -> tuple[PointInTime, Window]:
        while True:
            log = await self._journal.prepare()
            async with self._journal.lock:
                if log is None and not self._journal.fresh:
                    # A record came while we waited: played back onto this commit, it would undo part of it.
                    continue
                point = PointInTime(self._tree, self._journal.switch(log))
                self._changed = trio.Event()
                return point, self._reclaimer.begin()

    def _sealed(self, point: PointInTime, built: Built) -> Commit:
        previous = None
        if self.head.root is not None:
            previous = self.head.cid
            self._store.put(previous, self.head.encode())
        if built.root is None:
            raise OSError("the root directory has no CID")
        commit = Commit(built.root, built.meta, previous, point.time, point.next_ino, point.log)
        # Once more, under its CID: should the record be damaged one day, this is how it is found.
        self._store.put(commit.cid, commit.encode())
        return commit

    async def flush(self) -> None:
        """Make the blocks and small records that were put so far durable.  OSError: the disk did not take them."""
        await self._flush()

    async def _flush(self, record: bytes | None = None) -> None:
        """Write what was put so far; with `record`, the commit with it."""
        with trio.CancelScope(shield=True):
            # A batch that was taken has to be written, or to fail.
            async with self._flushing:
                batch = self._store.take_pending()
                await trio.to_thread.run_sync(self._store.write, batch, record)

    def _land(self, point: PointInTime, built: Built) -> None:
        self._tree.meta.root = built.meta
        for changed in point.xattrs:
            saved(changed.node, changed.xattrs or {})
        for ino, link in built.links.items():
            taken = point.nodes.get(ino)
            node = taken.node if taken is not None else self._tree.nodes.get(ino)
            if node is None:
                continue
            node.cid, node.tsize = link.cid, link.tsize
            if isinstance(node, File) and taken is not None and taken.content is not None:
                node.content.end_commit(taken.content, link.cid, link.tsize, changed=ino not in built.unchanged)
                if ino not in self._tree.dirty:
                    node.carried = False
            elif isinstance(node, Directory):
                node.stats = built.stats[ino]
