"""INIT gone wrong."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any, Final

from broken_servers.middle import Asked, Broken, Kept, Said
from broken_servers.ways import answers, body, edits, errno_of, lost, twice
from rawfuse.wire import fuse_init_out
from rawfuse.wire.flags import InitFlags as F

__all__ = ["BROKEN", "reply_with"]


def reply_with(**members: int | Callable[[Any, Asked], int]) -> Broken:
    """A reply to INIT with other members; a function is given the reply and the request."""

    def change(out: Any, asked: Asked) -> None:
        for name, value in members.items():
            setattr(out, name, value(out, asked) if callable(value) else value)

    return edits("INIT", fuse_init_out, change)


def _offered(asked: Asked) -> int:
    return int(asked.arg().flags | getattr(asked.arg(), "flags2", 0) << 32)


def _old(minor: int) -> Callable[[Asked], bool]:
    return lambda asked: bool(asked.request and asked.arg().major == 7 and asked.arg().minor == minor)


def _breaks_then(minor: int) -> Broken:
    """It says that it serves that minor, and then gives nothing of the kind."""

    def ask(asked: Asked, kept: Kept) -> list[Said] | None:
        if asked.label == "INIT" and _old(minor)(asked):
            kept.files["old"] = True
            out = fuse_init_out(major=7, minor=minor, max_write=4096, max_pages=1).pack()
            return [Said(0, asked.unique, bytearray(out[: 24 if minor < 23 else 64]), asked)]
        if kept.files.get("old") and asked.label == "GETATTR":
            return [Said(0, asked.unique, bytearray(7), asked)]
        return None

    return Broken(ask=ask)


def _before_init() -> Broken:
    def ask(asked: Asked, kept: Kept) -> list[Said] | None:
        if asked.label == "INIT":
            kept.files["init"] = True
        if asked.label == "GETATTR" and not kept.files.get("init"):
            return [Said(0, asked.unique, bytearray(104), asked)]
        return None

    return Broken(ask=ask)


def _second() -> Broken:
    def ask(asked: Asked, kept: Kept) -> list[Said] | None:
        if asked.label != "INIT" or not asked.request:
            return None
        if kept.files.get("init"):
            return [Said(0, asked.unique, bytearray(fuse_init_out(7, 45, max_write=4096).pack()), asked)]
        kept.files["init"] = asked.arg().major == 7
        return None

    return Broken(ask=ask)


def _any_byte_order(opcode: int) -> Broken:
    def ask(asked: Asked, kept: Kept) -> list[Said] | None:
        if asked.label == str(opcode):
            return [Said(0, 2, bytearray(fuse_init_out(7, 45, max_write=4096).pack()), asked)]
        return None

    return Broken(ask=ask)


def _plain(asked: Asked) -> bool:
    """INIT as this kernel sends it."""
    return bool(asked.request and asked.arg().major == 7 and asked.arg().minor == 45 and len(asked.body) == 64)


BROKEN: Final[dict[str, Broken]] = {
    "negotiation.answered": errno_of("INIT", errno.EPROTO, when=_plain),
    "negotiation.major": edits("INIT", fuse_init_out, lambda out, asked: setattr(out, "major", 6), when=_plain),
    "negotiation.once": twice("INIT"),
    "negotiation.whole": body("INIT", lambda found, asked: found[:24], when=_plain),
    "negotiation.known_flags": reply_with(
        flags=lambda out, asked: out.flags | F.FUSE_POSIX_LOCKS if _offered(asked) else out.flags
    ),
    "negotiation.no_flags": reply_with(
        flags=lambda out, asked: out.flags if _offered(asked) else int(F.FUSE_ASYNC_READ)
    ),
    "negotiation.init_ext": reply_with(
        flags=lambda out, asked: out.flags & ~F.FUSE_INIT_EXT,
        flags2=lambda out, asked: out.flags2 | 1 if _offered(asked) else 0,
    ),
    "negotiation.minor_not_above": edits(
        "INIT", fuse_init_out, lambda out, asked: setattr(out, "minor", 45), when=_old(31)
    ),
    "negotiation.max_write": reply_with(max_write=512),
    "negotiation.max_readahead": reply_with(max_readahead=1 << 30),
    "negotiation.time_gran": reply_with(time_gran=12345),
    "negotiation.max_pages": reply_with(max_pages=2),
    "negotiation.passthrough_or_writeback": reply_with(
        flags=lambda out, asked: out.flags | F.FUSE_INIT_EXT if _offered(asked) else 0,
        flags2=lambda out, asked: out.flags2 | int(F.FUSE_PASSTHROUGH) >> 32 if _offered(asked) else 0,
        max_stack_depth=0,
    ),
    "negotiation.congestion": reply_with(max_background=10, congestion_threshold=20),
    "negotiation.second": _second(),
    "negotiation.nothing_before": _before_init(),
    "negotiation.higher_major": errno_of(
        "INIT", errno.EPROTO, when=lambda asked: int.from_bytes(asked.body[:4], "little") > 7
    ),
    "negotiation.lower_major": answers(
        "INIT",
        fuse_init_out(6, 45).pack(),
        when=lambda asked: int.from_bytes(asked.body[:4], "little") < 7,
    ),
    "negotiation.longer": errno_of("INIT", errno.EINVAL, when=lambda asked: len(asked.body) > 64),
    "negotiation.destroy": lost("DESTROY"),
    "negotiation.cuse_init": answers("CUSE_INIT 4096", bytes(24)),
    "negotiation.other_byte_order": _any_byte_order(0x1A000000),
    "negotiation.cuse_other_byte_order": _any_byte_order(0x00100000),
    **{f"minors.7_{minor}": _breaks_then(minor) for minor in (44, 40, 36, 31, 28, 23, 19, 12, 8, 5)},
}
