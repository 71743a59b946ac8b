"""SETXATTR, GETXATTR, LISTXATTR, REMOVEXATTR: extended attributes, whose replies depend on the size asked for."""

from __future__ import annotations

import errno
from typing import Any, Final

from rawfuse import wire
from rawfuse.wire.flags import InitFlags

from ...kernel import ConformKernel, Made
from ...probe import Table, Tier, Unready

__all__ = ["TABLE"]

TABLE: Final = Table("xattrs", "SETXATTR, GETXATTR, LISTXATTR, REMOVEXATTR: extended attributes")

_SOURCE: Final = "fuse_kernel.h 7.45; xattr(7)"
_CREATE, _REPLACE = 1, 2
_NAME: Final = b"user.conform"
_VALUE: Final = bytes(range(256))
_NEEDED: Final = ("SETXATTR", "GETXATTR")


def _set(made: Made, value: bytes, name: bytes = _NAME, flags: int = 0) -> wire.SetXAttr:
    return wire.SetXAttr(nodeid=made.nodeid, arg=wire.fuse_setxattr_in(0, flags), name=name, value=value)


def _get(made: Made, size: int, name: bytes = _NAME) -> wire.GetXAttr:
    return wire.GetXAttr(nodeid=made.nodeid, arg=wire.fuse_getxattr_in(size), name=name)


def _list(made: Made, size: int) -> wire.ListXAttr:
    return wire.ListXAttr(nodeid=made.nodeid, arg=wire.fuse_getxattr_in(size))


@TABLE.probe(
    "kept",
    Tier.MUST,
    "GETXATTR gives the bytes that SETXATTR was given, NULs and all.",
    _SOURCE,
    opcodes=("SETXATTR", "GETXATTR"),
    needs=_NEEDED,
)
def kept(k: ConformKernel) -> None:
    made = k.file()
    k.success(_set(made, _VALUE))
    k.equal(_VALUE, k.success(_get(made, 4096)), "value")


@TABLE.probe(
    "size",
    Tier.MUST,
    "With size 0 the reply to GETXATTR is fuse_getxattr_out, the value's length; with another it is the bare value.",
    _SOURCE,
    opcodes=("GETXATTR",),
    needs=_NEEDED,
)
def size(k: ConformKernel) -> None:
    made = k.file()
    k.need(_set(made, _VALUE))
    k.equal(256, k.success(_get(made, 0)).size, "size")


@TABLE.probe(
    "range",
    Tier.MUST,
    "A value that is longer than the size asked for is ERANGE, never cut off.",
    "getxattr(2)",
    opcodes=("GETXATTR",),
    needs=_NEEDED,
)
def too_long(k: ConformKernel) -> None:
    made = k.file()
    k.need(_set(made, _VALUE))
    k.refused(_get(made, 100), errno.ERANGE)


@TABLE.probe(
    "exact",
    Tier.MUST,
    "A value that is exactly as long as the size asked for is given.",
    "getxattr(2)",
    opcodes=("GETXATTR",),
    needs=_NEEDED,
)
def exact(k: ConformKernel) -> None:
    made = k.file()
    k.need(_set(made, _VALUE))
    k.equal(_VALUE, k.success(_get(made, len(_VALUE))), "value")


@TABLE.probe(
    "absent",
    Tier.MUST,
    "An attribute that is not there is ENODATA: cp -p and ls take another errno for a failure.",
    "getxattr(2)",
    opcodes=("GETXATTR",),
    needs=_NEEDED,
)
def absent(k: ConformKernel) -> None:
    k.refused(_get(k.file(), 256, b"user.absent"), errno.ENODATA)


@TABLE.probe(
    "empty",
    Tier.SHOULD,
    "A value may have no bytes; it is there all the same.",
    "xattr(7)",
    opcodes=("GETXATTR", "SETXATTR"),
    needs=_NEEDED,
)
def empty(k: ConformKernel) -> None:
    made = k.file()
    k.success(_set(made, b""))
    k.equal(b"", k.success(_get(made, 256)), "value")
    k.equal(0, k.success(_get(made, 0)).size, "size")


@TABLE.probe(
    "replaced",
    Tier.MUST,
    "Setting an attribute again leaves nothing of the old value.",
    "setxattr(2)",
    opcodes=("SETXATTR",),
    needs=_NEEDED,
)
def replaced(k: ConformKernel) -> None:
    made = k.file()
    k.need(_set(made, _VALUE))
    k.success(_set(made, b"short"))
    k.equal(b"short", k.need(_get(made, 4096)), "value")


@TABLE.probe(
    "flags",
    Tier.SHOULD,
    "XATTR_CREATE of what is there is EEXIST, XATTR_REPLACE of what is not ENODATA.",
    "setxattr(2)",
    opcodes=("SETXATTR",),
    needs=_NEEDED,
)
def flags(k: ConformKernel) -> None:
    made = k.file()
    k.refused(_set(made, b"x", flags=_REPLACE), errno.ENODATA)
    k.success(_set(made, b"x", flags=_CREATE))
    k.refused(_set(made, b"y", flags=_CREATE), errno.EEXIST)


