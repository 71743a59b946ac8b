"""The keys of a repository: a file for each, under the name that its owner calls it by.

A file holds the private key as libp2p writes it, the protobuf message {Type: Ed25519 (1), Data: private key, public
key}: 68 bytes, which is what `ipfs key export` writes and `ipfs key import` reads.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from mfs.ipns.ed25519 import KEY, public_of
from mfs.ipns.files import remove_file, rename_file, replace_file
from mfs.ipns.name import name_of

__all__ = ["BadKey", "Key", "Keys", "pack_private", "unpack_private"]

_PRIVATE = b"\x08\x01\x12\x40"
MAX_NAME = 128


class BadKey(ValueError):
    """A key that cannot be used, or a name that a key cannot have; the message says why."""


class Key(NamedTuple):
    """A key: what its owner calls it, the private key, and the IPNS name that it is (as the file says: whoever signs
    with the key checks that they belong together)."""

    called: str
    private: bytes
    name: str


def pack_private(private: bytes) -> bytes:
    """The key as libp2p writes it."""
    return _PRIVATE + private + public_of(private)


def unpack_private(packed: bytes) -> bytes:
    """The private key in what :func:`pack_private` gave.  Raises BadKey."""
    private, public = _halves(packed)
    if public_of(private) != public:
        raise BadKey("the private key and the public one do not belong together")
    return private


def _halves(packed: bytes) -> tuple[bytes, bytes]:
    if len(packed) != len(_PRIVATE) + 2 * KEY or not packed.startswith(_PRIVATE):
        raise BadKey("it is not an Ed25519 private key as libp2p writes it (68 bytes, as `ipfs key export` does)")
    return packed[len(_PRIVATE) : -KEY], packed[-KEY:]


class Keys:
    """The keys in one directory, which is made with the first one."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def all(self) -> list[Key]:
        """All keys, by what they are called.  BadKey, OSError: a file is not one."""
        try:
            found = sorted(path.name for path in self._directory.iterdir() if not path.name.startswith("."))
        except FileNotFoundError:
            return []
        return [key for called in found if (key := self.get(called)) is not None]

    def get(self, called: str) -> Key | None:
        """The key that is called so, None where there is none.  BadKey, OSError."""
        _check(called)
        path = self._directory / called
        try:
            packed = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            private, public = _halves(packed)
        except BadKey as error:
            raise BadKey(f"{path}: {error}") from None
        return Key(called, private, name_of(public))

    def add(self, called: str, private: bytes) -> Key:
        """Keep a key; durable on return.  BadKey where there is one of that name, or the same under another."""
        _check(called)
        key = Key(called, private, name_of(public_of(private)))
        for other in self.all():
            if other.called == called:
                raise BadKey(f"there is a key {called} already")
            if other.name == key.name:
                raise BadKey(f"this key is here already, as {other.called}")
        replace_file(self._directory / called, pack_private(private))
        return key

    def rename(self, old: str, new: str) -> None:
        """Call a key otherwise; durable on return.  BadKey where there is one of that name; FileNotFoundError."""
        _check(old)
        _check(new)
        if self.get(new) is not None:
            raise BadKey(f"there is a key {new} already")
        rename_file(self._directory / old, self._directory / new)

    def remove(self, called: str) -> None:
        """Forget a key for good.  FileNotFoundError."""
        _check(called)
        remove_file(self._directory / called)


def _check(called: str) -> None:
    if not called.isprintable() or "/" in called or called[:1] in ("", ".", "-") or len(called.encode()) > MAX_NAME:
        raise BadKey(f"{called!r} cannot be what a key is called: no '/', no '.' or '-' in front, 1 to 128 bytes")
