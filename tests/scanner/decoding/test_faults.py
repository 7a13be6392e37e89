"""A fault of ours is never taken for a content that cannot be decoded."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from scanner.decoding.faults import is_ours
from scanner.hashing.pdq import pdq
from scanner.isolation.in_process import InProcess
from scanner.isolation.warming import scene
from scanner.resuming import carried_on, decode
from scanner.types import Fingerprint, Reason, Resume, digests_only, partial


def png() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(scene()).save(stream, "PNG")
    return stream.getvalue()


def look(content: bytes) -> Fingerprint:
    """The fingerprint of these bytes, in this process."""
    fd = os.memfd_create("content")
    try:
        os.write(fd, content)
        return InProcess().fingerprint(fd)
    finally:
        os.close(fd)


def raised(action: Callable[[], object]) -> Exception:
    try:
        action()
    except Exception as error:
        return error
    pytest.fail("nothing was raised")


def _wants_more(self: object, more: int) -> None:
    """What Pillow's `load` would be after a change of its interface."""


def _misled(self: object) -> None:
    raise TypeError("what damaged bytes make a library say")


def test_a_moved_interface_is_a_fault_and_owed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a library no longer takes what we hand it, the content is owed, although another library showed it."""
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", _wants_more)
    seen = look(png())

    assert partial(Reason.FAULT) == seen.looked
    assert seen.looked.reason is not None
    assert seen.looked.reason.retryable
    assert seen.signals


def test_what_a_library_says_of_bad_bytes_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same exception from inside a library is about the content."""
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", _misled)

    assert partial(Reason.TRUNCATED) == look(png()).looked


def test_a_fault_in_a_member_is_one_of_its_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    """The archive is owed and looked at anew from its start; its other members are looked at all the same."""
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", _wants_more)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("1", png())
        picture = io.BytesIO()
        Image.fromarray(scene(1)).save(picture, "BMP")
        archive.writestr("2", picture.getvalue())
    seen = look(stream.getvalue())

    assert partial(Reason.FAULT) == seen.looked
    assert seen.resume is None
    assert pdq(scene(1))[0].value in {signal.value for signal in seen.signals}


def test_a_library_that_is_not_there_is_a_fault() -> None:
    """An import that fails, wherever it is made, is never the content's doing."""
    assert is_ours(raised(lambda: __import__("a_library_from_the_future")))


def test_hashing_is_never_the_contents_fault() -> None:
    """Hashing is given pixels: whatever it raises is ours."""
    assert is_ours(raised(lambda: pdq(np.zeros((64, 64, 7, 7), dtype=np.uint8))))


def test_our_own_refusals_are_about_the_content() -> None:
    """What we raise on purpose for bad bytes is no fault."""
    assert not is_ours(raised(lambda: decode(b"")))


def test_a_fault_is_begun_anew() -> None:
    """Nothing is gone on with behind a fault."""
    reached = Resume(7, 280)

    assert carried_on(None, reached, digests_only(Reason.FAULT)) is None
    assert carried_on(None, reached, digests_only(Reason.TIMEOUT)) is not None
