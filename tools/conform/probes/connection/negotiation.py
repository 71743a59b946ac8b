"""INIT: the first exchange, on which the size of many later messages depends."""

from __future__ import annotations

import sys
from typing import Any, Final

from rawfuse.session.kernel_session import OFFERED, Answered
from rawfuse.trace.record import Direction
from rawfuse.wire import Destroy, fuse_in_header, fuse_init_out, fuse_out_header
from rawfuse.wire.flags import InitFlags

from ...kernel import ConformKernel
from ...probe import Gone, Hangs, Table, Tier, Unbelieved, Unready, Violation

__all__ = ["TABLE"]

TABLE: Final = Table("negotiation", "INIT: versions, flags and limits")

_HEADER: Final = "fuse_kernel.h 7.45"
_SOURCE: Final = "fuse_kernel.h 7.45; measured on Linux 6.18"
_CUSE_INIT: Final = 4096
_SHORT: Final = 0.5


def _agreed(k: ConformKernel, **offer: Any) -> fuse_init_out:
    """The reply to INIT; that it is a success is the rule of `answered`."""
    try:
        answer = k.init(**offer)
    except Violation as error:
        raise Unready(f"INIT was not agreed on: {error}") from error
    if k.session.agreed is None:
        raise Unready(f"INIT was not agreed on: {k.session.refused or answer.errno}")
    return k.session.agreed


def _word(reply: fuse_init_out) -> int:
    return reply.flags | reply.flags2 << 32


@TABLE.probe(
    "answered",
    Tier.MUST,
    "INIT is answered with success and 8 to 64 bytes of fuse_init_out; an error or another size ends the connection, "
    "and every call says ECONNREFUSED.",
    _SOURCE,
    opcodes=("INIT",),
    init=False,
)
def answered(k: ConformKernel) -> None:
    try:
        answer = k.init()
    except Unbelieved as error:  # the major, perhaps
        k.expect(True, "success", error.seen)
    else:
        k.expect(not answer.errno and k.session.agreed is not None, "success", k.session.refused or answer)


@TABLE.probe(
    "major",
    Tier.MUST,
    "The reply's major is 7; Linux takes another one for a refusal.",
    _SOURCE,
    opcodes=("INIT",),
    depends=("negotiation.answered",),
    init=False,
)
def major(k: ConformKernel) -> None:
    answer = k.init()
    value: Any = answer.value
    k.expect(not answer.errno and value.major == 7, "major 7", answer)


@TABLE.probe(
    "once",
    Tier.MUST,
    "INIT is answered once; what follows answers nothing, and Linux says ENOENT to it.",
    "measured on Linux 6.18",
    opcodes=("INIT",),
    depends=("negotiation.answered",),
    init=False,
)
def once(k: ConformKernel) -> None:
    k.init()
    k.settle()
    k.expect(not k.strays, "one reply", f"{len(k.strays) + 1} messages: {k.strays[:2]}")


@TABLE.probe(
    "whole",
    Tier.SHOULD,
    "From minor 23 on the reply is all 64 bytes, for Linux reads the limits in its second half from there.",
    _HEADER,
    opcodes=("INIT",),
    init=False,
)
def whole(k: ConformKernel) -> None:
    answer = k.init()
    _agreed_or_unready(k)
    value: Any = answer.value
    k.expect(value.minor < 23 or len(answer.body) == 64, "64 bytes", f"minor {value.minor}, {len(answer.body)} bytes")


def _agreed_or_unready(k: ConformKernel) -> fuse_init_out:
    if k.session.agreed is None:
        raise Unready(f"INIT was not agreed on: {k.session.refused}")
    return k.session.agreed


@TABLE.probe(
    "known_flags",
    Tier.SHOULD,
    "The reply's flags are among those that the kernel offered: what an old kernel does not know, it does not do.",
    _HEADER,
    opcodes=("INIT",),
    init=False,
)
def known_flags(k: ConformKernel) -> None:
    offered = OFFERED & ~(InitFlags.FUSE_WRITEBACK_CACHE | InitFlags.FUSE_POSIX_LOCKS | InitFlags.FUSE_DO_READDIRPLUS)
    more = InitFlags(_word(_agreed(k, flags=offered))) & ~offered
    k.expect(not more, "no flag that was not offered", f"besides {more.name}")


@TABLE.probe(
    "no_flags",
    Tier.SHOULD,
    "A kernel that offers no flags gets none, and is served.",
    _HEADER,
    opcodes=("INIT",),
    init=False,
)
def no_flags(k: ConformKernel) -> None:
    word = _word(_agreed(k, flags=InitFlags(0)))
    k.expect(not word, "flags 0", f"{InitFlags(word).name}")
    k.serves()


@TABLE.probe(
    "init_ext",
    Tier.SHOULD,
    "Flags from bit 32 on are in flags2, which Linux reads only where INIT_EXT is among the others.",
    "fuse_kernel.h 7.36; Linux fs/fuse/inode.c",
    opcodes=("INIT",),
    init=False,
)
def init_ext(k: ConformKernel) -> None:
    reply = _agreed(k)
    ext = bool(reply.flags & InitFlags.FUSE_INIT_EXT)
    k.expect(ext or not reply.flags2, "INIT_EXT beside flags2", f"flags {reply.flags:#x}, flags2 {reply.flags2:#x}")


