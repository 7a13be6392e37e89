"""What a list format is: bytes in, entries out, everything it could not use counted by reason.

Owns the interface, the count and the limits every format shares. Does no I/O of its own and knows no store.

Rules
- A format reads forward, once, in bounded memory, and recognises its files by content, never by name.
- A record that is not understood is a counted reject with its line number; a list of too many of them is refused whole.
- Nothing of a refused list is in force: what was yielded before the refusal is only staged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import BinaryIO, Protocol

from hashsets.errors import ListError
from hashsets.types import Block, Entry

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
    NO_VALUE = "no_value"
    NOT_AN_OBJECT = "not_an_object"
    MARKED_MALICIOUS = "marked_malicious"


# Well-formed records, refused one by one: they say nothing against the rest of their list.
_WELL_FORMED = (Reject.DEGENERATE, Reject.MARKED_MALICIOUS)

# How many of its categories a list is told by name; a list of more writes something else there.
MAX_CATEGORIES = 100


@dataclass(frozen=True, slots=True)
class Removal:
    """A list's word that it no longer lists an entry; `key` is the entry's key."""

    key: bytes


@dataclass(slots=True)
class Reading:
    """The count of one reading of one list, filled while its entries are taken.

    `rejected` and `unmatchable` count by reason and by hash type; `first_line` says where a reason was met first.
    """

    valid: int = 0
    records: int = 0
    """Records of a database taken so far."""
    rejected: Counter[str] = field(default_factory=Counter)
    first_line: dict[str, int] = field(default_factory=dict)
    unmatchable: Counter[str] = field(default_factory=Counter)
    unknown_columns: int = 0
    filtered: Counter[str] = field(default_factory=Counter)
    """Records left out because the operator did not choose their category, by category."""

    def filter(self, category: str) -> None:
        """Count a record of a category that was not chosen."""
        known = category in self.filtered or len(self.filtered) < MAX_CATEGORIES
        self.filtered[category if known else "other"] += 1

    def add(self, other: Reading) -> None:
        """Count another list's reading into this one."""
        self.valid += other.valid
        self.rejected += other.rejected
        self.first_line = other.first_line | self.first_line
        self.unmatchable += other.unmatchable
        self.unknown_columns += other.unknown_columns
        self.filtered += other.filtered

    def reject(self, reason: Reject, line: int) -> None:
        """Count a record that is not used."""
        self.rejected[reason.value] += 1
        self.first_line.setdefault(reason.value, line)

    def finish(self) -> None:
        """Refuse the list if what it held was not a list: nothing usable, or too many rejects. Raises ListError."""
        if not self.valid:
            raise ListError(f"the list has no usable record{self._reasons()}: check that it is the right file and type")
        self.refuse_misread(0)

    def refuse_misread(self, most: int) -> None:
        """Refuse what has more than `most` records that are not understood, if they are too many of all too."""
        misread = self.rejected.total() - sum(self.rejected[reason.value] for reason in _WELL_FORMED)
        everything = self.valid + self.rejected.total() + self.unmatchable.total() + self.filtered.total()
        if misread > max(most, MAX_REJECTED_SHARE * everything):
            raise ListError(
                f"{misread} of {everything} records are not understood{self._reasons()}, more than "
                f"{MAX_REJECTED_SHARE:.0%}: check that it is the right file and type"
            )

    def _reasons(self) -> str:
        counted = [f"{n} {reason} from line {self.first_line[reason]}" for reason, n in self.rejected.most_common()]
        counted += [f"{n} {name} that cannot be compared" for name, n in self.unmatchable.most_common()]
        counted += [f"{self.filtered.total()} of categories not chosen"] if self.filtered else []
        return f" ({', '.join(counted)})" if counted else ""


DatabaseReader = Callable[[int], Iterator[bytes]]
"""Opens the SQLite file behind a descriptor where it can do no harm; gives the messages of `hashsets.listed_rows`."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the operator said about a list.

    `type_name` is the type of values that name none. `categories` names the categories that are taken, each with the
    code to be kept in its place; None where nothing was said. Without `databases` a list that is a database is refused.
    With `blocks` values that stand alone may come as blocks of many.
    """

    type_name: str | None = None
    categories: Mapping[str, str] | None = None
    databases: DatabaseReader | None = None
    blocks: bool = False


class Format(Protocol):
    """One way of writing a list."""

    name: str
    fragments: bool
    """Whether entries under one key may come in several pieces, to be united."""

    def fits(self, head: bytes) -> bool:
        """Whether a file beginning so (up to HEAD_BYTES) is of this format."""
        ...

    def read(self, stream: BinaryIO, options: Options, reading: Reading) -> Iterator[Entry | Removal | Block]:
        """What a stream, at its beginning, says. Counts into `reading`; raises ListError for a broken list."""
        ...
