"""What a door is told about an upload, in the words of which every protocol has a translation.

Rules
- Clear only where all of the content was received, looked at whole and compared; anything less is undecidable, with a
  reason of a closed list.
- What may be shown to people is opaque: no list name, category or hash, and none of the words OK, FOUND and ERROR, by
  which clients of clamd tell replies.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from scanner.types import Reason

BLOCKED_PREFIX: Final = "Policy.Blocked."
UNDECIDABLE_NAME: Final = "Policy.Undecidable"


class Verdict(StrEnum):
    """What is known of an upload. ACCEPTED: its signals are committed and it is yet to be compared."""

    CLEAR = "clear"
    MATCHED = "matched"
    UNDECIDABLE = "undecidable"
    ACCEPTED = "accepted"


class Undecided(StrEnum):
    """Why an upload cannot be judged, beside the reasons of a look (`scanner.types.Reason`).

    `cut`: not all of it came, as far as can be told. `empty`: nothing came. `busy` and `not_ready`: come again later,
    as there is no room, or nothing can be compared or recorded just now.
    """

    CUT = "cut"
    EMPTY = "empty"
    OVER_LIMIT = "over_limit"
    BUSY = "busy"
    NOT_READY = "not_ready"


UNDECIDABLE_REASONS: Final = frozenset(map(str, (*Undecided, *Reason)))
# Asking again later may give another answer.
PASSING_REASONS: Final = frozenset(
    map(str, (Undecided.BUSY, Undecided.NOT_READY, *(reason for reason in Reason if reason.retryable)))
)


# Not all that was sent was seen, or nothing could be compared or recorded: never a pass, whatever a listener's rule.
NEVER_PASSES: Final = frozenset(map(str, (Undecided.CUT, Undecided.OVER_LIMIT, Undecided.NOT_READY)))


class OverLimit(Exception):
    """More bytes came than the listener takes. The answer is undecidable (over_limit)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The verdict, with what belongs to it.

    `reason` is set for UNDECIDABLE alone. `exact` says that a MATCHED content is listed by a digest. `name` is what
    people may be shown of MATCHED and UNDECIDABLE: letters, digits, `.`, `_` and `-`.
    """

    verdict: Verdict
    reason: str | None = None
    exact: bool = False
    name: str = ""

    def __post_init__(self) -> None:
        assert (self.reason is not None) == (self.verdict is Verdict.UNDECIDABLE)
        assert self.reason is None or self.reason in UNDECIDABLE_REASONS
        assert bool(self.name) == (self.verdict in (Verdict.MATCHED, Verdict.UNDECIDABLE))


CLEAR: Final = Answer(Verdict.CLEAR)
ACCEPTED: Final = Answer(Verdict.ACCEPTED)


def undecidable(reason: str) -> Answer:
    """An answer that none can be given."""
    return Answer(Verdict.UNDECIDABLE, reason=str(reason), name=UNDECIDABLE_NAME)


def matched(code: str, *, exact: bool) -> Answer:
    """An answer that the content is listed; `code` is what the operator finds it by."""
    return Answer(Verdict.MATCHED, exact=exact, name=BLOCKED_PREFIX + code)
