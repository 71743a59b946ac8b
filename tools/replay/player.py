"""Playing a trace: requests in their order, each sent when the replies that came before it have come again."""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

from rawfuse import wire
from rawfuse.errors import ProtocolError
from rawfuse.trace.exchanges import Exchange, Follower, decoded_request
from rawfuse.trace.record import Direction, Traced
from rawfuse.wire import Request, fuse_init_out
from rawfuse.wire import constants as c
from rawfuse.wire.dirent import DirentPlus
from rawfuse.wire.replies import answered

from ..decode.lines import name_of
from ..decode.values import label, name_text
from .compare import Reply, judge, missing
from .conversation import Conversation, Outcome, ServerGone, ServerHangs
from .foreseen import Foreseen
from .instead import INSTEAD, truncated, written
from .listings import Listing, Listings, take
from .mapping import Mapping, Unknown

__all__ = ["Divergence", "Outcome", "Player", "ServerGone", "ServerHangs"]

_LISTS: Final = (wire.ReadDir, wire.ReadDirPlus)
_OPENS: Final = (wire.Open, wire.OpenDir)
_MOST_LISTED: Final = 100_000
_MIXED: Final = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Divergence:
    """A reply that is not as recorded: the exchange, its number in the trace, and what differs."""

    number: int
    exchange: Exchange
    what: str

    def __str__(self) -> str:
        return f"{_named(self.exchange, self.number)}: {self.what}"


def _named(exchange: Exchange, number: int) -> str:
    path = f" {name_text(exchange.path)}" if exchange.path else ""
    return f"exchange {number}, {name_of(exchange)}{path}"


