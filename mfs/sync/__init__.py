"""Installing a tree of files over an existing one, as an updater does: what is the same already stays as it is.

    report = sync("build/out", "/opt/app", Options(delete=True))
    report.kept, report.replaced, report.shared, report.written

Usable on every file system; needs no repository. See :mod:`mfs.sync.walk` for what it does, and in which order.
"""

from __future__ import annotations

from mfs.sync.report import Change, Options, Report
from mfs.sync.walk import Refused, sync

__all__ = ["Change", "Options", "Refused", "Report", "sync"]
