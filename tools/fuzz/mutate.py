"""What happens to a message: bits, numbers, lengths, names, counts, parts of other messages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from struct import Struct
from typing import Final

from rawfuse.wire.opcodes import OPERATIONS

from .corpus import EDGES

__all__ = ["Mutator"]

_U32: Final = Struct("=I")
_U64: Final = Struct("=Q")
_U16: Final = Struct("=H")
_OPCODES: Final = (*(operation.opcode for operation in OPERATIONS), 0, 7, 19, 54, 4000, 1 << 20, 26 << 24, 0xFFFFFFFF)
_EXTLEN_AT: Final = 36
_IN_HEADER: Final = 40


class Mutator:
    """Changes messages whose first `head` bytes are a header that begins with the message's length in 32 bits.

    `others` are messages of the same kind, whose parts are taken.
    """

    def __init__(self, random: Random, others: Sequence[bytes], head: int = _IN_HEADER) -> None:
        self._random = random
        self._others = others
        self._head = head
        kinds: list[Callable[[bytearray], None]] = [
            self._bits,
            self._bits,
            self._byte,
            self._number,
            self._number,
            self._number,
            self._shorter,
            self._longer,
            self._splice,
            self._nul,
        ]
        if head == _IN_HEADER:
            kinds += [self._opcode, self._extlen]
        self._kinds = kinds

    def mutated(self, message: bytes, most: int) -> bytearray:
        """`message` changed once or a few times; 1 to `most` bytes. Its length is mended four times out of five: the
        other checks would never be reached otherwise."""
        random = self._random
        made = bytearray(message)
        while True:
            random.choice(self._kinds)(made)
            if random.random() < 0.7:
                break
        del made[most:]
        if not made:
            made.append(0)
        if len(made) >= 4 and random.random() < 0.8:
            _U32.pack_into(made, 0, len(made))
        return made

    def _at(self, made: bytearray, width: int) -> int:
        """Where a number of so many bytes may begin; behind the header mostly, aligned."""
        last = len(made) - width
        if last < 0:
            return -1
        start = self._head if last >= self._head and self._random.random() < 0.8 else 0
        at = self._random.randint(start, last)
        return at - at % width if self._random.random() < 0.9 else at

    def _bits(self, made: bytearray) -> None:
        if (at := self._at(made, 1)) >= 0:
            made[at] ^= 1 << self._random.randrange(8)

    def _byte(self, made: bytearray) -> None:
        if (at := self._at(made, 1)) >= 0:
            made[at] = self._random.getrandbits(8)

    def _number(self, made: bytearray) -> None:
        code = self._random.choice((_U16, _U32, _U32, _U64))
        if (at := self._at(made, code.size)) >= 0:
            code.pack_into(made, at, self._random.choice(EDGES) & ((1 << 8 * code.size) - 1))

    def _shorter(self, made: bytearray) -> None:
        random = self._random
        if random.random() < 0.5:
            del made[-random.randrange(1, 9) :]
        elif made:
            del made[random.randrange(len(made)) :]

    def _longer(self, made: bytearray) -> None:
        random = self._random
        size = random.choice((1, 4, 8, 16, 100, 5000) if random.random() < 0.2 else (1, 4, 8, 16))
        made += bytes(size) if random.random() < 0.5 else random.randbytes(size)

    def _splice(self, made: bytearray) -> None:
        random = self._random
        other = random.choice(self._others)
        cut, start = random.randrange(len(made) + 1), random.randrange(len(other) + 1)
        if random.random() < 0.5:
            cut = start = min(self._head, len(made), len(other))
        made[cut:] = other[start:]

    def _nul(self, made: bytearray) -> None:
        if len(made) > self._head:
            at = self._random.randrange(self._head, len(made))
            made[at] = 0 if made[at] else 0x2F

    def _opcode(self, made: bytearray) -> None:
        if len(made) >= 8:
            _U32.pack_into(made, 4, self._random.choice(_OPCODES))

    def _extlen(self, made: bytearray) -> None:
        if len(made) >= _IN_HEADER:
            _U16.pack_into(made, _EXTLEN_AT, self._random.choice((1, 2, 3, 5, 100, 0xFFFF)))
