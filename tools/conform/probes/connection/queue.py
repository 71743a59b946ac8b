"""Many requests at once, their uniques, and their callers."""

from __future__ import annotations

from typing import Final

from rawfuse import wire
from rawfuse.session.kernel_session import Answered
from rawfuse.wire import fuse_in_header
from rawfuse.wire.constants import FUSE_UNIQUE_RESEND

from ...kernel import ROOT, ConformKernel
from ...probe import Table, Tier

__all__ = ["TABLE"]

TABLE: Final = Table("queue", "Many requests at once, their uniques and callers")

_SOURCE: Final = "fuse_kernel.h 7.45; measured on Linux 6.18"
_MANY: Final = 200


def _getattr(nodeid: int = ROOT) -> wire.GetAttr:
    return wire.GetAttr(nodeid=nodeid, arg=wire.fuse_getattr_in())


def _with_unique(k: ConformKernel, unique: int) -> Answered:
    """GETATTR of the root by a unique that is chosen here."""
    request = _getattr()
    message = bytearray(k.message(request))
    del k.session.pending[request.unique]
    request.unique = unique
    k.session.pending[unique] = request
    header = fuse_in_header.unpack_from(message)
    header.unique = unique
    header.pack_into(message)
    k.raw(bytes(message))
    return k.wait(unique, "GETATTR")


@TABLE.probe(
    "pipelined",
    Tier.MUST,
    "Requests come without waiting for replies, and each is answered once, in any order.",
    _SOURCE,
    opcodes=("GETATTR", "LOOKUP"),
)
def pipelined(k: ConformKernel) -> None:
    uniques = []
    for number in range(_MANY):
        lookup = wire.Lookup(nodeid=ROOT, name=b"absent%d" % number)
        uniques.append(k.send(_getattr() if number % 2 else lookup))
    for unique in uniques:
        k.wait(unique)
    k.settle()
    k.expect(not k.strays, f"{_MANY} replies", f"{_MANY + len(k.strays)}")


@TABLE.probe(
    "in_order",
    Tier.MUST,
    "What one request has changed, a request sent after its reply finds changed.",
    "POSIX: write(2); Linux forgets its cached attributes after a change and asks again",
    opcodes=("MKDIR", "LOOKUP"),
    needs=("MKDIR", "RMDIR"),
    depends=("removing.rmdir",),
)
def in_order(k: ConformKernel) -> None:
    for _ in range(20):
        made = k.directory()
        k.success(wire.Lookup(nodeid=made.parent, name=made.name), "an entry")
        k.need(wire.RmDir(nodeid=made.parent, name=made.name))
        k.absent(made.parent, made.name, "ENOENT after RMDIR")


@TABLE.probe(
    "large_unique",
    Tier.MUST,
    "A unique has 64 bits, and comes back as it was.",
    "fuse_kernel.h 7.45: fuse_in_header.unique",
    opcodes=("GETATTR",),
)
def large_unique(k: ConformKernel) -> None:
    for unique in (1 << 32, (1 << 62) + 2, 0x7FFF_FFFF_FFFF_FFFE):
        answer = _with_unique(k, unique)
        k.expect(not answer.errno, f"attributes, for unique {unique}", answer)


@TABLE.probe(
    "resent",
    Tier.MUST,
    "With HAS_RESEND agreed on, a request may come again with bit 63 of its unique set, and is answered by that.",
    "fuse_kernel.h 7.40; measured on Linux 6.18",
    opcodes=("GETATTR",),
    needs=("FUSE_HAS_RESEND",),
)
def resent(k: ConformKernel) -> None:
    answer = _with_unique(k, 4242 | FUSE_UNIQUE_RESEND)
    k.expect(not answer.errno, "attributes", answer)


@TABLE.probe(
    "any_order",
    Tier.SHOULD,
    "Uniques are not counted on to rise: a smaller one after a larger is answered.",
    "fuse_kernel.h 7.45; another kernel may number otherwise",
    opcodes=("GETATTR",),
)
def any_order(k: ConformKernel) -> None:
    for unique in (900_000, 800_000, 850_002):
        answer = _with_unique(k, unique)
        k.expect(not answer.errno, f"attributes, for unique {unique}", answer)


@TABLE.probe(
    "nobody",
    Tier.MUST,
    "Requests of no process, pid 0, are answered as others are: of another pid namespace, or the kernel's own.",
    "measured on Linux 6.18",
    opcodes=("GETATTR",),
)
def nobody(k: ConformKernel) -> None:
    request = _getattr()
    message = bytearray(k.message(request))
    header = fuse_in_header.unpack_from(message)
    header.pid = 0
    header.pack_into(message)
    k.raw(bytes(message))
    answer = k.wait(request.unique, "GETATTR")
    k.expect(not answer.errno, "attributes", answer)


@TABLE.probe(
    "slow_beside_fast",
    Tier.SHOULD,
    "A large READ on its way does not hold up what is asked after it for good: both are answered.",
    _SOURCE,
    opcodes=("READ", "GETATTR"),
    needs=("CREATE", "WRITE"),
)
def slow_beside_fast(k: ConformKernel) -> None:
    made = k.file(b"12345678" * 16384)
    reads = [k.send(wire.Read(nodeid=made.nodeid, arg=wire.fuse_read_in(made.fh, 0, 1 << 17))) for _ in range(32)]
    k.serves()
    for unique in reads:
        answer = k.wait(unique, "READ")
        k.expect(not answer.errno, "bytes", answer)
