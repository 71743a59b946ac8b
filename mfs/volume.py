"""An opened repository: its store, its tree, its journal and its commits, put together.

Opening reads the newest commit, plays back what was fsynced since, gives back the bytes nobody points to, and makes
what was played back a commit of its own::

    async with trio.open_nursery() as nursery:
        with Volume.open(path) as volume:
            nursery.start_soon(volume.run)
            ...
            await volume.commit()
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Protocol

import trio

from mfs.blocks.errors import BlockNotFound, IndexDamaged
from mfs.blocks.store import EmbeddedStore
from mfs.commit.committer import Committer
from mfs.commit.record import Commit, DamagedCommit
from mfs.file.content import Content
from mfs.file.examine import examine
from mfs.file.medium import StoreMedium
from mfs.ipns.naming import Naming
from mfs.journal.items import DamagedLog
from mfs.journal.journal import Journal, RecordTooLong
from mfs.journal.replay import replay
from mfs.log import Log, Replay, drop_logs, log_numbers
from mfs.meta.btree import BTree
from mfs.meta.node import MalformedNode
from mfs.pace import Pace
from mfs.repo import Repo, RepoDamaged
from mfs.tree.node import Directory, File, Node
from mfs.tree.record import FIRST_INO, ROOT_INO, DamagedRecord
from mfs.tree.tree import Tree
from mfs.unixfs.layout import leaf_wrapping
from mfs.views import Views

CROWDED = 24_000
"""Changed nodes that wait for a commit, at a kilobyte each, before whoever changes another one has to wait too."""


class Mending(Protocol):
    """What knows how to go on where a volume is damaged."""

    def play(self, tree: Tree, medium: StoreMedium, logs: Replay, restore: Callable[[int, int, bytes], None]) -> None:
        """Mend the tree of the newest commit, and play back as much of the log as can be."""


class Volume:
    """One mutable file system, opened; made by :meth:`open`.

    Everything belongs to one thread but what says otherwise.  ``tree`` is what there is, ``journal`` makes `fsync`
    durable, ``store`` keeps the blocks, ``profile`` decides their CIDs; ``views`` are the trees that cannot be changed,
    ``naming`` the keys and what they lead to.
    """

    def __init__(
        self, repo: Repo, store: EmbeddedStore, tree: Tree, medium: StoreMedium, journal: Journal, head: Commit
    ) -> None:
        self.repo = repo
        self.store = store
        self.tree = tree
        self.profile = repo.profile
        self.journal = journal
        self.views = Views(tree, medium, (os.getuid(), os.getgid()))
        self._room = trio.Lock()
        self._examining = trio.Lock()
        self._medium = medium
        self.naming = Naming(repo.path, tree)
        self._committer = Committer(tree, medium, journal, head, lambda below: drop_logs(repo.log, below))
        self._committer.on_landed = self.naming.committed

    @classmethod
    def open(
        cls, path: str | os.PathLike[str] | None = None, *, profile: str | None = None, create: bool = True
    ) -> Volume:
        """Open the repository at `path`, or make one there; see :meth:`mfs.repo.Repo.open` for the arguments.

        Raises what that does; :class:`~mfs.repo.RepoDamaged` also where the newest commit, or the log behind it,
        cannot be read.  OSError: the disk.
        """
        repo = Repo.open(path, profile=profile, create=create)
        try:
            return cls._opened(repo)
        except (DamagedCommit, DamagedLog, DamagedRecord, MalformedNode, BlockNotFound, IndexDamaged) as error:
            repo.close()
            raise RepoDamaged(repo.path, str(error), repo.index) from error
        except BaseException:
            repo.close()
            raise

    @classmethod
    def mended(cls, repo: Repo, mending: Mending) -> Volume:
        """Open a repository whose newest commit can be read, and not all that it leads to.  (For `mfs fsck`.)

        DamagedCommit, OSError.
        """
        return cls._opened(repo, mending)

    @classmethod
    def _opened(cls, repo: Repo, mending: Mending | None = None) -> Volume:
        if not repo.has_index() and (log_numbers(repo.log) or any(repo.segments.rglob("*"))):
            # An empty one would be made, and then everything be given back that it does not lead to.
            raise RepoDamaged(repo.path, "the block index is missing", repo.index)
        profile = repo.profile
        store = EmbeddedStore(repo.index, repo.segments, lambda n: leaf_wrapping(profile, n))
        try:
            record = store.commit_record()
            head = Commit.decode(record) if record is not None else None
            meta = BTree(store.get, store.put, head.meta if head is not None else None)
            medium = StoreMedium(store, profile)
            tree = Tree(meta, medium, head.next_ino if head is not None else FIRST_INO)
            if head is None:
                root = Directory(ROOT_INO, 0o40755, os.getuid(), os.getgid(), time.time_ns())
                tree.nodes[ROOT_INO] = root
                tree.touched(root)
            if head is None and not log_numbers(repo.log):
                log = Log(repo.log, 1)
            else:
                # Without a commit there may be logs still: what was fsynced before the first one was durable.
                logs = Replay(repo.log, head.log if head is not None else 1)
                if mending is None:
                    for one in logs:
                        replay(tree, one, store.segments.restore)
                else:
                    mending.play(tree, medium, logs, store.segments.restore)
                log = Log(repo.log, logs.seq + 1, after=logs.end)
            _give_back(store, tree)
            journal = Journal(tree, store.segments, log, lambda seq, after: Log(repo.log, seq, after=after))
            return cls(repo, store, tree, medium, journal, head or Commit.first(tree.clock(), log.seq))
        except BaseException:
            store.close()
            raise

    @property
    def path(self) -> str:
        """The directory of the repository."""
        return os.fspath(self.repo.path)

    @property
    def head(self) -> Commit:
        """The newest commit that is durable."""
        return self._committer.head

    @property
    def settled(self) -> bool:
        """Whether everything done so far is in :attr:`head`."""
        return self._committer.settled

    async def run(self) -> None:
        """Hash what is written and commit it from time to time, for ever."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._medium.hash_full_leaves)
            nursery.start_soon(self._committer.run)
            nursery.start_soon(self.naming.run)

    async def commit(self) -> Commit:
        """Make everything done so far part of a durable commit, and say which.  OSError: the disk did not take it."""
        return await self._committer.commit()

    def at_once(self) -> AbstractAsyncContextManager[None]:
        """What is done inside is in one commit, whole; :meth:`mfs.commit.committer.Committer.at_once`."""
        return self._committer.at_once()

    def between_commits(self) -> AbstractAsyncContextManager[None]:
        """No commit is under way inside; :meth:`mfs.commit.committer.Committer.between`."""
        return self._committer.between()

    async def flush(self) -> None:
        """Make blocks and small records that were put into the store durable.  OSError: the disk did not take them."""
        await self._committer.flush()

    async def room(self) -> None:
        """Return when no more than :data:`CROWDED` changed nodes wait for a commit.  OSError: commits fail."""
        async with self._room:
            if len(self.tree.dirty) >= CROWDED:
                await self.commit()

    async def examine(self, content: Content) -> None:
        """Look a file over that somebody else laid out, so that it can be changed.

        OSError: EIO where a block is missing or unsound, EFBIG where it is too large for that.
        """
        async with self._examining:
            if content.foreign and not content.examined:
                await Pace().run(examine(content, self._medium))

    def synced(self, node: Node) -> Future[None] | Awaitable[None]:
        """Done when everything done to `node` so far can no longer be lost.  OSError: the disk did not take it.

        A future, which the thread that waited for the disk completes, where nothing else is being written.
        """
        return self.journal.sync_at_once(node) or self.sync(node)

    async def sync(self, node: Node) -> None:
        """Return when everything done to `node` so far can no longer be lost.  OSError: the disk did not take it."""
        try:
            await self.journal.sync(node)
        except RecordTooLong:
            await self.commit()

    def close(self) -> None:
        """Let go of everything.  What was neither committed nor fsynced is lost."""
        self.journal.close()
        self.store.close()
        self.repo.close()

    def __enter__(self) -> Volume:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _give_back(store: EmbeddedStore, tree: Tree) -> None:
    """Give back what lies behind the last byte that a commit or the log points to: nobody knows it any more."""
    ends = store.segment_ends()
    live: dict[int, list[tuple[int, int]]] = {}
    for node in tree.dirty.values():
        if isinstance(node, File):
            for leaf in node.content.leaves.values():
                for number, offset, length in leaf.pieces or ():
                    live.setdefault(number, []).append((offset, offset + length))
    for number in list(store.segments.numbers()):
        for first, last in store.segments.garbage(number, live.get(number, ()), ends.get(number, 0)):
            store.segments.punch(number, first, last - first)
