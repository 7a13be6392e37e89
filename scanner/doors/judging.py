"""How one complete body comes to its answer: recalled, found by a digest, or looked at, compared and committed.

    known? -> listed by a digest? -> looked at in a worker -> compared and committed -> answered

Rules
- An answer only after the commit. What was not received whole or looked at whole is undecidable, unless it matches.
- Content the ledger knows is answered from it, without a decode, and without a write where no new ref comes with it.
- `on_match = accept` compares nothing before it answers, and takes no way that depends on what is listed.
- What may not be acted on (a set in shadow, a version that waits, what is muted) blocks nothing.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np

from hashsets.errors import HashsetsError
from hashsets.types import Queries
from scanner.decoding import Form
from scanner.doors import cuts
from scanner.doors.answers import ACCEPTED, CLEAR, Answer, Undecided, matched, undecidable
from scanner.doors.bodies import Body
from scanner.doors.catching_up import CatchingUp
from scanner.doors.files import OpenFile
from scanner.doors.recording import Recorder
from scanner.doors.rules import DoorRules
from scanner.doors.spooling import Spool
from scanner.errors import ScannerError
from scanner.ledger.contents import Content
from scanner.ledger.ledger import Ledger, Pinned
from scanner.ledger.uploads import Recalled
from scanner.pipeline import Look, Pipeline, SetsInForce, may_act
from scanner.types import (
    Digests,
    Extent,
    Fingerprint,
    MediaKind,
    Outcome,
    Reason,
    Stopped,
    digests_only,
)

# Kept of a deadline for the comparison and the commit, which take milliseconds where nobody else writes.
_RESERVE_SHARE: Final = 0.1
_MOST_RESERVE_S: Final = 0.5
_LATE: Final = frozenset((Reason.TIMEOUT, Reason.OVER_BUDGET))
Tell = Callable[[Answer], None]


@dataclass(frozen=True, slots=True)
class Job:
    """One complete body on its way to an answer, which is due at `due_s` of time.monotonic."""

    rules: DoorRules
    ref: bytes | None
    content: Body | OpenFile
    cut: bool
    due_s: float

    @property
    def accepts(self) -> bool:
        """Whether the uploader does not wait for the comparison."""
        return self.rules.on_match == "accept"

    @property
    def digests(self) -> Digests | None:
        """None: of a file that is still to be read."""
        return self.content.digests if isinstance(self.content, Body) else None


class Judge:
    """See the module. `work` is for a lane, as it waits for others; `recall` waits for none."""

    def __init__(
        self,
        sets: SetsInForce,
        ledger: Ledger,
        pipeline: Pipeline,
        recorder: Recorder,
        spool: Spool,
        catching_up: CatchingUp,
        threads: Executor,
    ) -> None:
        self._sets = sets
        self._ledger = ledger
        self._pipeline = pipeline
        self._recorder = recorder
        self._spool = spool
        self._catching_up = catching_up
        self._threads = threads

    def recall(self, job: Job) -> tuple[Answer | None, bool]:
        """Make the digests of a body; the answer that takes neither look nor write, None where there is none.

        With it whether the ledger does not know it.
        """
        assert isinstance(job.content, Body)
        try:
            digests = job.content.complete()
            if not job.content.is_in_memory:
                return None, False
            known = self._ledger.known(digests.sha256)
            if known is None:
                return None, True
            pinned = self._sets.in_force()
            if pinned is None and not job.accepts:
                return None, False
            recalled = self._recalled(job, known, pinned)
            if recalled is None or not recalled.held or recalled.outcome.matches:
                return None, False
            return self._unmatched(job, recalled.outcome), False
        except (HashsetsError, ScannerError, OSError) as error:
            return _failed(error), False

    def work(self, job: Job, tell: Tell, ended: Callable[[], None], is_new: bool = False) -> None:
        """Judge one body, which is closed at the end: `tell` the answer as soon as there is one, then do the rest.

        `ended` is called when all is done, in whatever thread. `is_new`: the ledger did not know it just now.
        """
        handed_on = False
        try:
            seen = self._examine(job, tell, is_new)
            if seen is not None:
                self._hand_on(job, seen, tell, ended)
                handed_on = True
        except (HashsetsError, ScannerError, OSError) as error:
            tell(_failed(error))
        except Stopped:
            tell(undecidable(Reason.TIMEOUT))
        finally:
            if not handed_on:
                _end(job, ended)

    def hash(self, body: Body, within_s: float, told: Future[tuple[Digests, Fingerprint]]) -> None:
        """What is computed of a body, or why it cannot be; nothing is compared or recorded."""
        try:
            told.set_result((body.complete(), self._pipeline.see(body.source(), within_s)))
        except (HashsetsError, ScannerError, OSError) as error:
            told.set_exception(error)
        finally:
            told.cancel()  # a fault of ours: nobody waits for ever

    def sets_listing(self, hash_type: str, value: bytes) -> list[str]:
        """The names of the sets that may be acted on and list a value near this one. Raises StoreError."""
        pinned, snapshot = self._sets.pin()
        one = np.ones(1, np.uint8)
        row = np.frombuffer(value, np.uint8).reshape(1, -1)
        asked = Queries(hash_type, row, np.zeros(1, np.int64), 100 * one, 0 * one)
        found = {hit.set_uid for hit in snapshot.match([asked])}
        return sorted(known.name for known in pinned.sets if known.uid in found and may_act(known))

    def _recalled(self, job: Job, known: Content, pinned: Pinned | None) -> Recalled | None:
        assert job.digests is not None
        targets = None if job.accepts or pinned is None else pinned.targets()
        return self._ledger.uploads.recall(known, job.digests.sha256, job.ref, targets)

    def _examine(self, job: Job, tell: Tell, is_new: bool) -> Look | None:
        """What is to be recorded; None where all is told."""
        left_s = job.due_s - time.monotonic()
        if left_s <= 0:  # nobody waits any more, and nobody was told anything
            return None
        within_s = max(0.0, left_s - min(_MOST_RESERVE_S, job.rules.deadline_s * _RESERVE_SHARE))
        uncounted = False
        if job.digests is not None and not job.accepts:
            known = None if is_new else self._ledger.known(job.digests.sha256)
            recalled = None if known is None else self._recalled(job, known, self._sets.pin()[0])
            if recalled is not None and recalled.held:
                tell(self._answer(job, recalled.outcome))
                return None
            if recalled is None and self._pipeline.listed(job.digests):
                uncounted = self._exactly(job, job.digests, tell)
        content, size = job.content, job.content.size_bytes
        if not size and content.at(0, 1):  # of procfs and its kin, which tell no size: not looked at whole
            tell(undecidable(Reason.CHANGED))
            return None
        look = self._pipeline.look(
            content.source(), size, within_s=within_s, digests=job.digests, unchanged=content.unchanged
        )
        if not content.unchanged():
            self._pipeline.recorded([look])
            tell(undecidable(Reason.CHANGED))
            return None
        return replace(look, region=job.rules.region, counts=True if uncounted else None)

    def _hand_on(self, job: Job, look: Look, tell: Tell, ended: Callable[[], None]) -> None:
        """Have it recorded, and do the rest once it is, without waiting for that."""
        cut = None
        with contextlib.suppress(OSError):  # what was seen is recorded all the same, and nobody is told it is clear
            cut = self._is_cut(job)
        if not _may_be_kept(look):
            job.content.close()
        conclude = partial(self._conclude, job, look, cut, tell, ended)
        recorded = self._recorder.record(job.ref, look, compare=not job.accepts)
        recorded.add_done_callback(partial(self._recorded, conclude, may_be_kept=_may_be_kept(look)))

    def _recorded(
        self, conclude: Callable[[Future[Outcome | None]], None], done: Future[Outcome | None], *, may_be_kept: bool
    ) -> None:
        """For the recorder: whatever takes longer than to say so is for other threads."""
        outcome = None if done.exception() is not None else done.result()
        if outcome is not None and not outcome.matches and not may_be_kept:
            conclude(done)
            return
        try:
            self._threads.submit(conclude, done)
        except RuntimeError:  # they have ended
            conclude(done)

    def _conclude(
        self,
        job: Job,
        look: Look,
        cut: bool | None,
        tell: Tell,
        ended: Callable[[], None],
        done: Future[Outcome | None],
    ) -> None:
        try:
            outcome = done.result()
            if outcome is None:
                self._pipeline.recorded([look])
                tell(undecidable(Reason.CHANGED))
            else:
                self._keep_if_late(job, outcome)
                tell(self._answer(job, outcome, cut))
        except (HashsetsError, ScannerError, OSError) as error:
            tell(_failed(error))
        finally:
            _end(job, ended)

    def _exactly(self, job: Job, digests: Digests, tell: Tell) -> bool:
        """A digest is listed: that is committed and told before anything is decoded.

        Whether it is still to be counted: with what a look then finds.
        """
        unseen = Fingerprint(_kind(job.content), digests_only(Reason.TIMEOUT), ())
        known = self._ledger.known(digests.sha256) is not None
        region = job.rules.region
        first = Look(digests, None, region) if known else Look(digests, unseen, region, counts=False)
        outcome = self._record(job, first)
        if outcome is not None and self._acting(outcome):
            tell(self._answer(job, outcome))
        return not known

    def _record(self, job: Job, look: Look) -> Outcome | None:
        return self._recorder.record(job.ref, look, compare=not job.accepts).result()

    def _keep_if_late(self, job: Job, outcome: Outcome) -> None:
        """A film its deadline came before is kept until somebody has looked at the rest."""
        late = outcome.media is MediaKind.VIDEO and outcome.looked.reason in _LATE
        if late and isinstance(job.content, Body) and self._spool.keep(job.content, outcome.content_seq):
            self._catching_up.spooled()

    # -- what an outcome lets us say ---------------------------------------------------------------------------------

    def _answer(self, job: Job, outcome: Outcome, cut: bool | None = None) -> Answer:
        """What may be said of a committed outcome; `cut` None: that is looked into. Raises StoreError, OSError."""
        hits = () if job.accepts else self._acting(outcome)
        if not hits:
            return self._unmatched(job, outcome, cut)
        return matched(self._ledger.uploads.code(outcome.content_seq), exact=any(hits))

    def _acting(self, outcome: Outcome) -> tuple[bool, ...]:
        """Of each match that may be acted on, whether a digest supports it. Raises StoreError."""
        return self._ledger.uploads.acting(outcome.content_seq) if outcome.matches else ()

    def _unmatched(self, job: Job, outcome: Outcome, cut: bool | None = None) -> Answer:
        """Truth before comfort."""
        # Cut goes before what a look says of it: a listener may let pass what nobody can look at, but no part.
        if self._is_cut(job) if cut is None else cut:
            return undecidable(Undecided.CUT)
        if outcome.looked.extent is not Extent.WHOLE:
            return undecidable(outcome.looked.reason or Reason.FAULT)
        return ACCEPTED if job.accepts else CLEAR

    @staticmethod
    def _is_cut(job: Job) -> bool:
        rules = job.rules
        return (
            job.cut or job.content.size_bytes in rules.cut_lengths or cuts.is_cut(job.content, begins=rules.whole_files)
        )


def _failed(error: Exception) -> Answer:
    """The content could not be read; or not compared or recorded, and then no listener lets it pass."""
    return undecidable(Reason.IO if isinstance(error, OSError) else Undecided.NOT_READY)


def _end(job: Job, ended: Callable[[], None]) -> None:
    job.content.close()
    ended()


def _may_be_kept(look: Look) -> bool:
    """Whether the content may be wanted once it is recorded (see `Judge._keep_if_late`)."""
    seen = look.fingerprint
    return seen is None or seen.media is MediaKind.VIDEO


def _kind(content: cuts.Content) -> MediaKind:
    """What a content seems to be before it is looked at."""
    form = cuts.form_of(content)
    return {Form.STILL: MediaKind.IMAGE, Form.VIDEO: MediaKind.VIDEO}.get(form, MediaKind.OTHER)