@TABLE.probe(
    "listed",
    Tier.MUST,
    "LISTXATTR gives the names, each ended by a NUL; Linux gives the caller EIO where the last has none.",
    "listxattr(2); measured on Linux 6.18",
    opcodes=("LISTXATTR",),
    needs=("SETXATTR", "LISTXATTR"),
)
def listed(k: ConformKernel) -> None:
    made = k.file()
    for name in (_NAME, b"user.other"):
        k.need(_set(made, b"x", name))
    found = k.success(_list(made, 65536))
    names = found.split(b"\0")[:-1]
    k.expect({_NAME, b"user.other"} <= set(names), "both names", f"{found!r}")


@TABLE.probe(
    "list_size",
    Tier.MUST,
    "With size 0 LISTXATTR says how many bytes the names take; a buffer that is smaller is ERANGE.",
    "listxattr(2)",
    opcodes=("LISTXATTR",),
    needs=("SETXATTR", "LISTXATTR"),
)
def list_size(k: ConformKernel) -> None:
    made = k.file()
    k.need(_set(made, b"x"))
    length = k.success(_list(made, 0)).size
    k.equal(length, len(k.success(_list(made, length))), "size")
    k.refused(_list(made, length - 1), errno.ERANGE)


@TABLE.probe(
    "list_none",
    Tier.SHOULD,
    "A file without attributes has an empty list, which is no error.",
    "listxattr(2)",
    opcodes=("LISTXATTR",),
    needs=("LISTXATTR",),
)
def list_none(k: ConformKernel) -> None:
    answer = k.ask(_list(k.file(), 65536))
    value: Any = answer.value
    ours = [name for name in (value or b"").split(b"\0") if name.startswith(b"user.")]
    k.expect(not answer.errno and not ours, "no names of users", answer)


@TABLE.probe(
    "removed",
    Tier.MUST,
    "REMOVEXATTR takes an attribute away; a second one is ENODATA.",
    "removexattr(2)",
    opcodes=("REMOVEXATTR",),
    needs=("REMOVEXATTR", *_NEEDED),
    depends=("xattrs.absent",),
)
def removed(k: ConformKernel) -> None:
    made = k.file()
    k.need(_set(made, b"x"))
    k.success(wire.RemoveXAttr(nodeid=made.nodeid, name=_NAME))
    k.refused(_get(made, 256), errno.ENODATA)
    k.refused(wire.RemoveXAttr(nodeid=made.nodeid, name=_NAME), errno.ENODATA)


@TABLE.probe(
    "acl",
    Tier.SHOULD,
    "Without POSIX_ACL agreed on, system.posix_acl_access is EOPNOTSUPP: kept as bytes it would protect nothing.",
    "Linux: acl(5); xfstests",
    opcodes=("SETXATTR",),
    needs=("SETXATTR",),
)
def acl(k: ConformKernel) -> None:
    if k.session.flags & InitFlags.FUSE_POSIX_ACL:
        raise Unready("POSIX_ACL was agreed on")
    value = bytes.fromhex("0200000001000600ffffffff04000400ffffffff20000400ffffffff")
    answer = k.ask(_set(k.file(), value, b"system.posix_acl_access"))
    k.expect(answer.errno, "EOPNOTSUPP", answer)


@TABLE.probe(
    "short_header",
    Tier.MUST,
    "Without SETXATTR_EXT agreed on, SETXATTR has the first 8 bytes of fuse_setxattr_in, whatever the minor.",
    "fuse_kernel.h 7.33; measured on Linux 6.18",
    opcodes=("SETXATTR",),
    needs=_NEEDED,
    init=False,
)
def short_header(k: ConformKernel) -> None:
    k.init(flags=InitFlags(0x7FFFFFFF) & ~(InitFlags.FUSE_SETXATTR_EXT | InitFlags.FUSE_INIT_EXT))
    if k.session.agreed is None:
        raise Unready(f"INIT was not agreed on: {k.session.refused}")
    made = k.file()
    k.success(_set(made, b"sixteen bytes ok"))
    k.equal(b"sixteen bytes ok", k.success(_get(made, 256)), "value")


@TABLE.probe(
    "large",
    Tier.SHOULD,
    "A value of 64 KiB, Linux's largest, is kept whole, or is E2BIG, ERANGE or ENOSPC.",
    "xattr(7): XATTR_SIZE_MAX",
    opcodes=("SETXATTR",),
    needs=_NEEDED,
    depends=("xattrs.exact",),
)
def large(k: ConformKernel) -> None:
    made, value = k.file(), _VALUE * 256
    answer = k.ask(_set(made, value))
    k.expect(answer.errno in (0, errno.E2BIG, errno.ERANGE, errno.ENOSPC), "success, E2BIG, ERANGE or ENOSPC", answer)
    if not answer.errno:
        k.equal(value, k.success(_get(made, 65536)), "value")
