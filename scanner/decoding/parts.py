"""A content's own picture, then whatever else lies in it, as one look with one position, one kind and one outcome.

Rules
- A part's pictures carry part numbers from `NUMBERS_PER_PART` times its ordinal on; positions in it count from
  `AT_PER_PART` times its ordinal on. Both are the same at every look, because the order of the parts is.
- The content keeps the kind of its own picture; where it has none, it is what its first part that shows something is.
- A part that nothing reads leaves the content short of whole (embedded), unless the content is not media at all: then
  its signature was chance, but where the content announces it. An archive that a letter carries is `nested`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from scanner.decoding.budget import Budget, OverBudget
from scanner.decoding.embedded import Enclosed
from scanner.decoding.picture import Picture, Sink
from scanner.decoding.reading import MediaFile
from scanner.decoding.sniffing import Form, Sniffed
from scanner.types import WHOLE, Looked, MediaKind, Reason, Resume, digests_only, partial

NUMBERS_PER_PART = 1000
AT_PER_PART = 2**30

LookAt = Callable[[MediaFile, Sniffed, Sink, Resume | None], Looked]
"""A look at one file that is one picture or film: the file, what it was sniffed as, who takes it, where it begins."""


class Parts:
    """One look at a content and all its parts."""

    def __init__(self, look_at: LookAt, budget: Budget, sink: Sink, start: Resume | None) -> None:
        self._look_at = look_at
        self._budget = budget
        self._sink = sink
        self._start = start
        self._began = 0 if start is None else start.at // AT_PER_PART
        self._kind = MediaKind.OTHER
        self._duration_ms: int | None = None
        self._shown = 0
        self._looked = partial(Reason.TRUNCATED) if start is not None and self._began and start.damaged else WHOLE

    def run(self, file: MediaFile, sniffed: Sniffed, enclosed: Callable[[], tuple[list[Enclosed], bool]]) -> Looked:
        """Look at `file` itself, then at what `enclosed` finds in it."""
        if not self._began:
            self._looked = self._look_at(file, sniffed, _PartSink(self, 0), self._start)
            if self._looked.reason is not None and self._looked.reason.retryable:
                return self._looked
            if sniffed.form is Form.UNKNOWN and self._shown and self._looked == WHOLE:
                return self._looked
        try:
            parts, complete = enclosed()
        except (OSError, OverBudget, MemoryError) as error:
            self._looked = partial(Reason.IO if isinstance(error, OSError) else Reason.OVER_BUDGET)
            return self._sum()
        for number in range(1, len(parts) + 1):
            part = parts.pop(0)  # what it may hold in memory goes with it
            if number < self._began:
                continue
            looked = self._part(part, number)
            if looked.reason is not None and looked.reason.retryable:
                return partial(looked.reason) if self._shown or self._began else digests_only(looked.reason)
        if not complete:
            self._fall_short(Reason.EMBEDDED)
        return self._sum()

    def _part(self, part: Enclosed, number: int) -> Looked:
        if part.sniffed.form is Form.CONTAINER:
            self._fall_short(Reason.NESTED)
            return WHOLE
        sink = _PartSink(self, number, part.aside)
        start = None
        if number == self._began:
            assert self._start is not None
            at = self._start.at % AT_PER_PART
            start = replace(self._start, at=at, damaged=self._start.damaged and at > 0)
        else:
            self._budget.stepped()
            sink.mark(Resume(0, catch_up_ms=self._budget.catch_up_ms()))
        before = self._shown
        looked = self._look_at(part.file, part.sniffed, sink, start)
        if looked.reason is None or looked.reason.retryable:
            return looked
        if self._shown > before:
            self._fall_short(looked.reason)
        elif part.announced or (self._kind is not MediaKind.OTHER and part.surely):
            self._fall_short(Reason.EMBEDDED)
        return looked

    def _fall_short(self, reason: Reason) -> None:
        """Something could not be looked at whole: the first reason for that stays."""
        if self._looked.reason is None:
            self._looked = partial(reason)

    def _sum(self) -> Looked:
        """How far the look went, as what was shown bears it out."""
        reason = self._looked.reason
        if reason is None:
            return WHOLE
        return partial(reason) if self._shown or self._began else digests_only(reason)

    # -- what the sinks of the parts pass on ---------------------------------------------------------------------------

    def media(self, number: int, kind: MediaKind, duration_ms: int | None) -> None:
        """The content's kind; a part that moves only asks for the time that it takes."""
        moving = kind in (MediaKind.VIDEO, MediaKind.ANIMATION)
        if moving and (number or self._duration_ms is not None):
            duration_ms = max(duration_ms or 0, self._duration_ms or 0)
        if not number:
            self._kind = kind
        elif not moving:
            return
        self._duration_ms = duration_ms
        self._sink.media(self._kind, duration_ms)

    def picture(self, number: int, kind: MediaKind, picture: Picture, aside: bool) -> None:
        """A picture, under the number of its part."""
        self._shown += 1
        if number:
            if self._kind is MediaKind.OTHER:
                self._kind = kind
                self._sink.media(kind, self._duration_ms)
            part = str(number * NUMBERS_PER_PART + int(picture.part or 0))
            picture = replace(picture, part=part, aside=aside)
        self._sink.picture(picture)

    def mark(self, number: int, resume: Resume) -> None:
        """A position, counted from where its part's begin."""
        damaged = resume.damaged or self._looked.reason is not None
        self._sink.mark(replace(resume, at=number * AT_PER_PART + resume.at, damaged=damaged))


class _PartSink:
    """Takes what one part shows."""

    def __init__(self, parts: Parts, number: int, aside: bool = False) -> None:
        self._parts = parts
        self._aside = aside
        self._number = number
        self._kind = MediaKind.OTHER

    def media(self, kind: MediaKind, duration_ms: int | None) -> None:
        """Remember the kind, and pass it on."""
        self._kind = kind
        self._parts.media(self._number, kind, duration_ms)

    def picture(self, picture: Picture) -> None:
        """Pass the picture on."""
        self._parts.picture(self._number, self._kind, picture, self._aside)

    def mark(self, resume: Resume) -> None:
        """Pass the position on."""
        self._parts.mark(self._number, resume)
