"""What S3 and its kin say happened to objects: bytes to values, no I/O.

AWS, MinIO, RustFS, Ceph, moto and s3rver differ (facts: upload doors, 8): every field but bucket name and key may be
absent, event names may begin with `s3:`, and keys are form-encoded by most and raw by some.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote_plus

from scanner.doors.rules import MAX_REF_BYTES

MAX_MESSAGE_BYTES: Final = 1024 * 1024  # SQS takes that much, webhooks send single records
MOST_RECORDS: Final = 1000


class BadMessage(ValueError):
    """This holds no events of S3."""


@dataclass(frozen=True, slots=True)
class Event:
    """One object came or went. `keys` are what its key may be, the likelier first; the rest is None where not said."""

    came: bool
    bucket: str
    keys: tuple[str, ...]
    size: int | None = None
    etag: str | None = None
    version: str | None = None


def ref_of(bucket: str, key: str, version: str | None) -> bytes | None:
    """bucket/key, with /version where there is one; None where that is too long for a ref."""
    ref = "/".join((bucket, key, *([version] if version else []))).encode("utf-8", "surrogateescape")
    return ref if len(ref) <= MAX_REF_BYTES else None


def parse(body: bytes) -> list[Event]:
    """The events of a message; none in a set-up message. Raises BadMessage."""
    if len(body) > MAX_MESSAGE_BYTES:
        raise BadMessage("a message is no longer than this")
    try:
        said = json.loads(body)
        said = json.loads(said["Message"]) if isinstance(said, dict) and "Message" in said else said  # by way of SNS
        if said.get("Event") == "s3:TestEvent":
            return []
        records = said["Records"]
        if not isinstance(records, list) or len(records) > MOST_RECORDS:
            raise BadMessage("this holds no events of S3")
        return [event for record in records if (event := _event(record)) is not None]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise BadMessage("this holds no events of S3") from None


def _event(record: dict[str, Any]) -> Event | None:
    """One record; None for what neither brings an object nor ends one."""
    name = record["eventName"].removeprefix("s3:")
    came = name.startswith("ObjectCreated:")
    # A delete marker hides an object and keeps its versions: what is held is still held.
    went = name in ("ObjectRemoved:Delete", "LifecycleExpiration:Delete", "ObjectRemoved:DeleteObjects")
    if not came and not went:
        return None
    bucket, found = record["s3"]["bucket"]["name"], record["s3"]["object"]
    key, size, etag, version = found["key"], found.get("size"), found.get("eTag"), found.get("versionId")
    if not all(isinstance(text, str) and text for text in (bucket, key)):
        raise BadMessage("this holds no events of S3")
    version = version if isinstance(version, str) and version not in ("", "null") else None
    if not _is_text(bucket + key + (version or "")):
        return None  # no store has an object of such a name
    decoded = unquote_plus(key, errors="surrogateescape")
    return Event(
        came,
        bucket,
        (decoded,) if decoded == key else (decoded, key),
        size if type(size) is int and size >= 0 else None,
        etag.strip('"').lower() if isinstance(etag, str) and etag else None,
        version,
    )


def _is_text(name: str) -> bool:
    """Whether bytes stand for it: JSON can write surrogates for which none do."""
    try:
        name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True
