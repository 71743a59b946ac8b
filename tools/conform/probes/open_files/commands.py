"""IOCTL, POLL, BMAP, and the mappings of virtiofs: what few file systems have."""

from __future__ import annotations

import errno
from typing import Any, Final

from rawfuse import wire
from rawfuse.wire import constants as c

from ...kernel import ROOT, ConformKernel
from ...probe import Table, Tier, Unready
from ...samples import sample

__all__ = ["TABLE"]

TABLE: Final = Table("commands", "IOCTL, POLL, BMAP, SETUPMAPPING, REMOVEMAPPING")

_NOBODYS: Final = 0x8004_5A5A
_POLLIN, _POLLOUT = 1, 4
_REFUSALS: Final = (errno.ENOTTY, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP)


@TABLE.probe(
    "ioctl_unknown",
    Tier.SHOULD,
    "IOCTL of a command that is not known is ENOTTY, or ENOSYS, which Linux makes ENOTTY of, each time anew.",
    "ioctl(2); measured on Linux 6.18",
    opcodes=("IOCTL",),
)
def ioctl_unknown(k: ConformKernel) -> None:
    made = k.any_file()
    arg = wire.fuse_ioctl_in(made.fh, 0, _NOBODYS, 0, 0, 4)
    k.refused(wire.Ioctl(nodeid=made.nodeid, arg=arg), *_REFUSALS)


@TABLE.probe(
    "ioctl_directory",
    Tier.SHOULD,
    "IOCTL of a directory says so by IOCTL_DIR; one that is not known is ENOTTY there as well.",
    "fuse_kernel.h 7.18",
    opcodes=("IOCTL",),
)
def ioctl_directory(k: ConformKernel) -> None:
    made = k.opened_directory()
    arg = wire.fuse_ioctl_in(made.fh, c.FUSE_IOCTL_DIR, _NOBODYS, 0, 0, 4)
    k.refused(wire.Ioctl(nodeid=ROOT, arg=arg), *_REFUSALS)


@TABLE.probe(
    "ioctl_room",
    Tier.MUST,
    "A reply to IOCTL has at most out_size bytes behind fuse_ioctl_out, and no IOCTL_RETRY: the command says what it "
    "reads and writes, but for a character device's.",
    "fuse_kernel.h 7.11; measured on Linux 6.18",
    opcodes=("IOCTL",),
    needs=("IOCTL",),
)
def ioctl_room(k: ConformKernel) -> None:
    answer = k.ask(sample(k, "IOCTL"))
    value: Any = answer.value
    k.expect(answer.errno or not value.flags & c.FUSE_IOCTL_RETRY, "no IOCTL_RETRY", answer)


@TABLE.probe(
    "poll_file",
    Tier.SHOULD,
    "POLL of a regular file that is open for both says that it can be read and written, as it never waits.",
    "POSIX: poll(2); fuse_kernel.h 7.11",
    opcodes=("POLL",),
    needs=("POLL", "CREATE", "WRITE"),
)
def poll_file(k: ConformKernel) -> None:
    made = k.file(b"bytes")
    arg = wire.fuse_poll_in(made.fh, 7, 0, _POLLIN | _POLLOUT)
    found = k.success(wire.Poll(nodeid=made.nodeid, arg=arg)).revents
    k.expect(found & (_POLLIN | _POLLOUT), "POLLIN or POLLOUT", f"{found:#x}")


@TABLE.probe(
    "poll_schedule",
    Tier.MUST,
    "POLL with SCHEDULE_NOTIFY is answered at once with what is ready now; readiness later is a notification, never a "
    "reply that is held back.",
    "fuse_kernel.h 7.11",
    opcodes=("POLL",),
    needs=("POLL",),
)
def poll_schedule(k: ConformKernel) -> None:
    made = k.any_file()
    arg = wire.fuse_poll_in(made.fh, 7, c.FUSE_POLL_SCHEDULE_NOTIFY, _POLLIN)
    k.success(wire.Poll(nodeid=made.nodeid, arg=arg))


@TABLE.probe(
    "bmap",
    Tier.SHOULD,
    "BMAP, of fuseblk mounts alone, is a block number, or an errno where there is no device.",
    "fuse_kernel.h 7.8",
    opcodes=("BMAP",),
)
def bmap(k: ConformKernel) -> None:
    answer = k.ask(sample(k, "BMAP"))
    k.expect(answer.errno in (0, *_REFUSALS), "a block number, ENOSYS or EINVAL", answer)


def _mapping(label: str) -> None:
    @TABLE.probe(
        label.lower(),
        Tier.SHOULD,
        f"{label}, of virtiofs alone, is refused by a server without a DAX window; ENOSYS says so.",
        "fuse_kernel.h 7.31",
        opcodes=(label,),
    )
    def mapping(k: ConformKernel) -> None:
        answer = k.ask(sample(k, label))
        if not answer.errno:
            raise Unready("it has a window")
        k.expect(answer.errno, "an errno", answer)
        k.alive()


_mapping("SETUPMAPPING")
_mapping("REMOVEMAPPING")
