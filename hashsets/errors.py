"""The errors of this package, each with the exit code the command gives it.

    HashsetsError                1
    +-- UsageError               2   the call itself cannot be carried out as asked
    |   +-- NoSuchSet            2
    |   +-- SetExists            2
    +-- ListError                4   a list was refused: nothing of it was imported
    |   +-- ShrinkRefused        4   the update would withdraw too much at once
    +-- SourceError              5   a source did not answer, or answered what it must not
    |   +-- Unreachable          5   it was not reached, broke off, or asks to be left alone for now
    |   +-- CredentialsRefused   5   it does not take our credentials
    +-- StoreError               6   a database cannot be used as it is
    |   +-- DriverRefused        6   this SQLite could lose writes between processes
    +-- MatchingError            7   arrays of the wrong shape, type or size reached the matching core
        +-- SegmentRefused       7   a file of the matching core is torn, foreign or stale: build it again
        +-- TooManyHits          7   more hits than the caller has room for: ask less at once

A message says what to do next. It holds no path, file name, hash value or user text.
"""

from __future__ import annotations


class HashsetsError(Exception):
    """Anything this package raises on purpose."""

    exit_code = 1


class UsageError(HashsetsError):
    """The call cannot be carried out as asked."""

    exit_code = 2


class NoSuchSet(UsageError):
    """No hash set of that name."""


class SetExists(UsageError):
    """A hash set of that name is already there."""


class ListError(HashsetsError):
    """A list was refused; nothing of it was imported."""

    exit_code = 4


class ShrinkRefused(ListError):
    """An update would withdraw more of the set than its guard allows."""


class SourceError(HashsetsError):
    """A source did not answer, or answered what it must not."""

    exit_code = 5


class Unreachable(SourceError):
    """A source was not reached, broke off, or asks to be left alone for now: trying again later may help."""


class CredentialsRefused(SourceError):
    """A source does not take our credentials: somebody must mend them."""


class StoreError(HashsetsError):
    """A database cannot be used as it is."""

    exit_code = 6


class DriverRefused(StoreError):
    """The SQLite in use could lose committed writes when several processes share a home."""


class MatchingError(HashsetsError):
    """Arrays of the wrong shape, type or size reached the matching core."""

    exit_code = 7


class SegmentRefused(MatchingError):
    """A file of the matching core is torn, foreign or stale; it is built again, never believed."""


class TooManyHits(MatchingError):
    """A search would find more than its caller has room for; asked in parts it need not."""
