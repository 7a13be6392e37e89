"""Readings that undo an edit PDQ does not survive: bars round a picture, and a margin cut off.

Rules
- Windows of the same operator over the pixels at hand: nothing is decoded again, and the values as stored stay.
- `trimmed`: the picture without what lies round it in one colour: letterbox and pillarbox bars, padding, caption bars.
- `uncropped`: the picture as if it still had the margin that was cut off, its edge pixels going on in place of what is
  lost. A cut of 3 % moves PDQ beyond 31 bits because all that is left moves on the grid; put back in its place, it is
  within them again. The windows stand for the cuts that people make: all round, one side, two opposite sides.
- Each further reading is one more chance to meet a stranger's value: what that costs is in bench/runs (robustness).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scanner.hashing.readings import Rows, Window

# Margins put back: top, bottom, left, right, in thousandths of what is left. Of those tried on photographs, frames and
# scenes these eight found most: 92 % of 5 % cuts all round, 94 % of 4 % cuts on one side, against none without them.
_MARGINS = (
    (25, 25, 25, 25),
    (45, 45, 45, 45),
    (40, 0, 0, 0),
    (0, 40, 0, 0),
    (0, 0, 40, 0),
    (0, 0, 0, 40),
    (25, 25, 0, 0),
    (0, 0, 25, 25),
)
_PROBED = 256  # pixels of a line that are looked at
_LEVELS = 14  # what JPEG leaves of a flat colour next to an edge
_SHARE = 0.6  # of a line in the bar's colour: the rest may be the letters of a caption
_CLEAN = 0.96  # of a line between letters or in a plain bar
_GAP = 0.06  # of the side: letters, which fill lines more than the share allows
_MOST = 0.45  # of the side that one bar may take
_LEAST = 0.01  # of a side that must go for a reading of its own
_LEAST_LEFT = 32  # pixels


def uncropped(size: tuple[int, int]) -> tuple[Window, ...]:
    """Windows of a picture of `size` (height, width) that put back a margin."""
    height, width = size
    windows = []
    for margins in _MARGINS:
        top, bottom = (height * each // 1000 for each in margins[:2])
        left, right = (width * each // 1000 for each in margins[2:])
        windows.append(Window(-top, -left, height + top + bottom, width + left + right))
    return tuple(windows)


def trimmed(pixels: Rows, size: tuple[int, int], scale: int = 1) -> tuple[Window, ...]:
    """Windows within the bars of a picture of `size` decoded at 1/`scale`; none where it has no bars.

    A picture may have had bars of its own before it got these: without the bars above and below, without those beside,
    without both, and without what is in another colour within them.
    """
    probes = _Probes(pixels)
    whole = _Inset(0, 0, 0, 0)
    found: list[_Inset] = []
    for one in (probes.rows(whole), probes.columns(whole)):
        both = probes.columns(one) if one.left + one.right == 0 else one
        found += [one, both, probes.columns(probes.rows(both))]
    windows = (each.window(pixels.shape, size, scale) for each in dict.fromkeys(found))
    return tuple(each for each in windows if each is not None)


@dataclass(frozen=True, slots=True)
class _Inset:
    """How much is left out on each side, in pixels as decoded."""

    top: int
    bottom: int
    left: int
    right: int

    def window(self, shape: tuple[int, ...], size: tuple[int, int], scale: int) -> Window | None:
        """The rest as a window of the picture of `size`; None where too little was left out, or is left."""
        height, width = shape[0] - self.top - self.bottom, shape[1] - self.left - self.right
        gone = max((self.top + self.bottom) / shape[0], (self.left + self.right) / shape[1])
        if gone < _LEAST or min(height, width) * scale < _LEAST_LEFT:
            return None
        top, left = self.top * scale, self.left * scale
        return Window(top, left, min(height * scale, size[0] - top), min(width * scale, size[1] - left))


class _Probes:
    """Every line with some of its pixels, and some lines with every pixel; green stands for RGB."""

    def __init__(self, pixels: Rows) -> None:
        self._across, self._down = max(1, pixels.shape[1] // _PROBED), max(1, pixels.shape[0] // _PROBED)
        lines, columns = [], []
        step = self._down * max(1, 64 // self._down)
        for first in range(0, pixels.shape[0], step):
            strip = pixels[first : min(first + step, pixels.shape[0])]
            grey = strip if strip.ndim == 2 else strip[:, :, 1]
            lines.append(grey[:, :: self._across])
            columns.append(grey[:: self._down])
        self._lines = np.concatenate(lines).astype(np.int16)
        self._columns = np.concatenate(columns).astype(np.int16).T

    def rows(self, within: _Inset) -> _Inset:
        """That inset with the bars above and below taken off too."""
        first, last = within.left // self._across, within.right // self._across
        lines = self._lines[within.top : len(self._lines) - within.bottom, first : self._lines.shape[1] - last]
        top, bottom = _bars(lines)
        return replace(within, top=within.top + top, bottom=within.bottom + bottom)

    def columns(self, within: _Inset) -> _Inset:
        """That inset with the bars on the left and the right taken off too."""
        first, last = within.top // self._down, within.bottom // self._down
        lines = self._columns[within.left : len(self._columns) - within.right, first : self._columns.shape[1] - last]
        left, right = _bars(lines)
        return replace(within, left=within.left + left, right=within.right + right)


def _bars(lines: NDArray[np.int16]) -> tuple[int, int]:
    """How many of the first and of the last lines are a bar."""
    if min(lines.shape) < 2:
        return 0, 0
    return _bar(lines), _bar(lines[::-1])


def _bar(lines: NDArray[np.int16]) -> int:
    """How many of the first lines are a bar."""
    colour = int(np.median(lines[0]))
    share = (np.abs(lines[: int(len(lines) * _MOST) + 1] - colour) <= _LEVELS).mean(axis=1)
    if share[0] < _CLEAN:
        return 0
    bar, gap = 0, max(1, int(len(lines) * _GAP))
    for at, each in enumerate(share):
        if at - bar > gap:
            break
        if each >= _CLEAN or (each >= _SHARE and at == bar):
            bar = at + 1
    return bar if bar <= len(lines) * _MOST else 0
