"""What the generated structs and requests have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

__all__ = ["Buffer", "Notification", "Record", "Request", "UnknownRequest", "WireStruct"]

Buffer: TypeAlias = bytes | bytearray | memoryview
"""Bytes to read from: one item is one byte, contiguous."""


class Record:
    """Slots only; equal when of one class with equal fields; printed with all of them."""

    __slots__ = ()
    FIELDS: ClassVar[tuple[str, ...]] = ()

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.FIELDS)

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.FIELDS)
        return f"{type(self).__name__}({fields})"


class WireStruct(Record):
    """One C struct of the protocol, named as in fuse_kernel.h, in native byte order.

    Reserved and padding members are not attributes: they are packed as zero and ignored when read. Packing a value that
    does not fit its member, and unpacking from too few bytes, raise :class:`struct.error`.
    """

    __slots__ = ()
    SIZE: ClassVar[int]
    """Size in bytes, a flexible last member not counted."""
    FORMAT: ClassVar[str]
    """The :mod:`struct` format; reserved members are ``x``."""

    if TYPE_CHECKING:  # every generated class has these, and ``pack_flat`` with all scalars in order

        @classmethod
        def unpack_from(cls, buffer: Buffer, offset: int = 0) -> WireStruct: ...

        def pack(self) -> bytes: ...

        def pack_into(self, buffer: bytearray | memoryview, offset: int = 0) -> None: ...


class Request(Record):
    """A message from the kernel. Subclasses are named after their opcode and add what follows the header.

    unique: identifier that the reply repeats; even. INTERRUPT carries its target's with bit 0 set, and a request read
        again after NOTIFY_RESEND has bit 63 set.
    nodeid: the inode meant; the parent directory where a name follows; 0 for messages about the connection.
    uid, gid, pid: the caller's, as seen from the mount's namespaces; pid is 0 for what the kernel does by itself
        (RELEASE, FORGET, INIT, INTERRUPT, writeback WRITE: measured on Linux 6.18).
    """

    __slots__ = ("gid", "nodeid", "pid", "uid", "unique")
    opcode: int  # a class attribute of every subclass but UnknownRequest
    unique: int
    nodeid: int
    uid: int
    gid: int
    pid: int


class UnknownRequest(Request):
    """A request whose opcode this version does not know; ENOSYS is the answer. ``body`` is all after the header."""

    __slots__ = ("body", "opcode")
    FIELDS = ("unique", "nodeid", "uid", "gid", "pid", "opcode", "body")

    def __init__(self, unique: int, nodeid: int, uid: int, gid: int, pid: int, opcode: int, body: bytes = b"") -> None:
        self.unique = unique
        self.nodeid = nodeid
        self.uid = uid
        self.gid = gid
        self.pid = pid
        self.opcode = opcode
        self.body = body


class Notification(Record):
    """A message from the server that no request asked for: ``unique`` 0 and the code where a reply has its error."""

    __slots__ = ()
    code: ClassVar[int]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise TypeError("Notification is abstract: make one of its subclasses")
