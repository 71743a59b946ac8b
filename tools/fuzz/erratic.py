"""A file system whose handlers do what handlers must not do, among other things.

What a request is answered with depends on its unique and a salt alone, so a message given again finds the same.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import trio

from rawfuse import Filesystem
from rawfuse.wire import STRUCTS, Request
from rawfuse.wire.flags import InitFlags
from rawfuse.wire.opcodes import BY_OPCODE, OPERATIONS
from rawfuse.wire.replies import reply_sizes

__all__ = ["Erratic", "Expected"]

_MINOR: Final = 45
_ENOUGH: Final = 8192
_MASK: Final = (1 << 64) - 1
Allowed = tuple[int, ...]


@dataclass(frozen=True)
class Expected:
    """What must come of a request: one of these errnos (0 is success), and what to call it."""

    errnos: Allowed
    label: str


_GOOD: Final = Expected((0,), "answered")
_BAD: Final = Expected((errno.EIO,), "malformed reply, EIO instead")
_RAISED: Final = Expected((errno.EIO,), "handler failed, EIO")
_ENOENT: Final = Expected((errno.ENOENT,), "error of the handler")
_ABSENT: Final = Expected((errno.ENOSYS,), "absent, ENOSYS")
_LATER: Final = Expected((0, errno.EINTR), "answered later")
_LATER_BAD: Final = Expected((errno.EIO, errno.EINTR), "malformed reply later, EIO instead")
_LATER_RAISED: Final = Expected((errno.EIO, errno.EINTR), "handler failed later, EIO")
_INTERRUPTED: Final = Expected((errno.EINTR,), "interrupted, EINTR")

Behaviour = Callable[[Request, int, int], tuple[Any, Expected]]
"""(request, least size, most size) -> what the handler returns, or the exception it raises, and what is expected."""


class _Bytes(bytes):
    pass


class _BadAwaitable:
    def __await__(self) -> Any:
        raise ValueError("no waiting for this")


def _least(request: Request, least: int, most: int) -> tuple[Any, Expected]:
    return bytes(least), _GOOD


def _most(request: Request, least: int, most: int) -> tuple[Any, Expected]:
    return [bytes(least), bytearray(min(most, _ENOUGH) - least)], _GOOD


def _struct(request: Request, least: int, most: int) -> tuple[Any, Expected]:
    made = tuple(STRUCTS[name]() for name in BY_OPCODE[request.opcode].reply.structs)
    if sum(struct.SIZE for struct in made) != least:
        return _Bytes(least), _GOOD
    return (made[0] if len(made) == 1 else made), _GOOD


def _long(request: Request, least: int, most: int) -> tuple[Any, Expected]:
    if most > _ENOUGH:
        return bytes(least), _GOOD
    return bytes(most + 1), _BAD


def _short(request: Request, least: int, most: int) -> tuple[Any, Expected]:
    return (bytearray(least - 1), _BAD) if least else (memoryview(b""), _GOOD)


def _none(request: Request, least: int, most: int) -> tuple[Any, Expected]:
    return None, _BAD if least else _GOOD


def _strided(request: Request, least: int, most: int) -> tuple[Any, Expected]:
    return memoryview(bytes(2 * least + 4))[::2], _BAD


def _released(request: Request, least: int, most: int) -> tuple[Any, Expected]:
    view = memoryview(bytes(least))
    view.release()
    return [view], _BAD


def _unfit(request: Request, least: int, most: int) -> tuple[Any, Expected]:
    names = BY_OPCODE[request.opcode].reply.structs
    made: Any = STRUCTS[names[0] if names else "fuse_open_out"]()
    setattr(made, made.FIELDS[0], "no number")
    return made, _BAD


def _constant(value: Any, expected: Expected) -> Behaviour:
    return lambda request, least, most: (value, expected)


def _raising(make: Callable[[], BaseException], expected: Expected) -> Behaviour:
    return lambda request, least, most: (make(), expected)


def _soon(request: Request, least: int, most: int) -> tuple[Any, Expected]:
    async def answer() -> bytes:
        await trio.lowlevel.checkpoint()
        return bytes(least)

    return answer(), _LATER


def _soon_bad(request: Request, least: int, most: int) -> tuple[Any, Expected]:
    async def answer() -> Any:
        await trio.lowlevel.checkpoint()
        return bytes(most + 1) if most <= _ENOUGH else {}

    return answer(), _LATER_BAD


def _soon_raising(request: Request, least: int, most: int) -> tuple[Any, Expected]:
    async def answer() -> Any:
        await trio.lowlevel.checkpoint()
        raise KeyError("later")

    return answer(), _LATER_RAISED


def _twice(request: Request, least: int, most: int) -> tuple[Any, Expected]:
    async def inner() -> bytes:
        return bytes(least)

    async def answer() -> Any:
        return _BadAwaitable()

    return answer(), _LATER_RAISED


def _forever(request: Request, least: int, most: int) -> tuple[Any, Expected]:
    async def answer() -> None:
        await trio.sleep_forever()

    return answer(), _INTERRUPTED


_USUAL: Final[tuple[Behaviour, ...]] = (_least, _most, _struct)
_UNUSUAL: Final[tuple[Behaviour, ...]] = (
    _long,
    _long,
    _short,
    _short,
    _none,
    _strided,
    _released,
    _unfit,
    _soon,
    _soon_bad,
    _soon_raising,
    _twice,
    _forever,
    _constant("text", _BAD),
    _constant(7, _BAD),
    _constant(object(), _BAD),
    _constant({}, _BAD),
    _constant([b"", None], _BAD),
    _constant([[b""]], _BAD),
    _constant(Filesystem, _BAD),
    _constant(NotImplemented, _ABSENT),
    _constant(_BadAwaitable(), _LATER_RAISED),
    _raising(lambda: OSError(errno.ENOENT, "no"), _ENOENT),
    _raising(lambda: FileNotFoundError(errno.ENOENT, "no"), _ENOENT),
    _raising(lambda: OSError(errno.ENOSYS, "no"), _RAISED),
    _raising(lambda: OSError("no number"), _RAISED),
    _raising(lambda: OSError(100_000, "no errno"), _RAISED),
    _raising(lambda: OSError(-5, "negative"), _RAISED),
    _raising(lambda: OSError(0, "none"), _RAISED),
    _raising(lambda: ValueError("\udcff"), _RAISED),
    _raising(MemoryError, _RAISED),
    _raising(RecursionError, _RAISED),
    _raising(StopIteration, _RAISED),
    _raising(lambda: ExceptionGroup("several", [OSError(2, "no"), ValueError()]), _RAISED),
)
_TABLE: Final[tuple[Behaviour, ...]] = (_USUAL * 64)[: 128 - len(_UNUSUAL)] + _UNUSUAL


class Erratic(Filesystem):
    """Has every operation. `told` is called with each request and what is expected, before anything is done."""

    wants: ClassVar[InitFlags] = InitFlags((1 << 64) - 1)
    max_write: ClassVar[int] = 65536

    def __init__(self, salt: int, told: Callable[[Request, Expected], None]) -> None:
        self._salt = salt
        self._told = told
        for operation in OPERATIONS:
            if operation.reply.kind not in ("none", "optional") and operation.request not in ("Init", "Destroy"):
                setattr(self, operation.label.lower(), self._handle)

    def _handle(self, request: Request) -> Any:
        least, most = reply_sizes(request, _MINOR)
        chosen = ((request.unique + self._salt) * 0x9E3779B97F4A7C15 & _MASK) >> 57
        value, expected = _TABLE[chosen](request, least, most)
        self._told(request, expected)
        if isinstance(value, BaseException):
            raise value
        return value

    def forget(self, nodeid: int, nlookup: int) -> None:
        if nodeid % 16 == 3:
            raise KeyError(nodeid)
