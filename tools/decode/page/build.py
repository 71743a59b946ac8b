"""Makes the page: its script and style stand in it beside the trace, deflated."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import zlib
from collections.abc import Iterable
from importlib.resources import files
from typing import Final, TextIO

from rawfuse.trace.exchanges import Exchange

from .table import Table

__all__ = ["write_page"]

_POLICY: Final = "default-src 'none'; script-src '{script}'; style-src '{style}'; base-uri 'none'; form-action 'none'"
_TOKEN: Final = re.compile(r"(.*?)(?:\{\{([a-z]+)\}\}|\Z)", re.DOTALL)


def write_page(file: TextIO, exchanges: Iterable[Exchange], *, title: str, intro: str = "", largest: int = 512) -> int:
    """Writes the page to `file`; returns how many exchanges are in it.

    Args:
        title: what it is about, as plain text; also the name of the window.
        intro: a paragraph of plain text above all.
        largest: bytes of each message that it shows, so that a trace of megabytes of data stays readable.

    The exchanges must be in the order of a trace. Memory: a few hundred bytes for each; a page of 100 000 has some MB.
    """
    table = Table(largest)
    for exchange in exchanges:
        table.add(exchange)
    script, style = _asset("page.js"), _asset("page.css")
    parts = {
        "policy": _POLICY.format(script=_hash(script), style=_hash(style)),
        "title": _escaped(title),
        "intro": _escaped(intro),
        "style": style,
        "script": script,
        "rows": _packed(json.dumps(table.object(), separators=(",", ":")).encode()),
        "bytes": _packed(bytes(table.content)),
    }
    for text, name in _TOKEN.findall(_asset("page.html")):
        file.write(text)
        file.write(parts[name] if name else "")
    return len(table)


def _escaped(text: str) -> str:
    """The page is ASCII, whatever the encoding of what it is written to."""
    return html.escape(text).encode("ascii", "xmlcharrefreplace").decode("ascii")


def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text("ascii")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _packed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 6)).decode()
