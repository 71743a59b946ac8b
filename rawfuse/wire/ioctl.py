"""IOCTL that asks for the caller's memory: the reply that says which parts of it, so that the request comes again.

A restricted IOCTL, the only one that FUSE file systems get, carries the bytes that its command number announces. An
unrestricted one (CUSE, ``FUSE_IOCTL_UNRESTRICTED`` in ``arg.flags``) begins with none: the server answers with
``FUSE_IOCTL_RETRY`` and lists of :class:`fuse_ioctl_iovec`, the kernel reads those parts of the caller's memory and
sends the request again with them as ``data``; that may go on over several rounds. ``arg.out_size`` is then the length
of the parts to write.

Before 7.16 the list was of the caller's own ``struct iovec``: two numbers of 4 bytes each where the caller was 32-bit
(``FUSE_IOCTL_COMPAT``), else of the server's word size. Source: fuse_kernel.h 7.45 and fs/fuse/ioctl.c.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct, calcsize
from typing import NamedTuple

from rawfuse.errors import LocalProtocolError, RemoteProtocolError
from rawfuse.wire._generated import Ioctl, fuse_ioctl_iovec, fuse_ioctl_out
from rawfuse.wire.base import Buffer
from rawfuse.wire.constants import (
    FUSE_IOCTL_COMPAT,
    FUSE_IOCTL_MAX_IOV,
    FUSE_IOCTL_RETRY,
    FUSE_IOCTL_UNRESTRICTED,
)

__all__ = ["IoctlRetry", "decode_ioctl_retry", "encode_ioctl_retry"]

IOVEC_MINOR = 16
_NEW = Struct("=QQ")
_OLD_32 = Struct("=II")
_OLD_NATIVE = Struct("=QQ" if calcsize("P") == 8 else "=II")


class IoctlRetry(NamedTuple):
    """The parts of the caller's memory that the next try shall bring, and those that its reply will fill."""

    inputs: tuple[fuse_ioctl_iovec, ...]
    outputs: tuple[fuse_ioctl_iovec, ...]


def _item(request: Ioctl, minor: int) -> Struct:
    if minor >= IOVEC_MINOR:
        return _NEW
    return _OLD_32 if request.arg.flags & FUSE_IOCTL_COMPAT else _OLD_NATIVE


def _refusal(request: Ioctl, inputs: int, outputs: int) -> str:
    """Why the kernel would not take such a retry; empty where it would."""
    if not request.arg.flags & FUSE_IOCTL_UNRESTRICTED:
        return "a restricted IOCTL cannot be retried: its command number says what it carries"
    if inputs + outputs > FUSE_IOCTL_MAX_IOV:
        return f"{inputs} iovecs to read and {outputs} to write, {FUSE_IOCTL_MAX_IOV} are the most"
    return ""


def encode_ioctl_retry(
    request: Ioctl, inputs: Sequence[fuse_ioctl_iovec], outputs: Sequence[fuse_ioctl_iovec], *, minor: int = 45
) -> bytes:
    """The body of the reply that asks for a retry: ``fuse_ioctl_out`` and the iovecs, those to read first.

    Raises LocalProtocolError where ``request`` is restricted, where there are more than 256 iovecs in all, and where an
    address or length does not fit a 32-bit caller's.
    """
    if refusal := _refusal(request, len(inputs), len(outputs)):
        raise LocalProtocolError(f"IOCTL (unique {request.unique}): {refusal}")
    item = _item(request, minor)
    narrow = bool(request.arg.flags & FUSE_IOCTL_COMPAT) or item.size == _OLD_32.size
    parts = [fuse_ioctl_out.pack_flat(0, FUSE_IOCTL_RETRY, len(inputs), len(outputs))]
    for iovec in (*inputs, *outputs):
        if narrow and max(iovec.base, iovec.len) >> 32:
            raise LocalProtocolError(f"IOCTL (unique {request.unique}): {iovec!r} is not in a 32-bit caller's memory")
        parts.append(item.pack(iovec.base, iovec.len))
    return b"".join(parts)


def decode_ioctl_retry(request: Ioctl, body: Buffer, minor: int = 45) -> IoctlRetry | None:
    """What the body of a successful reply to IOCTL asks for; None where it is the answer and no retry.

    Raises RemoteProtocolError for a retry that the kernel does not take: to a restricted IOCTL, of too many iovecs, or
    with another number of bytes than their count makes.
    """
    data = memoryview(body)
    if len(data) < fuse_ioctl_out.SIZE:
        raise RemoteProtocolError(f"IOCTL: {len(data)} bytes where {fuse_ioctl_out.SIZE} belong", unique=request.unique)
    out = fuse_ioctl_out.unpack_from(data)
    if not out.flags & FUSE_IOCTL_RETRY:
        return None
    if refusal := _refusal(request, out.in_iovs, out.out_iovs):
        raise RemoteProtocolError(f"IOCTL: {refusal}", unique=request.unique)
    item = _item(request, minor)
    count = out.in_iovs + out.out_iovs
    rest = data[fuse_ioctl_out.SIZE :]
    if len(rest) != count * item.size:
        raise RemoteProtocolError(
            f"IOCTL: {count} iovecs are {count * item.size} bytes, {len(rest)} came", unique=request.unique
        )
    iovecs = [fuse_ioctl_iovec(base, length) for base, length in item.iter_unpack(rest)]
    return IoctlRetry(tuple(iovecs[: out.in_iovs]), tuple(iovecs[out.in_iovs :]))
