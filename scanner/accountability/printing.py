"""A transparency report as Markdown, JSON or CSV. Bytes for files; the page is `page`.

Texts of the operator and names of lists are data: in each format they are escaped as that format wants it.
"""

from __future__ import annotations

import csv
import io
import json
import re
from html import escape
from typing import Any

from scanner.accountability.document import Document, Shown, Table


def markdown(document: Document) -> str:
    """The report as Markdown."""
    lines = [f"# {_plain(document.title)}", "", *_head(document), "", _plain(document.legend), ""]
    for section in document.sections:
        lines += [f"## {section.number + '. ' if section.number else ''}{_plain(section.title)}", ""]
        for text in section.texts:
            lines += [_plain(text), ""]
        for table in section.tables:
            lines += [f"### {_plain(table.title)}", "", *_rows(document, table), ""]
            if table.note:
                lines += [_plain(table.note), ""]
    lines += ["## Queries", "", "Each figure comes from one of these, asked of the ledger.", ""]
    for name, _, sql in document.queries:
        lines += [f"`{name}`:", "", "```sql", sql, "```", ""]
    return "\n".join(lines).rstrip() + "\n"


def _head(document: Document) -> list[str]:
    said = [f"Period: {document.period.first} to {document.period.last}, UTC."]
    if document.operator:
        said.append(f"Published by {_plain(document.operator)}.")
    if document.contact:
        said.append(f"Contact: {_plain(document.contact)}.")
    said.append(f"Made on {document.made} by {document.software}.")
    if document.draft:
        said.append("**Draft: not recorded as published.**")
    return ["  \n".join(said)]


def _rows(document: Document, table: Table) -> list[str]:
    heads = [*table.labels, *table.heads]
    lines = [f"| {' | '.join(_cell(head) for head in heads)} |"]
    lines.append("|" + "---|" * len(table.labels) + "---:|" * len(table.heads))
    for row in table.rows:
        shown = [document.shown(cell).text for cell in row.cells]
        lines.append(f"| {' | '.join(_cell(text) for text in (*row.labels, *shown))} |")
    return lines


_SPECIAL = re.compile(r"([\\`*_{}\[\]#|~])")


def _plain(text: str) -> str:
    """Text that Markdown takes for nothing but text: on one line, without markup or HTML."""
    return _SPECIAL.sub(r"\\\1", escape(" ".join(text.split()), quote=False))


def _cell(text: str) -> str:
    return _plain(text) or " "


def as_object(document: Document) -> dict[str, Any]:
    """The report for programs: a withheld number is null, and its standing says so."""
    return {
        "title": document.title,
        "operator": document.operator or None,
        "services": list(document.services),
        "period": {"first": document.period.first, "last": document.period.last},
        "made": document.made,
        "software": document.software,
        "published": not document.draft,
        "suppress_below": document.k,
        "sections": [
            {
                "number": section.number or None,
                "title": section.title,
                "texts": list(section.texts),
                "tables": [_table_object(document, table) for table in section.tables],
            }
            for section in document.sections
        ],
        "queries": [{"name": name, "counts": counts, "sql": sql} for name, counts, sql in document.queries],
    }


def _table_object(document: Document, table: Table) -> dict[str, Any]:
    return {
        "key": table.key,
        "title": table.title,
        "queries": list(table.queries),
        "rows": [
            {
                "labels": dict(zip(table.labels, row.labels, strict=True)),
                "cells": {
                    head: _cell_object(document.shown(cell)) for head, cell in zip(table.heads, row.cells, strict=True)
                },
            }
            for row in table.rows
        ],
    }


def _cell_object(shown: Shown) -> dict[str, Any]:
    return {"number": shown.number, "text": shown.text, "standing": shown.standing.value}


def as_json(document: Document) -> str:
    """The same as text."""
    return json.dumps(as_object(document), ensure_ascii=True) + "\n"


def as_csv(document: Document) -> str:
    """One line a figure: section, table, labels, column, number, text, standing, queries."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")  # RFC 4180
    writer.writerow(
        ("first", "last", "section", "table", "about", "column", "number", "text", "standing", "queries")
    )  # fmt: skip
    for section, table in document.tables():
        for row in table.rows:
            for head, cell in zip(table.heads, row.cells, strict=True):
                shown = document.shown(cell)
                number = "" if shown.number is None else f"{shown.number:g}" if shown.number % 1 else int(shown.number)
                about = " / ".join(row.labels)
                made = " ".join(table.queries)
                place = (document.period.first, document.period.last, section.title, table.key)
                writer.writerow(
                    [_harmless(each) for each in (*place, about, head, number, shown.text, shown.standing.value, made)]
                )
    return out.getvalue()


def _harmless(value: object) -> object:
    """A spreadsheet computes what begins like a formula: such a text gets an apostrophe before it."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value != "" else value
