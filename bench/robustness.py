"""`python -m bench robustness`: which edited copies are found, by which readings, and what strangers they meet.

Rules
- The list holds the PDQ (pHash, dHash) of the picture as it was; the copy is edited, saved as JPEG of quality 85, and
  fingerprinted as an upload is. Found: one of the copy's readings is within the set's default radius.
- Scenes are generated; photographs and frames come from the shared material where it lies beside the project.
- Strangers are pairs of different scenes. What was measured says nothing of one in 10**13: the tail is extrapolated
  from the mean and deviation, and from the slope of the least distances, and both are told.
"""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench import report
from bench.edits import EDITS
from hashsets import hashtypes
from samples.scenes import scene
from scanner.fingerprint import Options, Orientations
from scanner.isolation import InProcess

SHARED = Path(__file__).resolve().parents[2] / "shared" / "media" / "images"
LONGEST = 900  # pixels of a side
APART_BITS = 60  # photographs nearer than that show one thing: one of them is enough
ALL8 = tuple("2345678")
# By which signals a copy may be found: hash type, and the orientations that count.
WAYS: dict[str, tuple[str, tuple[str, ...]]] = {
    "pdq": ("pdq", ("stored",)),
    "pdq, trimmed": ("pdq", ("stored", "trimmed")),
    "pdq, uncropped": ("pdq", ("stored", "uncropped")),
    "pdq, all8": ("pdq", ("stored", *ALL8)),
    "pdq, all three": ("pdq", ("stored", "trimmed", "uncropped", *ALL8)),
    "phash": ("phash", ("stored",)),
    "dhash": ("dhash", ("stored",)),
}
# PDQ's readings, and the other types of the picture as stored: eight times turned they would cost minutes.
_OPTIONS = (
    Options(orientations=Orientations.ALL8, edits=("trimmed", "uncropped")),
    Options(orientations=Orientations.STORED, hash_types=("phash", "dhash")),
)
WANTED_PAIRS = 1e13  # a million entries against ten million pictures

