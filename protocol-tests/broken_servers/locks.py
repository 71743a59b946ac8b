"""Locks gone wrong, and interrupts of those who wait for them."""

from __future__ import annotations

import errno
import fcntl
from typing import Any, Final

from broken_servers.middle import END as DIES
from broken_servers.middle import Asked, Broken, Kept, Said
from broken_servers.ways import argument, dies, edits, forgives, lost, serves
from rawfuse import wire as w
from rawfuse.wire import constants as c

__all__ = ["BROKEN"]

END: Final = (1 << 63) - 1


def posix(asked: Any) -> bool:
    return bool(asked.request and not asked.arg().lk_flags & c.FUSE_LK_FLOCK)


def flock(asked: Any) -> bool:
    return bool(asked.request and asked.arg().lk_flags & c.FUSE_LK_FLOCK)


def _never_free(found: Any, asked: Any) -> None:
    if found.lk.type == fcntl.F_UNLCK:
        found.lk.type = asked.arg().lk.type


def _whole(arg: Any, asked: Any) -> None:
    arg.lk.start, arg.lk.end = 0, END


def _never_shared(arg: Any, asked: Any) -> None:
    if arg.lk.type == fcntl.F_RDLCK:
        arg.lk.type = fcntl.F_WRLCK


def _drops_all(arg: Any, asked: Any) -> None:
    if arg.lk.type == fcntl.F_UNLCK:
        arg.lk.start, arg.lk.end = 0, END


def _other_kind(fs: Any, request: Any, usual: Any) -> Any:
    """One table for both kinds."""
    locks = fs._locks(request.nodeid)
    if (
        not request.arg.lk_flags & c.FUSE_LK_FLOCK
        and locks.flock.held
        and locks.flock.held[0].owner != request.arg.owner
    ):
        raise OSError(errno.EAGAIN, "locked")
    return usual(request)


def _flushes_all(fs: Any, request: Any, usual: Any) -> Any:
    locks = fs.nodes[request.nodeid].locks
    if locks is not None:
        locks.posix.held = []
    return usual(request)


def _waits_at_once(fs: Any, request: Any, usual: Any) -> Any:
    """SETLKW is SETLK."""
    return fs.setlk(request)


def _not_interrupted() -> Broken:
    """INTERRUPTs are thrown away."""
    return lost("INTERRUPT")


def _late() -> Broken:
    """The reply to an interrupted SETLKW waits for the next request."""

    def say(said: Said, kept: Kept) -> list[bytes] | None:
        if said.asked and said.asked.label == "SETLKW" and said.errno == errno.EINTR:
            kept.files["held"] = said.message()
            return []
        held = kept.files.pop("held", None) if said.asked else None
        return None if held is None else [held, said.message()]

    return Broken(say=say, also=("interrupts.ends_the_wait",))


def _interrupted(change: Any) -> Broken:
    """`change(said, kept)` of the EINTR of a SETLKW."""

    def say(said: Said, kept: Kept) -> Any:
        if said.asked and said.asked.label == "SETLKW" and said.errno == errno.EINTR:
            return change(said, kept)
        return None

    return Broken(say=say)


def _takes_it_all_the_same() -> Broken:
    """Who is interrupted gets EINTR, and the lock as soon as it is free."""

    def setlkw(fs: Any, request: Any, usual: Any) -> Any:
        arg = request.arg
        lock = w.fuse_lk_in(arg.fh, arg.owner, arg.lk, arg.lk_flags)

        async def wait() -> Any:
            try:
                return await usual(request)
            except BaseException:
                fs.__dict__.setdefault("late", []).append((request.nodeid, lock))
                raise

        return wait()

    def setlk(fs: Any, request: Any, usual: Any) -> Any:
        found = usual(request)
        for nodeid, lock in fs.__dict__.pop("late", []):
            try:
                fs._locks(nodeid).setlk(lock)
            except OSError:
                fs.__dict__.setdefault("late", []).append((nodeid, lock))
        return found

    return serves(setlkw=setlkw, setlk=setlk)


def _ends_all_waits() -> Broken:
    """An INTERRUPT ends every SETLKW there is."""

    def ask(asked: Asked, kept: Kept) -> list[Said] | None:
        waiting = kept.files.setdefault("waiting", {})
        if asked.label == "SETLKW":
            waiting[asked.unique] = asked
        if asked.label == "INTERRUPT" and len(waiting) > 1:
            return [Said(errno.EINTR, unique, bytearray(), one) for unique, one in waiting.items()]
        return None

    def say(said: Said, kept: Kept) -> None:
        kept.files.get("waiting", {}).pop(said.unique, None)

    return Broken(ask=ask, say=say)


def _of_finished() -> Broken:
    """An INTERRUPT of what was answered just now is the end."""

    def say(said: Said, kept: Kept) -> None:
        if said.asked and said.asked.label == "GETATTR":
            kept.files["last"] = said.unique

    def ask(asked: Asked, kept: Kept) -> list[Said] | None:
        unique = kept.files.get("last", 0)
        if asked.label == "INTERRUPT" and asked.request and asked.arg().unique == unique:
            raise DIES
        return None

    return Broken(ask=ask, say=say)


def _remembered() -> Broken:
    """A request whose INTERRUPT came first is thrown away with it."""

    def ask(asked: Asked, kept: Kept) -> list[Said] | None:
        if asked.label == "INTERRUPT" and asked.request:
            kept.files[asked.arg().unique] = True
        elif kept.files.get(asked.unique) and asked.label == "GETATTR":
            return []
        return None

    return Broken(ask=ask)


BROKEN: Final[dict[str, Broken]] = {
    "locks.free": edits("GETLK", w.fuse_lk_out, _never_free),
    "locks.reported": edits("GETLK", w.fuse_lk_out, lambda found, q: setattr(found.lk, "start", 0)),
    "locks.same_owner": argument("GETLK", lambda arg, q: setattr(arg, "owner", arg.owner + 1000)),
    "locks.conflict": forgives("SETLK", errno.EAGAIN, when=posix),
    "locks.shared": argument("SETLK", _never_shared, when=posix),
    "locks.ranges": argument("SETLK", _whole, when=posix),
    "locks.split": argument("SETLK", _drops_all, when=posix),
    "locks.waited_for": serves(setlkw=_waits_at_once),
    "locks.flush_releases": argument("FLUSH", lambda arg, q: setattr(arg, "lock_owner", 0)),
    "locks.flush_of_another": serves(flush=_flushes_all),
    "locks.flock": forgives("SETLK", errno.EAGAIN, when=flock),
    "locks.flock_released": argument("RELEASE", lambda arg, q: setattr(arg, "release_flags", 0)),
    "locks.flock_beside_posix": serves(setlk=_other_kind),
    "interrupts.of_finished": _of_finished(),
    "interrupts.of_unknown": dies("INTERRUPT", when=lambda q: q.request and q.arg().unique == 1 << 40),
    "interrupts.before_its_request": _remembered(),
    "interrupts.answered_once": _interrupted(lambda said, kept: [said.message()] * 2),
    "interrupts.ends_the_wait": _not_interrupted(),
    "interrupts.takes_no_lock": _takes_it_all_the_same(),
    "interrupts.others_go_on": _ends_all_waits(),
    "interrupts.storm": dies("INTERRUPT", when=lambda q: q.request and q.arg().unique == (1 << 41) + 1000),
    "interrupts.in_time": _late(),
}
