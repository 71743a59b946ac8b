"""Power cuts beneath a repository: it lies on a file system that records, a mount of it is worked on at random, and the
disks that cuts could have left are opened and held against what was promised by then.

The model (`crash_model`) is kept as it was at every step and after every `fsync` and commit, and the recording has a
mark for each: so what was promised at any point of the recording is known.
"""

from __future__ import annotations

import os
import pickle
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import trio

from mfs.fsck import check
from mfs.tests.crash_model import XATTR, Found, Model, Node, look
from mfs.tests.crash_steps import PROFILE, Actor
from mfs.tests.mounting import Mount, mounted
from mfs.tests.volume_work import built, content, said
from mfs.tree.node import Directory, File, Symlink
from mfs.tree.record import ROOT_INO
from mfs.tree.xattrs import get_xattr
from mfs.volume import Volume
from tools.powercut.disk import Model as Durability
from tools.powercut.events import Event
from tools.powercut.recording import Recording, recording
from tools.powercut.trial import Trial, trials

HURRIED = "mfs.tests.hurried:Hurried"
"""The file system that commits all the time by itself."""

_TEMPORARY = "/dev/shm" if os.path.isdir("/dev/shm") else None


class Promises:
    """What was promised, by the number of marks in the recording."""

    def __init__(self, recorded: Recording) -> None:
        self._recorded = recorded
        self._kept: list[bytes] = []

    def add(self, model: Model) -> None:
        """This holds from now on."""
        self._kept.append(pickle.dumps(vars(model)))
        self._recorded.mark(str(len(self._kept)))

    def at(self, marks: int) -> Model:
        """What holds after so many marks."""
        model = Model({})
        vars(model).update(pickle.loads(self._kept[marks - 1]))
        return model


class PromisingModel(Model):
    """Makes a promise whenever it changes."""

    def __init__(self, found: Mapping[str, Found], promises: Promises) -> None:
        super().__init__(found)
        self._promise = promises.add
        self._told()

    def _remember(self) -> None:
        super()._remember()
        self._told()

    def synced(self, node: Node) -> None:
        super().synced(node)
        self._told()

    def committed(self) -> None:
        super().committed()
        self._told()

    def taken_back(self) -> None:
        """The last step never was."""
        self._told()

    def _told(self) -> None:
        promise = vars(self).pop("_promise", None)
        if promise is not None:
            promise(self)
            self._promise = promise


class PowerActor(Actor):
    """Does random things to a mount, but never kills its server."""

    def __init__(self, mount: Mount, seed: int, promises: Promises) -> None:
        super().__init__(mount, seed)
        self.model: PromisingModel = PromisingModel(look(mount.path), promises)
        self._steps = [(weight, step) for weight, step in self._steps if step not in (self.kill, self.kill_soon)]

    def kill(self) -> None:
        """In the end everything is closed, and that is all."""


@dataclass(frozen=True)
class Worked:
    """What was recorded beneath one mount, and what was promised meanwhile."""

    events: list[Event]
    promises: Promises


def worked(log: Path, seed: int, steps: int, *, filesystem: str = HURRIED) -> Worked:
    """Work on a new repository in a recording file system, from before it is there to after it was unmounted."""
    with recording(log) as recorded:
        promises = Promises(recorded)
        with mounted(recorded.path / "repo", profile=PROFILE.name, filesystem=filesystem) as mount:
            actor = PowerActor(mount, seed, promises)
            actor.play(steps)
            mount.umount()
            actor.model.committed()
        return Worked(recorded.events(), promises)


@dataclass
class Figures:
    """What came of many disks. Bytes are those of files that had to be there."""

    points: int = 0
    disks: int = 0
    bytes_promised: int = 0
    bytes_lost: int = 0

    def add(self, other: Figures) -> None:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    def __str__(self) -> str:
        return "\n".join(f"{name}\t{value}" for name, value in vars(self).items())