@TABLE.probe(
    "minor_not_above",
    Tier.MAY,
    "The reply's minor is not above the kernel's: then both know which messages will be sent.",
    _HEADER,
    opcodes=("INIT",),
    init=False,
)
def minor_not_above(k: ConformKernel) -> None:
    reply = _agreed(k, minor=31)
    k.expect(reply.minor <= 31, "a minor up to 31", f"minor {reply.minor}")


@TABLE.probe(
    "max_write",
    Tier.SHOULD,
    "max_write is at least 4096: Linux takes less for that and sends pages all the same.",
    _SOURCE,
    opcodes=("INIT",),
    init=False,
)
def max_write(k: ConformKernel) -> None:
    reply = _agreed(k)
    k.expect(reply.max_write >= 4096, "at least 4096", f"{reply.max_write}")


@TABLE.probe(
    "max_readahead",
    Tier.MAY,
    "max_readahead is at most what the kernel offered, which is all that it will do.",
    _HEADER,
    opcodes=("INIT",),
    init=False,
)
def max_readahead(k: ConformKernel) -> None:
    reply = _agreed(k)
    k.expect(reply.max_readahead <= 1 << 20, f"at most {1 << 20}", f"{reply.max_readahead}")


@TABLE.probe(
    "time_gran",
    Tier.SHOULD,
    "time_gran is a power of ten from 1 to 1000000000 nanoseconds, or 0; Linux ignores one that is larger.",
    "fuse_kernel.h 7.23; Linux fs/fuse/inode.c",
    opcodes=("INIT",),
    init=False,
)
def time_gran(k: ConformKernel) -> None:
    reply = _agreed(k)
    possible = (0, *(10**power for power in range(10)))
    k.expect(reply.time_gran in possible, "0, or a power of ten up to 1000000000", f"{reply.time_gran}")


