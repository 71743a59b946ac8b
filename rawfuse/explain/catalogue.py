"""Every name that can be explained, and finding one by what somebody typed."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial

from rawfuse.explain import messages, numbers, structs
from rawfuse.explain.page import Page
from rawfuse.wire.enums import CONSTANTS, ENUM_CLASSES, IOCTLS
from rawfuse.wire.flags import FLAG_CLASSES
from rawfuse.wire.opcodes import NOTIFICATIONS, OPERATIONS
from rawfuse.wire.since import INTRODUCED

__all__ = ["Found", "Item", "UnknownName", "catalogue", "find"]

_PREFIXES = ("FUSE_NOTIFY_", "FUSE_DEV_IOC_", "FUSE_IO_URING_CMD_", "FUSE_", "CUSE_", "FOPEN_", "FATTR_")


@dataclass(frozen=True, slots=True)
class Item:
    """Something that has a page. ``also``: other names it goes by."""

    kind: str
    name: str
    number: int | None
    page: Callable[[], Page]
    also: tuple[str, ...] = ()

    def keys(self) -> Iterator[tuple[str, int]]:
        """What finds it, in lower case, and how far off that is from its name."""
        lower = self.name.lower()
        yield lower, 0
        for other in self.also:
            yield other.lower(), 1
        for prefix in ("fuse_", "cuse_"):
            if lower.startswith(prefix):
                yield lower.removeprefix(prefix), 1
        for prefix in _PREFIXES:
            if self.name.startswith(prefix):
                yield lower.removeprefix(prefix.lower()), 2


@dataclass(frozen=True, slots=True)
class Found:
    """The item that was most likely meant, and others that go by the same name or number."""

    item: Item
    others: tuple[Item, ...]


class UnknownName(LookupError):
    """Nothing goes by that name; ``near`` holds names that look like it, the nearest first."""

    def __init__(self, asked: str, near: tuple[str, ...]) -> None:
        hint = f"near: {', '.join(near)}" if near else "rawfuse explain lists all that there is"
        super().__init__(f"nothing of the FUSE protocol is called {asked!r}; {hint}")
        self.asked = asked
        self.near = near


def _errnos() -> Iterator[Item]:
    for name, number in sorted(vars(errno).items(), key=lambda item: (item[1] if item[0][0] == "E" else 0, item[0])):
        if name.startswith("E") and isinstance(number, int):
            yield Item("errno", name, number, partial(numbers.errno_page, name))


@cache
def catalogue() -> tuple[Item, ...]:
    """All items, in the order in which they are listed; of several that one name fits, the first is meant."""
    items: list[Item] = []
    for operation in OPERATIONS:
        page = partial(messages.operation_page, operation)
        items.append(Item("opcode", operation.name, operation.opcode, page, (operation.request,)))
    known = {item.name for item in items}
    for notice in NOTIFICATIONS:
        items.append(Item("notify code", notice.name, notice.code, partial(messages.notice_page, notice)))
    known |= {item.name for item in items}
    items += [Item("struct", name, None, partial(structs.struct_page, name)) for name in structs.layouts()]
    for cls in FLAG_CLASSES:
        items += [
            Item("flag", name, int(cls[name]), partial(numbers.member_page, cls, name)) for name in cls.__members__
        ]
    for enum in ENUM_CLASSES:
        for name, member in enum.__members__.items():
            if name not in known:
                items.append(Item("enum value", name, member.value, partial(numbers.member_page, enum, name)))
    items += [Item("ioctl", name, value, partial(numbers.ioctl_page, name)) for name, value in IOCTLS.items()]
    items += [Item("constant", name, value, partial(numbers.constant_page, name)) for name, value in CONSTANTS.items()]
    items += [Item("flags", cls.__name__, None, partial(numbers.class_page, cls)) for cls in FLAG_CLASSES]
    items += [Item("enum", enum.__name__, None, partial(numbers.class_page, enum)) for enum in ENUM_CLASSES]
    items += [Item("protocol", f"7.{minor}", None, partial(numbers.minor_page, minor)) for minor in sorted(INTRODUCED)]
    items += _errnos()
    return tuple(items)


def _by_number(asked: str) -> list[Item]:
    try:
        number = int(asked, 0)
    except ValueError:
        return []
    if number < 0:
        return [item for item in catalogue() if item.kind == "errno" and item.number == -number]
    found = [item for item in catalogue() if item.number == number]
    # Every small number is a flag of some word: that is meant only where it is nothing else.
    return [item for item in found if item.kind not in ("flag", "enum value")] or found


def _by_name(asked: str) -> list[Item]:
    exact = [item for item in catalogue() if item.name == asked]
    lower = asked.lower()
    ranked: list[tuple[int, Item]] = []
    for item in catalogue():
        distances = [distance for key, distance in item.keys() if key == lower]
        if distances:
            ranked.append((min(distances), item))
    ranked.sort(key=lambda entry: entry[0])
    return exact + [item for _, item in ranked if item not in exact]


def _members(word: str) -> Iterator[str]:
    """``struct.member`` of every member called like that."""
    for name, layout in structs.layouts().items():
        yield from (f"{name}.{member.name}" for member in layout.fields if member.name == word)


def _by_member(asked: str) -> list[Item]:
    struct, dot, member = asked.lower().partition(".")
    for name in (struct, f"fuse_{struct}") if dot else ():
        page = structs.member_page(name, member) if name in structs.layouts() else None
        if page is not None:
            return [Item("member", page.name, None, partial(_same, page))]
    return []


def _same(page: Page) -> Page:
    return page


def find(asked: str) -> Found:
    """What goes by a name (with or without its prefix, in any case) or a number (``-2`` is an errno in a reply); also
    ``struct.member``.

    Raises UnknownName.
    """
    word = asked.strip().removeprefix("struct ")
    found = _by_name(word) or _by_number(word) or _by_member(word)
    if not found:
        raise UnknownName(asked, _near(word.lower()))
    return Found(found[0], tuple(found[1:]))


def _near(word: str) -> tuple[str, ...]:
    keys: dict[str, str] = {}
    for item in catalogue():
        for key, _ in item.keys():
            keys.setdefault(key, item.name)
    close = difflib.get_close_matches(word, keys, n=5, cutoff=0.7)
    inside = [key for key in keys if len(word) > 2 and word in key]
    return tuple(dict.fromkeys([*_members(word), *(keys[key] for key in (*close, *inside))]))[:6]
