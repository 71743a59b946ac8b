"""The strings behind ``cuse_init_out`` in the reply to CUSE_INIT: ``NAME=value``, each ended by a NUL.

The kernel wants DEVNAME, the name of the device in /dev, and knows no other; it warns of those and goes on. All of them
together have at most 4096 bytes. Source: fs/fuse/cuse.c.
"""

from __future__ import annotations

from collections.abc import Mapping

from rawfuse.errors import LocalProtocolError, RemoteProtocolError
from rawfuse.wire.base import Buffer
from rawfuse.wire.constants import CUSE_INIT_INFO_MAX

__all__ = ["decode_cuse_info", "encode_cuse_info"]

DEVNAME = "DEVNAME"


def encode_cuse_info(info: Mapping[str, str]) -> bytes:
    """The strings in the mapping's order. Raises LocalProtocolError for what the kernel would refuse or misread."""
    if not info.get(DEVNAME, "").strip():
        raise LocalProtocolError("CUSE_INIT: DEVNAME, the name of the device, is missing")
    for name, value in info.items():
        if not name.strip() or set("=\0") & set(name) or "\0" in value:
            raise LocalProtocolError(f"CUSE_INIT: {name!r}={value!r} cannot be said: an empty name, a NUL, or = in it")
    data = b"".join(f"{name}={value}".encode() + b"\0" for name, value in info.items())
    if len(data) > CUSE_INIT_INFO_MAX:
        raise LocalProtocolError(f"CUSE_INIT: {len(data)} bytes of strings, {CUSE_INIT_INFO_MAX} are the most")
    return data


def decode_cuse_info(data: Buffer) -> dict[str, str]:
    """Names to values, blanks around them left out. Raises RemoteProtocolError where the kernel makes no device."""
    raw = bytes(data)
    if len(raw) > CUSE_INIT_INFO_MAX:
        raise RemoteProtocolError(f"CUSE_INIT: {len(raw)} bytes of strings, {CUSE_INIT_INFO_MAX} are the most")
    if not raw.endswith(b"\0"):
        raise RemoteProtocolError("CUSE_INIT: the last string has no NUL at its end")
    found: dict[str, str] = {}
    for text in raw[:-1].split(b"\0"):
        name, _, value = text.partition(b"=")
        if not name.strip():
            raise RemoteProtocolError(f"CUSE_INIT: {text!r} has no name")
        found[name.strip().decode("utf-8", "surrogateescape")] = value.strip().decode("utf-8", "surrogateescape")
    if not found.get(DEVNAME):
        raise RemoteProtocolError("CUSE_INIT: DEVNAME, the name of the device, is missing")
    return found
