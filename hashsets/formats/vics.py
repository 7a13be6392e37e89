"""Project VIC, CAID and NIST's export: VICS JSON 1.x and 2.0, of several gigabytes, hash sets and cases alike.

A record is an entry of its digests; `MediaID` is its ref. What describes people, files and cases is passed over.

Rules
- A category means different things in different countries and tools, from "illegal" to "known to be harmless". So there
  is no default: a list that gives categories is read only where the operator has said which of them to take.
- The category is kept as a classification: `vics`, or `vics-us` where the document names the country's model.
- Key names are compared without case, in any order.

Source: public readers and writers of the format; its model is shared under agreement only.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, BinaryIO

from hashsets import hashtypes
from hashsets.errors import ListError
from hashsets.formats.base import HEAD_BYTES, Options, Reading
from hashsets.formats.json_stream import Records
from hashsets.formats.records import Cell, entry_of_cells
from hashsets.formats.text import encoding_of
from hashsets.types import Classification, Entry

ALL_CATEGORIES = "all"
NO_CATEGORY = "none"

_DIGESTS = (("md5", ("md5", "md5hash")), ("sha1", ("sha1", "sha1hash")), ("sha256", ("sha256", "sha256hash")),
            ("photodna", ("photodna", "pdna")))  # fmt: skip
_CATEGORIES = ("category", "mediacategory", "vicscategory")
_CODE = re.compile(r"[0-9A-Za-z._-]{1,32}")
_MODEL = re.compile(r"/datamodels/[0-9.]+\.xml/([a-z]{2})/", re.IGNORECASE)
_CONTEXT = re.compile(r'"@?odata\.(metadata|context)"\s*:', re.IGNORECASE)
_MEDIA = re.compile(r'"(mediaid|md5)"\s*:', re.IGNORECASE)
_VALUE = re.compile(r'^\s*(\[|\{.*"value"\s*:\s*\[)', re.IGNORECASE | re.DOTALL)

# Read before the refusal of a list whose categories nobody chose, to tell the operator what there is.
_SURVEYED_RECORDS = 100_000


class VICS:
    """See the module."""

    name = "vics"
    fragments = True

    def fits(self, head: bytes) -> bool:
        """Whether it is a JSON document that says so, or one whose array of records has VICS's keys."""
        text = head[:HEAD_BYTES].decode(encoding_of(head), errors="ignore").lstrip()
        if not text.startswith(("{", "[")):
            return False
        return bool(_CONTEXT.search(text) or (_VALUE.match(text) and _MEDIA.search(text)))

    def read(self, stream: BinaryIO, options: Options, reading: Reading) -> Iterator[Entry]:
        """See Format."""
        model = ""

        def seen(name: str, value: Any) -> None:
            nonlocal model
            if name.lower() in ("odata.metadata", "@odata.context") and isinstance(value, str):
                found = _MODEL.search(value)
                model = "-" + found[1].lower() if found else ""

        records = Records(stream, "value", "media", seen)
        unchosen: Counter[str] = Counter()
        for record in records:
            folded = {name.lower(): value for name, value in record.items()}
            code = _category(folded)
            if options.categories is None and (unchosen or code != NO_CATEGORY):
                unchosen[code] += 1
                if unchosen.total() == _SURVEYED_RECORDS:
                    break
                continue
            taken = _taken(code, options)
            if taken is None:
                reading.filter(code)
                continue
            marks = () if taken == NO_CATEGORY else (Classification(f"vics{model}", taken),)
            entry = entry_of_cells(_cells(folded), records.number, reading, ref=_ref(folded), marks=marks)
            if entry is not None:
                yield entry
        if unchosen:
            raise ListError(_choice(unchosen))


def _taken(code: str, options: Options) -> str | None:
    """The code to keep for a category, or None when it was not chosen."""
    if options.categories is None or ALL_CATEGORIES in options.categories:
        return code
    return options.categories.get(code)


def _choice(unchosen: Counter[str]) -> str:
    counted = ", ".join(f"{code} ({number:,})" for code, number in sorted(unchosen.items())[:20])
    return (
        f"the list sorts its records into categories, whose meaning is its provider's: {counted}; say which of them"
        f" this hash set takes, as with --category CODE ({NO_CATEGORY}: records without; {ALL_CATEGORIES}: every one)"
    )


def _category(folded: dict[str, Any]) -> str:
    """The record's category as text; numbers and numeric texts are one."""
    value = next((folded[name] for name in _CATEGORIES if folded.get(name) is not None), None)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).strip() if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if text.isascii() and text.isdigit() and len(text) <= 32:
        return str(int(text))
    return text if _CODE.fullmatch(text) else NO_CATEGORY if not text else "other"


def _ref(folded: dict[str, Any]) -> str | None:
    value = folded.get("mediaid")
    text = str(value).strip() if isinstance(value, int | str) and not isinstance(value, bool) else ""
    return text if _CODE.fullmatch(text) and text != "0" else None


def _cells(folded: dict[str, Any]) -> Iterator[Cell]:
    for type_name, names in _DIGESTS:
        for name in names:
            if name in folded:
                yield type_name, _text(folded[name])
                break
    others = folded.get("alternativehashes")
    for other in others if isinstance(others, list) else ():
        if isinstance(other, dict):
            named = {name.lower(): value for name, value in other.items()}
            known = hashtypes.find(_text(named.get("hashname")))
            yield known.name if known else "?", _text(named.get("hashvalue"))


def _text(value: object) -> str:
    """A value as text; what is neither text nor absent is a text that is no hash."""
    return value.strip() if isinstance(value, str) else "" if value is None else "?"
