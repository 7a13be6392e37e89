"""Which edits each way of comparing survives, and what it costs in false matches, at the thresholds of the field.

Recall: every picture is listed as it is; its edited copies are fingerprinted from their files, as a scan does it.
False matches: pictures that have nothing to do with each other, every pair of them; from the lower tail of their
distances the share of pairs within the radius is extrapolated, as no population that fits on a machine would show one.

Source of the thresholds: Meta's PDQ paper (31 of 256 bits), DESIGN.md (8 of 64 for pHash and dHash).
"""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench import report
from bench.edits import EDITS, Edit
from hashsets import hashtypes
from hashsets.types import EDITS as EDITS_UNDONE
from hashsets.types import Signal
from samples.scenes import scene
from scanner.fingerprint import Options, Orientations
from scanner.isolation.in_process import InProcess

SIZE = (1024, 768)
SMALL = (512, 384)  # for the pairs that have nothing to do with each other: PDQ sees a grid of 64x64 of either
_PHOTOGRAPHS = Path(__file__).parents[2] / "shared" / "media" / "images"
_KEEPS_APART = ("labelme-subset/*.jpg", "bridge-mods/aaa-orig.jpg", "misc/*.png", "misc/*.jpg")
_LEAST_QUALITY = 50
_LEAST_TAIL = 5  # distances: three make any parabola


@dataclass(frozen=True, slots=True)
class Method:
    """A way of comparing: a hash type within its radius, and which of a query's readings are asked."""

    name: str
    hash_type: str
    asks: Callable[[str], bool]

    @property
    def radius(self) -> int:
        """In bits."""
        return hashtypes.get(self.hash_type).default_radius_bits

    def values(self, signals: Sequence[Signal]) -> NDArray[np.uint8]:
        """The readings it asks, (n, bytes)."""
        size = hashtypes.get(self.hash_type).size_bytes
        asked = [each.value for each in signals if each.hash_type == self.hash_type and self.asks(each.orientation)]
        return np.frombuffer(b"".join(asked), np.uint8).reshape(-1, size)


METHODS: tuple[Method, ...] = (
    Method("PDQ", "pdq", lambda reading: reading in ("stored", "exif")),
    Method("PDQ, all eight turnings", "pdq", lambda reading: reading in ("stored", "exif") or reading.isdigit()),
    Method("PDQ, trimmed", "pdq", lambda reading: reading in ("stored", "exif", "trimmed")),
    Method("PDQ, uncropped", "pdq", lambda reading: reading in ("stored", "exif", "uncropped")),
    Method("pHash", "phash", lambda reading: reading in ("stored", "exif")),
    Method("dHash", "dhash", lambda reading: reading in ("stored", "exif")),
)


@dataclass(slots=True)
class Survival:
    """How one edit fared under one method."""

    family: str
    name: str
    method: str
    pictures: int = 0
    found: int = 0
    distances: list[int] = field(default_factory=list)

    @property
    def recall(self) -> float:
        """Share of the edited copies that are found, 0 to 1."""
        return self.found / self.pictures if self.pictures else 0.0

    def as_json(self) -> dict[str, object]:
        """Plain values: distances as their median and 95th percentile."""
        median, high = np.percentile(self.distances, [50, 95]).tolist() if self.distances else (None, None)
        return asdict(self) | {"distances": None, "recall": self.recall, "median_bits": median, "p95_bits": high}


@dataclass(frozen=True, slots=True)
class FalseMatches:
    """Pairs that have nothing to do with each other, under one method."""

    method: str
    pairs: int
    within: int
    least_bits: int
    log10_share: float  # extrapolated share of pairs within the radius

    @property
    def per_ten_trillion(self) -> float:
        """Expected false pairs of a million contents with ten million entries."""
        return 10 ** (self.log10_share + 13)

    def as_json(self) -> dict[str, object]:
        """Plain values."""
        unknown = math.isnan(self.log10_share)
        share = {"log10_share": None, "per_1e6_x_1e7": None} if unknown else {"per_1e6_x_1e7": self.per_ten_trillion}
        return asdict(self) | share


class Eye:
    """Fingerprints files in memory, every reading that any method asks."""

    def __init__(self) -> None:
        options = Options(hash_types=("phash", "dhash"), orientations=Orientations.ALL8, edits=EDITS_UNDONE)
        self._look = InProcess(options)

    def __call__(self, content: bytes) -> tuple[Signal, ...]:
        """The signals of a file; those of too little quality say nothing and are left out, as in a scan."""
        fd = os.memfd_create("picture")
        try:
            with os.fdopen(os.dup(fd), "wb") as file:
                file.write(content)
            signals = self._look.fingerprint(fd).signals
        finally:
            os.close(fd)
        return tuple(each for each in signals if each.quality is None or each.quality >= _LEAST_QUALITY)


