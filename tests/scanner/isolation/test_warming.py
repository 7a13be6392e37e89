"""An installation that cannot see is refused before it looks at a single file."""

from __future__ import annotations

import pytest

from scanner.errors import IsolationError
from scanner.fingerprint import Options, Orientations
from scanner.isolation import warming
from scanner.isolation.pool import WorkerPool
from scanner.isolation.warming import ANIMATIONS, STILLS, warm


def test_this_installation_sees_every_sample() -> None:
    """Every still format, each animation and the video are made here and come out as they went in."""
    assert () == warm(Options())
    assert () == warm(Options(exact=True, dense=True, orientations=Orientations.ALL8))
    assert {*STILLS, *ANIMATIONS, "video"} == {sample.name for sample in warming._samples()}


def test_a_codec_that_is_gone_is_noticed() -> None:
    """FFmpeg is asked for each codec by name: one it was built without is missed, one it has is not."""
    assert warming._has_decoder("h264")
    assert not warming._has_decoder("from_the_future")


def test_a_library_that_moved_ends_the_start() -> None:
    """Where WebP cannot be read as it should, no worker starts, and the message names what cannot be read."""
    with pytest.raises(IsolationError, match="samples of WEBP, animated WebP; reinstall"):
        WorkerPool(1, answer="tests.scanner.isolation.sabotage:answer")
