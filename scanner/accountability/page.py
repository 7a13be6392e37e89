"""A transparency report as one HTML file: nothing fetched, no script, for telephones, the dark and paper.

Rules
- Every text goes through `escape`; a policy in the page forbids whatever might slip in to load or run anything.
- A chart shows what its table shows and no more: a withheld figure has a mark in place of a bar.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from html import escape
from typing import Final

from scanner.accountability.charts import chart
from scanner.accountability.document import Document, Section, Shown, Standing, Table

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1d2430; --faint: #5b6472; --paper: #fff; --line: #d9dee6; --band: #f4f6f9;
  --one: #2b6cb0; --two: #b7791f; --three: #2f855a; --four: #9b2c2c; --five: #6b46c1; --six: #4a5568;
  --seven: #a0aec0; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --faint: #a3adbd; --paper: #14181f; --line: #343c4a;
  --band: #1c222c; --one: #63a4e8; --two: #e0ac4f; --three: #63c793; --four: #ef7d7d; --five: #b19cf0; --six: #93a0b4;
  --seven: #5d687a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 60rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: .5rem 0; }
h2 { font-size: 1.3rem; margin: 2.8rem 0 .4rem; padding-top: 1rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.8rem 0 .4rem; }
p { margin: .5rem 0; max-width: 44rem; }
.faint, .note { color: var(--faint); font-size: .9rem; }
.draft { display: inline-block; margin: .6rem 0; padding: .2rem .7rem; border: 2px solid var(--four);
  color: var(--four);  border-radius: .3rem; font-weight: 600; }
nav ol { list-style: none; padding: 0; margin: 1rem 0; columns: 18rem; }
nav li { margin: .2rem 0; break-inside: avoid; }
a { color: var(--one); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: .7rem; margin: 1.4rem 0;
  padding: 0; }
.tiles div { background: var(--band); border-radius: .5rem; padding: .7rem .9rem; }
.tiles dt { color: var(--faint); font-size: .85rem; line-height: 1.3; }
.tiles dd { margin: .2rem 0 0; font-size: 1.5rem; font-weight: 650; font-variant-numeric: tabular-nums; }
.tiles small { font-size: 1rem; font-weight: 500; color: var(--faint); }
abbr { text-decoration: none; }
.wide { overflow-x: auto; margin: .6rem 0; }
table { border-collapse: collapse; font-size: .9rem; min-width: 100%; }
th, td { padding: .35rem .6rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
thead th { border-bottom: 2px solid var(--line); font-weight: 600; vertical-align: bottom; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.off { color: var(--faint); }
tbody th { font-weight: 500; }
tr.total > * { font-weight: 650; background: var(--band); }
td code { font-size: .8rem; overflow-wrap: anywhere; white-space: normal; }
figure { margin: 1rem 0; }
figcaption { color: var(--faint); font-size: .85rem; margin-top: .4rem; }
svg { display: block; width: 100%; height: auto; max-width: 30rem; }
.key { display: inline-flex; align-items: center; margin-right: 1rem; white-space: nowrap; }
.key svg { width: .8rem; height: .8rem; margin-right: .35rem; }
svg text { fill: var(--ink); font: 12.5px system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
svg .faint { fill: var(--faint); font-size: 12px; }
.s0 { fill: var(--one); } .s1 { fill: var(--two); } .s2 { fill: var(--three); } .s3 { fill: var(--four); }
.s4 { fill: var(--five); } .s5 { fill: var(--six); } .s6 { fill: var(--seven); }
.hid { fill: none; stroke: var(--faint); stroke-width: 1; stroke-dasharray: 3 3; }
details { margin: .4rem 0; } summary { cursor: pointer; }
pre { background: var(--band); padding: .7rem; border-radius: .4rem; font-size: .8rem; white-space: pre-wrap;
  overflow-wrap: anywhere; }
@media (max-width: 30rem) { body { padding: 1rem .8rem 3rem; } h1 { font-size: 1.5rem; }
  th, td { padding: .3rem .45rem; } table { font-size: .84rem; } }
@media print { :root { color-scheme: light; --ink: #000; --faint: #444; --paper: #fff; --line: #999; --band: #f2f2f2; }
  body { max-width: none; padding: 0; font-size: 10pt; } nav { display: none; } a { color: inherit; }
  h2, h3, figcaption { break-after: avoid; } tr, figure, .tiles div { break-inside: avoid; }
  .wide { overflow: visible; } table { font-size: 8.5pt; } thead { display: table-header-group; }
  details > summary { list-style: none; } }
"""
# What the page itself allows: its one style, by its hash, and nothing else at all (Content Security Policy, level 3).
_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY: Final = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'"

