"""The queue and notifications gone wrong."""

from __future__ import annotations

import errno
from typing import Final

from broken_servers.middle import Asked, Broken, Kept, Said
from broken_servers.ways import answers, errno_of
from rawfuse import wire as w
from rawfuse.wire.flags import InitFlags

__all__ = ["BROKEN"]


def _lost_in_a_burst() -> Broken:
    """Of many requests at once one is lost: the second of two lookups that come without a pause."""

    def ask(asked: Asked, kept: Kept) -> list[Said] | None:
        if asked.label == "LOOKUP" and asked.request and asked.request.name == b"absent42":
            return []
        return None

    return Broken(ask=ask)


def _stale_lookups() -> Broken:
    """A name that was removed is found for a while."""

    def say(said: Said, kept: Kept) -> None:
        asked = said.asked
        if asked is None or asked.request is None:
            return
        if asked.label == "LOOKUP" and said.ok and said.take(w.fuse_entry_out).nodeid:
            kept.files[asked.nodeid, asked.request.name] = bytes(said.body)
        elif asked.label == "LOOKUP" and said.ok and (asked.nodeid, asked.request.name) in kept.files:
            if kept.files["removed"] > 10:
                said.body = bytearray(kept.files.pop((asked.nodeid, asked.request.name)))
        elif asked.label == "RMDIR":
            kept.files["removed"] = kept.files.get("removed", 0) + 1

    return Broken(say=say)


def _of_32_bits() -> Broken:
    def say(said: Said, kept: Kept) -> list[bytes] | None:
        if said.unique >> 32 and said.asked and said.asked.label == "GETATTR":
            said.unique &= 0xFFFFFFFF
        return None

    return Broken(say=say)


def _not_falling() -> Broken:
    """A unique below the highest is taken for an old request."""

    def ask(asked: Asked, kept: Kept) -> list[Said] | None:
        if asked.label == "GETATTR" and 800_000 <= asked.unique < 1_000_000:
            highest = kept.files.get("highest", 0)
            kept.files["highest"] = max(highest, asked.unique)
            return [] if asked.unique < highest else None
        return None

    return Broken(ask=ask)


def _with_resend() -> Broken:
    """HAS_RESEND is agreed on, and bit 63 taken off."""

    def say(said: Said, kept: Kept) -> None:
        asked = said.asked
        if asked and asked.label == "INIT" and said.ok and len(said.body) == 64 and asked.request and asked.arg().flags:
            out = said.take(w.fuse_init_out)
            out.flags |= InitFlags.FUSE_INIT_EXT
            out.flags2 |= int(InitFlags.FUSE_HAS_RESEND) >> 32
            said.put(out)
        said.unique &= (1 << 63) - 1

    return Broken(say=say)


def notification(code: int, body: bytes) -> bytes:
    return w.fuse_out_header(16 + len(body), code, 0).pack() + body


def _tells(message: bytes, *, label: str = "MKDIR", minor: int = 0) -> Broken:
    """A notification before each reply to `label`."""

    def say(said: Said, kept: Kept) -> list[bytes] | None:
        if said.asked and said.asked.label == "INIT" and len(said.body) == 64:
            kept.files["minor"] = said.take(w.fuse_init_out).minor
        if said.asked and said.asked.label == label and (not minor or kept.files.get("minor", 0) <= minor):
            return [message, said.message()]
        return None

    return Broken(say=say)


def _slow_reads() -> Broken:
    """Many READs at a time are too many."""

    def ask(asked: Asked, kept: Kept) -> list[Said] | None:
        if asked.label == "READ" and asked.request and asked.arg().size == 1 << 17:
            kept.files["reads"] = kept.files.get("reads", 0) + 1
            return [] if kept.files["reads"] > 20 else None
        kept.files["reads"] = 0
        return None

    return Broken(ask=ask)


UNKNOWN: Final = w.fuse_notify_inval_inode_out(1 << 50, 0, 0).pack()

BROKEN: Final[dict[str, Broken]] = {
    "queue.pipelined": _lost_in_a_burst(),
    "queue.in_order": _stale_lookups(),
    "queue.large_unique": _of_32_bits(),
    "queue.resent": _with_resend(),
    "queue.any_order": _not_falling(),
    "queue.nobody": errno_of("GETATTR", errno.EPERM, when=lambda q: q.header[6] == 0 and q.nodeid == 1),
    "queue.slow_beside_fast": _slow_reads(),
    "notifies.form": _tells(notification(2, UNKNOWN[:-1])),
    "notifies.known": _tells(notification(2, UNKNOWN)),
    "notifies.not_before_init": Broken(first=notification(2, w.fuse_notify_inval_inode_out(1, 0, 0).pack())),
    "notifies.since": _tells(notification(8, b""), minor=31),
    "notifies.reply_silent": answers("NOTIFY_REPLY", when=lambda q: q.request),
    "notifies.reply_size": answers("NOTIFY_REPLY", when=lambda q: not q.request and len(q.body) == 44),
}
