"""What differs between two states of the map, found without reading what they share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from mfs.meta.btree import BTree
from mfs.unixfs.cid import CID


class Difference(NamedTuple):
    """One key under which the two states say something else; None: nothing."""

    key: bytes
    old: bytes | None
    new: bytes | None


class _Subtree(NamedTuple):
    """A node that was not looked into yet: no key in it is below `low`."""

    low: bytes
    cid: CID


class _Entry(NamedTuple):
    """A key, its value or the CID of its value."""

    low: bytes
    value: bytes


class _Walk:
    """One state, from its first key on. `ahead` is what was not passed yet, the nearest last."""

    def __init__(self, tree: BTree, root: CID | None) -> None:
        self._tree = tree
        self.ahead: list[_Subtree | _Entry] = [] if root is None else [_Subtree(b"", root)]

    def level(self) -> int:
        """The level of the subtree that is next."""
        subtree = self.ahead[-1]
        return self._tree.node(subtree.cid).level if isinstance(subtree, _Subtree) else -1

    def open(self) -> None:
        """Look into the subtree that is next."""
        subtree = self.ahead.pop()
        if not isinstance(subtree, _Subtree):
            raise TypeError("an entry has nothing below it")
        node = self._tree.node(subtree.cid)
        if node.level:
            # The first lower bound is empty and stands for the node's own.
            lows = [subtree.low, *node.keys[1:]]
            below = [_Subtree(low, CID(cid)) for low, cid in zip(lows, node.values, strict=True)]
            self.ahead.extend(reversed(below))
        else:
            entries = [_Entry(key, value) for key, value in zip(node.keys, node.values, strict=True)]
            self.ahead.extend(reversed(entries))

    def take(self, *, read: bool = True) -> bytes:
        """Pass over the entry that is next, and give its value (without `read`, maybe the value's CID)."""
        entry = self.ahead.pop()
        if not isinstance(entry, _Entry):
            raise TypeError("a subtree has no value")
        return self._tree.value(entry.value) if read else entry.value


def difference(tree: BTree, old: CID | None, new: CID | None) -> Iterator[Difference | None]:
    """The keys whose values differ between the states `old` and `new`, in order; None where others may run.

    `tree` reads the nodes (its own root does not matter).  Subtrees that both states have are passed over, so the cost
    is that of what changed, times the depth, where one state came from the other by updates.

    Raises MalformedNode, and what the store raises.
    """
    before, after = _Walk(tree, old), _Walk(tree, new)
    while before.ahead or after.ahead:
        first = before.ahead[-1] if before.ahead else None
        second = after.ahead[-1] if after.ahead else None
        if isinstance(first, _Entry) and (second is None or first.low < second.low):
            yield Difference(first.low, before.take(), None)
        elif isinstance(second, _Entry) and (first is None or second.low < first.low):
            yield Difference(second.low, None, after.take())
        elif isinstance(first, _Entry) and isinstance(second, _Entry):
            same = first == second and type(first.value) is type(second.value)
            old_value, new_value = before.take(read=not same), after.take(read=not same)
            if old_value != new_value:
                yield Difference(first.low, old_value, new_value)
        elif isinstance(first, _Subtree) and isinstance(second, _Subtree):
            _open(before, after, first, second)
            yield None
        else:
            (before if isinstance(first, _Subtree) else after).open()
            yield None


def _open(before: _Walk, after: _Walk, first: _Subtree, second: _Subtree) -> None:
    """Look into the subtree that begins first; where they begin alike into the taller one, or into both."""
    if first.cid == second.cid:
        before.ahead.pop()
        after.ahead.pop()
    elif first.low != second.low:
        (before if first.low < second.low else after).open()
    else:
        levels = before.level(), after.level()
        if levels[0] >= levels[1]:
            before.open()
        if levels[1] >= levels[0]:
            after.open()
