"""The same answers without worker processes: for tests and for looking into a decoder. Not for strangers' files."""

from __future__ import annotations

from dataclasses import replace

from hashsets.types import Signal
from scanner.fingerprint import (
    Limits,
    MediaFile,
    Options,
    fingerprint_file,
    go_on,
    gone_by,
    usable,
    wanted,
    with_recipes,
)
from scanner.opening import as_file
from scanner.types import Fingerprint, MediaKind, Resume, Source, Stop, Stopped, never


class Collected:
    """Collects what a fingerprint is made of, piece by piece."""

    def __init__(self) -> None:
        self.kind = MediaKind.OTHER
        self.members: dict[int, MediaKind] = {}
        self.signals: list[Signal] = []
        self.latest: Resume | None = None

    def media(self, kind: MediaKind, duration_ms: int | None) -> None:
        """Remember the kind; the last one told counts."""
        self.kind = kind

    def member(self, number: int, kind: MediaKind) -> None:
        """Remember a member's kind."""
        self.members[number] = kind

    def signal(self, signal: Signal) -> None:
        """Keep one signal."""
        self.signals.append(signal)

    def mark(self, resume: Resume) -> None:
        """Remember the position; the last one told counts."""
        self.latest = resume


class InProcess:
    """A Fingerprinter that decodes in this process, without a kill: budgets are checked between frames only."""

    def __init__(self, options: Options | None = None, limits: Limits | None = None) -> None:
        self._options = options or Options()
        self._limits = limits or Limits()

    def fingerprint(
        self, source: Source, resume: Resume | None = None, stop: Stop = never, within_s: float | None = None
    ) -> Fingerprint:
        """Decode a content, from `resume` on where that is of this rule; `stop` is asked once."""
        if stop():
            raise Stopped
        since = usable(resume, self._options, self._limits)
        collected = Collected()
        limits = replace(self._limits, within_s=within_s)
        with as_file(source) as fd:
            looked = fingerprint_file(MediaFile(fd), self._options, limits, collected, since)
        signals = with_recipes(collected.kind, collected.signals, self._options, collected.members)
        carried_on = go_on(since, collected.latest, looked, self._options, limits)
        made = gone_by(collected.kind, self._options, collected.members)
        return Fingerprint(collected.kind, looked, signals, since, carried_on, made)

    def wanted(self, media: MediaKind) -> frozenset[str]:
        """The recipes that a look at a content of this kind goes by."""
        return wanted(media, self._options)
