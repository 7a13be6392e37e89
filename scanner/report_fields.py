"""What the fields of a report may hold: closed enumerations, and the checks of everything that is text or a number.

Owns no report; `scanner.reports` builds them. A message names the field and never its value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from typing import Final

from hashsets import hashtypes, limits
from hashsets.types import Classification
from scanner.errors import ReportError

# Longest text each field may hold, in characters: what a list may hold, so that whatever is listed can be reported.
MAX_CHARS: Final[Mapping[str, int]] = {
    "hash_set": limits.MAX_SET_NAME_LETTERS,
    "ref": limits.MAX_REF_LETTERS,
    "scheme": limits.MAX_SCHEME_LETTERS,
    "code": limits.MAX_CODE_LETTERS,
    "source": 256,
}
# JSON numbers are exact only to 2^53 - 1 in most readers (RFC 8259, section 6).
MAX_VERSION: Final = 2**53 - 1

HASH_TYPE = re.compile(r"[a-z][a-z0-9_]{0,31}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


class Kind(StrEnum):
    """What a report says happened."""

    MATCH = "match"
    WITHDRAWAL = "withdrawal"


class Cause(StrEnum):
    """Why an earlier match report is withdrawn."""

    ENTRY = "entry"
    SET = "set"
    RULE = "rule"
    KNOWN_GOOD = "known_good"
    APPEAL = "appeal"


class Proximity(StrEnum):
    """Equal bytes (`exact`, cryptographic types only) or a likeness (`near`). The distance itself is never said."""

    EXACT = "exact"
    NEAR = "near"


class ReportedMedia(StrEnum):
    """The media kinds the world is told of; an animation is reported as an image."""

    IMAGE = "image"
    VIDEO = "video"
    OTHER = "other"


def check_classifications(classifications: tuple[Classification, ...]) -> None:
    """Raise ReportError unless they are few, short, sorted and distinct."""
    require(len(classifications) <= limits.MAX_CLASSIFICATIONS, "classifications")
    for item in classifications:
        require(isinstance(item, Classification), "classifications")
        require(is_text(item.scheme, MAX_CHARS["scheme"]), "classifications")
        require(is_text(item.code, MAX_CHARS["code"]), "classifications")
    require(list(classifications) == sorted(set(classifications)), "classifications")


def is_exact(hash_type: str) -> bool:
    """Whether agreement in this type proves equal bytes. Any other type is `near`, even at distance 0."""
    known = hashtypes.find(hash_type)
    return known is not None and known.comparison == "exact"


def has_form(pattern: re.Pattern[str], value: object) -> bool:
    """Whether `value` is text of exactly that form."""
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def is_text(value: object, max_chars: int) -> bool:
    """Whether `value` is 1 to `max_chars` printable characters: no control, no line end, no lone surrogate."""
    return isinstance(value, str) and 1 <= len(value) <= max_chars and value.isprintable()


def is_day(value: str) -> bool:
    """Whether `value` is a real date written YYYY-MM-DD."""
    if not has_form(_DAY, value):
        return False
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True


def require(holds: bool, field_name: str) -> None:
    """Raise ReportError naming the field unless `holds`."""
    if not holds:
        raise ReportError(f"a report's {field_name} is not of the form a report may hold; check the hash set's entries")