def tried(
    work: Worked, disks: int, seed: str, *, durability: Durability, sector: int = 512
) -> tuple[Figures, list[str]]:
    """Try so many disks; says what was counted, and what is wrong with which."""
    figures, complaints = Figures(), []
    points = set()
    for number, trial in enumerate(trials(work.events, model=durability, sector=sector, disks=disks, seed=seed)):
        points.add(trial.case.point)
        figures.disks += 1
        model = work.promises.at(len(trial.marks)) if trial.marks else None
        if model is not None:
            figures.bytes_promised += sum(promised(model))
        complaint, found = opened(trial, model, thorough=number % 4 == 0)
        if complaint:
            complaints.append(f"cut after event {trial.case.point}, {durability}: {complaint}\n{trial.case.encode()}")
            if model is not None:
                figures.bytes_lost += _lost(model, found)
    figures.points = len(points)
    return figures, complaints


def promised(model: Model) -> Iterator[int]:
    """How many bytes each file has that must be there."""
    for named in model.history[0][1].values():
        if named.node.kind == stat.S_IFREG:
            yield len(named.node.allowed(named.node.durable)[0])


def _lost(model: Model, found: Mapping[str, Found]) -> int:
    """The bytes of durable files that are not there as any of what they may be."""
    there = {one.data for one in found.values()}
    files = {named.node for named in model.history[0][1].values() if named.node.kind == stat.S_IFREG}
    left = {named.node for named in model.history[-1][1].values()}
    return sum(
        len(node.allowed(node.durable)[0]) for node in files & left if not there & set(node.allowed(node.durable))
    )


def opened(trial: Trial, model: Model | None, *, thorough: bool) -> tuple[str, Mapping[str, Found]]:
    """Open the repository of a disk: what is wrong with it, or nothing, and what it holds.

    `thorough`: have it checked by `mfs fsck`, go on, commit, and hold the CIDs against ones built from nothing.
    """
    place = Path(tempfile.mkdtemp(prefix="power-", dir=_TEMPORARY))
    found: Mapping[str, Found] = {}
    try:
        trial.rebuilt.write_to(place)
        repo = place / "repo"
        if thorough and model is not None and (damaged := check(repo).findings):
            return f"mfs fsck: {damaged}", found
        with Volume.open(repo, profile=PROFILE.name) as volume:
            found = seen(volume)
            complaint = model.judge(found) if model is not None else "" if list(found) == [""] else "what is that?"
            if not complaint and thorough:
                trio.run(volume.commit)
                if said(volume.head.root) != built(volume):
                    complaint = "the root CID is not that of what is there"
        if not complaint and thorough:
            with Volume.open(repo, profile=PROFILE.name) as volume:
                if seen(volume) != found:
                    complaint = "opened again, it is something else"
    except (OSError, ValueError, KeyError, RuntimeError, AssertionError) as error:
        complaint = f"{type(error).__name__}: {error}"
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what was looked for
        complaint = f"{type(error).__name__}: {error}"
    finally:
        shutil.rmtree(place)
    return complaint, found


def seen(volume: Volume) -> dict[str, Found]:
    """What `crash_model.look` would see in a mount of `volume`."""
    found: dict[str, Found] = {}
    tree = volume.tree
    waiting = [("", tree.node(ROOT_INO))]
    while waiting:
        path, node = waiting.pop()
        target, data = "", b""
        if isinstance(node, File):
            data = content(volume, node)
            if len(data) != node.size:
                raise ValueError(f"{path!r} has {len(data)} bytes and says {node.size}")
        elif isinstance(node, Symlink):
            target = os.fsdecode(node.target)
        elif isinstance(node, Directory):
            for name in tree.names(node):
                child = tree.child(node, name)
                if child is None:
                    raise ValueError(f"{path!r} lists {name!r}, which is not there")
                waiting.append((f"{path}/{os.fsdecode(name)}" if path else os.fsdecode(name), child))
        xattr = get_xattr(tree, node, XATTR.encode())
        found[path] = Found(stat.S_IFMT(node.mode), stat.S_IMODE(node.mode), node.nlink, node.ino, target, data, xattr)
    return found