_SAID: Final = {Standing.WITHHELD: "withheld", Standing.NOT_AVAILABLE: "not available"}


def page(document: Document) -> str:
    """The report as one HTML document."""
    return "\n".join(
        (
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="referrer" content="no-referrer">',
            f"<title>{escape(document.title)}</title>",
            f"<style>{_STYLE}</style>",
            "</head>",
            "<body>",
            *_head(document),
            "<main>",
            *(line for at, section in enumerate(document.sections) for line in _section(document, section, at)),
            *_queries(document),
            "</main>",
            "</body>",
            "</html>",
            "",
        )
    )


def _head(document: Document) -> Iterator[str]:
    yield "<header>"
    if document.operator:
        yield f'<p class="faint">{escape(document.operator)}</p>'
    yield f"<h1>{escape(document.title)}</h1>"
    yield f"<p>{document.period.first} to {document.period.last}, UTC."
    yield "Detection of known child sexual abuse material.</p>"
    if document.draft:
        yield '<p class="draft">Draft: not recorded as published</p>'
    yield '<dl class="tiles">'
    for label, cell in document.summary:
        shown = document.shown(cell)
        value = escape(shown.text) if shown.standing is Standing.SHOWN else f"<small>{_SAID[shown.standing]}</small>"
        yield f"<div><dt>{escape(label)}</dt><dd>{value}</dd></div>"
    yield "</dl>"
    yield f'<p class="note">{escape(document.legend)}</p>'
    yield f'<p class="note">Made on {document.made} by {escape(document.software)}.'
    yield f" Contact: {escape(document.contact)}.</p>" if document.contact else "</p>"
    yield '<nav aria-label="Contents"><ol>'
    for at, section in enumerate(document.sections):
        yield f'<li><a href="#s{at}">{_numbered(section)}</a></li>'
    yield "</ol></nav></header>"


def _numbered(section: Section) -> str:
    return escape(f"{section.number}. {section.title}" if section.number else section.title)


def _text(shown: Shown) -> str:
    if shown.standing is Standing.SHOWN:
        return escape(shown.text)
    return f'<abbr title="{_SAID[shown.standing]}">{escape(shown.text)}</abbr>'


def _section(document: Document, section: Section, at: int) -> Iterator[str]:
    yield f'<section id="s{at}"><h2>{_numbered(section)}</h2>'
    for text in section.texts:
        yield f"<p>{escape(text)}</p>"
    for table in section.tables:
        yield f"<h3>{escape(table.title)}</h3>"
        yield from chart(document, table)
        yield from _table(document, table)
        if table.note:
            yield f'<p class="note">{escape(table.note)}</p>'
    yield "</section>"


def _table(document: Document, table: Table) -> Iterator[str]:
    yield f'<div class="wide" tabindex="0" role="region" aria-label="{escape(table.title, quote=True)}">'
    yield "<table><thead><tr>"
    for label in table.labels:
        yield f'<th scope="col">{escape(label)}</th>'
    numeric = _is_numeric(document, table)
    for head in table.heads:
        yield f'<th scope="col"{" class=n" if numeric else ""}>{escape(head)}</th>'
    yield "</tr></thead><tbody>"
    for row in table.rows:
        yield '<tr class="total">' if row.total else "<tr>"
        for label in row.labels:
            yield f'<th scope="row">{escape(label)}</th>'
        for cell in row.cells:
            shown = document.shown(cell)
            classes = [name for name, holds in (("n", numeric), ("off", shown.standing is not Standing.SHOWN)) if holds]
            yield f'<td class="{" ".join(classes)}">{_text(shown)}</td>' if classes else f"<td>{_text(shown)}</td>"
        yield "</tr>"
    yield "</tbody></table></div>"


def _is_numeric(document: Document, table: Table) -> bool:
    return any(document.shown(cell).number is not None for row in table.rows for cell in row.cells)


def _queries(document: Document) -> Iterator[str]:
    yield "<section><h2>Queries</h2><p>Each figure comes from one of these, asked of the ledger.</p>"
    for name, counts, sql in document.queries:
        yield f"<details><summary>{escape(name)}: {escape(counts)}</summary><pre>{escape(sql)}</pre></details>"
    yield "</section>"
