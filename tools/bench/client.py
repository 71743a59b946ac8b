"""What client.c does, in Python, for machines without a C compiler: same verbs, same output (see there).

Its own time (some 2 us a call) is added to both sides of a ratio, which flatters the slower one: prefer the C client.
"""

from __future__ import annotations

import os
import random
import statistics
import sys
from collections.abc import Sequence
from time import perf_counter_ns

PAGE = 4096


def lookup(prefix: str, count: int) -> None:
    """Raises FileExistsError for a name that is there."""
    for number in range(count):
        try:
            os.stat(f"{prefix}{number}")
        except FileNotFoundError:
            continue
        raise FileExistsError(f"{prefix}{number} is there")


def create(prefix: str, count: int, size: int) -> None:
    data = bytearray(os.urandom(size))
    for number in range(count):
        name = f"{prefix}{number}"
        # Every file is another one: a store that keeps equal contents once must not profit. The NUL ends the name: what
        # comes behind "1" is any byte, and with a "5" there it would be the file 15.
        own = f"{name}\0".encode()[:size]
        data[: len(own)] = own
        descriptor = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        os.write(descriptor, data)
        os.close(descriptor)


def unlink(prefix: str, count: int) -> None:
    for number in range(count):
        os.unlink(f"{prefix}{number}")


def sync_both(file: str, other: str, count: int, span: int) -> tuple[int, int]:
    """Medians in ns: overwrite 4 KiB and fsync in `file`; append 4 KiB and fdatasync in `other`, alternately."""
    one: list[int] = []
    two: list[int] = []
    target = os.open(file, os.O_WRONLY)
    log = os.open(other, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
    for _ in range(count):
        data = os.urandom(PAGE)
        page = random.randrange(span // PAGE)
        start = perf_counter_ns()
        os.pwrite(target, data, page * PAGE)
        os.fsync(target)
        one.append(perf_counter_ns() - start)
        start = perf_counter_ns()
        os.write(log, data)
        os.fdatasync(log)
        two.append(perf_counter_ns() - start)
    os.close(target)
    os.close(log)
    return int(statistics.median(one)), int(statistics.median(two))


def main(argv: Sequence[str]) -> int:
    if len(argv) < 4:
        print("usage: client lookup|create|unlink DIR PREFIX N [SIZE] | fsync FILE OTHER N SPAN", file=sys.stderr)
        return 2
    verb, first, second, count = argv[0], argv[1], argv[2], int(argv[3])
    if verb == "fsync" and len(argv) == 5:
        print(*sync_both(first, second, count, int(argv[4])))
        return 0
    os.chdir(first)
    start = perf_counter_ns()
    if verb == "lookup":
        lookup(second, count)
    elif verb == "create" and len(argv) == 5:
        create(second, count, int(argv[4]))
    elif verb == "unlink":
        unlink(second, count)
    else:
        print(f"client: {verb}: no such verb, or a wrong number of arguments", file=sys.stderr)
        return 2
    print((perf_counter_ns() - start) // count)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
