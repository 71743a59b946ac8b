"""What a tree may be after its server was killed: a model of names and bytes that remembers every step.

A step is one message that changes something.  Names and attributes are recovered as they were after some step not
before the last `fsync` or commit, all of them together.  The bytes of a file are recovered as they were after some step
not before the last one that made *them* durable: an `fsync` of the file, a commit, or a rename over another file, as
far as the names are recovered with it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

NEVER = 1 << 62
XATTR = "user.told"
"""The extended attribute that is set and removed."""
PAGE = 4096


class Node:
    """One inode, with all contents that it had: `versions` are (step after which it had it, bytes), in order.

    `ino` is None for one whose creation was not answered.
    """

    def __init__(self, kind: int, mode: int, step: int, ino: int | None = None, target: str = "") -> None:
        self.kind = kind
        self.mode = mode
        self.ino = ino
        self.target = target
        self.xattr: bytes | None = None
        self.versions: list[tuple[int, bytes]] = [(step, b"")]
        self.durable = step
        self.carried = NEVER
        """The step at which it was renamed over another."""

    @property
    def data(self) -> bytes:
        """Its bytes now."""
        return self.versions[-1][1]

    def allowed(self, since: int) -> list[bytes]:
        """Its contents after the step `since` and later ones."""
        first = max(i for i, (step, _) in enumerate(self.versions) if step <= max(since, self.versions[0][0]))
        return [data for _, data in self.versions[first:]]


class Named(NamedTuple):
    """What one path is, at one step."""

    node: Node
    mode: int
    links: int
    xattr: bytes | None


class Found(NamedTuple):
    """What one path is, as a look at the mount says."""

    kind: int
    mode: int
    links: int
    ino: int
    target: str
    data: bytes
    xattr: bytes | None = None
    """Of the extended attribute `XATTR`; None where it is not set."""


Paths = dict[str, Node]


class Model:
    """The tree by path, relative to the root, which is ``""``."""

    def __init__(self, found: Mapping[str, Found]) -> None:
        self.step = 0
        self.durable = 0
        """The step as of which names are durable."""
        self.paths: Paths = {}
        inodes: dict[int, Node] = {}
        for path, (kind, mode, _, ino, target, data, xattr) in found.items():
            node = inodes.get(ino)
            if node is None:
                node = inodes[ino] = Node(kind, mode, 0, ino, target)
                node.versions = [(0, data)]
                node.xattr = xattr
            self.paths[path] = node
        self.history: list[tuple[int, dict[str, Named]]] = []
        self._remember()

    def _remember(self) -> None:
        links: dict[Node, int] = {}
        for path, node in self.paths.items():
            links[node] = links.get(node, 0) + 1
            if node.kind == stat.S_IFDIR:
                links[node] += 1
                if path:
                    parent = self.paths[os.path.dirname(path)]
                    links[parent] = links.get(parent, 0) + 1
        named = {path: Named(node, node.mode, links[node], node.xattr) for path, node in self.paths.items()}
        self.history.append((self.step, named))

    def paths_of(self, *kinds: int) -> list[str]:
        """The paths of nodes of these kinds, but the root, in a fixed order."""
        return sorted(path for path, node in self.paths.items() if path and node.kind in kinds)

    def empty(self, path: str) -> bool:
        """Whether the directory `path` has no names."""
        return not any(other.startswith(f"{path}/") for other in self.paths)

    # -- steps ----------------------------------------------------------------------------------------------------

    def write(self, node: Node, data: bytes) -> None:
        """The bytes of `node` are `data` now.

        A write that goes over pages can reach the server as several (seen on Linux 6.18), and a crash come between.
        """
        self.step += 1
        old = node.data
        for page in range(PAGE, len(data), PAGE):
            part = data[:page] + old[page:]
            if len(old) <= len(data) and part not in (old, data):
                node.versions.append((self.step, part))
        node.versions.append((self.step, data))
        self._remember()

    def put(self, path: str, kind: int, mode: int, target: str = "") -> Node:
        """A new node at `path`."""
        self.step += 1
        node = self.paths[path] = Node(kind, mode, self.step, target=target)
        self._remember()
        return node

    def link(self, old: str, path: str) -> None:
        """One more name."""
        self.step += 1
        self.paths[path] = self.paths[old]
        self._remember()

    def chmod(self, path: str, mode: int) -> None:
        """Other permissions."""
        self.step += 1
        self.paths[path].mode = mode
        self._remember()

    def set_xattr(self, path: str, value: bytes | None) -> None:
        """Another value of the extended attribute, or none."""
        self.step += 1
        self.paths[path].xattr = value
        self._remember()

    def remove(self, path: str) -> None:
        """A name less."""
        self.step += 1
        del self.paths[path]
        self._remember()

    def rename(self, old: str, new: str) -> None:
        """Another name, in the place of whatever has it."""
        self.step += 1
        replaced = self.paths.pop(new, None)
        self._move({old: new})
        node = self.paths[new]
        if replaced is not None:
            node.carried = self.step
        self._remember()

    def exchange(self, one: str, other: str) -> None:
        """Two names change what they refer to."""
        self.step += 1
        self._move({one: other, other: one})
        for path in (one, other):
            self.paths[path].carried = self.step
        self._remember()

    def _move(self, names: Mapping[str, str]) -> None:
        moved: Paths = {}
        for path, node in self.paths.items():
            for old, new in names.items():
                if path == old or path.startswith(f"{old}/"):
                    path = new + path[len(old) :]
                    break
            moved[path] = node
        self.paths = moved

    # -- what is durable ------------------------------------------------------------------------------------------

    def synced(self, node: Node) -> None:
        """`node` was fsynced."""
        self.durable = self.step
        node.durable = self.step
        self.history = self.history[-1:]

    def committed(self) -> None:
        """Everything was committed."""
        for node in self.paths.values():
            node.durable = self.step
        self.durable = self.step
        self.history = self.history[-1:]

    # -- after a crash --------------------------------------------------------------------------------------------

    def now(self, found: Mapping[str, Found]) -> str:
        """Why `found` is not what there is now, without any crash; empty when it is."""
        _, named = self.history[-1]
        return _names_differ(named, found) or "".join(
            f"{path!r} has {_told(found[path].data)}, not {_told(node.data)}, "
            f"from byte {_common(found[path].data, node.data)} on\n"
            for path, (node, *_) in named.items()
            if node.data != found[path].data
        )

    def judge(self, found: Mapping[str, Found]) -> str:
        """Why `found` cannot be what a crash now leaves behind; empty when it can."""
        complaints = []
        for step, named in reversed(self.history):
            complaint = _names_differ(named, found) or "; ".join(_contents_differ(step, named, found))
            if not complaint:
                return ""
            complaints.append(f"as after step {step}: {complaint}")
        return f"durable as of step {self.durable}, now {self.step}:\n" + "\n".join(complaints)


def _names_differ(named: Mapping[str, Named], found: Mapping[str, Found]) -> str:
    if named.keys() != found.keys():
        return f"missing {sorted(named.keys() - found.keys())}, too many {sorted(found.keys() - named.keys())}"
    inodes: dict[Node, int] = {}
    for path, (node, mode, links, xattr) in named.items():
        one = found[path]
        want = (node.kind, mode, links, inodes.setdefault(node, one.ino if node.ino is None else node.ino), node.target)
        if xattr != one.xattr:
            return f"{path!r} has {XATTR} {one.xattr!r}, expected {xattr!r}"
        if want != (one.kind, one.mode, one.links, one.ino, one.target):
            return f"{path!r} is {one[:5]}, expected {want}"
    return ""


def _contents_differ(step: int, named: Mapping[str, Named], found: Mapping[str, Found]) -> Iterator[str]:
    for path, (node, *_) in named.items():
        if node.kind != stat.S_IFREG:
            continue
        since = max(node.durable, node.carried) if node.carried <= step else node.durable
        allowed = node.allowed(since)
        if found[path].data not in allowed:
            data = found[path].data
            yield (
                f"{path!r} has {_told(data)}, which is none of {[_told(one) for one in allowed]} "
                f"(durable {node.durable}, carried {node.carried}, was: "
                f"{[at for at, one in node.versions if one == data]})"
            )


def _told(data: bytes) -> str:
    return f"<{len(data)} bytes {data[:6].hex()}..{hash(data) & 0xFFFF:04x}>"


def _common(one: bytes, other: bytes) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (left, right) in pairs if left != right), min(len(one), len(other)))


def look(top: Path) -> dict[str, Found]:
    """Everything below `top`, read whole."""
    found: dict[str, Found] = {}
    waiting = [""]
    while waiting:
        path = waiting.pop()
        place = top / path
        at = place.lstat()
        kind = stat.S_IFMT(at.st_mode)
        target, data = "", b""
        if kind == stat.S_IFREG:
            data = place.read_bytes()
            if len(data) != at.st_size:
                raise ValueError(f"{path!r} has {len(data)} bytes and says {at.st_size}")
        elif kind == stat.S_IFLNK:
            target = os.readlink(place)
        else:
            waiting += [f"{path}/{name}" if path else name for name in os.listdir(place)]
        xattr = None
        if XATTR in os.listxattr(place, follow_symlinks=False):
            xattr = os.getxattr(place, XATTR, follow_symlinks=False)
        found[path] = Found(kind, stat.S_IMODE(at.st_mode), at.st_nlink, at.st_ino, target, data, xattr)
    return found
