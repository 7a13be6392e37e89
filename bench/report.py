"""A run on paper: raw figures, a Markdown table and a chart, with the machine and the versions that made them."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from math import log10
from pathlib import Path
from typing import Protocol

RUNS = Path(__file__).parent / "runs"
_FIRST = ("name", "peer", "ratio", "goal")
_VERSIONS = (
    "numpy", "faiss-cpu", "threatexchange", "usearch", "pillow", "simplejpeg", "pdqhash", "perception", "imagehash",
    "av", "vpdq",
)  # fmt: skip


class Measured(Protocol):
    """What a report needs of a result."""

    @property
    def name(self) -> str:
        """Of the case."""
        ...

    @property
    def peer(self) -> str:
        """Whom or what it is measured against."""
        ...

    @property
    def ratio(self) -> float:
        """Theirs over ours."""
        ...

    @property
    def goal(self) -> float:
        """The ratio to be reached; 0 for none."""
        ...

    def as_json(self) -> dict[str, object]:
        """Plain values."""
        ...


def new_run(arguments: Sequence[str]) -> tuple[Path, dict[str, str]]:
    """A new folder under bench/runs/, and the facts that belong to every figure of it."""
    now = datetime.now(UTC)
    folder = RUNS / f"{now:%Y-%m-%d-%H%M%S}-{_processor().replace(' ', '-').lower()}"
    folder.mkdir(parents=True)
    return folder, {
        "command": " ".join(["python -m bench", *arguments]),
        "day": f"{now:%Y-%m-%d}",
        "processor": _processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        **{name: version for name in _VERSIONS if (version := _version(name))},
    }


def headed(facts: dict[str, str]) -> list[str]:
    """The head of a run's page: the day, the machine, and the facts."""
    return [f"# {facts['day']}, {facts['processor']}", "", *(f"- {key}: {value}" for key, value in facts.items())]


def write(results: Sequence[Measured], arguments: Sequence[str]) -> Path:
    """A new folder under bench/runs/ with figures.json, README.md and ratios.svg."""
    folder, facts = new_run(arguments)
    figures = {"facts": facts, "results": [result.as_json() for result in results]}
    (folder / "figures.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    text = "\n".join([*headed(facts), "", "![ratios](ratios.svg)", "", *_told(results), ""])
    (folder / "README.md").write_text(text, encoding="utf-8")
    (folder / "ratios.svg").write_text(chart(results), encoding="utf-8")
    return folder


def _told(results: Sequence[Measured]) -> list[str]:
    """Results with the same columns as a table, the others as a line each."""
    cases = [result for result in results if "recall" in result.as_json()]
    lines = [table(cases), ""] if cases else []
    for result in results:
        if result in cases:
            continue
        more = {key: value for key, value in result.as_json().items() if key not in _FIRST}
        goal = f" (goal {result.goal:g}x)" if result.goal else ""
        facts = ", ".join(f"{key} {_cell(value)}" for key, value in more.items())
        lines.append(f"- {result.name}: {result.ratio:.4g}x of {result.peer}{goal}: {facts}")
    return lines


def table(results: Sequence[Measured]) -> str:
    """The results as a Markdown table; ratios are CPU time, peer over ours."""
    rows = [result.as_json() for result in results]
    every = dict.fromkeys(column for row in rows for column in row)
    held = [*_FIRST, *(column for column in every if column not in _FIRST)]
    lines = ["| " + " | ".join(held) + " |", "|" + "---|" * len(held)]
    lines += ["| " + " | ".join(_cell(row.get(column, "")) for column in held) + " |" for row in rows]
    return "\n".join(lines)


def chart(results: Sequence[Measured]) -> str:
    """Ratios as bars on a scale of tens, goals as marks: readable without colour."""
    left, width, step = 230, 470, 22
    most = max([result.ratio for result in results] + [result.goal for result in results] + [10.0])
    decades = 1
    while 10**decades < most:
        decades += 1
    height = step * len(results) + 40

    def at(ratio: float) -> float:
        return left + width * max(log10(max(ratio, 1.0)), 0.0) / decades

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 60}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        "<title>CPU time of the peer over ours; the mark is the goal</title>",
    ]
    for decade in range(decades + 1):
        x = at(10.0**decade)
        parts.append(f'<line x1="{x:.1f}" y1="8" x2="{x:.1f}" y2="{height - 24}" stroke="#ccc"/>')
        parts.append(f'<text x="{x:.1f}" y="{height - 8}" text-anchor="middle">{10**decade}x</text>')
    for row, result in enumerate(results):
        y = 12 + row * step
        end = at(result.ratio)
        parts.append(f'<text x="{left - 6}" y="{y + 12}" text-anchor="end">{result.name}</text>')
        parts.append(f'<rect x="{left}" y="{y}" width="{max(end - left, 1):.1f}" height="15" fill="#557"/>')
        parts.append(f'<text x="{end + 4:.1f}" y="{y + 12}">{result.ratio:.0f}x</text>')
        if result.goal > 0:
            goal = at(result.goal)
            parts.append(f'<path d="M{goal:.1f} {y - 2}v19" stroke="#c60" stroke-width="3"/>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
