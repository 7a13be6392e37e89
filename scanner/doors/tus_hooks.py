"""What tusd and its kin ask of a hook, and what they understand: bytes to values and back, no I/O.

The hooks of tusd 2.x (https://tus.github.io/tusd/advanced-topics/hooks/). Servers written with @tus/server post the
same shape from their own callbacks.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

MAX_HOOK_BYTES: Final = 1024 * 1024  # metadata are the uploader's; servers bound a request's header at some 8 KiB
MAX_REPLY_BYTES: Final = 5120  # tusd reads no more
CONTINUE: Final = b"{}"


class BadHook(ValueError):
    """This is no hook of tusd."""


@dataclass(frozen=True, slots=True)
class InFile:
    """The upload lies in a file on a disk that we share."""

    path: bytes


@dataclass(frozen=True, slots=True)
class InBucket:
    """The upload lies in an object of a bucket."""

    bucket: str
    key: str


@dataclass(frozen=True, slots=True)
class Hook:
    """One question. `id` is empty before the upload has one; `size` None where it is deferred.

    `is_part`: the upload is to be put together with others, and only the whole counts.
    """

    type: str
    id: bytes
    size: int | None
    is_part: bool
    storage: InFile | InBucket | None


def parse(body: bytes) -> Hook:
    """One hook. Raises BadHook."""
    try:
        said = json.loads(body)
        kind, upload = said["Type"], said["Event"]["Upload"]
        id_, size, part = upload.get("ID") or "", upload.get("Size"), upload.get("IsPartial", False)
        deferred, storage = upload.get("SizeIsDeferred", False), upload.get("Storage")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise BadHook("this is no hook of tusd") from None
    well_typed = isinstance(kind, str) and isinstance(id_, str) and isinstance(part, bool)
    if not well_typed or not (size is None or (type(size) is int and size >= 0)) or id_.startswith("\0"):
        raise BadHook("this is no hook of tusd")  # nor does it have a NUL in an id, which begins what has none with us
    return Hook(kind, _bytes(id_), None if deferred else size, part, _storage(storage))


def _storage(said: Any) -> InFile | InBucket | None:
    """Where the bytes lie; stores that cannot be read from here are None."""
    if not isinstance(said, dict):
        return None
    path, bucket, key = said.get("Path"), said.get("Bucket"), said.get("Key")
    kind = said.get("Type", "")
    if isinstance(path, str) and path and kind in ("filestore", "file"):
        return InFile(_bytes(path))
    if isinstance(bucket, str) and isinstance(key, str) and bucket and key and kind in ("s3store", "s3"):
        return InBucket(bucket, key)
    return None


def _bytes(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a surrogate no byte stands for
        raise BadHook("this is no hook of tusd") from None


def refused(status: int, name: str, *, before: bool) -> bytes:
    """The reply that refuses an upload, `before` it is created or when its last byte is there.

    Neither 409, 423 nor 5xx after the last byte: clients would send again, find nothing missing and report success.
    """
    said: dict[str, object] = {
        "HTTPResponse": {
            "StatusCode": status,
            "Body": json.dumps({"error": "refused", "name": name}),
            "Header": {"Content-Type": "application/json"},
        }
    }
    reply = json.dumps(said | ({"RejectUpload": True} if before else {})).encode("ascii")
    assert len(reply) <= MAX_REPLY_BYTES
    return reply
