"""Which frames of a video or animation are worth a signal: those that differ from the last one kept."""

from __future__ import annotations


class FrameFilter:
    """Keeps a frame only when its value is more than `within_bits` from the last kept value of the same track.

    `within_bits` None keeps every frame (dense lists: frame numbers must be complete). 0 drops exact repeats only, so
    it never changes what can match. 20 to 28 keeps 67 to 58 % of hand-held footage with every pair still found.
    """

    def __init__(self, within_bits: int | None, last: bytes = b"") -> None:
        """`last` is the value that an earlier look kept last (empty: none)."""
        self._within_bits = within_bits
        self._last: dict[str | None, int] = {None: int.from_bytes(last, "big")} if last else {}

    def last(self, size_bytes: int) -> bytes:
        """The last kept value of the first track; empty where there is none."""
        last = self._last.get(None)
        return b"" if last is None else last.to_bytes(size_bytes, "big")

    def keep(self, value: bytes, track: str | None = None) -> bool:
        """Whether the frame with this value is kept; remembers it when it is."""
        if self._within_bits is None:
            return True
        number = int.from_bytes(value, "big")
        last = self._last.get(track)
        if last is not None and (number ^ last).bit_count() <= self._within_bits:
            return False
        self._last[track] = number
        return True
