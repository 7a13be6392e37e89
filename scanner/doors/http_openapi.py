"""What the http door says of itself at /openapi.json (OpenAPI 3.1). Kept by hand; tests hold it against the door."""

from __future__ import annotations

import importlib.metadata
from functools import cache
from typing import Any

from scanner.accountability.levels import Finding, Level, Reason
from scanner.doors.answers import UNDECIDABLE_REASONS, Verdict
from scanner.doors.rules import MAX_REF_BYTES

_STRING: dict[str, Any] = {"type": "string"}
_BINARY: dict[str, Any] = {"schema": {"type": "string", "contentMediaType": "application/octet-stream"}}
_FORM: dict[str, Any] = {
    "schema": {
        "type": "object",
        "properties": {"file": {"type": "string", "contentMediaType": "application/octet-stream"}},
        "required": ["file"],
    }
}


def _object(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"type": "object", "properties": required | (optional or {}), "required": sorted(required)}


def _json(schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _errors(word: str, *statuses: int) -> dict[str, Any]:
    meanings = {
        400: "The request is not as this expects it.", 401: "A token with the right scope is needed.",
        403: "Not allowed.", 404: "Not held.", 406: "Blocked.", 408: "The body came too slowly.",
        409: "It contradicts what is on record.",
        413: "The body is too long.", 422: "This cannot be judged.", 429: "Too many.",
        503: "This cannot be judged now.",
    }  # fmt: skip
    return {str(status): _json(_object({word: _STRING}), meanings[status]) for status in statuses}


_VERDICT = _object(
    {
        "verdict": {"enum": [str(verdict) for verdict in Verdict]},
        "block": {"type": "boolean", "description": "False where the upload may pass, and nowhere else."},
    },
    {
        "reason": {"enum": sorted(UNDECIDABLE_REASONS)},
        "match": {"enum": ["exact", "near"]},
        "name": _STRING,
        "detail": _STRING,
    },
)
_REF = {
    "name": "Hashward-Ref",
    "in": "header",
    "description": "The platform's own name for the upload: opaque, kept here alone.",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_REF_BYTES, "pattern": "^[!-~]+$"},
}
_BODY = {"required": True, "content": {"application/octet-stream": _BINARY, "multipart/form-data": _FORM}}
_RAW = {"required": True, "content": {"application/octet-stream": _BINARY}}
_COMMON = (400, 401, 408, 413, 422, 503)
_NEAR = {"type": ["string", "null"], "enum": ["exact", "near", None]}
_SHIELD = _object(
    {
        "size_bytes": {"type": "integer"},
        "sha1_base32": _STRING,
        "sha256_hex": _STRING,
        "classification": _STRING,
        "match_type": _NEAR,
        "near_match_details": {"type": "array"},
    }
)
_SIGNAL = [
    {"name": "signal_type", "in": "query", "required": True, "schema": {"enum": ["pdq", "video_md5"]}},
    {"name": "signal", "in": "query", "required": True, "schema": {"type": "string", "pattern": "^[0-9a-f]+$"}},
]
_MESSAGE = _object({"message": _STRING})
_HMA_FILE = {
    "required": True,
    "content": {"multipart/form-data": {"schema": {
        "type": "object",
        "properties": {"photo": {"type": "string", "contentMediaType": "application/octet-stream"}},
        "required": ["photo"],
    }}},
}  # fmt: skip


def _operation(summary: str, responses: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"summary": summary, "responses": responses} | more


def _verdicts() -> dict[str, Any]:
    judged = {status: _json(_object({"detail": _STRING}), "No verdict.") for status in ("400", "401", "408", "413")}
    unjudged = {status: _json(_VERDICT, "Undecidable.") for status in ("422", "503")}
    return {"200": _json(_VERDICT, "The verdict."), **judged, **unjudged}


def _paths() -> dict[str, Any]:
    return _own() | _of_others() | _of_hma() | _of_storages() | _of_cases()


def _own() -> dict[str, Any]:
    return {
        "/v1/scan": {"post": _operation("Judge an upload", _verdicts(), requestBody=_BODY, parameters=[_REF])},
        "/v1/requests": {
            "post": _operation(
                "Judge the body of a request, each file of its form (from the middleware in scanner.clients)",
                _verdicts(), requestBody=_BODY, parameters=[_REF],
            )
        },
        "/v1/assets/{ref}": {
            "delete": _operation(
                "Forget an upload that is no longer held",
                {"204": {"description": "Forgotten."}, **_errors("detail", 400, 401, 404, 503)},
                parameters=[{"name": "ref", "in": "path", "required": True, "schema": _STRING | {"minLength": 1}}],
            )
        },
        "/healthz": {"get": _operation("Whether it lives", {"200": _json(_object({"status": _STRING}), "Yes.")})},
        "/readyz": {
            "get": _operation(
                "Whether it gives verdicts",
                {code: _json(_object({"status": _STRING}), "As said.") for code in ("200", "503")},
            )
        },
    }  # fmt: skip


