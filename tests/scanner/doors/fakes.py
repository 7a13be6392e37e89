"""An intake in memory for tests of doors: a body matches when it holds a listed text, and truth goes before comfort.

It answers as the real one does: cut, over the limit, empty, not ready; what it was told is kept for the test to read.
"""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime

from scanner.doors.answers import ACCEPTED, CLEAR, Answer, OverLimit, Undecided, matched, undecidable
from scanner.doors.outside import Outside
from scanner.doors.rules import MAX_REF_BYTES, DoorRules

FAKE_CODE = "7F3K2Q"


class FakeIntake:
    """Stands in for `scanner.doors.intake.Intake`.

    `listed` are texts that make a body match; `answers` overrides the answer to a whole body; `seen` holds every
    finished body, `refs` what is held under which ref, `aborted` counts bodies that were given up.
    """

    def __init__(self, *listed: bytes) -> None:
        self.listed = set(listed)
        self.answers: dict[bytes, Answer] = {}
        self.ready = True
        self.seen: list[bytes] = []
        self.refs: dict[bytes, bytes] = {}
        self.counted: list[tuple[str, str]] = []
        self.aborted = 0
        self.number = 7
        self.outside, self.names = Outside(), Outside()

    def begin(
        self, rules: DoorRules, ref: bytes | None = None, declared_bytes: int | None = None, begins_at: bool = True
    ) -> FakeUpload:
        """Start to receive a body; `begins_at` False: it is known not to begin at the content's first byte."""
        assert ref is None or 0 < len(ref) <= MAX_REF_BYTES
        return FakeUpload(self, rules, ref, declared_bytes, begins_at)

    async def scan_fd(self, rules: DoorRules, fd: int, ref: bytes | None) -> Answer:
        """Judge the regular file open on `fd`, which stays the caller's, offset and all."""
        size = os.fstat(fd).st_size
        if size > rules.max_bytes:
            return self.count(rules, undecidable(Undecided.OVER_LIMIT))
        return self.judge(rules, os.pread(fd, size, 0), ref, empty_is_clear=True)

    async def forget(self, ref: bytes) -> bool:
        """Hold what has this ref no longer."""
        return self.refs.pop(ref, None) is not None

    def catalogue(self) -> int:
        """The number that clients compare to know that lists changed."""
        return self.number

    def catalogue_day(self) -> datetime:
        """When that was."""
        return datetime(2026, 11, 22, tzinfo=UTC)

    def judge(
        self, rules: DoorRules, body: bytes, ref: bytes | None, *, cut: bool = False, empty_is_clear: bool = False
    ) -> Answer:
        """What the real one says of such a body."""
        if not self.ready:
            return self.count(rules, undecidable(Undecided.NOT_READY))
        self.seen.append(body)
        if ref is not None:
            self.refs[ref] = body
        answer = self.answers.get(body)
        if answer is None:
            found = any(text in body for text in self.listed)
            if rules.on_match == "accept":
                answer = undecidable(Undecided.CUT) if cut else ACCEPTED
            elif found:
                answer = matched(FAKE_CODE, exact=body in self.listed)
            elif not body and not empty_is_clear:
                answer = undecidable(Undecided.EMPTY)
            elif cut or len(body) in rules.cut_lengths:
                answer = undecidable(Undecided.CUT)
            else:
                answer = CLEAR
        return self.count(rules, answer)

    def unjudged(self, rules: DoorRules, reason: str) -> Answer:
        """The answer to what nobody could hand over."""
        return self.count(rules, undecidable(reason))

    def count(self, rules: DoorRules, answer: Answer) -> Answer:
        """Keep what was said by which listener."""
        self.counted.append((rules.name, answer.reason or answer.verdict.value))
        return answer


class FakeUpload:
    """One body being received."""

    def __init__(
        self, intake: FakeIntake, rules: DoorRules, ref: bytes | None, declared_bytes: int | None, begins_at: bool
    ) -> None:
        self._intake = intake
        self._rules = rules
        self._ref = ref
        self._declared_bytes = declared_bytes
        self._cut = not begins_at
        self._over = False
        self._body = bytearray()
        self.ended = False

    @property
    def received_bytes(self) -> int:
        """How much has come."""
        return len(self._body)

    @property
    def sha1(self) -> bytes:
        """The digest of what has come."""
        return hashlib.sha1(self._body, usedforsecurity=False).digest()

    @property
    def sha256(self) -> bytes:
        """The digest of what has come."""
        return hashlib.sha256(self._body).digest()

    async def write(self, data: bytes) -> None:
        """Take the next bytes. Raises OverLimit; `finish` then still judges what came before."""
        assert not self.ended
        if len(self._body) + len(data) > self._rules.max_bytes:
            self._over = True
            raise OverLimit
        self._body += data

    async def finish(self, *, cut: bool = False) -> Answer:
        """Judge the body; `cut`: the sender went away, or it is known not to be all of it."""
        assert not self.ended
        self.ended = True
        if self._over:
            return self._intake.count(self._rules, undecidable(Undecided.OVER_LIMIT))
        short = self._declared_bytes is not None and self._declared_bytes > len(self._body)
        return self._intake.judge(self._rules, bytes(self._body), self._ref, cut=cut or short or self._cut)

    def over_limit(self) -> None:
        """It is known to be more than the listener takes."""
        self._over = True

    def cut(self) -> None:
        """It is known not to be all."""
        self._cut = True

    def abort(self) -> None:
        """Keep nothing of it."""
        self.ended = True
        self._intake.aborted += 1
