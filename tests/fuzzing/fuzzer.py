"""A small coverage-guided fuzzer: inputs that reach lines nobody reached before are kept and changed further.

Python traces its own lines, so nothing is compiled and nothing is installed for it; it is slower than Atheris and as
deterministic as its seed.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

from tests.fuzzing.targets import Target

OURS = ("/hashsets/", "/scanner/")
MOST_BYTES = 16_384
_NUMBERS = (0, 1, 2, 127, 128, 255)


class Crash(Exception):
    """An input that a target did not expect; the cause is what it let out."""

    def __init__(self, target: str, given: bytes) -> None:
        super().__init__(f"{target}: {given!r}")
        self.target = target
        self.given = given


class Fuzzer:
    """Fuzzes one target from its seeds."""

    def __init__(self, target: Target, seed: int) -> None:
        self._target = target
        self._draw = random.Random(f"{target.name}{seed}")
        self._kept = list(target.seeds)
        self.lines: set[tuple[CodeType, int]] = set()
        self.runs = 0

    def run(self, *, seconds: float = 1e9, runs: int = 10**12) -> None:
        """Go on until the time or the number of runs is over. Raises Crash."""
        for given in self._target.seeds:
            self._try(given)
        end = time.monotonic() + seconds
        while self.runs < runs and time.monotonic() < end:
            given = self._changed(self._draw.choice(self._kept))
            if self._try(given):
                self._kept.append(given)

    def _try(self, given: bytes) -> bool:
        """Whether the input reached a line that none did before."""
        self.runs += 1
        before = len(self.lines)
        sys.settrace(self._tracer())
        try:
            self._target.run(given)
        except Exception as unexpected:
            raise Crash(self._target.name, given) from unexpected
        finally:
            sys.settrace(None)
        return len(self.lines) > before

    def _tracer(self) -> Callable[[FrameType, str, Any], Any]:
        lines = self.lines

        def line(frame: FrameType, event: str, _: Any) -> Any:
            if event == "line":
                lines.add((frame.f_code, frame.f_lineno))
            return line

        def call(frame: FrameType, event: str, _: Any) -> Any:
            return line if any(part in frame.f_code.co_filename for part in OURS) else None

        return call

    def _changed(self, given: bytes) -> bytes:
        changed = bytearray(given)
        for _ in range(self._draw.choice((1, 1, 2, 4, 16))):
            self._draw.choice(_CHANGES)(self, changed)
        return bytes(changed[:MOST_BYTES])

    def _at(self, changed: bytearray) -> int:
        return self._draw.randrange(len(changed) + 1)

    def _flip(self, changed: bytearray) -> None:
        if changed:
            changed[self._draw.randrange(len(changed))] ^= 1 << self._draw.randrange(8)

    def _number(self, changed: bytearray) -> None:
        at, width = self._at(changed), self._draw.choice((1, 1, 2, 4, 8))
        changed[at : at + width] = bytes([self._draw.choice(_NUMBERS)]) * width

    def _random(self, changed: bytearray) -> None:
        at = self._at(changed)
        changed[at : at + self._draw.randrange(8)] = self._draw.randbytes(self._draw.randrange(8))

    def _word(self, changed: bytearray) -> None:
        if self._target.words:
            at = self._at(changed)
            changed[at : at + self._draw.choice((0, 0, 4))] = self._draw.choice(self._target.words)

    def _cut(self, changed: bytearray) -> None:
        at = self._at(changed)
        del changed[at : at + self._draw.choice((1, 4, 64, 10_000))]

    def _repeat(self, changed: bytearray) -> None:
        at = self._at(changed)
        piece = changed[at : at + self._draw.randrange(1, 64)]
        changed[at:at] = piece * self._draw.choice((1, 1, 2, 100))

    def _splice(self, changed: bytearray) -> None:
        other = self._draw.choice(self._kept)
        at = self._draw.randrange(len(other) + 1)
        changed[self._at(changed) :] = other[at:]


_CHANGES = (
    Fuzzer._flip,
    Fuzzer._flip,
    Fuzzer._number,
    Fuzzer._random,
    Fuzzer._word,
    Fuzzer._word,
    Fuzzer._cut,
    Fuzzer._repeat,
    Fuzzer._splice,
)