def png(picture: Image.Image) -> bytes:
    """The picture as a file that keeps every pixel."""
    out = io.BytesIO()
    picture.save(out, "PNG", compress_level=1)
    return out.getvalue()


def pictures(scenes: int) -> Iterator[Image.Image]:
    """Generated scenes, then the photographs that lie beside a checkout, where they do."""
    for seed in range(scenes):
        yield scene(seed, SIZE)
    for pattern in _KEEPS_APART:
        for path in sorted(_PHOTOGRAPHS.glob(pattern)):
            picture = Image.open(path).convert("RGB")
            if min(picture.size) >= 128:
                yield picture


def survivals(originals: Iterator[Image.Image], edits: Sequence[Edit] = EDITS) -> list[Survival]:
    """Recall of every edit under every method."""
    eye = Eye()
    rows = {
        (edit.family, edit.name, method.name): Survival(edit.family, edit.name, method.name)
        for edit in edits
        for method in METHODS
    }
    for picture in originals:
        listed = eye(png(picture))
        for edit in edits:
            seen = eye(edit.file(picture))
            for method in METHODS:
                _tally(rows[edit.family, edit.name, method.name], method, listed, seen)
    return list(rows.values())


def _tally(row: Survival, method: Method, listed: Sequence[Signal], seen: Sequence[Signal]) -> None:
    entry = [each for each in listed if each.hash_type == method.hash_type and each.orientation == "stored"]
    if not entry:  # too flat to be listed at all
        return
    row.pictures += 1
    asked = method.values(seen)
    if len(asked):
        nearest = int(distances(asked, np.frombuffer(entry[0].value, np.uint8)[None])[:, 0].min())
        row.distances.append(nearest)
        row.found += nearest <= method.radius


