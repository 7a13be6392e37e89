"""One look at a container: each member sniffed, and looked at where it may be media, as a part of the content.

Rules
- Texts and programs are looked at for what is written into or hidden in them, as they would be by themselves.
- Depth one: a container within a container is counted as a reason, and its digests are compared, but stays closed.
- A member costs at most what a file of its own may; the container altogether what its size allows. The look stops
  between members, or within one that does not fit what is left, and goes on there another time.
- Digests of members are made where decoders run, so they are claims, and marked so by whoever takes them.
- The outcome is the first of the reasons of all members in the order of `GRAVITY`; none: everything was looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from scanner.decoding.budget import Budget, OverBudget
from scanner.decoding.containers.files import BLOCK_BYTES, MemberFile
from scanner.decoding.containers.limits import DEFAULT, MS_PER_BYTE, ContainerLimits
from scanner.decoding.containers.members import Closed, Drawn, Held
from scanner.decoding.encoded_text import encoded_files
from scanner.decoding.picture import ContentSink, Picture, Sink
from scanner.decoding.reading import MediaFile
from scanner.decoding.signatures import candidates, transport_streams
from scanner.decoding.sniffing import HEAD_BYTES, Form, Sniffed, sniff
from scanner.types import WHOLE, Looked, MediaKind, Reason, Resume, digests_only, partial

# What a content with several gaps is said to have; the position of each is its bit in `Resume.troubles`: append only.
GRAVITY = (
    Reason.ENCRYPTED,
    Reason.UNOPENED,
    Reason.NESTED,
    Reason.LIMIT,
    Reason.UNDECODABLE,
    Reason.TRUNCATED,
    Reason.EMBEDDED,
)
# Looks that ended in the same member before it is passed over: the last of them has had four times the budget.
FRUITLESS_LOOKS = 2
_KIB = 1024
_HIDDEN_BYTES = 1024 * 1024  # of what is not media, as in a file of its own (embedded.py)

LookAt = Callable[[MediaFile, Sniffed, Budget, Sink, Resume | None], Looked]
"""A look at a file as if it were no container: the file, what it was sniffed as, its budget, who takes it, a start."""


class ContainerLook:
    """The members of one container, and what they add up to."""

    def __init__(
        self,
        look_at: LookAt,
        budget: Budget,
        sink: ContentSink,
        start: Resume | None,
        kind: MediaKind = MediaKind.OTHER,
        limits: ContainerLimits = DEFAULT,
    ) -> None:
        self._look_at = look_at
        self._budget = budget
        self._sink = sink
        self._start = start or Resume(0, members=True)
        self._kind = kind
        self._duration_ms = 0
        self._limits = limits
        self._troubles = self._start.troubles
        self._gaps = self._start.gaps
        self._at_fault = False
        self._unpacked_bytes = self._start.ms * _KIB
        self._at = 0
        self.shown = 0

    def run(self, file: MediaFile, members: Iterator[Held]) -> Looked:
        """Look at every member from the start position on. OSError of the storage ends the look as IO."""
        self.takes(int(file.size_bytes * MS_PER_BYTE))
        self._budget.steps()
        try:
            self._run(members)
            if not file.io_failed:
                self._mark(self._at)
        except (OverBudget, MemoryError):
            return self._outcome(Reason.OVER_BUDGET)
        except OSError:
            return self._outcome(Reason.IO)
        if self._at_fault:
            return self._outcome(Reason.FAULT)
        return self._outcome(Reason.IO if file.io_failed else Reason.OVER_BUDGET if self._gaps else None)

    def takes(self, duration_ms: int) -> None:
        """Ask for the time that a film of this duration gets; of several the longest counts."""
        self._duration_ms = max(self._duration_ms, duration_ms)
        self._budget.moving(self._duration_ms)
        self._sink.media(self._kind, self._duration_ms)

    def note(self, reason: Reason) -> None:
        """Something could not be looked at whole."""
        self._troubles |= 1 << GRAVITY.index(reason)

    def _run(self, members: Iterator[Held]) -> None:
        for at, held in enumerate(members):
            self._at = at + 1
            self._budget.check()
            if at < self._start.at:
                continue
            if at > self._start.at:
                self._budget.stepped()
            self._mark(at)
            if at >= self._limits.members or self._unpacked_bytes > self._limits.total_bytes:
                self.note(Reason.LIMIT)
                return
            if at == self._start.at and self._start.fruitless >= FRUITLESS_LOOKS:
                self._gaps = True
                continue
            with self._budget.looking:
                self._take(held, at + 1)

    def _mark(self, at: int) -> None:
        self._sink.mark(
            Resume(
                at,
                self._unpacked_bytes // _KIB,
                self._budget.catch_up_ms(),
                gaps=self._gaps,
                members=True,
                troubles=self._troubles,
            )
        )

    def _outcome(self, reason: Reason | None) -> Looked:
        if reason is None:
            reason = next((each for bit, each in enumerate(GRAVITY) if self._troubles >> bit & 1), None)
        if reason is None:
            return WHOLE
        return partial(reason) if self.shown or self._start.at else digests_only(reason)

    # -- one member --------------------------------------------------------------------------------------------------

    def _take(self, held: Held, number: int) -> None:
        if isinstance(held, Closed):
            self.note(held.reason)
            return
        sink = _MemberSink(self, self._sink, number)
        if isinstance(held, Drawn):
            self._draw(held, sink)
            return
        member = held.open()
        try:
            self._look_into(member, sink, number)
        finally:
            self._unpacked_bytes += member.unpacked_bytes

    def _draw(self, drawn: Drawn, sink: _MemberSink) -> None:
        try:
            pixels, complete = drawn.pixels()
        except ValueError:
            self.note(Reason.UNDECODABLE)
            return
        except OverBudget:
            self._passed_over()
            return
        sink.media(MediaKind.IMAGE, None)
        sink.picture(Picture(pixels))
        if not complete:
            self.note(Reason.TRUNCATED)

    def _look_into(self, member: MemberFile, sink: _MemberSink, number: int) -> None:
        head = member.at(0, HEAD_BYTES)
        sniffed = sniff(head)
        if sniffed.form is Form.NOT_MEDIA:
            if member.cut is not Reason.LIMIT and self._tells_of_pictures(member, sniffed):
                self._show(member, sniffed, sink)
            if member.cut is not None:
                self.note(member.cut)
            return
        self._digest(member, number)
        if sniffed.form is Form.CONTAINER:
            self.note(Reason.NESTED)
        elif member.cut is not Reason.LIMIT:  # a bomb is not given to decoders
            self._show(member, sniffed, sink)

    def _tells_of_pictures(self, member: MemberFile, sniffed: Sniffed) -> bool:
        """Whether a look at a text or program is worth its time: most tell at a glance that they hold nothing."""
        if sniffed.name == "text" and next(encoded_files(member, self._budget.check), None) is not None:
            return True
        near = member.first(_HIDDEN_BYTES)
        return any(each is not None for each in candidates(near, 1)) or bool(transport_streams(near, 1))

    def _digest(self, member: MemberFile, number: int) -> None:
        """Read the member to its end, which tells its size too; the digests of one cut short are of nothing listed."""
        try:
            self._sink.digest(number, _blocks(member))
            self.shown += 1
        except _Cut as cut:
            self.note(cut.reason)

    def _show(self, member: MemberFile, sniffed: Sniffed, sink: _MemberSink) -> None:
        budget = _MemberBudget(self._budget)
        looked = self._look_at(member, sniffed, budget, sink, None)
        if looked.reason is Reason.OVER_BUDGET:
            self._passed_over()
        elif looked.reason is Reason.IO:
            raise OSError
        elif looked.reason is Reason.FAULT:
            self._at_fault = True
        elif looked.reason is not None:
            self.note(looked.reason)

    def _passed_over(self) -> None:
        """A member ran out of budget: of the container's, which ends the look, or of its own, which leaves a gap."""
        self._budget.check()
        self._gaps = True


