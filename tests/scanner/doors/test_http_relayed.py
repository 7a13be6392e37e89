"""Bodies that middleware hands on: every file of a form is judged, and a form without one is nothing to judge."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.scanner.doors.faces import Face

LISTED = b"a listed picture"


@pytest.fixture
def face(tmp_path: Path) -> Iterator[Face]:
    """A door that lists one text."""
    made = Face(tmp_path / "home", LISTED, max_bytes=100_000)
    yield made
    made.ledger.close()


def form(*files: bytes, cut: int = 0, **fields: str) -> dict[str, Any]:
    """A form as a browser sends it."""
    parts = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{text}'.encode() for name, text in fields.items()]
    parts += [
        b'Content-Disposition: form-data; name="f"; filename="canary.png"\r\nContent-Type: image/png\r\n\r\n' + file
        for file in files
    ]
    body = b"".join(b"--B\r\n" + part + b"\r\n" for part in parts) + b"--B--\r\n"
    return {"content": body[: len(body) - cut], "headers": {"Content-Type": "multipart/form-data; boundary=B"}}


def verdict(face: Face, **how: Any) -> tuple[int, str]:
    """Status and verdict."""
    answer = face.client.post("/v1/requests", **how)
    return answer.status_code, answer.json().get("verdict")


def test_every_file_of_a_form_is_judged(face: Face) -> None:
    """Wherever the one that matches stands."""
    assert (200, "clear") == verdict(face, **form(b"one", b"two", title="text"))
    assert (200, "matched") == verdict(face, **form(b"one", LISTED, b"three"))
    assert sorted([b"one", b"two", b"one", LISTED, b"three"]) == sorted(face.intake.seen)


def test_a_form_without_files_is_clear_and_one_that_is_cut_is_not(face: Face) -> None:
    """Whether or not what came of it is."""
    assert (200, "clear") == verdict(face, **form(title="text", other="more"))
    assert (422, "undecidable") == verdict(face, **form(b"one", b"two", cut=8))


def test_single_bodies_and_their_codings(face: Face) -> None:
    """A file by itself, packed for the way or not, under its ref."""
    packed = {"Content-Type": "image/png", "Content-Encoding": "gzip", "Hashward-Ref": "r"}
    unknown = {"Content-Type": "image/png", "Content-Encoding": "something-new"}

    assert (200, "clear") == verdict(face, content=b"one", headers={"Content-Type": "image/png"})
    assert (200, "matched") == verdict(face, content=gzip.compress(LISTED), headers=packed)
    assert (422, "undecidable") == verdict(face, content=b"one", headers=unknown)
    assert {b"r": LISTED} == face.intake.refs


def test_longer_than_the_listener_takes(face: Face) -> None:
    """Undecidable, with its status."""
    assert (413, "undecidable") == verdict(face, content=b"x" * 100_001, headers={"Content-Type": "image/png"})
