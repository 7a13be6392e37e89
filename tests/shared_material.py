"""Where the shared test material lies: ordinary media with known edits, published vectors, damaged files.

It stands beside the checkout and is never copied into it. Where it is absent, a test that needs it skips with the
reason.
"""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


def shared(*parts: str) -> Path:
    """The path of a shared file or folder; skips the test (or the whole module, when called at its top) without it."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"needs {'/'.join(('../shared', *parts))} beside the checkout", allow_module_level=True)
    return path


def media(*parts: str) -> Path:
    """Ordinary pictures and clips: `images/...`, `videos/...`."""
    return shared("media", *parts)


def vectors(*parts: str) -> Path:
    """Published hash values: `pdq.tsv`, `needles.txt`, `haystack.txt`, `vpdq/...`."""
    return shared("vectors", *parts)


def corpus(*parts: str) -> Path:
    """Damaged, hostile and odd media files. Input only."""
    return shared("corpus", *parts)