def distances(asked: NDArray[np.uint8], listed: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(n, bytes) against (m, bytes): bits of difference, (n, m)."""
    left, right = (np.ascontiguousarray(values).view(np.uint64) for values in (asked, listed))
    bits: NDArray[np.int64] = np.bitwise_count(left[:, None, :] ^ right[None, :, :]).sum(axis=2, dtype=np.int64)
    return bits


def false_matches(scenes: int) -> list[FalseMatches]:
    """Every pair of so many scenes, none of which has to do with another."""
    eye = Eye()
    seen = [eye(png(scene(1_000_000 + seed, SMALL))) for seed in range(scenes)]
    return [_of_pairs(method, seen) for method in METHODS]


def _of_pairs(method: Method, seen: Sequence[Sequence[Signal]]) -> FalseMatches:
    listed = [
        (number, each.value)
        for number, signals in enumerate(seen)
        for each in signals
        if each.hash_type == method.hash_type and each.orientation == "stored"
    ]
    owners = np.array([number for number, _ in listed])
    values = np.frombuffer(b"".join(value for _, value in listed), np.uint8).reshape(len(listed), -1)
    counts = np.zeros(8 * values.shape[1] + 1, np.int64)
    for number, signals in enumerate(seen):
        asked = method.values(signals)
        if len(asked):
            nearest = distances(asked, values).min(axis=0)
            counts += np.bincount(nearest[owners != number], minlength=len(counts))
    at_most = np.cumsum(counts)
    least = int(np.flatnonzero(counts)[0])
    return FalseMatches(
        method.name, int(at_most[-1]), int(at_most[method.radius]), least, log10_share(counts, method.radius)
    )


def log10_share(counts: NDArray[np.int64], radius: int) -> float:
    """Decimal logarithm of the share of pairs within `radius`: counted where that can be, else extrapolated.

    A parabola through the logarithms of the shares at or below each distance, over the lower tail (at least 10 pairs,
    at most a tenth of all): the tail of a bell curve is one. What it gives far outside the data is an estimate; nan
    where the tail is too short for one.
    """
    at_most = np.cumsum(counts)
    if at_most[radius] >= 10:
        return math.log10(at_most[radius] / at_most[-1])
    tail = np.flatnonzero((at_most >= 10) & (at_most <= at_most[-1] / 10))
    if len(tail) < _LEAST_TAIL:
        return math.nan
    logs = np.log10(at_most[tail] / at_most[-1])
    return float(np.polyval(np.polyfit(tail, logs, 2), radius))


# -- on paper ----------------------------------------------------------------------------------------------------------


def write(rows: Sequence[Survival], lies: Sequence[FalseMatches], arguments: Sequence[str]) -> Path:
    """A new run: figures.json, README.md and recall.svg."""
    folder, facts = report.new_run(arguments)
    figures = {"facts": facts, "survivals": [row.as_json() for row in rows], "false": [each.as_json() for each in lies]}
    (folder / "figures.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    text = [*report.headed(facts), "", "![recall](recall.svg)", "", *table(rows), "", *told(lies), ""]
    (folder / "README.md").write_text("\n".join(text), encoding="utf-8")
    (folder / "recall.svg").write_text(chart(rows), encoding="utf-8")
    return folder


def _by_edit(rows: Sequence[Survival]) -> dict[tuple[str, str], dict[str, Survival]]:
    edits: dict[tuple[str, str], dict[str, Survival]] = {}
    for row in rows:
        edits.setdefault((row.family, row.name), {})[row.method] = row
    return edits


def table(rows: Sequence[Survival]) -> list[str]:
    """Recall in percent, an edit a line; behind it the median distance in bits."""
    methods = list(dict.fromkeys(row.method for row in rows))
    lines = [f"| edit | {' | '.join(methods)} |", f"|---|{'---:|' * len(methods)}"]
    for (family, name), cells in _by_edit(rows).items():
        told = [f"{100 * cells[method].recall:.0f} % ({_median(cells[method].distances)})" for method in methods]
        lines.append(f"| {family} {name} | {' | '.join(told)} |")
    pictures_ = max((row.pictures for row in rows), default=0)
    return [f"Recall over {pictures_} pictures (median distance in bits):", "", *lines]


def _median(bits: Sequence[int]) -> str:
    return f"{np.median(bits):.0f}" if bits else "-"


def told(lies: Sequence[FalseMatches]) -> list[str]:
    """False matches, a method a line."""
    lines = ["| method | unrelated pairs | within the radius | nearest | expected in 10^6 x 10^7 pairs |"]
    lines.append("|---|---:|---:|---:|---:|")
    lines += [
        f"| {each.method} | {each.pairs:,} | {each.within} | {each.least_bits} bits | {each.per_ten_trillion:.2g} |"
        for each in lies
    ]
    return lines


_CELL, _LABEL, _HEAD = (120, 18), 230, 40


def chart(rows: Sequence[Survival]) -> str:
    """Recall as a heat map: an edit a line, a method a column, dark green for all and red for none."""
    methods = list(dict.fromkeys(row.method for row in rows))
    edits = _by_edit(rows)
    width, height = _LABEL + _CELL[0] * len(methods) + 10, _HEAD + _CELL[1] * len(edits) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif"'
        ' font-size="11" role="img" aria-label="recall by edit and method">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        *(
            f'<text x="{_LABEL + _CELL[0] * column + 4}" y="26" font-weight="bold">{_short(method)}</text>'
            for column, method in enumerate(methods)
        ),
    ]
    for line, ((family, name), cells) in enumerate(edits.items()):
        top = _HEAD + _CELL[1] * line
        parts.append(f'<text x="{_LABEL - 8}" y="{top + 13}" text-anchor="end">{family} {name}</text>')
        parts += [_cell(_LABEL + _CELL[0] * column, top, cells[method].recall) for column, method in enumerate(methods)]
    return "\n".join([*parts, "</svg>", ""])


def _short(method: str) -> str:
    return method.replace("all eight turnings", "turned").replace("PDQ, ", "PDQ + ")


def _cell(left: int, top: int, recall: float) -> str:
    hue = round(120 * recall)
    ink = "white" if recall > 0.9 or recall < 0.1 else "black"
    return (
        f'<rect x="{left}" y="{top}" width="{_CELL[0] - 2}" height="{_CELL[1] - 2}" fill="hsl({hue} 60% 42%)"/>'
        f'<text x="{left + _CELL[0] // 2}" y="{top + 13}" text-anchor="middle" fill="{ink}">{100 * recall:.0f} %</text>'
    )


@cache
def edits_named(text: str) -> tuple[Edit, ...]:
    """The edits whose family or name holds `text`."""
    return tuple(edit for edit in EDITS if text in f"{edit.family} {edit.name}")
