"""What write(2) says to a notification (measured on Linux 6.18): 0, or an errno."""

from __future__ import annotations

import errno
import stat
from typing import Any, Final

from rawfuse.errors import RemoteProtocolError
from rawfuse.session.known import Known
from rawfuse.wire import (
    NotifyDelete,
    NotifyInvalEntry,
    NotifyInvalInode,
    NotifyRetrieve,
    NotifyStore,
    fuse_notify_delete_out,
    fuse_notify_inval_entry_out,
)
from rawfuse.wire.base import Notification
from rawfuse.wire.requests import decode_notification

__all__ = ["judge_notification"]

_HEADER: Final = 16
_NAMED: Final[dict[int, Any]] = {
    NotifyInvalEntry.code: fuse_notify_inval_entry_out,
    NotifyDelete.code: fuse_notify_delete_out,
}


def judge_notification(message: bytes, code: int, known: Known, name_max: int) -> tuple[Notification | None, int]:
    """The notification, None where it is none, and what write(2) says.

    A negative errno never is a code: the kernel takes the field as it stands. Sizes are exact, but for INC_EPOCH and
    RESEND, which take any body; a name too long is told before its size is looked at.
    """
    named = _NAMED.get(code)
    if named is not None and len(message) >= _HEADER + named.SIZE:
        arg = named.unpack_from(message, _HEADER)
        if arg.namelen > name_max:
            return None, errno.ENAMETOOLONG
    try:
        notification = decode_notification(message)
    except RemoteProtocolError:
        return None, errno.EINVAL
    return notification, _about(notification, known)


def _about(notification: Notification, known: Known) -> int:
    match notification:
        case NotifyInvalInode(arg=arg):
            return 0 if known.type_of(arg.ino) is not None else errno.ENOENT
        case NotifyStore(arg=arg) | NotifyRetrieve(arg=arg):
            kind = known.type_of(arg.nodeid)
            if kind is None:
                return errno.ENOENT
            return errno.EINVAL if kind != stat.S_IFREG and isinstance(notification, NotifyStore) else 0
        case NotifyInvalEntry(arg=arg, name=name):
            return _name(arg.parent, name, None, known)
        case NotifyDelete(arg=arg, name=name):
            return _name(arg.parent, name, arg.child, known)
    return 0


def _name(parent: int, name: bytes, child: int | None, known: Known) -> int:
    """What is said, and what becomes of the name."""
    kind = known.type_of(parent)
    if kind is None:
        return errno.ENOENT
    if kind != stat.S_IFDIR:
        return errno.ENOTDIR
    found = known.child(parent, name)
    if found is None:
        return errno.ENOENT
    # The name is dropped first, and the child looked at then.
    known.drop_name(parent, name)
    return errno.ENOENT if child and found != child else 0