class Player:
    """Plays to a server on `sock`.

    Args:
        foreseen: what the trace will say (:func:`.foreseen.foresee`).
        ignored: what does not count as a difference (:mod:`.compare`).
        another: the server is another implementation than the recorded one: it is offered what that one accepted,
            operations that only one of the two has are left out, and listings are compared as a whole.
        patience: seconds that a reply may take.
        rhythm: 0 for as fast as possible; 1 in the recorded rhythm, 2 twice as fast.
    """

    def __init__(
        self,
        sock: socket.socket,
        foreseen: Foreseen,
        *,
        ignored: tuple[str, ...] = (),
        another: bool = False,
        patience: float = 30.0,
        rhythm: float = 0.0,
    ) -> None:
        self.outcome = Outcome()
        self.mapping = Mapping()
        self._talk = Conversation(sock, self.outcome, patience=patience)
        self._foreseen = foreseen
        self._ignored = ignored
        self._another = another
        self._by_name = another or any(fnmatchcase("order of entries", pattern) for pattern in ignored)
        self._rhythm = rhythm
        self._listings = Listings()
        self._begun = False
        self._unmasked = False
        self._untruncated = False
        self._uniques: dict[int, int] = {}
        self._made: dict[int, Reply] = {}
        """Replies to requests that were played as several others, by the recorded unique."""

    def play(self, messages: Iterable[Traced]) -> Iterator[Divergence]:
        """Plays all of them; yields what diverges. Raises ServerGone, ServerHangs, and what reading them raises."""
        follower = Follower()
        started = time.perf_counter()
        first: int | None = None
        number = 0
        for message in messages:
            if message.connection != self._foreseen.connection:
                self.outcome.skip("is of another connection than the first")
                continue
            first = message.time if first is None else first
            if self._rhythm:
                self._talk.pause(started + (message.time - first) / 1e9 / self._rhythm)
            done = follower.feed(message)
            if message.direction is Direction.TO_SERVER:
                self._requested(message)
            for exchange in done:
                number += 1
                yield from self._answered(exchange, number)
        for why in self.outcome.malformed:
            yield Divergence(number, Exchange(problem=why), why)
        self.outcome.seconds = time.perf_counter() - started

    # -- requests -------------------------------------------------------------------------------------------------

    def _requested(self, message: Traced) -> None:
        try:
            request = decoded_request(message)
        except ProtocolError:
            self.outcome.skip("cannot be decoded")
            return
        why = self._left_out(request, message)
        if why:
            self.outcome.skip(why)
            return
        if not self._begun:
            self._begin(request)
        try:
            self._play(request)
        except Unknown as unknown:
            self.outcome.skip(str(unknown))
        except ProtocolError as error:
            self.outcome.skip(f"this server's minor does not have it: {error}")

    def _left_out(self, request: Request, message: Traced) -> str:
        """Why a request is not sent; empty where it is."""
        if message.cut:
            return "was cut when it was recorded"
        if isinstance(request, wire.NotifyReply):
            return "answers a notification of the recorded server"
        if request.unique & c.FUSE_UNIQUE_RESEND:
            return "was sent again after a RESEND"
        if request.unique in self._foreseen.absent:
            if self._another and not isinstance(request, _OPENS):
                return f"the recorded server does not have {label(request)}"
        return ""

    def _begin(self, request: Request) -> None:
        """INIT comes first, also where the trace begins behind it."""
        self._begun = True
        if isinstance(request, wire.Init):
            return
        flags = self._foreseen.flags if self._foreseen.flags is not None else c.FUSE_BIG_WRITES | c.FUSE_MAX_PAGES
        arg = wire.fuse_init_in(7, self._talk.minor, 1 << 17, flags & _MIXED, flags >> 32)
        reply = self._talk.call(wire.Init(arg=arg))
        if isinstance(reply.value, fuse_init_out):
            self._talk.agree(reply.value)

    def _play(self, request: Request) -> None:
        if isinstance(request, wire.Interrupt):
            target = self._uniques.get(request.arg.unique)
            if target is None or not self._talk.waits_for(target):
                self.outcome.skip("interrupts what is answered already")
                return
            self._talk.interrupt(target)
            return
        if isinstance(request, wire.Forget | wire.BatchForget):
            self._forget(self.mapping.forgets(request))
            return
        listing = self._listing(request)
        today = self._todays(request)
        if listing is not None:
            today.arg.offset = listing.offset(request.arg.offset)  # type: ignore[attr-defined]
        if isinstance(today, wire.Init) and self._another and self._foreseen.flags is not None:
            # What this one would do with more is not what the recorded requests are about.
            agreed = self._foreseen.flags
            today.arg.flags &= agreed | c.FUSE_INIT_EXT
            today.arg.flags2 &= agreed >> 32
        if type(request) in self._talk.unreleased:
            self.outcome.instead(f"{label(request)} not at all, after an OPEN that this server does not have")
            return
        if isinstance(today, wire.Write) and len(today.data) > self._talk.max_write:
            self.outcome.instead("WRITE as several")
            self._made[request.unique] = written(self._talk, today)
            return
        unique = self._talk.send(today)
        if answered(request.opcode):
            self._uniques[request.unique] = unique

    def _todays(self, request: Request) -> Any:
        """The same with this server's numbers, and as the kernel would have it after this server's INIT."""
        today: Any = self.mapping.request(request)
        if self._unmasked and isinstance(today, wire.Create | wire.MkNod | wire.MkDir):
            today.arg.mode &= ~today.arg.umask
        if self._untruncated and isinstance(today, wire.Open):
            today.arg.flags &= ~os.O_TRUNC
        return today

    def _forget(self, counts: list[tuple[int, int]]) -> None:
        for nodeid, count in counts:
            self._talk.send(wire.Forget(nodeid=nodeid, arg=wire.fuse_forget_in(nlookup=count)))

    def _listing(self, request: Request) -> Listing | None:
        """The listing that a request reads on; one that begins anew, or is over, is settled."""
        over = isinstance(request, wire.ReleaseDir)
        if isinstance(request, _LISTS):
            over = request.arg.offset == 0
        elif not over:
            return None
        if over:
            before = self._listings.close(request)
            if before is not None:
                self.mapping.listed(before, over=True)
                self._give_back()
        return self._listings.of(request) if isinstance(request, _LISTS) else None

    def _give_back(self) -> None:
        surplus, self.mapping.surplus = self.mapping.surplus, []
        self._forget(surplus)

    # -- replies --------------------------------------------------------------------------------------------------

    def _answered(self, exchange: Exchange, number: int) -> Iterator[Divergence]:
        request = exchange.request
        if exchange.notification is not None or request is None or exchange.answer is None:
            return
        actual = self._made.pop(request.unique, None)
        if actual is None:
            unique = self._uniques.pop(request.unique, None)
            if unique is None:
                return
            actual = self._talk.reply(unique, _named(exchange, number))
        if exchange.error is None or exchange.answer.cut:
            self.outcome.skip("its recorded reply is not whole")
            return
        recorded = Reply(exchange.error, exchange.value if not exchange.error else None)
        if recorded.error == errno.ENOSYS and (actual.error == errno.ENOSYS or not self._another):
            self.mapping.without(request)
        try:
            if self._another:
                actual = self._instead(request, recorded, actual)
            if self._untruncated and isinstance(request, wire.Open) and request.arg.flags & os.O_TRUNC:
                self.outcome.instead("OPEN with O_TRUNC as OPEN and SETATTR")
                actual = truncated(self._talk, self._todays(request), actual)
        except Unknown as unknown:
            self.outcome.skip(str(unknown))
        self.mapping.learn(request, recorded.value, actual.value)
        found = list(self._compared(request, recorded, actual))
        if isinstance(request, _LISTS):
            found += self._listed(request, recorded, actual)
        if isinstance(actual.value, fuse_init_out):
            self._talk.agree(actual.value)
            # Without DONT_MASK the kernel takes the umask off by itself.
            apart = (self._foreseen.flags or 0) & ~actual.value.flags
            self._unmasked = bool(apart & c.FUSE_DONT_MASK)
            # Without ATOMIC_O_TRUNC it says in a SETATTR behind OPEN what OPEN says else.
            self._untruncated = bool(apart & c.FUSE_ATOMIC_O_TRUNC)
        self._give_back()
        for what in found:
            yield Divergence(number, exchange, what)

    def _instead(self, request: Request, recorded: Reply, actual: Reply) -> Reply:
        """What the caller sees where this server lacks what the recorded one did."""
        play = INSTEAD.get(type(request))
        if play is None or recorded.error or not missing(request.opcode, actual.error):
            return actual
        done = play(self._talk, self._todays(request), recorded)
        if done is None:
            return actual
        self.outcome.instead(done[0])
        return done[1]

    def _compared(self, request: Request, recorded: Reply, actual: Reply) -> Iterator[str]:
        if (
            self._another
            and not actual.problem
            and missing(request.opcode, actual.error)
            and actual.error != recorded.error
        ):
            self.outcome.skip(f"this server does not have {label(request)}")
        elif self._another and missing(request.opcode, recorded.error) and actual.error != recorded.error:
            self.outcome.skip(f"the recorded server does not have {label(request)}")
        elif request.unique in self._foreseen.interrupted and errno.EINTR in (recorded.error, actual.error):
            self.outcome.skip("was interrupted, which comes early or late")
        else:
            self.outcome.compared += 1
            yield from judge(recorded, actual, self._ignored, another=self._another)

    def _listed(self, request: Request, recorded: Reply, actual: Reply) -> Iterator[str]:
        """Joins the entries; where their order does not count, compares them when the recorded listing has ended."""
        listing = self._listings.of(request)
        take(listing, recorded.value, actual.value)
        if self._by_name and recorded.value == [] and actual.value != []:
            self._read_on(request, listing)
        if self._another and isinstance(request, wire.ReadDirPlus) and missing(request.opcode, actual.error):
            self._look_up(request, recorded, listing)
        self.mapping.listed(listing)
        if self._by_name and "*" not in self._ignored and recorded.value == [] and listing.whole:
            yield from listing.differences()

    def _read_on(self, request: Request, listing: Listing) -> None:
        """This server's replies may hold fewer entries: to its end, too."""
        for _ in range(_MOST_LISTED):
            today = self.mapping.request(request)
            today.arg.offset = listing.actual.last  # type: ignore[attr-defined]
            reply = self._talk.call(today)
            if reply.error or not isinstance(reply.value, list):
                return
            take(listing, None, reply.value)
            if listing.actual.ended:
                return

    def _look_up(self, request: Request, recorded: Reply, listing: Listing) -> None:
        """READDIRPLUS is a listing and a LOOKUP of each of its names; where there is none, these are sent."""
        if not isinstance(recorded.value, list):
            return
        listing.recorded.unmatched.clear()
        for entry in recorded.value:
            if isinstance(entry, DirentPlus) and entry.entry.nodeid and entry.dirent.name not in (b".", b".."):
                name = entry.dirent.name
                one = wire.Lookup(nodeid=self.mapping.nodeid(request.nodeid), uid=request.uid, gid=request.gid)
                one.name = name
                reply = self._talk.call(one)
                asked = wire.Lookup(nodeid=request.nodeid)
                asked.name = name
                self.mapping.learn(asked, entry.entry, reply.value)
