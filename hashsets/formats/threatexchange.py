"""Meta ThreatExchange's JSON: pages of `threat_updates`, as files and as their source's answers.

Rules
- The key is the indicator's id. `should_delete`, or no `descriptors` at all, withdraws it
  (https://github.com/facebook/ThreatExchange/issues/834).
- `status` of the descriptors and their tags are classifications; people's ids and reactions are not kept.
- Types that are no media hashes are counted, not compared. A `HASH_MD5` counts as one whatever its tags.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from hashsets.formats.base import Options, Reading, Reject, Removal
from hashsets.formats.json_stream import Records
from hashsets.formats.records import entry_of_cells
from hashsets.formats.text import encoding_of
from hashsets.limits import MAX_CLASSIFICATIONS, is_classification
from hashsets.types import Classification, Entry, Shape, entry_key_of_ref

_SHAPE = re.compile(r'^\s*(\[|\{.*?"data"\s*:\s*\[)', re.DOTALL)
_TYPES = {
    "HASH_PDQ": "pdq", "PDQ": "pdq",
    "HASH_MD5": "md5", "HASH_VIDEO_MD5": "md5",
    "HASH_SHA1": "sha1",
    "HASH_SHA256": "sha256", "HASH_VIDEO_SHA256": "sha256",
    "HASH_TMK": "tmk", "HASH_PHOTODNA": "photodna",
    "HASH_URL_MD5": "url", "URI": "url", "RAW_URI": "url",
    "TEXT_STRING": "raw_text", "HASH_TEXT_TLSH": "tlsh", "TREND_QUERY": "trend_query",
}  # fmt: skip
_STATUSES = ("MALICIOUS", "NON_MALICIOUS", "SUSPICIOUS", "UNKNOWN")


class ThreatExchange:
    """See the module."""

    name = "threatexchange"
    fragments = False

    def fits(self, head: bytes) -> bool:
        """Whether it is a JSON document with an array `data` of indicators."""
        text = head.decode(encoding_of(head), errors="ignore").lstrip("\ufeff \t\r\n")
        return bool(_SHAPE.match(text)) and '"indicator"' in text

    def read(self, stream: BinaryIO, options: Options, reading: Reading) -> Iterator[Entry | Removal]:
        """See Format."""
        records = Records(stream, "data")
        for record in records:
            update = update_of(record, records.number, reading)
            if update is not None:
                yield update


def update_of(record: dict[str, Any], number: int, reading: Reading) -> Entry | Removal | None:
    """What one indicator says; None, counted, where that cannot be used."""
    id_ = str(record.get("id", ""))
    if not (id_.isascii() and id_.isalnum() and len(id_) <= 64):
        reading.reject(Reject.BAD_REF, number)
        return None
    key = entry_key_of_ref(id_)
    if record.get("should_delete") is True or "descriptors" not in record:
        reading.valid += 1
        return Removal(key)
    kind, text = record.get("type"), record.get("indicator")
    name = _TYPES.get(kind, kind) if isinstance(kind, str) else ""
    descriptors = _listed(record["descriptors"])
    marks = tuple(dict.fromkeys(mark for one in descriptors for mark in _marks(one)))[:MAX_CLASSIFICATIONS]
    cells = ((name, text.strip() if isinstance(text, str) else "?"),)
    entry = entry_of_cells(cells, number, reading, ref=id_, marks=marks)
    return None if entry is None else Entry(key, entry.signals, Shape.ITEM, id_, marks)


def _listed(found: object) -> list[dict[str, Any]]:
    """The objects of a list, or of the list in an object's `data`: both are sent."""
    inner = found.get("data") if isinstance(found, dict) else found
    return [one for one in inner if isinstance(one, dict)] if isinstance(inner, list) else []


def _marks(descriptor: dict[str, Any]) -> Iterator[Classification]:
    status = descriptor.get("status")
    if status in _STATUSES:
        yield Classification("threatexchange-status", status)
    tags = descriptor.get("tags")
    inner = tags.get("data") if isinstance(tags, dict) else tags
    for tag in inner if isinstance(inner, list) else ():
        text = tag.get("text") if isinstance(tag, dict) else tag
        mark = Classification("threatexchange-tag", text) if isinstance(text, str) else None
        if mark is not None and is_classification(mark):
            yield mark
