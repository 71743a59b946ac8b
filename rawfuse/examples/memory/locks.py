"""Locks of one file: POSIX ranges and flock(2), with waiting that an INTERRUPT ends."""

from __future__ import annotations

import errno
import os
from fcntl import F_RDLCK, F_UNLCK, F_WRLCK
from typing import Final, NamedTuple

import trio

from rawfuse import wire
from rawfuse.wire import constants as c

__all__ = ["Lock", "LockTable", "Locks", "lock_of"]

END: Final = (1 << 63) - 1
"""The last byte that a lock can cover."""


class Lock(NamedTuple):
    """Bytes `start` to `end`, both included. `owner` is the kernel's name for the process or the open file."""

    owner: int
    start: int
    end: int
    type: int
    pid: int

    def stands_in_the_way_of(self, other: Lock) -> bool:
        return (
            self.owner != other.owner
            and self.start <= other.end
            and other.start <= self.end
            and F_WRLCK in (self.type, other.type)
        )


def lock_of(arg: wire.fuse_lk_in) -> Lock:
    """What GETLK, SETLK and SETLKW are about; flock(2) takes the whole file. Raises EINVAL."""
    lk = arg.lk
    whole = bool(arg.lk_flags & c.FUSE_LK_FLOCK)
    lock = Lock(arg.owner, 0 if whole else lk.start, END if whole else min(lk.end, END), lk.type, lk.pid)
    if lk.type not in (F_RDLCK, F_WRLCK, F_UNLCK) or lock.start > lock.end:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    return lock


class LockTable:
    """Who holds what, of one kind."""

    def __init__(self) -> None:
        self.held: list[Lock] = []
        self._waiting = trio.lowlevel.ParkingLot()

    def conflict(self, wanted: Lock) -> Lock | None:
        if wanted.type == F_UNLCK:
            return None
        return next((held for held in self.held if held.stands_in_the_way_of(wanted)), None)

    def set(self, lock: Lock) -> None:
        """Takes, changes or drops: what the owner holds keeps only what lies outside. It looks for no conflict."""
        kept = []
        for held in self.held:
            if held.owner != lock.owner or held.end < lock.start or lock.end < held.start:
                kept.append(held)
                continue
            if held.start < lock.start:
                kept.append(held._replace(end=lock.start - 1))
            if held.end > lock.end:
                kept.append(held._replace(start=lock.end + 1))
        if lock.type != F_UNLCK:
            kept.append(lock)
        self.held = kept
        self._waiting.unpark_all()

    def release(self, owner: int) -> None:
        self.set(Lock(owner, 0, END, F_UNLCK, 0))

    async def wait(self, wanted: Lock, waits: dict[int, int]) -> None:
        """Takes the lock as soon as nobody stands in the way.

        `waits` says of every waiting owner whom it waits for; where that leads back here, EDEADLK is raised. When the
        task is cancelled (INTERRUPT: the caller got a signal) nothing has been taken.
        """
        while (other := self.conflict(wanted)) is not None:
            ahead: int | None = other.owner
            while ahead is not None:
                if ahead == wanted.owner:
                    raise OSError(errno.EDEADLK, os.strerror(errno.EDEADLK))
                ahead = waits.get(ahead)
            waits[wanted.owner] = other.owner
            try:
                await self._waiting.park()
            finally:
                waits.pop(wanted.owner, None)
        self.set(wanted)


class Locks:
    """Both kinds; they know nothing of one another. `waits` is the whole file system's."""

    def __init__(self, waits: dict[int, int]) -> None:
        self.posix = LockTable()
        self.flock = LockTable()
        self._waits = waits

    def getlk(self, arg: wire.fuse_lk_in) -> wire.fuse_lk_out:
        other = self.posix.conflict(lock_of(arg))
        if other is None:
            return wire.fuse_lk_out(wire.fuse_file_lock(type=F_UNLCK))
        return wire.fuse_lk_out(wire.fuse_file_lock(other.start, other.end, other.type, other.pid))

    def setlk(self, arg: wire.fuse_lk_in) -> None:
        """Raises EAGAIN."""
        table, lock = self._prepare(arg)
        if table.conflict(lock) is not None:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        table.set(lock)

    async def setlkw(self, arg: wire.fuse_lk_in) -> None:
        """Raises EDEADLK, for POSIX locks: flock(2) has no such thing."""
        table, lock = self._prepare(arg)
        await table.wait(lock, self._waits if table is self.posix else {})

    def _prepare(self, arg: wire.fuse_lk_in) -> tuple[LockTable, Lock]:
        lock = lock_of(arg)
        if not arg.lk_flags & c.FUSE_LK_FLOCK:
            return self.posix, lock
        # As Linux does it: what an open file holds is given up before it gets, or waits for, another kind of lock.
        if any(held.owner == lock.owner and held.type != lock.type for held in self.flock.held):
            self.flock.release(lock.owner)
        return self.flock, lock
