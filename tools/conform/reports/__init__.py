"""What came of a run: as text, JSON, JUnit's XML, a page of HTML."""

from __future__ import annotations

from .counts import counts, kept
from .junit import junit
from .objects import report
from .page import page
from .text import Text

__all__ = ["Text", "counts", "junit", "kept", "page", "report"]