Values = dict[str, NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class Strangers:
    """Distances of unrelated pictures under one way: pairs, those within the radius, and what the tail would give."""

    pairs: int
    within: int
    least: int
    by_normal: float
    by_slope: float


@dataclass(frozen=True, slots=True)
class Robustness:
    """Shares of copies found, by edit and way; strangers by way."""

    pictures: int
    photographs: int
    found: dict[str, dict[str, float]]
    strangers: dict[str, Strangers]


def run(scenes: int, unrelated: int, edits: Sequence[str] = tuple(EDITS)) -> Robustness:
    """Measure with so many scenes, photographs beside them, and so many scenes as strangers to each other."""
    shown = list(photographs())
    pictures = [*shown, *(scene(seed, (600, 450)) for seed in range(scenes))]
    listed = [_signals(picture) for picture in pictures]
    found = {}
    for edit in edits:
        rng = np.random.default_rng(len(edit))
        copies = [_signals(EDITS[edit](picture, rng)) for picture in pictures]
        found[edit] = {
            way: float(np.mean([_met(way, one, copy) for one, copy in zip(listed, copies, strict=True)]))
            for way in WAYS
        }
    others = [_signals(scene(10_000 + seed, (320, 240))) for seed in range(unrelated)]
    return Robustness(len(pictures), len(shown), found, {way: _strangers(way, others) for way in WAYS})


def photographs() -> Iterator[Image.Image]:
    """One photograph of each thing that the shared material shows."""
    seen: list[NDArray[np.uint8]] = []
    for path in sorted(SHARED.rglob("*")):
        try:
            with Image.open(path) as image:
                picture = image.convert("RGB")
        except OSError:
            continue
        picture.thumbnail((LONGEST, LONGEST))
        values = _signals(picture)
        if min(picture.size) >= 200 and "pdq stored" in values:
            value = values["pdq stored"]
            if all(_distances(value, other).min() >= APART_BITS for other in seen):
                seen.append(value)
                yield picture


def _signals(picture: Image.Image) -> Values:
    """Values by hash type and orientation, as of an upload; PDQ under the floor is none."""
    stream = io.BytesIO()
    picture.convert("RGB").save(stream, "JPEG", quality=85)
    fd = os.memfd_create("copy")
    try:
        os.write(fd, stream.getbuffer())
        signals = [signal for options in _OPTIONS for signal in InProcess(options).fingerprint(fd).signals]
    finally:
        os.close(fd)
    floor = hashtypes.get("pdq").default_quality_floor
    values: dict[str, list[bytes]] = {}
    for each in signals:
        if each.quality is None or each.quality >= floor:
            values.setdefault(f"{each.hash_type} {each.orientation}", []).append(each.value)
    return {name: np.array([list(value) for value in dict.fromkeys(each)], np.uint8) for name, each in values.items()}


def _asked(way: str, values: Values) -> NDArray[np.uint8]:
    hash_type, orientations = WAYS[way]
    rows = [values[f"{hash_type} {name}"] for name in orientations if f"{hash_type} {name}" in values]
    return np.concatenate(rows) if rows else np.empty((0, hashtypes.get(hash_type).size_bytes), np.uint8)


def _met(way: str, listed: Values, copy: Values) -> bool:
    hash_type = hashtypes.get(WAYS[way][0])
    one, others = listed.get(f"{hash_type.name} stored"), _asked(way, copy)
    return one is not None and len(others) > 0 and int(_distances(others, one).min()) <= hash_type.default_radius_bits


def _distances(asked: NDArray[np.uint8], listed: NDArray[np.uint8]) -> NDArray[np.int64]:
    differing = np.bitwise_count(asked[:, None] ^ listed[None])
    return np.asarray(differing.sum(axis=2, dtype=np.int64))


def _strangers(way: str, pictures: Sequence[Values]) -> Strangers:
    """Every picture asked against every other's stored value."""
    hash_type = hashtypes.get(WAYS[way][0])
    name = f"{hash_type.name} stored"
    listed = np.concatenate([each[name] for each in pictures if name in each])
    owners = np.flatnonzero([name in each for each in pictures])
    least, every = [], []
    for number, each in enumerate(pictures):
        asked = _asked(way, each)
        if len(asked):
            distances = _distances(asked, listed[owners != number])
            every.append(distances)
            least.append(distances.min(axis=0))
    nearest, radius = np.concatenate(least), hash_type.default_radius_bits
    readings = sum(len(each) for each in every) / max(len(every), 1)
    flat = np.concatenate([each.ravel() for each in every])
    score = (radius + 0.5 - flat.mean()) / flat.std()
    by_normal = readings * 0.5 * math.erfc(-score / math.sqrt(2))
    return Strangers(len(nearest), int((nearest <= radius).sum()), int(nearest.min()), by_normal,
                     _by_slope(nearest, radius))  # fmt: skip


def _by_slope(nearest: NDArray[np.int64], radius: int) -> float:
    """The share within the radius if the logarithm of the share went on falling as it does from 1 % to 0.01 %."""
    high, low = (float(np.quantile(nearest, share)) for share in (1e-2, 1e-4))
    if low <= radius or high <= low:
        return float((nearest <= radius).mean())
    return 10 ** (-4 - 2 * (low - radius) / (high - low))


def write(measured: Robustness, arguments: Sequence[str]) -> Path:
    """A run with the table, a chart of it, and the raw figures."""
    folder, facts = report.new_run(arguments)
    raw = {
        "facts": facts, "pictures": measured.pictures, "photographs": measured.photographs, "found": measured.found,
        "strangers": {way: {**vars_of(each)} for way, each in measured.strangers.items()},
    }  # fmt: skip
    (folder / "robustness.json").write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")
    (folder / "robustness.svg").write_text(chart(measured), encoding="utf-8")
    about = (
        f"{measured.pictures} pictures, {measured.photographs} of them photographs; found is PDQ within 31 bits at "
        "quality 50 or more, pHash and dHash within 8."
    )
    lines = [*report.headed(facts), "", about, "", "![found](robustness.svg)", "", *table(measured), ""]
    (folder / "README.md").write_text("\n".join(lines), encoding="utf-8")
    return folder


def vars_of(each: Strangers) -> dict[str, float]:
    """The fields of a dataclass with slots."""
    return {name: getattr(each, name) for name in each.__slots__}


def table(measured: Robustness) -> list[str]:
    """Percent found by edit and way, then strangers by way."""
    lines = ["| edit | " + " | ".join(WAYS) + " |", "|---" * (len(WAYS) + 1) + "|"]
    for edit, found in measured.found.items():
        lines.append(f"| {edit} | " + " | ".join(f"{100 * found[way]:.0f} %" for way in WAYS) + " |")
    lines += ["", "Strangers: pairs of different scenes, the least distance met, and the share within the radius as "
              "the tail would give it; the last column multiplies the greater of the two by 10^6 x 10^7.", "",
              "| way | pairs | within | least bits | by mean and deviation | by the tail's slope | of 10^13 |",
              "|---|---|---|---|---|---|---|"]  # fmt: skip
    for way, each in measured.strangers.items():
        worst = max(each.by_normal, each.by_slope) * WANTED_PAIRS
        lines.append(f"| {way} | {each.pairs:,} | {each.within} | {each.least} | {each.by_normal:.1e} "
                     f"| {each.by_slope:.1e} | {worst:.1e} |")  # fmt: skip
    return lines


def chart(measured: Robustness) -> str:
    """A field of squares: darker where more copies are found, the percentage in each."""
    left, top, wide, step = 170, 30, 100, 18
    height = top + step * len(measured.found) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + wide * len(WAYS) + 10}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        "<title>Share of edited copies found, by edit and by way</title>",
    ]
    for column, way in enumerate(WAYS):
        parts.append(f'<text x="{left + wide * column + wide / 2}" y="20" text-anchor="middle">{way}</text>')
    for row, (edit, found) in enumerate(measured.found.items()):
        y = top + step * row
        parts.append(f'<text x="{left - 8}" y="{y + 13}" text-anchor="end">{edit}</text>')
        for column, way in enumerate(WAYS):
            share = found[way]
            ink = "#fff" if share > 0.55 else "#222"
            x = left + wide * column
            parts.append(
                f'<rect x="{x}" y="{y}" width="{wide - 2}" height="{step - 2}" fill="#357" fill-opacity="{share:.2f}"'
                f' stroke="#ccd"/><text x="{x + wide / 2}" y="{y + 13}" text-anchor="middle" fill="{ink}">'
                f"{100 * share:.0f}</text>"
            )
    return "\n".join([*parts, "</svg>"]) + "\n"
