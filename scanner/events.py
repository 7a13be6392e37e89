"""The envelope in which anything leaves: one CloudEvents 1.0 event without `time`, its JSON, and how its id is drawn.

Knows neither what is said nor who hears it. The envelope holds nothing but constants and a random id.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any, Final, Protocol

from scanner.errors import ReportError
from scanner.report_fields import MAX_CHARS, is_text, require

DEFAULT_SOURCE: Final = "urn:hashward"
_KEYS: Final = frozenset({"specversion", "id", "source", "type", "datacontenttype", "dataschema", "data"})


class RandomSource(Protocol):
    """Where ids and order come from: `secrets.SystemRandom()` in production, `random.Random(seed)` in tests."""

    def randbytes(self, n: int, /) -> bytes:
        """`n` random bytes."""
        ...


def drawn_id(random_bytes: bytes) -> str:
    """Sixteen random bytes as a UUID of version 4."""
    return str(uuid.UUID(bytes=random_bytes, version=4))


def is_source(text: object) -> bool:
    """Whether `text` may be the constant source of events: printable, without spaces, 1 to 256 characters."""
    return is_text(text, MAX_CHARS["source"]) and " " not in str(text)


def envelope(event_id: str, source: str, event_type: str, schema: str, body: Mapping[str, object]) -> bytes:
    """An event on one line without its end."""
    return dumps(
        {
            "specversion": "1.0",
            "id": event_id,
            "source": source,
            "type": event_type,
            "datacontenttype": "application/json",
            "dataschema": schema,
            "data": body,
        }
    )


def event_of(line: bytes) -> dict[str, Any]:
    """Read back what `envelope` wrote: type, schema and body are the caller's to check. Raises ReportError."""
    event = loads(line)
    require(event.keys() == _KEYS, "event")
    constant = event["specversion"] == "1.0" and event["datacontenttype"] == "application/json"
    require(constant and is_source(event["source"]), "event")
    return event


def dumps(value: object) -> bytes:
    """The one way JSON is written here: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode("utf-8")


def loads(text: bytes) -> dict[str, Any]:
    """A JSON object. Raises ReportError."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise ReportError("a stored report is not JSON; run `hashward status`") from exc
    require(isinstance(value, dict), "JSON")
    return dict(value)
