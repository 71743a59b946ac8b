"""Copying a file on any file system so that what shared its blocks goes on sharing them.

    outcome = copy("new/library.so", "/opt/app/library.so")
    outcome.changed, outcome.shared, outcome.written

Usable alone: it needs the standard library and Linux, and neither a repository nor a mount.
"""

from __future__ import annotations

from mfs.copying.file import NotRegular, copy
from mfs.copying.outcome import Outcome

__all__ = ["NotRegular", "Outcome", "copy"]