def _of_others() -> dict[str, Any]:
    return {
        "/pict-rs": {
            "post": _operation(
                "pict-rs: external_validation",
                {"200": _json(_MESSAGE, "Allowed."), **_errors("message", 406, *_COMMON)}, requestBody=_RAW,
            )
        },
        "/v1/media/": {
            "post": _operation(
                "Arachnid Shield: scan_media_from_bytes",
                {"200": _json(_SHIELD, "The record."), **_errors("detail", *_COMMON)}, requestBody=_RAW,
            )
        },
        "/xrpc/com.atproto.unspecced.scanBlob": {
            "post": _operation(
                "Bluesky: scanBlob",
                {"200": _json(_object({"blob": {}, "match": {"type": "object"}}), "The hits."),
                 **_errors("message", *_COMMON)},
                requestBody=_RAW, parameters=[{"name": "uri", "in": "query", "schema": _STRING}],
            )
        },
    }  # fmt: skip


def _of_hma() -> dict[str, Any]:
    text = {"200": {"description": "As said.", "content": {"text/plain": {"schema": _STRING}}}}
    return {
        "/h/hash": {
            "post": _operation(
                "HMA: the hashes of a photo or video",
                {"200": _json({"type": "object", "additionalProperties": _STRING}, "By type."),
                 **_errors("message", *_COMMON)},
                requestBody=_HMA_FILE,
            )
        },
        "/m/lookup": {
            "get": _operation(
                "HMA: the sets that list a value",
                {"200": _json({"type": "object"}, "By set."), **_errors("message", 400, 401, 403, 429, 503)},
                parameters=_SIGNAL,
            ),
            "post": _operation(
                "HMA: the sets that list a photo or video",
                {"200": _json({"type": "object"}, "By type and set."), **_errors("message", 403, 429, *_COMMON)},
                requestBody=_HMA_FILE,
            ),
        },
        "/status": {
            "get": _operation("HMA: whether lists are loaded", text | {"503": {"description": "Not yet."}})
        },
    }  # fmt: skip


def _of_storages() -> dict[str, Any]:
    json_body = {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}
    upload = _object({"verdict": {"const": "clear"}})
    return {
        "/v1/tus": {
            "post": _operation(
                "tus: a hook of tusd or @tus/server",
                {"200": _json({"type": "object"}, "Go on, or HTTPResponse: what refuses the upload."),
                 **_errors("detail", 400, 401, 408, 413, 503)},
                requestBody=json_body,
            )
        },
        "/v1/tus/uploads/{ref}": {
            "get": _operation(
                "tus: whether the application may keep an upload",
                {"200": _json(upload, "Judged, and allowed."), **_errors("detail", 400, 401, 404, 503)},
                parameters=[{"name": "ref", "in": "path", "required": True, "schema": _STRING | {"minLength": 1}}],
            )
        },
        "/v1/s3": {
            "post": _operation(
                "S3 and MinIO: events of buckets; 403 where no [s3] is configured",
                {"200": _json(_object({"settled": {"const": True}}), "Everything in it is settled."),
                 **_errors("detail", 400, 401, 403, 408, 413, 503)},
                requestBody=json_body,
            )
        },
    }  # fmt: skip


def _of_cases() -> dict[str, Any]:
    said = _object(
        {
            "outcome": {"enum": [str(finding) for finding in Finding]},
            "reason": {"enum": [str(reason) for reason in Reason]},
            "by": _STRING,
            "viewed_by_person": {"type": "boolean"},
        }
    )
    standing = _object(
        {
            "case": _STRING,
            "state": {"enum": ["open", "proposed", "decided"]},
            "level": {"enum": [str(level) for level in Level]},
            "round": {"type": "integer"},
            "outcome": {"enum": [*(str(finding) for finding in Finding), None]},
        }
    )
    key = {"name": "Idempotency-Key", "in": "header", "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"}}
    return {
        "/v1/cases/{id}/outcome": {
            "post": _operation(
                "What a reviewer found in the platform's own tool; a second one of the same mind decides the case",
                {
                    "200": _json(standing, "How the case stands."),
                    **_errors("detail", 400, 401, 403, 404, 408, 409, 413, 503),
                },
                requestBody={"required": True, "content": {"application/json": {"schema": said}}},
                parameters=[{"name": "id", "in": "path", "required": True, "schema": _STRING}, key],
            )
        }
    }


@cache
def document() -> dict[str, Any]:
    """The document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "hashward",
            "version": importlib.metadata.version("hashward"),
            "description": "Judges uploads by hash comparison. Fetches no URL, keeps no body, names no list.",
        },
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{}, {"token": []}],
        "paths": _paths(),
    }
