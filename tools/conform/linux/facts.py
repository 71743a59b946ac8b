"""What a kernel says of itself: its release, the protocol's minor, what INIT offers, its limits."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from rawfuse import wire as w
from rawfuse.wire import constants as c
from rawfuse.wire.flags import InitFlags

from .stage.made_up import init_answer
from .stage.real import Real
from .trial import of

__all__ = ["facts"]

_LIMITS: Final = Path("/proc/sys/fs/fuse")


def facts() -> dict[str, Any]:
    """By name; every value is a string, a number or a list of strings."""
    script = Real()
    try:
        request = of(w.Init, script.expect(c.FUSE_INIT))
        length = script.lengths[-1]
        script.answer(request, init_answer())
    finally:
        script.close()
    init = request.arg
    offered = InitFlags(init.flags | init.flags2 << 32)
    return {
        "release": os.uname().release,
        "machine": os.uname().machine,
        "protocol": f"{init.major}.{init.minor}",
        "init bytes": length,
        "max_readahead": init.max_readahead,
        "offers": [flag.name for flag in InitFlags if flag & offered],
        "limits": [f"{path.name} = {path.read_text().strip()}" for path in sorted(_LIMITS.glob("*"))],
    }
