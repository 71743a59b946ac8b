"""What the caller of a request may do, where the kernel leaves that question to the server.

With FUSE_ALLOW_IDMAP a request names the user only where it makes an inode, so the process is looked at: it waits for
our answer meanwhile.
"""

from __future__ import annotations

import os

CAP_FSETID = 4
"""Changing a file's bytes without taking its set-user-ID and set-group-ID bits."""
CAP_SYS_ADMIN = 21


def has_capability(pid: int, capability: int) -> bool:
    """Whether process or thread `pid` has a capability in our own user namespace; not where it cannot be seen."""
    try:
        if not os.path.samefile(f"/proc/{pid}/ns/user", "/proc/self/ns/user"):
            return False
        with open(f"/proc/{pid}/status", "rb") as status:
            for line in status:
                if line.startswith(b"CapEff:"):
                    return bool(int(line.split()[1], 16) >> capability & 1)
    except OSError:
        # Of another PID namespace, or gone.
        return False
    return False
