"""Disks that fail beneath a repository while a mount of it is worked on at random.

Whoever asks for something is told that it failed, and then nothing of it has happened: the model takes it back.
"""

from __future__ import annotations

import contextlib
import copy
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

from mfs.tests.crash_model import Node, look
from mfs.tests.crash_steps import PROFILE
from mfs.tests.mounting import Mount, mounted
from mfs.tests.power_work import HURRIED, PowerActor, Promises, Worked
from tools.powercut.faults import Fault
from tools.powercut.recording import Recording, recording

FAULTS = (
    (("write",), errno.ENOSPC),
    (("create",), errno.ENOSPC),
    (("create", "write", "resize"), errno.ENOSPC),
    (("write",), errno.EIO),
    (("sync",), errno.EIO),
    (("create", "names", "resize", "zero"), errno.EIO),
    (("create", "names", "resize", "zero", "write", "sync"), errno.EIO),
)
"""What can be refused, and with what.  Not reading: LMDB maps its file, and a page that cannot be read kills."""

_COMPLAINT = re.compile(r"(ERROR mfs: commit failed|WARNING mfs: (logs below|bytes)|ERROR mfs: .*could not)")


class Refused(Exception):
    """The disk failed, and the caller was told."""


class FaultActor(PowerActor):
    """Does random things, and takes them back in the model where they were refused."""

    def __init__(self, mount: Mount, seed: int, promises: Promises, disk: Recording) -> None:
        super().__init__(mount, seed, promises)
        self._steps = [(weight, step) for weight, step in self._steps if step != self.remount]
        self.disk = disk
        self.refused = 0
        self._before: dict[str, object] = {}
        self._nodes: dict[object, dict[str, object]] = {}
        self._failing = False

    def tell(self, what: str) -> None:
        super().tell(what)
        model = self.model
        self._before = {name: copy.copy(value) for name, value in vars(model).items()}
        nodes = {named.node for _, paths in model.history for named in paths.values()}
        self._nodes = {node: {name: copy.copy(value) for name, value in vars(node).items()} for node in nodes}

    def _take_back(self) -> None:
        vars(self.model).update(self._before)
        for node, was in self._nodes.items():
            vars(node).update(was)
        self.model.taken_back()

    @contextlib.contextmanager
    def _alive(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if not self._failing or error.errno not in (errno.ENOSPC, errno.EIO):
                raise AssertionError(self.complaint(f"{error}")) from error
            super().tell(f"refused: {error}")
            self._take_back()
            self.refused += 1
            raise Refused from error

    def cut_short(self, node: Node, data: bytes) -> None:
        if not self._failing:
            super().cut_short(node, data)
        super().tell(f"refused from byte {len(data)} on")
        node.versions[-1] = (self.model.step, data)
        self.model.taken_back()
        self.refused += 1

    def fail(self, fault: Fault | None) -> None:
        """The disk fails from now on as `fault` says; with None it no longer does."""
        super().tell(f"disk: {fault}")
        self._failing = fault is not None
        self.disk.fault(fault)

    def play(self, steps: int) -> None:
        weights = [weight for weight, _ in self._steps]
        try:
            for _ in range(steps):
                (_, step) = self.random.choices(self._steps, weights)[0]
                with contextlib.suppress(Refused):
                    step()
        finally:
            if not self._failing:
                self._close()

    def is_whole(self) -> None:
        """Everything is there as the model has it, and a commit makes it durable."""
        if complaint := self.model.now(look(self.mount.path)):
            raise AssertionError(self.complaint(complaint))
        self.commit()


def forgiven(mount: Mount) -> None:
    """The server has complained of nothing but the disk; forget that it has."""
    strange = [line for line in mount.logged().splitlines() if not _COMPLAINT.match(line)]
    if strange:
        raise AssertionError("\n".join(strange))
    if mount.log.exists():
        os.truncate(mount.log, 0)


def worked_with_faults(log: Path, seed: int, rounds: int, steps: int) -> tuple[Worked, int]:
    """Work on a new repository whose disk fails again and again; also says how often somebody was refused something."""
    with recording(log) as disk:
        promises = Promises(disk)
        with mounted(disk.path / "repo", profile=PROFILE.name, filesystem=HURRIED) as mount:
            actor = FaultActor(mount, seed, promises, disk)
            actor.play(steps)
            for _ in range(rounds):
                kinds, code = actor.random.choice(FAULTS)
                times = actor.random.choice([0, 1, 1, 2])
                actor.fail(Fault(kinds, code, after=actor.random.randrange(12), times=times))
                actor.play(steps)
                actor.fail(None)
                actor.is_whole()
                actor.play(steps // 2)
            mount.umount()
            actor.model.committed()
            forgiven(mount)
        return Worked(disk.events(), promises), actor.refused