@TABLE.probe(
    "max_pages",
    Tier.SHOULD,
    "With MAX_PAGES, max_pages says how many pages a message has at most: at least as many as max_write fills.",
    "fuse_kernel.h 7.28; measured on Linux 6.18: 0 means 1, and WRITEs are no longer than max_pages allows",
    opcodes=("INIT",),
    needs=("FUSE_MAX_PAGES",),
    depends=("negotiation.whole",),
    init=False,
)
def max_pages(k: ConformKernel) -> None:
    reply = _agreed(k)
    enough = -(-reply.max_write // 4096)
    seen = f"max_pages {reply.max_pages}, max_write {reply.max_write}"
    k.expect(reply.max_pages >= min(enough, 256), f"at least {min(enough, 256)} pages", seen)


@TABLE.probe(
    "passthrough_or_writeback",
    Tier.SHOULD,
    "PASSTHROUGH and WRITEBACK_CACHE exclude each other, and PASSTHROUGH needs a max_stack_depth of 1 or more.",
    "Linux fs/fuse/inode.c",
    opcodes=("INIT",),
    init=False,
)
def passthrough_or_writeback(k: ConformKernel) -> None:
    reply = _agreed(k)
    if not _word(reply) & InitFlags.FUSE_PASSTHROUGH:
        raise Unready("PASSTHROUGH is not in the reply to INIT")
    writeback = bool(reply.flags & InitFlags.FUSE_WRITEBACK_CACHE)
    seen = f"max_stack_depth {reply.max_stack_depth}, WRITEBACK_CACHE {writeback}"
    k.expect(not writeback and reply.max_stack_depth >= 1, "a max_stack_depth, and no WRITEBACK_CACHE", seen)


@TABLE.probe(
    "congestion",
    Tier.MAY,
    "congestion_threshold is not above max_background: a queue cannot be congested only after it is full.",
    _HEADER,
    opcodes=("INIT",),
    init=False,
)
def congestion(k: ConformKernel) -> None:
    reply = _agreed(k)
    seen = f"congestion_threshold {reply.congestion_threshold}, max_background {reply.max_background}"
    k.expect(
        not reply.max_background or reply.congestion_threshold <= reply.max_background, "not above max_background", seen
    )


@TABLE.probe(
    "second",
    Tier.SHOULD,
    "A second INIT is refused: what was agreed on holds for as long as the connection.",
    "Linux sends one INIT on a connection; measured with libfuse 3.19: EIO",
    opcodes=("INIT",),
    fresh=True,
)
def second(k: ConformKernel) -> None:
    message = bytearray(k.session.init())
    k.raw(bytes(message))
    unique = int.from_bytes(message[8:16], sys.byteorder)
    answer = k.wait(unique, "the second INIT")
    k.expect(answer.errno, "an errno", answer)
    k.serves()


@TABLE.probe(
    "nothing_before",
    Tier.SHOULD,
    "A request before INIT is refused or left alone; INIT goes its way after it.",
    "Linux sends INIT first; what agreed sizes would a reply have before it?",
    opcodes=("INIT",),
    init=False,
)
def nothing_before(k: ConformKernel) -> None:
    early = 1000
    k.raw(fuse_in_header(56, 3, early, 1, k.uid, k.gid).pack() + bytes(16))
    k.settle(_SHORT)
    answer = k.init()
    replies = [fuse_out_header.unpack_from(one.data) for one in k.messages if one.direction is Direction.TO_KERNEL]
    served = any(header.unique == early and not header.error for header in replies)
    k.expect(not served, "an errno, or nothing", "success" if served else "that")
    k.expect(not answer.errno, "INIT answered with success after it", answer)


@TABLE.probe(
    "higher_major",
    Tier.SHOULD,
    "A kernel of a higher major is told ours, 7, and may send another INIT of that.",
    "fuse_kernel.h 7.45: the comment on versions; measured with libfuse 3.19",
    opcodes=("INIT",),
    init=False,
)
def higher_major(k: ConformKernel) -> None:
    answer = k.init(major=8, minor=0)
    ours = int.from_bytes(answer.body[:4], sys.byteorder)
    k.expect(not answer.errno and ours == 7, "major 7", answer)
    again = k.init()
    k.expect(not again.errno, "success for an INIT of major 7 after it", again)


@TABLE.probe(
    "lower_major",
    Tier.MAY,
    "A kernel of a lower major, which we do not speak, gets an error (EPROTO), or our end of the line.",
    "fuse_kernel.h 7.45: the comment on versions; measured with libfuse 3.19: EPROTO",
    opcodes=("INIT",),
    init=False,
)
def lower_major(k: ConformKernel) -> None:
    try:
        answer = k.init(major=6, minor=45)
    except Gone:
        k.expect(True, "an errno, or the end", "the server ended")
        return
    k.expect(answer.errno, "an errno, or the end", answer)


@TABLE.probe(
    "longer",
    Tier.SHOULD,
    "A later kernel's INIT may be longer than we know it; the rest is ignored.",
    "fuse_kernel.h 7.36: fuse_init_in has grown from 8 to 16 to 64 bytes",
    opcodes=("INIT",),
    init=False,
)
def longer(k: ConformKernel) -> None:
    _longer_init(k, 64)


def _longer_init(k: ConformKernel, more: int) -> None:
    message = bytearray(k.session.init() + bytes(more))
    message[0:4] = len(message).to_bytes(4, sys.byteorder)
    k.raw(bytes(message))
    answer = k.wait(2, "INIT")
    k.expect(not answer.errno, "success", answer)
    k.serves()


@TABLE.probe(
    "destroy",
    Tier.SHOULD,
    "DESTROY, the last request of a fuseblk mount, is answered: umount(2) waits for it.",
    "fuse_kernel.h 7.8; measured on Linux 6.18: ordinary mounts never send it",
    opcodes=("DESTROY",),
    fresh=True,
)
def destroy(k: ConformKernel) -> None:
    answer = k.ask(Destroy())
    k.expect(not answer.errno, "success, no bytes behind the header", answer)


@TABLE.probe(
    "cuse_init",
    Tier.SHOULD,
    "CUSE_INIT, the first request to a character device's server, is an error for a file system's.",
    "fuse_kernel.h 7.45",
    opcodes=("CUSE_INIT",),
    fresh=True,
)
def cuse_init(k: ConformKernel) -> None:
    answer = k.wait(k.malformed(_CUSE_INIT, bytes(16), nodeid=0), "CUSE_INIT")
    k.expect(answer.errno, "an errno", answer)
    k.alive()


@TABLE.probe(
    "cuse_other_byte_order",
    Tier.SHOULD,
    "CUSE_INIT of the other byte order, opcode 0x100000, is an error, too.",
    "fuse_kernel.h 7.45: CUSE_INIT_BSWAP_RESERVED",
    opcodes=("CUSE_INIT_BSWAP_RESERVED",),
    fresh=True,
)
def cuse_other_byte_order(k: ConformKernel) -> None:
    answer = k.wait(k.malformed(_CUSE_INIT << 8, bytes(16), nodeid=0), "CUSE_INIT")
    k.expect(answer.errno, "an errno", answer)
    k.alive()


@TABLE.probe(
    "other_byte_order",
    Tier.MAY,
    "An INIT of the other byte order is recognized by its opcode, 0x1a000000, and not taken for one of ours.",
    "fuse_kernel.h 7.45: FUSE_INIT_BSWAP_RESERVED; FUSE has no byte order of its own",
    opcodes=("INIT", "INIT_BSWAP_RESERVED"),
    init=False,
)
def other_byte_order(k: ConformKernel) -> None:
    message = bytearray(k.session.init())
    for at, size in ((0, 4), (4, 4), (8, 8), (16, 8), (40, 4), (44, 4), (48, 4), (52, 4)):
        message[at : at + size] = message[at : at + size][::-1]
    k.raw(bytes(message))
    try:
        reply = k.reply_within(2, _SHORT)
    except (Gone, Hangs):
        reply = None
    k.expect(not isinstance(reply, Answered) or reply.errno, "no success", reply)
