"""A request as a person writes it down: `field: value` lines, or one JSON object; read strictly.

Rules
- What is not understood is named by its field; no value is ever repeated.
- Texts are bounded and printable, so that whatever stands in the register can be shown on a terminal.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from datetime import date
from enum import StrEnum
from typing import Any, Final

from scanner.accountability.countries import is_country
from scanner.accountability.request_words import Ask, Data, Form, Instrument, Matter, Request, Requester, Route, Subject
from scanner.errors import UsageError

MAX_BYTES: Final = 64 * 1024
_MAX_LETTERS: Final = 2000
_MOST_IDENTIFIERS: Final = 10**6


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the form: what it means, what it may be, and how it is read. `read` raises ValueError."""

    name: str
    meaning: str
    may_be: str
    read: Callable[[Any], Any]


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > _MAX_LETTERS or not value.isprintable():
        raise ValueError
    return value.strip()


def _day(value: Any) -> date:
    if not isinstance(value, str) or len(value) != len("2026-01-31"):
        raise ValueError
    return date.fromisoformat(value)


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value not in ("yes", "no"):
        raise ValueError
    return bool(value == "yes")


def _number(value: Any) -> int:
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
    if type(number) is not int or not 1 <= number <= _MOST_IDENTIFIERS:
        raise ValueError
    return number


def _country(value: Any) -> str:
    code = _text(value).upper()
    if not is_country(code):
        raise ValueError
    return code


def _classes(value: Any) -> frozenset[Data]:
    words = value.replace(",", " ").split() if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ValueError
    return frozenset(Data(word) for word in words)


def _one_of(kind: type[StrEnum]) -> tuple[str, Callable[[Any], Any]]:
    def read(value: Any) -> StrEnum:
        return kind(_text(value))

    return ", ".join(kind), read


_TEXT = ("text", _text)
_DAY = ("YYYY-MM-DD", _day)
_YES = ("yes or no", _flag)
_COUNTRY = ("a country's two letters (ISO 3166-1)", _country)

FORM: Final = (
    Field("received", "The day it came.", *_DAY),
    Field("requester", "Who asks.", *_one_of(Requester)),
    Field("certified", "You have made sure that the body is what it says.", *_YES),
    Field("matter", "What it is about.", *_one_of(Matter)),
    Field("jurisdiction", "The country it comes from.", *_COUNTRY),
    Field("route", "How it came from there.", *_one_of(Route)),
    Field("ask", "What is asked for.", *_one_of(Ask)),
    Field("subject", "What kind of identifier it names.", *_one_of(Subject)),
    Field("identifiers", "How many of them.", "a whole number", _number),
    Field("data", "Classes of data it asks for, with commas.", ", ".join(Data), _classes),
    Field("data_wanted", "The specific data, as it describes them.", *_TEXT),
    Field("range_from", "Their first day.", *_DAY),
    Field("range_to", "Their last day.", *_DAY),
    Field("instrument", "By what legal instrument.", *_one_of(Instrument)),
    Field("instrument_name", "Of a local_ instrument: what it is called there.", *_TEXT),
    Field("legal_basis", "The law it rests on. A request on two bases is two entries.", *_TEXT),
    Field("form", "What the process came as.", *_one_of(Form)),
    Field("signed", "It is signed.", *_YES),
    Field("official_address", "It came from an official address.", *_YES),
    Field("agency", "The agency.", *_TEXT),
    Field("agent", "The requesting agent's name.", *_TEXT),
    Field("badge", "The agent's badge or identification number.", *_TEXT),
    Field("email", "The agent's official e-mail address.", *_TEXT),
    Field("telephone", "The agent's telephone number.", *_TEXT),
    Field("postal_address", "The agency's postal address.", *_TEXT),
    Field("respond_by", "The day it wants an answer by.", *_DAY),
    Field("confidential", "It orders that nobody be told.", *_YES),
    Field("confidential_until", "The last day of that order; without one it does not bind.", *_DAY),
    Field("confidential_reason", "The reason the order gives; without one it does not bind.", *_TEXT),
    Field("notice_forbidden_by_law", "A law itself, no order, forbids telling the person affected.", *_YES),
    Field("life_at_risk", "Death or serious injury is imminent.", *_YES),
    Field("child_abuse", "It is about the abuse of a child.", *_YES),
    Field("emergency_nature", "Of an emergency: what it is.", *_TEXT),
    Field("emergency_need", "Of an emergency: why the data help against it.", *_TEXT),
    Field("restricted_in", "Of a restriction of access: the country it is to hold in.", *_COUNTRY),
    Field("extends", "Of an extension: the id of the request to preserve.", *_TEXT),
    Field("revises", "The id of an earlier entry that it replaces; both are counted.", *_TEXT),
)
_BY_NAME: Final = {field.name: field for field in FORM}
_REQUIRED: Final = tuple(field.name for field in fields(Request) if field.default is MISSING)


def template() -> str:
    """The empty form, each field with what it means and may be."""
    lines = ["# One request of an authority, on one legal basis. Leave empty what it does not say."]
    for field in FORM:
        required = " Required." if field.name in _REQUIRED else ""
        lines += [f"# {field.meaning}{required} ({field.may_be})", f"{field.name}:", ""]
    return "\n".join(lines)


def parse(content: bytes) -> Request:
    """The request on a filled form. Raises UsageError, which names the field."""
    if len(content) > MAX_BYTES:
        raise UsageError("The form is over 64 KiB: that is something else.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError("The form is not UTF-8 text.") from None
    said = _object(text) if text.lstrip().startswith("{") else _lines(text)
    values = {name: _read(name, value) for name, value in said.items() if value not in ("", None, [])}
    for name in _REQUIRED:
        if name not in values:
            raise UsageError(f"The form lacks the field {name}: {_BY_NAME[name].may_be}.")
    return Request(**values)


def _read(name: str, value: Any) -> Any:
    field = _BY_NAME[name]
    try:
        return field.read(value)
    except ValueError:
        raise UsageError(f"The field {name} must be: {field.may_be}.") from None


def _lines(text: str) -> dict[str, str]:
    said: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, colon, value = line.partition(":")
        if not colon:
            raise UsageError(f"Line {number} of the form is no `field: value`.")
        _known(name.strip(), said, f"line {number}")
        said[name.strip()] = value.strip()
    return said


def _object(text: str) -> Mapping[str, Any]:
    said: dict[str, Any] = {}

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        for name, value in found:
            _known(name, said, "the object")
            said[name] = value
        return said

    try:
        json.loads(text, object_pairs_hook=pairs)
    except (ValueError, RecursionError):
        raise UsageError("The form begins like JSON and is none.") from None
    return said


def _known(name: str, said: Mapping[str, Any], where: str) -> None:
    if name not in _BY_NAME:
        raise UsageError(f"In {where} of the form stands a field that there is not: `hashward request template`.")
    if name in said:
        raise UsageError(f"The form says {name} twice.")


def written(request: Request) -> dict[str, Any]:
    """A request as JSON holds it: what it says, and nothing else."""
    said = {field.name: getattr(request, field.name) for field in FORM}
    return {name: _plain(value) for name, value in said.items() if value not in ("", None, frozenset())}


def _plain(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, frozenset):
        return sorted(value)
    return str(value) if isinstance(value, StrEnum) else value


def reread(said: Mapping[str, Any]) -> Request:
    """The request that `written` gave."""
    return Request(**{name: _read(name, value) for name, value in said.items()})
