"""What a server says unasked: notifications, whose form is fixed, and the NOTIFY_REPLY that a RETRIEVE brings."""

from __future__ import annotations

import errno
from typing import Final

from rawfuse import wire
from rawfuse.wire import constants as c
from rawfuse.wire.base import Notification
from rawfuse.wire.opcodes import NOTIFICATIONS

from ...kernel import ROOT, ConformKernel
from ...probe import Table, Tier, Unready

__all__ = ["TABLE"]

TABLE: Final = Table("notifies", "Notifications, and NOTIFY_REPLY")

_SOURCE: Final = "measured on Linux 6.18"
_NOTIFY_REPLY: Final = 41
_QUIET: Final = 0.05
_LOOKS: Final = 20
_POLLPRI: Final = 2
_SINCE: Final = {notice.message: notice.since for notice in NOTIFICATIONS}


def _provoked(k: ConformKernel) -> list[tuple[Notification | None, int]]:
    """The notifications that everyday work brings about; of a server that sends none there is nothing to judge."""
    try:
        made = k.file(b"some bytes")
        k.fill(made, b"others", 3)
        k.ask(wire.Poll(nodeid=made.nodeid, arg=wire.fuse_poll_in(made.fh, 9, c.FUSE_POLL_SCHEDULE_NOTIFY, 1)))
        k.fill(made, b"again", 0)
        k.directory()
        k.tidy()
    except Unready:
        k.alive()
    k.settle(_QUIET)
    if not k.notifications:
        raise Unready("the server sent no notification")
    return k.notifications


@TABLE.probe(
    "form",
    Tier.MUST,
    "A notification has unique 0, a known code where a reply has its errno, and exactly its struct and what that "
    "counts; Linux says EINVAL to others.",
    _SOURCE,
    opcodes=(),
    fresh=True,
    depends=("commands.poll_schedule",),
)
def form(k: ConformKernel) -> None:
    wrong = [number for what, number in _provoked(k) if what is None or number == errno.EINVAL]
    k.expect(not wrong, "notifications that Linux takes", f"{len(wrong)} that it refuses")


@TABLE.probe(
    "known",
    Tier.MAY,
    "Notifications are about inodes and names that the kernel was told of; Linux says ENOENT to others.",
    _SOURCE,
    fresh=True,
    depends=("commands.poll_schedule",),
)
def known(k: ConformKernel) -> None:
    wrong = [f"{what}" for what, number in _provoked(k) if number == errno.ENOENT]
    k.expect(not wrong, "known inodes and names", "; ".join(wrong[:3]) or "known ones")


@TABLE.probe(
    "not_before_init",
    Tier.MUST,
    "Nothing is sent before INIT is answered: no kernel knows what to make of it.",
    _SOURCE,
    init=False,
)
def not_before_init(k: ConformKernel) -> None:
    k.settle(_QUIET)
    k.expect(not k.messages, "silence", f"{len(k.messages)} messages")
    k.init()


@TABLE.probe(
    "since",
    Tier.SHOULD,
    "A kernel gets no notification of a later minor than its own.",
    "fuse_kernel.h 7.45: the history of versions",
    init=False,
    depends=("commands.poll_schedule",),
)
def since(k: ConformKernel) -> None:
    k.init(minor=31)
    if k.session.agreed is None:
        raise Unready(f"INIT was not agreed on: {k.session.refused}")
    late = [type(what).__name__ for what, _ in _provoked(k) if what is not None and _SINCE[type(what).__name__] > 31]
    k.expect(not late, "codes known to 7.31", ", ".join(late[:3]) or "such codes")


def _reply(k: ConformKernel, body: bytes, nodeid: int = ROOT) -> None:
    k.malformed(_NOTIFY_REPLY, body, nodeid=nodeid)
    k.serves()
    k.settle()
    strays = [stray for stray in k.strays if stray.unique]
    k.expect(not strays, "no reply", "; ".join(stray.why for stray in strays[:2]) or "none")


@TABLE.probe(
    "reply_silent",
    Tier.MUST,
    "NOTIFY_REPLY, the bytes that a NOTIFY_RETRIEVE asked for, is never answered; one that nobody asked for neither.",
    "fuse_kernel.h 7.15; measured on Linux 6.18",
    opcodes=("NOTIFY_REPLY",),
)
def reply_silent(k: ConformKernel) -> None:
    _reply(k, wire.fuse_notify_retrieve_in(0, 4).pack() + b"data")


@TABLE.probe(
    "reply_size",
    Tier.SHOULD,
    "NOTIFY_REPLY that says more bytes than it has is passed over in silence.",
    "fuse_kernel.h 7.15: fuse_notify_retrieve_in.size",
    opcodes=("NOTIFY_REPLY",),
)
def reply_size(k: ConformKernel) -> None:
    _reply(k, wire.fuse_notify_retrieve_in(0, 5000).pack() + b"data")


@TABLE.probe(
    "poll_woken",
    Tier.SHOULD,
    "POLL with SCHEDULE_NOTIFY of what is not ready brings NOTIFY_POLL with its kh once that is ready, and no reply.",
    "fuse_kernel.h 7.11; POLLPRI is what files have that tell of changes, as /proc/mounts does",
    opcodes=("POLL",),
    needs=("POLL", "CREATE", "WRITE"),
    depends=("commands.poll_schedule",),
)
def poll_woken(k: ConformKernel) -> None:
    made = k.file(b"x")
    request = wire.Poll(nodeid=made.nodeid, arg=wire.fuse_poll_in(made.fh, 77, c.FUSE_POLL_SCHEDULE_NOTIFY, _POLLPRI))
    if k.success(request).revents & _POLLPRI and k.success(request).revents & _POLLPRI:
        raise Unready("the file is always ready")
    before = len(k.notifications)
    k.fill(made, b"more", 1)
    woken: list[int] = []
    for _ in range(_LOOKS):
        k.settle(_QUIET)
        woken = [what.arg.kh for what, _ in k.notifications[before:] if isinstance(what, wire.NotifyPoll)]
        if woken:
            break
    if not woken and not k.success(request).revents & _POLLPRI:
        raise Unready("the file does not become ready by a WRITE")
    k.expect(77 in woken, "NOTIFY_POLL with kh 77", f"{woken}")
