"""Django: an upload handler that judges files while they come, middleware that refuses, and a validator for fields.

    FILE_UPLOAD_HANDLERS = ["scanner.clients.django.HashwardUploadHandler", *the usual two]
    MIDDLEWARE = [..., "scanner.clients.django.HashwardMiddleware"]
    HASHWARD = {"address": "unix:/run/hashward/http.sock", "token": "..."}

Rules
- The handler passes every byte on and keeps verdicts on the request; the middleware refuses before the view runs.
- Handlers see multipart alone. For bodies that are one file use `asgi` or `wsgi`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.files.uploadhandler import FileUploadHandler
from django.http import HttpRequest, HttpResponse, HttpResponseBase

from scanner.clients.asgi import refusal
from scanner.clients.door import NOTHING_SENT, Door, Upload, pieces_of

VERDICTS = "hashward_verdicts"


def door() -> Door:
    """The door that settings.HASHWARD names."""
    return Door(**getattr(settings, "HASHWARD", {}))


class HashwardUploadHandler(FileUploadHandler):  # type: ignore[misc]  # Django ships no types
    """Judges each file of a form while it comes; stands before the handlers that keep it."""

    def new_file(self, *arguments: Any, **named: Any) -> None:
        """A file begins."""
        super().new_file(*arguments, **named)
        self._upload = Upload(door())

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        """Hand over the next bytes, and pass them on."""
        self._upload.write(raw_data)
        return raw_data

    def file_complete(self, file_size: int) -> None:
        """The file has ended: keep the verdict on the request. None: the handlers behind make the file."""
        verdicts = getattr(self.request, VERDICTS, ())
        verdict = self._upload.finish() if file_size else NOTHING_SENT
        self._upload.abort()
        setattr(self.request, VERDICTS, (*verdicts, verdict))

    def upload_interrupted(self) -> None:
        """Whoever sent has gone away."""
        self._upload.abort()


class HashwardMiddleware:
    """Refuses a request with a file that may not be kept, before its view is called."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Pass a request on."""
        return self._get_response(request)

    def process_view(self, request: HttpRequest, *_view: Any) -> HttpResponse | None:
        """Read the form, so that every file in it is judged, and refuse where one may not be kept."""
        if (request.content_type or "").lower() != "multipart/form-data":
            return None
        request.FILES  # noqa: B018 - reading it is what calls the upload handlers
        allowed = door().allows
        refused = [verdict for verdict in getattr(request, VERDICTS, ()) if not allowed(verdict)]
        if not refused:
            return None
        status, body = refusal(next((each for each in refused if each.verdict == "matched"), refused[0]))
        return HttpResponse(body, status=status, content_type="application/json")


def validate_upload(file: Any) -> None:
    """A validator for FileField and ImageField: raises ValidationError for a file that may not be kept."""
    file.seek(0)
    where = door()
    verdict = where.scan(pieces_of(file))
    file.seek(0)
    if not where.allows(verdict):
        raise ValidationError("This file was refused (%(name)s).", code=verdict.verdict, params={"name": verdict.name})
