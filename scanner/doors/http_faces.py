"""The faces of the http door that give verdicts: our own, and those that clients of other services speak unchanged.

Each is a function from an `HttpDoor` to its routes. What each client does with which reply: facts, upload doors, 5.
"""

from __future__ import annotations

import base64
from typing import Final
from urllib.parse import unquote_to_bytes

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from scanner.doors.answers import Verdict
from scanner.doors.http_requests import (
    FETCHES_NOTHING,
    Endpoint,
    HttpDoor,
    Refused,
    Reply,
    judge,
    ref_of,
    refusal,
    saying,
    unless_judged,
)
from scanner.doors.rules import MAX_REF_BYTES

# Misnamed by no client: the file's own field in pictrs-safety's form.
_PICTRS_FIELDS: Final = frozenset({"file"})


def post(path: str, endpoint: Endpoint) -> list[Route]:
    """A path with and without a slash at its end: a redirect from one to the other would be taken for a verdict."""
    bare = path.rstrip("/")
    return [Route(each, endpoint, methods=["POST"]) for each in (bare, f"{bare}/")]


def own(door: HttpDoor) -> list[Route]:
    """POST /v1/scan and DELETE /v1/assets/{ref}."""

    async def scan(request: Request) -> Response:
        door.admit(request, "scan")
        if "url" in request.query_params:
            raise Refused(400, FETCHES_NOTHING)
        answer, _ = await judge(door, request, ref_of(request))
        said: dict[str, object] = {"verdict": answer.verdict.value, "block": door.decide(answer) != "allow"}
        if answer.reason is not None:
            said["reason"] = answer.reason
        if answer.verdict is Verdict.MATCHED:
            said |= {"match": "exact" if answer.exact else "near", "name": answer.name}
        if door.decide(answer) != "error":
            return Reply(said)
        refused = refusal(answer)
        return Reply(said | {"detail": refused.message}, refused.status, refused.headers)

    async def forget(request: Request) -> Response:
        door.admit(request, "forget")
        raw = request.scope.get("raw_path") or request.scope["path"].encode()
        ref = unquote_to_bytes(raw.rpartition(b"/v1/assets/")[2])
        if not 0 < len(ref) <= MAX_REF_BYTES:
            raise Refused(400, f"a ref has 1 to {MAX_REF_BYTES} bytes")
        if not await door.intake.forget(ref):
            raise Refused(404, "no upload of that ref is held")
        return Response(status_code=204)

    return [
        *post("/v1/scan", saying("detail", scan)),
        Route("/v1/assets/{ref:path}", saying("detail", forget), methods=["DELETE"]),
    ]


def pictrs(door: HttpDoor) -> list[Route]:
    """pict-rs' external_validation, which knows statuses only, and the reply of pictrs-safety."""

    async def validate(request: Request) -> Response:
        door.admit(request, "scan", request.path_params.get("token"))
        answer, _ = await judge(door, request, ref_of(request))
        if unless_judged(door, answer) == "block":
            raise Refused(406, "blocked")
        return Reply({"message": "OK"})

    async def safety(request: Request) -> Response:
        door.admit(request, "scan", request.path_params["id"])
        answer, _ = await judge(door, request, ref_of(request), fields=_PICTRS_FIELDS)
        if unless_judged(door, answer) == "block":
            raise Refused(406, "Potential CSAM Image detected")
        return Reply({"message": "Image OK"})

    validating, safe = saying("message", validate), saying("message", safety)
    return [*post("/pict-rs", validating), *post("/pict-rs/{token}", validating), *post("/api/v1/scan/{id}", safe)]


def shield(door: HttpDoor) -> list[Route]:
    """What the SDK of Arachnid Shield asks for a file. It has no word for "cannot judge": that is always an error."""

    async def media(request: Request) -> Response:
        door.admit(request, "scan")
        answer, upload = await judge(door, request, ref_of(request))
        if answer.verdict is Verdict.UNDECIDABLE and door.decide(answer) != "allow":
            raise refusal(answer)
        found = answer.verdict is Verdict.MATCHED
        return Reply(
            {
                "size_bytes": upload.received_bytes,
                "sha1_base32": base64.b32encode(upload.sha1).decode(),
                "sha256_hex": upload.sha256.hex().upper(),
                "classification": "csam" if found else "no-known-match",
                "match_type": ("exact" if answer.exact else "near") if found else None,
                "near_match_details": [],
            }
        )

    async def url(request: Request) -> Response:
        door.admit(request, "scan")
        raise Refused(400, FETCHES_NOTHING)

    return [*post("/v1/media", saying("detail", media)), *post("/v1/url", saying("detail", url))]


def bluesky(door: HttpDoor) -> list[Route]:
    """scanBlob as Bluesky's indigo asks its "abyss" service. The record's own URI is the ref."""

    async def scan_blob(request: Request) -> Response:
        door.admit(request, "scan")
        uri = request.query_params.get("uri", "").encode()
        answer, _ = await judge(door, request, uri if 0 < len(uri) <= MAX_REF_BYTES else None)
        blocked = unless_judged(door, answer) == "block"
        hit = {"hashType": "sha256" if answer.exact else "pdq", "hashValue": answer.name, "label": "csam"}
        return Reply({"blob": None, "match": {"status": "success", "hits": [hit] if blocked else []}})

    return post("/xrpc/com.atproto.unspecced.scanBlob", saying("message", scan_blob))
