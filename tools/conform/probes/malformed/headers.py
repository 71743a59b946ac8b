"""Headers that are wrong: opcodes, lengths, nodeids that nobody has."""

from __future__ import annotations

import errno
from typing import Final

from rawfuse import wire
from rawfuse.session.kernel_session import Refused
from rawfuse.wire import fuse_in_header

from ...kernel import ConformKernel
from ...probe import Tier
from ...samples import sample
from .table import HEADER, SOURCE, TABLE

_UNKNOWN_NODE: Final = 0x7FFF_FFFF_FF00
_REFUSED_LATE: Final = 0.2


# -- the header ---------------------------------------------------------------------------------------------------


def _unknown(opcode: int) -> None:
    @TABLE.probe(
        f"opcode_{opcode}",
        Tier.MUST if opcode == 200 else Tier.SHOULD,
        f"An opcode that is not known, {opcode}, is ENOSYS: so a newer kernel finds out what a server has.",
        "fuse_kernel.h 7.45; measured with libfuse 3.19",
    )
    def unknown(k: ConformKernel) -> None:
        answer = k.wait(k.malformed(opcode, bytes(16)), f"opcode {opcode}")
        k.expect(answer.errno == errno.ENOSYS, "ENOSYS", answer)
        k.alive()


for _number in (200, 0, 7, 19, 54, 0xFFFF_FFFF):
    _unknown(_number)


def _lying(what: str, change: int) -> None:
    @TABLE.probe(
        f"length_{what}",
        Tier.SHOULD,
        f"A message whose header says a {what} length than it has is refused or passed over; the next one is served.",
        "fuse_kernel.h 7.45: fuse_in_header.len",
        fresh=True,
    )
    def lying(k: ConformKernel) -> None:
        unique = k.malformed(3, bytes(16), length=HEADER + 16 + change)
        reply = k.reply_within(unique, _REFUSED_LATE)
        k.expect(not isinstance(reply, Refused), "an errno, attributes, or nothing", reply)
        k.serves()


_lying("longer", 1000)
_lying("shorter", -20)


@TABLE.probe(
    "short_header",
    Tier.SHOULD,
    "A message shorter than the header of 40 bytes is passed over; the next one is served.",
    "fuse_kernel.h 7.45: fuse_in_header; measured: libfuse, fuser end the session",
    fresh=True,
)
def short_header(k: ConformKernel) -> None:
    k.raw(fuse_in_header(20, 3, 100, 1).pack()[:20])
    k.serves()


@TABLE.probe(
    "extensions_past_end",
    Tier.SHOULD,
    "total_extlen of more than the message has is refused or not looked at.",
    "fuse_kernel.h 7.38: fuse_in_header.total_extlen",
    opcodes=("MKDIR",),
    needs=("MKDIR",),
)
def extensions_past_end(k: ConformKernel) -> None:
    parent, name = k.place(), k.name()
    k.created(parent, name, directory=True)
    body = wire.fuse_mkdir_in(0o755, 0o022).pack() + name + b"\0"
    k.wait(k.malformed(9, body, nodeid=parent, extlen=0xFFFF), "MKDIR")
    k.alive()
    k.expect(True, "a server that goes on", "it does")


@TABLE.probe(
    "trailing",
    Tier.MAY,
    "Bytes behind a body are passed over, or refused: a later minor may have more members there.",
    "fuse_kernel.h 7.45: structs have grown at their ends",
    opcodes=("GETATTR",),
)
def trailing(k: ConformKernel) -> None:
    answer = k.wait(k.malformed(3, bytes(16) + b"\xff" * 100), "GETATTR")
    k.expect(answer.errno in (0, errno.EIO, errno.EINVAL), "attributes, EIO or EINVAL", answer)
    k.alive()


# -- nodeids that nobody has --------------------------------------------------------------------------------------


def _unknown_node(label: str) -> None:
    @TABLE.probe(
        f"node_{label}",
        Tier.SHOULD,
        f"{label} of a nodeid that was never given out is an errno, ESTALE or ENOENT best, and never the server's end.",
        "Linux sends those that it was given; NFS sends old ones",
        opcodes=(label,),
    )
    def node(k: ConformKernel) -> None:
        request = sample(k, label)
        request.nodeid = _UNKNOWN_NODE
        answer = k.ask(request)
        k.expect(answer.errno or label == "STATFS", "an errno", answer)
        k.alive()


for _label in (
    "SETATTR", "READLINK", "MKDIR", "UNLINK", "RENAME", "LINK", "OPEN", "OPENDIR", "CREATE", "SYMLINK", "GETXATTR",
    "ACCESS", "STATFS",
):  # fmt: skip
    _unknown_node(_label)


@TABLE.probe(
    "node_zero",
    Tier.SHOULD,
    "Nodeid 0 means no inode: GETATTR of it is an errno.",
    "fuse_kernel.h 7.45: 0 is an absence",
    opcodes=("GETATTR",),
)
def node_zero(k: ConformKernel) -> None:
    answer = k.ask(wire.GetAttr(nodeid=0, arg=wire.fuse_getattr_in()))
    k.expect(answer.errno, "an errno", answer)
    k.alive()


@TABLE.probe(
    "many",
    Tier.SHOULD,
    "A thousand malformed messages in a row cost nothing that lasts: each is answered, and the server goes on.",
    SOURCE,
    opcodes=("GETATTR",),
)
def many(k: ConformKernel) -> None:
    for _ in range(10):
        uniques = [k.malformed(200 + number, bytes(number % 40)) for number in range(100)]
        for unique in uniques:
            k.expect(k.wait(unique).errno, "an errno", "success")
    k.serves()
