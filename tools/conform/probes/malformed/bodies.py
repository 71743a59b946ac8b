"""Bodies that are cut off, sizes that lie."""

from __future__ import annotations

import sys
from typing import Any, Final

from rawfuse import wire
from rawfuse.session.kernel_session import Answered
from rawfuse.wire import STRUCTS
from rawfuse.wire.flags import InitFlags
from rawfuse.wire.opcodes import OPERATIONS, Fixed, Name, Operation
from rawfuse.wire.replies import answered

from ...kernel import ROOT, ConformKernel
from ...probe import Gone, Tier, Unready
from ...samples import FLAGS, SAMPLES, sample
from .table import HEADER, SOURCE, TABLE, expect_error, goes_on

_SILENT: Final = "fuse_kernel.h 7.45: a request without a reply has none for an error either"
_HUGE: Final = 0xFFFF_FFFF
_REFUSED_LATE: Final = 0.2


def _body(k: ConformKernel, request: wire.Request) -> bytes:
    """What follows the header of a plain request; nobody waits for an answer to it."""
    message = k.session.numbered(request)
    return message[HEADER:]


def _truncated(operation: Operation) -> None:
    label = operation.label
    structs = [part.struct for part in operation.body if isinstance(part, Fixed)]
    name = next((part.attribute for part in operation.body if isinstance(part, Name)), None)
    what = f"{structs[0]}, {STRUCTS[structs[0]].SIZE} bytes," if structs else f"its {name}"
    needs = tuple(flag.name for flag in (FLAGS.get(label),) if flag is not None and flag.name)

    @TABLE.probe(
        f"short_{label}",
        Tier.SHOULD,
        f"{label} whose message ends within {what} is an errno: what lies behind it in the buffer is not the caller's.",
        SOURCE,
        opcodes=(label,),
        needs=needs,
    )
    def short(k: ConformKernel) -> None:
        try:
            request = sample(k, label)
        except Unready:
            body, nodeid = bytes(STRUCTS[structs[0]].SIZE if structs else 4), ROOT
        else:
            body, nodeid = _body(k, request), request.nodeid
        cut = body[: STRUCTS[structs[0]].SIZE // 2] if structs else body[:0]
        expect_error(k, k.malformed(operation.opcode, cut, nodeid=nodeid), label)


for _operation in OPERATIONS:
    if _operation.label in SAMPLES and _operation.body and answered(_operation.opcode):
        _truncated(_operation)


def _short_silent(label: str, opcode: int) -> None:
    @TABLE.probe(
        f"short_{label}",
        Tier.SHOULD,
        f"{label} whose message is cut off is passed over in silence, as it is never answered.",
        _SILENT,
        opcodes=(label,),
    )
    def short(k: ConformKernel) -> None:
        k.malformed(opcode, bytes(4))
        goes_on(k)


for _label, _opcode in (("FORGET", 2), ("BATCH_FORGET", 42), ("NOTIFY_REPLY", 41)):
    _short_silent(_label, _opcode)


@TABLE.probe(
    "short_INTERRUPT",
    Tier.SHOULD,
    "INTERRUPT that does not say whose request is meant is passed over, or refused; the server goes on.",
    SOURCE,
    opcodes=("INTERRUPT",),
)
def short_interrupt(k: ConformKernel) -> None:
    k.malformed(36, bytes(4), nodeid=0)
    k.serves()


@TABLE.probe(
    "short_INIT",
    Tier.SHOULD,
    "INIT of fewer than 8 bytes, which does not even say its version, is an errno or the end; never a success.",
    SOURCE,
    opcodes=("INIT",),
    init=False,
)
def short_init(k: ConformKernel) -> None:
    message = bytearray(k.session.init()[: HEADER + 4])
    message[0:4] = len(message).to_bytes(4, sys.byteorder)
    k.raw(bytes(message))
    try:
        reply = k.reply_within(2, _REFUSED_LATE)
    except Gone:
        reply = None
    k.expect(not isinstance(reply, Answered) or reply.errno, "an errno, or nothing", reply)


# -- sizes that lie -----------------------------------------------------------------------------------------------


@TABLE.probe(
    "write_size",
    Tier.SHOULD,
    "WRITE that says more bytes than it has is an errno: the rest would be what another caller wrote.",
    f"{SOURCE}; measured with libfuse 3.19: EIO",
    opcodes=("WRITE",),
    needs=("CREATE", "WRITE"),
)
def write_size(k: ConformKernel) -> None:
    made = k.file()
    body = wire.fuse_write_in(made.fh, 0, 5000).pack() + b"ten bytes!"
    expect_error(k, k.malformed(16, body, nodeid=made.nodeid), "WRITE")
    k.equal(0, k.attributes(made.nodeid).size, "size")


@TABLE.probe(
    "setxattr_size",
    Tier.SHOULD,
    "SETXATTR that says more bytes of value than it has is an errno.",
    SOURCE,
    opcodes=("SETXATTR",),
    needs=("CREATE", "SETXATTR"),
)
def setxattr_size(k: ConformKernel) -> None:
    made = k.file()
    head = wire.fuse_setxattr_in(5000).pack()
    if not k.session.flags & InitFlags.FUSE_SETXATTR_EXT:
        head = head[:8]
    expect_error(k, k.malformed(21, head + b"user.conform\0ten bytes!", nodeid=made.nodeid), "SETXATTR")


@TABLE.probe(
    "ioctl_size",
    Tier.SHOULD,
    "IOCTL that says more bytes of input than it has is an errno.",
    SOURCE,
    opcodes=("IOCTL",),
)
def ioctl_size(k: ConformKernel) -> None:
    made = k.any_file()
    body = wire.fuse_ioctl_in(made.fh, 0, 0x4008_6602, 0, 5000, 0).pack() + b"four"
    expect_error(k, k.malformed(39, body, nodeid=made.nodeid), "IOCTL")


@TABLE.probe(
    "batch_forget_count",
    Tier.SHOULD,
    "BATCH_FORGET that says 1000 items and has none takes none from what lies behind it in the buffer.",
    f"{SOURCE}; measured: libfuse's examples are killed by it",
    opcodes=("BATCH_FORGET",),
)
def batch_forget_count(k: ConformKernel) -> None:
    k.malformed(42, wire.fuse_batch_forget_in(1000).pack(), nodeid=0)
    goes_on(k)


@TABLE.probe(
    "removemapping_count",
    Tier.SHOULD,
    "REMOVEMAPPING that says 2^28 items and has none is an errno.",
    SOURCE,
    opcodes=("REMOVEMAPPING",),
)
def removemapping_count(k: ConformKernel) -> None:
    expect_error(k, k.malformed(49, wire.fuse_removemapping_in(1 << 28).pack()), "REMOVEMAPPING")


def _huge(label: str, opcode: int, make: Any) -> None:
    @TABLE.probe(
        f"huge_{label}",
        Tier.SHOULD,
        f"{label} of 4294967295 bytes is an errno, or as many bytes as there are; never the server's memory.",
        "Linux asks for no more than max_pages allows",
        opcodes=(label,),
        needs=(label,),
    )
    def huge(k: ConformKernel) -> None:
        k.ask(make(k))
        k.alive()
        k.expect(True, "a server that goes on", "it does")


def _huge_read(k: ConformKernel) -> wire.Request:
    made = k.any_file()
    return wire.Read(nodeid=made.nodeid, arg=wire.fuse_read_in(made.fh, 0, _HUGE))


def _huge_readdir(k: ConformKernel) -> wire.Request:
    made = k.opened_directory()
    return wire.ReadDir(nodeid=made.nodeid, arg=wire.fuse_read_in(made.fh, 0, _HUGE))


_huge("READ", 15, _huge_read)
_huge("READDIR", 28, _huge_readdir)
_huge("LISTXATTR", 23, lambda k: wire.ListXAttr(nodeid=k.any_file().nodeid, arg=wire.fuse_getxattr_in(_HUGE)))
