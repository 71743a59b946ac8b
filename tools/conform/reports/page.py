"""One page of HTML that needs nothing else: a table of verdicts, a filter box, and what was sent, expected and seen."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Final

from ..probe import Result, Tier, Verdict
from .counts import counts

__all__ = ["page"]

_STYLE: Final = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 70em; padding: 0 1em; color: #222 }
h2 { margin: 1.6em 0 .4em; font-size: 1.1em }
table.counts { border-collapse: collapse } table.counts td, table.counts th { padding: .15em 1em; text-align: right }
details { border-left: 4px solid #bbb; margin: .25em 0; padding: .1em .7em; background: #fafafa }
summary { cursor: pointer } summary code { font-weight: 600 }
.passed { border-color: #2b8a3e } .failed { border-color: #c92a2a } .crashed { border-color: #862e9c }
.hung { border-color: #e67700 } .tier { color: #666; margin: 0 .6em } .verdict { float: right }
pre { background: #f1f3f5; overflow-x: auto; padding: .6em; font-size: 12.5px } dt { font-weight: 600 }
dd { overflow-wrap: anywhere }
#filter { font: inherit; width: 24em; padding: .3em } label { margin-right: 1em }
"""

_SCRIPT: Final = """
const box = document.getElementById('filter'), bad = document.getElementById('bad');
function show() {
  const words = box.value.toLowerCase().split(/\\s+/).filter(Boolean);
  for (const one of document.querySelectorAll('details')) {
    const text = one.textContent.toLowerCase();
    const hidden = !words.every(word => text.includes(word)) || (bad.checked && !one.dataset.bad);
    one.style.display = hidden ? 'none' : '';
  }
  for (const part of document.querySelectorAll('section')) {
    const left = [...part.querySelectorAll('details')].some(one => one.style.display !== 'none');
    part.style.display = left ? '' : 'none';
  }
}
box.addEventListener('input', show); bad.addEventListener('change', show); show();
"""


def page(server: str, results: Iterable[Result], about: dict[str, str]) -> str:
    """The page; `about` says what each subject is."""
    results = list(results)
    parts = []
    for subject, what in about.items():
        members = [result for result in results if result.probe.subject == subject]
        if members:
            parts.append(f"<section><h2>{escape(what)}</h2>\n{''.join(map(_probe, members))}</section>")
    return (
        "<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8>"
        f"<title>rawfuse conform: {escape(server)}</title><style>{_STYLE}</style></head><body>\n"
        f"<h1>What {escape(server)} makes of the FUSE protocol</h1>\n{_counts(results)}\n"
        "<p><input id=filter placeholder='filter: words in names, rules, messages' aria-label=filter> "
        "<label><input type=checkbox id=bad> only what went wrong</label></p>\n"
        f"{''.join(parts)}<script>{_SCRIPT}</script></body></html>\n"
    )


def _counts(results: list[Result]) -> str:
    found = counts(results)
    head = "".join(f"<th>{verdict}</th>" for verdict in Verdict)
    rows = "".join(
        f"<tr><th>{tier}</th>" + "".join(f"<td>{found[tier][verdict]}</td>" for verdict in Verdict) + "</tr>"
        for tier in Tier
    )
    return f"<table class=counts><tr><th></th>{head}</tr>{rows}</table>"


def _probe(result: Result) -> str:
    probe = result.probe
    style = str(result.verdict).replace(" ", "-")
    facts = [("rule", probe.rule), ("source", probe.source)]
    facts += [(what, text) for what in ("expected", "seen", "reason") if (text := getattr(result, what))]
    said = "".join(f"<dt>{what}</dt><dd>{escape(text)}</dd>" for what, text in facts)
    sent = escape("\n".join(result.sent))
    dump = f"<pre>{escape(chr(10).join(result.dump))}</pre>" if result.dump else ""
    return (
        f"<details class={style}{' data-bad=1 open' if result.bad else ''}>"
        f"<summary><code>{escape(probe.name)}</code><span class=tier>{probe.tier}</span>"
        f"<span class=verdict>{result.verdict}</span></summary>"
        f"<dl>{said}</dl>{f'<pre>{sent}</pre>' if sent else ''}{dump}</details>\n"
    )
