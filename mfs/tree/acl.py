"""POSIX access control lists: the extended attributes ``system.posix_acl_access`` and ``system.posix_acl_default``.

The kernel checks permissions by them and asks for them; here is what it leaves to the server (FUSE_POSIX_ACL): the mode
follows the list and the list follows the mode, and what is made in a directory inherits that directory's default list.

A list as bytes is the version, 2 (u32), and then its entries: tag, permissions (u16 each), user or group (u32), little
endian, in the order of the tags (Linux, posix_acl_xattr.h; POSIX 1003.1e draft 17 says what they mean).
"""

from __future__ import annotations

import errno
import struct
from typing import NamedTuple

from mfs.tree.node import BARE, Directory, Node
from mfs.tree.tree import Tree
from mfs.tree.xattrs import get_xattr, remove_xattr, set_xattr

ACCESS = b"system.posix_acl_access"
DEFAULT = b"system.posix_acl_default"

_VERSION = 2
_HEAD = struct.Struct("<I")
_ENTRY = struct.Struct("<HHI")

USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_TAGS = (USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER)
_NAMED = frozenset((USER, GROUP))


class AclEntry(NamedTuple):
    """One line of a list; `who` counts for `USER` and `GROUP` alone."""

    tag: int
    permissions: int
    who: int


Acl = tuple[AclEntry, ...]


def unpack_acl(value: bytes) -> Acl:
    """A list from its bytes.  EINVAL for what is none; EOPNOTSUPP for another version."""
    if len(value) < _HEAD.size or (len(value) - _HEAD.size) % _ENTRY.size:
        raise OSError(errno.EINVAL, f"an access control list of {len(value)} bytes")
    (version,) = _HEAD.unpack_from(value)
    if version != _VERSION:
        raise OSError(errno.EOPNOTSUPP, f"an access control list of version {version}")
    acl = tuple(AclEntry(*fields) for fields in _ENTRY.iter_unpack(value[_HEAD.size :]))
    tags = [entry.tag for entry in acl]
    if tags != sorted(tags) or any(tag not in _TAGS or perm & ~7 for tag, perm, _ in acl):
        raise OSError(errno.EINVAL, "an access control list with unknown or unsorted entries")
    single = [tags.count(tag) for tag in (USER_OBJ, GROUP_OBJ, OTHER)]
    if single != [1, 1, 1] or tags.count(MASK) > 1 or (not _NAMED.isdisjoint(tags) and MASK not in tags):
        raise OSError(errno.EINVAL, "an access control list without owner, group, others, or the mask it needs")
    return acl


def pack_acl(acl: Acl) -> bytes:
    """The bytes of a list."""
    return _HEAD.pack(_VERSION) + b"".join(_ENTRY.pack(*entry) for entry in acl)


def _class_of(acl: Acl) -> dict[int, int]:
    """The tags that the permission bits of the mode stand for, and how far to the left these bits are."""
    masked = any(entry.tag == MASK for entry in acl)
    return {USER_OBJ: 6, MASK if masked else GROUP_OBJ: 3, OTHER: 0}


def mode_of(acl: Acl) -> int:
    """The nine permission bits that say what the list says, as far as they can."""
    shifts = _class_of(acl)
    return sum(entry.permissions << shifts[entry.tag] for entry in acl if entry.tag in shifts)


def is_mode_alone(acl: Acl) -> bool:
    """Whether the nine permission bits say all that the list does."""
    return all(entry.tag in (USER_OBJ, GROUP_OBJ, OTHER) for entry in acl)


def with_mode(acl: Acl, mode: int) -> Acl:
    """The list after chmod(2): owner, others and the mask (or the group, without one) are the mode's."""
    shifts = _class_of(acl)
    return tuple(
        entry._replace(permissions=mode >> shifts[entry.tag] & 7) if entry.tag in shifts else entry for entry in acl
    )


def set_acl(tree: Tree, node: Node, name: bytes, value: bytes) -> None:
    """`name` (:data:`ACCESS` or :data:`DEFAULT`) is now `value`, and the mode follows.

    A list that says no more than the mode does is not kept.  EACCES for a default list of anything but a directory.
    """
    if name == DEFAULT and not isinstance(node, Directory):
        raise OSError(errno.EACCES, "a default access control list is for directories")
    acl = unpack_acl(value)
    if name == DEFAULT:
        set_xattr(tree, node, DEFAULT, value)
        return
    if is_mode_alone(acl):
        remove_xattr(tree, node, ACCESS)
    else:
        set_xattr(tree, node, ACCESS, value)
    node.mode = node.mode & ~0o777 | mode_of(acl)


def mode_changed(tree: Tree, node: Node) -> None:
    """chmod(2) was done: the list follows."""
    if node.xattrs is BARE:
        return
    value = get_xattr(tree, node, ACCESS)
    if value is not None:
        set_xattr(tree, node, ACCESS, pack_acl(with_mode(unpack_acl(value), node.mode)))


def default_acl(tree: Tree, parent: Directory) -> bytes | None:
    """The default list of a directory."""
    return None if parent.xattrs is BARE else get_xattr(tree, parent, DEFAULT)


def inherit(tree: Tree, node: Node, default: bytes) -> None:
    """A new node, made with the mode it was asked for, takes over the default list of its directory.

    It has no permission that either of the two lacks; the umask is not asked.
    """
    inherited = unpack_acl(default)
    access = with_mode(inherited, node.mode & mode_of(inherited))
    node.mode = node.mode & ~0o777 | mode_of(access)
    if not is_mode_alone(access):
        set_xattr(tree, node, ACCESS, pack_acl(access))
    if isinstance(node, Directory):
        set_xattr(tree, node, DEFAULT, default)
