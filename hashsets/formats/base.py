"""What a list format is: bytes in, entries out, everything it could not use counted by reason.

Owns the interface, the count and the limits every format shares. Does no I/O of its own and knows no store.

Rules
- A format reads forward, once, in bounded memory, and recognises its files by content, never by name.
- A record that is not understood is a counted reject with its line number; a list of too many of them is refused whole.
- Nothing of a refused list is in force: what was yielded before the refusal is only staged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import BinaryIO, Protocol

from hashsets.errors import ListError
from hashsets.types import Entry

# A list of digests in which one line in twenty is no digest is not what it claims to be: a wrong file, a wrong --type
# or a format half understood. Real lists have notes and an odd broken line, well under one in a hundred.
MAX_REJECTED_SHARE = 0.05

# What is read to recognise a format: a header line of generous length.
HEAD_BYTES = 64 * 1024


class Reject(StrEnum):
    """Why a record was not used."""

    NOT_A_VALUE = "not_a_value"
    UNKNOWN_TYPE = "unknown_type"
    DEGENERATE = "degenerate"
    TOO_MANY_WORDS = "too_many_words"
    WRONG_COLUMN_COUNT = "wrong_column_count"
    BAD_REF = "bad_ref"
    BAD_CLASSIFICATION = "bad_classification"
    BAD_SHAPE = "bad_shape"


@dataclass(slots=True)
class Reading:
    """The count of one reading of one list, filled while its entries are taken.

    `rejected` and `unmatchable` count by reason and by hash type; `first_line` says where a reason was met first.
    """

    valid: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    first_line: dict[str, int] = field(default_factory=dict)
    unmatchable: Counter[str] = field(default_factory=Counter)
    unknown_columns: int = 0

    def reject(self, reason: Reject, line: int) -> None:
        """Count a record that is not used."""
        self.rejected[reason.value] += 1
        self.first_line.setdefault(reason.value, line)

    def finish(self) -> None:
        """Refuse the list if what it held was not a list: nothing usable, or too many rejects. Raises ListError."""
        # Degenerate values are well-formed records: refused one by one, they say nothing against the rest.
        misread = self.rejected.total() - self.rejected[Reject.DEGENERATE.value]
        everything = self.valid + self.rejected.total() + self.unmatchable.total()
        if not self.valid:
            raise ListError(f"the list has no usable record{self._reasons()}: check that it is the right file and type")
        if misread > MAX_REJECTED_SHARE * everything:
            raise ListError(
                f"{misread} of {everything} records are not understood{self._reasons()}, more than "
                f"{MAX_REJECTED_SHARE:.0%}: check that it is the right file and type"
            )

    def _reasons(self) -> str:
        counted = [f"{n} {reason} from line {self.first_line[reason]}" for reason, n in self.rejected.most_common()]
        counted += [f"{n} {name} that cannot be compared" for name, n in self.unmatchable.most_common()]
        return f" ({', '.join(counted)})" if counted else ""


@dataclass(frozen=True, slots=True)
class Options:
    """What the operator said about a list. `type_name` is the type of values that name none."""

    type_name: str | None = None


class Format(Protocol):
    """One way of writing a list."""

    name: str
    fragments: bool
    """Whether entries under one key may come in several pieces, to be united."""

    def fits(self, head: bytes) -> bool:
        """Whether a file beginning so (up to HEAD_BYTES) is of this format."""
        ...

    def read(self, stream: BinaryIO, options: Options, reading: Reading) -> Iterator[Entry]:
        """The entries of a stream, at its beginning. Counts into `reading`; raises ListError for a broken list."""
        ...
