"""What of an ICAP request is looked at: the body as its HTTP head says it is sent, codings undone, files apart.

Rules
- Files of a form are looked at each; short text fields are not: a password's digest is nothing to keep.
- Whatever makes it uncertain that the whole of what was sent is seen (an unknown coding, a form that parsers read
  differently, a range, a declared length that did not come) makes the answer undecidable, unless something matches.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from scanner.doors.answers import CLEAR, Answer, OverLimit, Undecided, Verdict, undecidable
from scanner.doors.cuts import is_media
from scanner.doors.icap_coding import NotInThisCoding, TooMuch, Unpacking, unpacking
from scanner.doors.icap_multipart import Event, PartBegins, PartData, PartEnds, Splitter, boundary_of
from scanner.doors.icap_wire import Fields
from scanner.doors.rules import MAX_REF_BYTES, DoorRules

if TYPE_CHECKING:
    from scanner.doors.intake import Intake, Upload

# Beyond this a text field is worth a look: pictures are sent as base64 in fields too.
TEXT_FIELD_BYTES: Final = 4096
MOST_FILES: Final = 200
_FILES_IN_HAND: Final = 4
_WHOLE_RANGE: Final = re.compile(r"bytes 0-(\d+)/(\d+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Plan:
    """How a body is sent, by its HTTP head. `is_part`: not all of something, or not in a way that can be read."""

    unpacking: Unpacking | None
    boundary: bytes | None
    declared_bytes: int | None
    ref: bytes | None
    is_text_form: bool
    is_part: bool


def plan_of(fields: Fields, ref: str, status: int | None = None) -> Plan:
    """What the HTTP head (`status`: of a response) says. `ref` is the client's own: that head may be a visitor's."""
    kinds = {kind.strip() for kind in fields.all("content-type")}
    forms = [kind for kind in kinds if kind.lower().startswith("multipart/")]
    boundary = boundary_of(forms[0]) if len(forms) == 1 else None
    doubtful = bool(forms) and (boundary is None or len(kinds) > 1)
    known = unpacking(fields.words("content-encoding"))
    transfer = [each for each in fields.words("transfer-encoding") if each not in ("chunked", "identity")]
    lengths = [int(each) for each in fields.all("content-length") if re.fullmatch(r"\d{1,18}", each, re.ASCII)]
    ranges = fields.all("content-range")
    part = (status == 206 or bool(ranges)) and not (len(ranges) == 1 and _is_whole(ranges[0]))
    named = ref.encode("latin-1")
    return Plan(
        unpacking=known,
        boundary=boundary,
        declared_bytes=max(lengths, default=None),
        ref=named if 0 < len(named) <= MAX_REF_BYTES else None,
        is_text_form=kinds == {"application/x-www-form-urlencoded"},
        is_part=doubtful or known is None or bool(transfer) or part,
    )


def _is_whole(content_range: str) -> bool:
    found = _WHOLE_RANGE.fullmatch(content_range.strip())
    return found is not None and int(found[1]) + 1 == int(found[2])


class BodyLook:
    """One body on its way to the intake. Ends with `finish` or `abort`."""

    def __init__(self, intake: Intake, rules: DoorRules, plan: Plan) -> None:
        self._intake = intake
        self._rules = rules
        self._plan = plan
        self._splitter = None if plan.boundary is None else Splitter(plan.boundary)
        self._upload: Upload | None = None
        self._held: bytearray | None = None  # a text field's bytes, while it is not worth a look
        self._part_is_plain = True
        self._files = 0
        self._raw_bytes = 0
        self._uncertain = plan.is_part
        self._judging: set[asyncio.Task[Answer]] = set()
        self._answers: list[Answer] = []

    async def write(self, raw: bytes) -> None:
        """Take the next bytes. Raises OverLimit."""
        self._raw_bytes += len(raw)
        if self._raw_bytes > self._rules.max_bytes:
            raise OverLimit
        if self._plan.unpacking is None or not raw:
            await self._take(raw)
            return
        try:
            for piece in self._plan.unpacking.feed(raw):
                await self._take(piece)
        except TooMuch:
            raise OverLimit from None
        except NotInThisCoding:
            self._uncertain = True

    async def finish(self, *, cut: bool = False) -> Answer:
        """The answer on all of it: the worst of its files'."""
        plan = self._plan
        unended = plan.unpacking is not None and self._raw_bytes > 0 and not plan.unpacking.finished
        short = plan.declared_bytes is not None and plan.declared_bytes > self._raw_bytes
        self._uncertain = self._uncertain or cut or unended or short
        if self._splitter is not None:
            self._uncertain = self._uncertain or self._splitter.doubtful or not self._splitter.ended
        await self._end_file()
        while self._judging:
            await self._wait()
        worst = _worst([each for each in self._answers if each.reason != Undecided.EMPTY])
        if self._uncertain and worst.verdict in (Verdict.CLEAR, Verdict.ACCEPTED):
            return undecidable(Undecided.CUT)
        return worst

    def abort(self) -> None:
        """Keep nothing of it."""
        for task in self._judging:
            task.cancel()
        if self._upload is not None:
            self._upload.abort()
            self._upload = None

    # -- one body, or one part of a form -----------------------------------------------------------------------------

    async def _take(self, data: bytes) -> None:
        if self._splitter is None:
            if self._upload is None and self._held is None:
                self._start(is_worth_a_look=not self._plan.is_text_form)
            await self._write(data)
            return
        for event in self._splitter.feed(data):
            await self._event(event)

    async def _event(self, event: Event) -> None:
        match event:
            case PartBegins(is_file=is_file, is_plain=is_plain):
                self._part_is_plain = is_plain
                self._start(is_worth_a_look=is_file)
            case PartData(data=data):
                await self._write(data)
            case PartEnds():
                await self._end_file()

    def _start(self, *, is_worth_a_look: bool) -> None:
        self._held = None if is_worth_a_look else bytearray()
        if is_worth_a_look:
            self._begin()

    async def _write(self, data: bytes) -> None:
        if self._held is not None:
            self._held += data
            if len(self._held) <= TEXT_FIELD_BYTES:
                return
            data, self._held = bytes(self._held), None
            self._begin()
        if self._upload is not None and data:
            await self._upload.write(data)

    def _begin(self) -> None:
        self._files += 1
        if self._files > MOST_FILES:
            self._uncertain = True
            return
        ref = self._plan.ref
        if ref is not None and self._files > 1:
            ref += b"#%d" % self._files
        self._upload = self._intake.begin(self._rules, ref if ref is None or len(ref) <= MAX_REF_BYTES else None)

    async def _end_file(self) -> None:
        await self._look_at_disguised()
        upload, self._upload, self._held = self._upload, None, None
        if upload is None:
            return
        cut = self._uncertain or not self._part_is_plain
        self._judging.add(asyncio.create_task(upload.finish(cut=cut)))
        while len(self._judging) >= _FILES_IN_HAND:
            await self._wait()

    async def _look_at_disguised(self) -> None:
        """A picture that was sent as a short text is worth a look."""
        held = b"" if self._held is None else bytes(self._held)
        if is_media(held):
            self._held = None
            self._begin()
            await self._write(held)

    async def _wait(self) -> None:
        done, self._judging = await asyncio.wait(self._judging, return_when=asyncio.FIRST_COMPLETED)
        self._answers += [task.result() for task in done]


def _worst(answers: list[Answer]) -> Answer:
    order = (Verdict.MATCHED, Verdict.UNDECIDABLE, Verdict.ACCEPTED, Verdict.CLEAR)
    return min(answers, key=lambda each: order.index(each.verdict), default=CLEAR)
