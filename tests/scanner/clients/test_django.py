"""Django's own test client against the upload handler, the middleware and the validator."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("django", reason="Django is not installed: `make test` installs it")

import django
from django.conf import settings

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=__name__,
        MIDDLEWARE=["scanner.clients.django.HashwardMiddleware"],
        FILE_UPLOAD_HANDLERS=[
            "scanner.clients.django.HashwardUploadHandler",
            "django.core.files.uploadhandler.MemoryFileUploadHandler",
            "django.core.files.uploadhandler.TemporaryFileUploadHandler",
        ],
    )
    django.setup()

from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpRequest, JsonResponse
from django.test import Client, override_settings
from django.urls import path

from scanner.clients.django import validate_upload
from tests.scanner.clients.serving import FakeServe

LISTED = b"a listed picture"
called: list[dict[str, int]] = []


def view(request: HttpRequest) -> JsonResponse:
    """Says the size of every file it was given."""
    called.append({name: file.size for name, file in request.FILES.items()})
    return JsonResponse(called[-1])


urlpatterns = [path("up", view)]


@pytest.fixture
def serve() -> Iterator[FakeServe]:
    """A running serve that lists one text, and Django pointed at it."""
    called.clear()
    made = FakeServe(LISTED)
    with made.listening() as address, override_settings(HASHWARD={"address": address}):
        yield made


def file(content: bytes) -> Any:
    """An upload under a name that must reach nobody."""
    return SimpleUploadedFile("canary-name.png", content, "image/png")


def test_clear_files_reach_the_view_whole(serve: FakeServe) -> None:
    """In memory and in a temporary file."""
    large = b"x" * 3_000_000
    answer = Client().post("/up", {"one": file(b"picture"), "two": file(large), "field": "text"})

    assert (200, {"one": 7, "two": 3_000_000}) == (answer.status_code, answer.json())
    assert [b"picture", large] == serve.intake.seen
    assert "canary-name" not in json.dumps(serve.heads)


def test_one_matching_file_refuses_the_request_before_the_view(serve: FakeServe) -> None:
    """Wherever in the form it stands."""
    answer = Client().post("/up", {"one": file(b"picture"), "two": file(LISTED), "three": file(b"more")})

    assert (422, []) == (answer.status_code, called)
    assert "Policy.Blocked.7F3K2Q" == answer.json()["name"]


def test_requests_without_files_pass(serve: FakeServe) -> None:
    """Forms, JSON and empty files are nothing to judge."""
    client = Client()
    statuses = [
        client.post("/up", {"field": "text"}).status_code,
        client.post("/up", {"a": 1}, content_type="application/json").status_code,
        client.get("/up").status_code,
        client.post("/up", {"empty": SimpleUploadedFile("e", b"")}).status_code,
    ]

    assert [200, 200, 200, 200] == statuses
    assert [] == serve.intake.seen


def test_a_door_that_is_down_refuses_unless_said_otherwise() -> None:
    """Closed by default."""
    with override_settings(HASHWARD={"address": "unix:/nowhere/at-all"}):
        closed = Client().post("/up", {"one": file(b"picture")}).status_code
    with override_settings(HASHWARD={"address": "unix:/nowhere/at-all", "allow_undecidable": True}):
        opened = Client().post("/up", {"one": file(b"picture")}).status_code

    assert (503, 200) == (closed, opened)


def test_the_validator_judges_and_leaves_the_file_at_its_beginning(serve: FakeServe) -> None:
    """As fields of models and forms call it."""
    clear, listed = file(b"picture"), file(LISTED)
    clear.read()
    validate_upload(clear)
    with pytest.raises(ValidationError) as caught:
        validate_upload(listed)

    assert (0, 0) == (clear.tell(), listed.tell())
    assert "matched" == caught.value.code
    assert ["This file was refused (Policy.Blocked.7F3K2Q)."] == caught.value.messages
