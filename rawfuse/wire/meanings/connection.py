"""Requests about the connection itself."""

from __future__ import annotations

from rawfuse.wire.meanings.record import Meaning

__all__ = ["MEANINGS"]

MEANINGS: dict[int, Meaning] = {
    26: Meaning(
        "The mount begins; nothing else comes before its reply. unique is 2.",
        (("EPROTO", "as any errno: the connection is dead, every call is ECONNREFUSED, the mount stays"),),
        (
            "Reply with the smaller of both minors and with the flags wanted of those offered. flags2 counts only with "
            "INIT_EXT in flags.",
            "The kernel goes by the minor in the reply: structs are as long as that minor had them. It does not hold "
            "back newer opcodes, but for BATCH_FORGET.",
            "A major other than 7 ends the connection; Linux never sends a second INIT, whatever the header says. A "
            "reply of 8 to 64 bytes is taken, what is left out is zero.",
        ),
    ),
    36: Meaning(
        "A signal reaches a caller whose request the server has read but not answered. unique is the target's with bit "
        "0 set; uid, gid, pid and nodeid are 0.",
        (
            ("EAGAIN", "ask again later: the request was not known yet"),
            ("ENOENT", "as any other errno, 0, or no reply at all: no effect"),
        ),
        (
            "The caller waits, even when killed, until the target itself is answered: with EINTR where it was given "
            "up, with its result where not.",
            "It may overtake its target or come after it was answered; a reply is optional, 16 bytes long.",
        ),
    ),
    37: Meaning(
        "ioctl(2) FIBMAP and swapon(2), on fuseblk mounts.",
        (("EIO", "as any errno: the caller sees block 0, a hole"),),
        seen=False,
    ),
    38: Meaning(
        "The unmount of a fuseblk or virtiofs mount, at its end; ordinary mounts just end, with ENODEV on the device.",
        (("EIO", "ignored, as any other errno is"),),
        seen=False,
    ),
    41: Meaning(
        "The answer to NOTIFY_RETRIEVE: a request by its form, but its unique is the server's notify_unique, odd or "
        "even, and it must not be answered.",
        notes=("The bytes may be fewer than asked for: what was cached from offset on.",),
    ),
    50: Meaning(
        "syncfs(2) and sync(2), on virtiofs; not seen of ordinary mounts on Linux 6.18.",
        (("EIO", "something could not be stored"), ("ENOSPC", "no room")),
        seen=False,
    ),
    4096: Meaning(
        "/dev/cuse was opened: the character device that its reply names is made, and OPEN, READ, WRITE, FLUSH, "
        "RELEASE, FSYNC, IOCTL and POLL of it follow.",
        (("EPROTO", "as any errno: the device is not made"),),
        (
            "The reply's struct is followed by strings NAME=value, each ended by a NUL, at most 4096 bytes; DEVNAME is "
            "needed and names the file in /dev.",
        ),
        seen=False,
    ),
}
