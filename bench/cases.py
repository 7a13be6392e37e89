"""Cases as definitions: what is listed, what is asked, what must come out, and why anybody should care."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.populations import Kind

DEFINITIONS = Path(__file__).parent / "definitions"


@dataclass(frozen=True, slots=True)
class Case:
    """One measurement: `questions` at once (1: singly, in blocks), `hits` the true pairs of the judged ones."""

    name: str
    why: str
    distribution: Kind
    bits: int
    radius: int
    rows: int
    questions: int
    peer: str
    seed: int
    goal: float
    hits: int
    small_rows: int
    small_hits: int

    def small(self) -> Case:
        """The form that runs as a test."""
        return replace(self, rows=self.small_rows, questions=min(self.questions, 200), hits=self.small_hits)


def load(path: Path = DEFINITIONS / "matching.toml") -> list[Case]:
    """The cases of a file; what a case leaves out stands in the file's `default`."""
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    default: Mapping[str, Any] = document.get("default", {})
    return [Case(**{**default, **case}) for case in document["case"]]
