"""What may follow SYMLINK, MKNOD, MKDIR, CREATE and TMPFILE: ``total_extlen`` times 8 bytes of extensions.

Each begins with ``fuse_ext_header`` (size, type) and is padded to 8 bytes. A type up to ``FUSE_MAX_NR_SECCTX`` is none
but the number of security contexts that follow: that header is then ``fuse_secctx_header``. Since 7.38; the kernel of
minors 36 and 37 appended security contexts without ``total_extlen``, so SECURITY_CTX is not negotiated with those; a
message of theirs that carries some is refused for what stands behind its name.
"""

from __future__ import annotations

import sys
from struct import Struct
from typing import Literal, NamedTuple, TypeAlias

from rawfuse.errors import LocalProtocolError

__all__ = [
    "Extension",
    "SecurityContext",
    "SecurityContexts",
    "SupplementaryGroups",
    "UnknownExtension",
    "decode_extensions",
    "encode_extensions",
]

_MAX_NR_SECCTX = 31
_EXT_GROUPS = 32
_ORDER: Literal["little", "big"] = sys.byteorder
_PAIR = Struct("=II")  # fuse_ext_header, fuse_secctx_header and fuse_secctx alike: size, then another number


class SecurityContext(NamedTuple):
    """``name`` of a security attribute (``security.selinux``) and the value the new inode shall have."""

    name: bytes
    context: bytes


class SecurityContexts(NamedTuple):
    """The contexts of the new inode; none without a security module that labels inodes. Needs SECURITY_CTX."""

    contexts: tuple[SecurityContext, ...]


class SupplementaryGroups(NamedTuple):
    """The one group of the caller's that is the parent directory's too, if any. Needs CREATE_SUPP_GROUP."""

    gids: tuple[int, ...]


class UnknownExtension(NamedTuple):
    """An extension of a newer kernel, its padding included."""

    type: int
    data: bytes


Extension: TypeAlias = SecurityContexts | SupplementaryGroups | UnknownExtension


def _aligned(size: int) -> int:
    return (size + 7) & ~7


def _security_contexts(body: bytes, count: int) -> SecurityContexts:
    contexts: list[SecurityContext] = []
    offset = 0
    for _ in range(count):
        if offset + 8 > len(body):
            raise ValueError(f"{count} security contexts announced, {len(contexts)} there")
        size, _ = _PAIR.unpack_from(body, offset)
        end = body.find(b"\0", offset + 8)
        if end < 0:
            raise ValueError("a security context's name has no end")
        if end + 1 + size > len(body):
            raise ValueError(f"a security context of {size} bytes goes past its extension")
        contexts.append(SecurityContext(body[offset + 8 : end], body[end + 1 : end + 1 + size]))
        offset = _aligned(end + 1 + size)
    return SecurityContexts(tuple(contexts))


def _groups(body: bytes) -> SupplementaryGroups:
    if len(body) < 4:
        raise ValueError("a group extension without a count")
    count = int.from_bytes(body[:4], _ORDER)
    if 4 + 4 * count > len(body):
        raise ValueError(f"{count} groups announced, {len(body) - 4} bytes there")
    return SupplementaryGroups(Struct(f"={count}I").unpack_from(body, 4))


def decode_extensions(data: bytes) -> tuple[Extension, ...]:
    """All extensions in ``data`` (8 * total_extlen bytes). Raises ValueError saying what is wrong with them."""
    found: list[Extension] = []
    offset = 0
    while offset < len(data):
        if offset + 8 > len(data):
            raise ValueError("an extension's header is cut off")
        size, kind = _PAIR.unpack_from(data, offset)
        if size < 8 or offset + size > len(data):
            raise ValueError(f"an extension of {size} bytes does not fit the {len(data) - offset} left")
        body = data[offset + 8 : offset + size]
        if kind <= _MAX_NR_SECCTX:
            found.append(_security_contexts(body, kind))
        elif kind == _EXT_GROUPS:
            found.append(_groups(body))
        else:
            found.append(UnknownExtension(kind, body))
        offset += _aligned(size)
    return tuple(found)


def encode_extensions(extensions: tuple[Extension, ...]) -> bytes:
    """The other way round: a multiple of 8 bytes, to follow the body of a request."""
    parts = []
    for extension in extensions:
        if isinstance(extension, SecurityContexts):
            body = b""
            for name, context in extension.contexts:
                record = _PAIR.pack(len(context), 0) + name + b"\0" + context
                body += record + bytes(-len(record) % 8)
            kind = len(extension.contexts)
            if kind > _MAX_NR_SECCTX:
                raise LocalProtocolError(f"{kind} security contexts in one extension, {_MAX_NR_SECCTX} are the most")
        elif isinstance(extension, SupplementaryGroups):
            body = Struct(f"=I{len(extension.gids)}I").pack(len(extension.gids), *extension.gids)
            kind = _EXT_GROUPS
        else:
            kind, body = extension.type, extension.data
        size = 8 + len(body)
        # Linux counts the padding in the size.
        parts.append(_PAIR.pack(_aligned(size), kind) + body + bytes(-size % 8))
    return b"".join(parts)
