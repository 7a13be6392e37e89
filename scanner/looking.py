"""What one look at a content computes and may cost, as configured.

Loads no decoder before it is asked: most commands look at nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from scanner.config import FingerprintConfig, LimitsConfig

if TYPE_CHECKING:
    from scanner.fingerprint import Limits, Options


def limits_of(config: LimitsConfig) -> Limits:
    """What one content may cost, as configured."""
    from scanner.fingerprint import Limits

    return Limits(image_s=config.image_seconds, video_s=config.video_seconds, memory_bytes=config.memory_mb * 2**20)


def options_of(
    config: FingerprintConfig,
    *,
    exact: bool = False,
    dense: bool = False,
    listed: Collection[str] = (),
    edits: Collection[str] = (),
) -> Options:
    """What is computed of a content, as configured; with what can be computed of `listed` types, and with `edits`."""
    from scanner.fingerprint import Options, Orientations
    from scanner.hashing import PERCEPTUAL_TYPES

    hash_types = (*config.hash_types, *sorted((PERCEPTUAL_TYPES & set(listed)) - set(config.hash_types)))
    return Options(
        exact=exact,
        dense=dense,
        hash_types=hash_types,
        orientations=Orientations(config.orientations),
        edits=tuple(sorted(edits)),
    )