class _Cut(Exception):
    """A member ended before its end."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


def _blocks(member: MemberFile) -> Iterator[bytes]:
    """All bytes of a member. Raises _Cut behind the last one where more should have come."""
    at = 0
    while block := member.at(at, BLOCK_BYTES):
        yield block
        at += len(block)
    if member.cut is not None:
        raise _Cut(member.cut)


class _MemberBudget(Budget):
    """What one member may cost, within what its container may."""

    def __init__(self, around: Budget) -> None:
        super().__init__(around.limits)
        self._around = around

    def check(self) -> None:
        """Raises OverBudget when the member's time is up, or the container's."""
        self._around.check()
        super().check()


class _MemberSink:
    """Takes what one member shows, under its number."""

    def __init__(self, look: ContainerLook, sink: ContentSink, number: int) -> None:
        self._look = look
        self._sink = sink
        self._number = number
        self._kind = MediaKind.IMAGE
        self._told: MediaKind | None = None

    def media(self, kind: MediaKind, duration_ms: int | None) -> None:
        """Remember the kind; what a film takes, its container may take."""
        self._kind = kind
        if kind in (MediaKind.VIDEO, MediaKind.ANIMATION) or duration_ms is not None:
            self._look.takes(duration_ms or 0)

    def picture(self, picture: Picture) -> None:
        """Pass the picture on."""
        if self._told is not self._kind:
            self._told = self._kind
            self._sink.member(self._number, self._kind)
        self._look.shown += 1
        self._sink.picture(replace(picture, member=self._number))

    def mark(self, resume: Resume) -> None:
        """Positions within members are not kept."""
