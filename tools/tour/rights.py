"""A mount namespace of the tour's own, so that nobody else's look at the mount gets into the story."""

from __future__ import annotations

import errno
import shutil

from rawfuse.mount import NamespaceError, unshare_mount_namespace, unshare_user_mount_namespace

__all__ = ["enter_namespace"]


def enter_namespace() -> None:
    """Moves this process, which must not have a second thread yet, to where it may mount and is alone with it.

    Root gets a mount namespace, others a user namespace as well. Where neither may be made, fusermount3 mounts for
    everybody to see. Raises NamespaceError, which says what forbids it, where that is missing, too.
    """
    try:
        unshare_mount_namespace()
    except NamespaceError as error:
        if error.errno != errno.EPERM:
            raise
    else:
        return
    try:
        unshare_user_mount_namespace()
    except NamespaceError:
        if shutil.which("fusermount3") is None:
            raise
