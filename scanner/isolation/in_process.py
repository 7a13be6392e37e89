"""The same answers without worker processes: for tests and for looking into a decoder. Not for strangers' files."""

from __future__ import annotations

from hashsets.types import Signal
from scanner.fingerprint import Limits, MediaFile, Options, fingerprint_file, with_recipes
from scanner.types import Fingerprint, MediaKind


class Collected:
    """Collects what a fingerprint is made of, piece by piece."""

    def __init__(self) -> None:
        self.kind = MediaKind.OTHER
        self.signals: list[Signal] = []

    def media(self, kind: MediaKind, duration_ms: int | None) -> None:
        """Remember the kind; the last one told counts."""
        self.kind = kind

    def signal(self, signal: Signal) -> None:
        """Keep one signal."""
        self.signals.append(signal)


class InProcess:
    """A Fingerprinter that decodes in this process, without a kill: budgets are checked between frames only."""

    def __init__(self, options: Options | None = None, limits: Limits | None = None) -> None:
        self._options = options or Options()
        self._limits = limits or Limits()

    def fingerprint(self, fd: int) -> Fingerprint:
        """Decode the regular file open on `fd`."""
        collected = Collected()
        looked = fingerprint_file(MediaFile(fd), self._options, self._limits, collected)
        return Fingerprint(collected.kind, looked, with_recipes(collected.kind, collected.signals, self._options))
