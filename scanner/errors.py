"""The errors of this package, each with the exit code the command gives it.

    ScannerError                 1
    +-- UsageError               2   the call itself cannot be carried out as asked
    |   +-- ConfigError          2   the configuration file or environment says something impossible
    |   +-- NoSuchRoot           2
    |   +-- RootOverlap          2
    +-- LedgerError              6   ledger.db cannot be used as it is
    +-- AuditError               6   the audit log cannot be written or is not what was written
    +-- IsolationError           8   workers cannot be started
    +-- DeliveryError            9   a sink did not take a batch; it stays owed
    +-- ReportError             10   a report would say something it must not, or cannot be read back

A message says what to do next. It holds no path, file name, hash value or user text.
"""

from __future__ import annotations

from enum import StrEnum


class ScannerError(Exception):
    """Anything this package raises on purpose."""

    exit_code = 1


class UsageError(ScannerError):
    """The call cannot be carried out as asked."""

    exit_code = 2


class ConfigError(UsageError):
    """The configuration file or environment says something impossible."""


class NoSuchRoot(UsageError):
    """No root of that name."""


class RootOverlap(UsageError):
    """A root would lie inside another."""


class LedgerError(ScannerError):
    """ledger.db cannot be used as it is."""

    exit_code = 6


class AuditError(ScannerError):
    """The audit log cannot be written, or is not what was written."""

    exit_code = 6


class IsolationError(ScannerError):
    """Worker processes cannot be started."""

    exit_code = 8


class Trouble(StrEnum):
    """Why a sink did not take a batch, in one word: what `status` and metrics say."""

    UNREACHABLE = "unreachable"
    BUSY = "busy"
    FAULTY = "faulty"
    CREDENTIALS = "credentials"
    REFUSED = "refused"
    DISK = "disk"
    CONFIGURATION = "configuration"


class DeliveryError(ScannerError):
    """A sink did not take a batch; it stays owed.

    `retryable` says whether trying again later may help without anyone mending anything; `retry_after_seconds` is what
    the receiver asked for, if it asked; `why` is the word for it.
    """

    exit_code = 9

    def __init__(
        self,
        message: str,
        *,
        retryable: bool = True,
        retry_after_seconds: float | None = None,
        why: Trouble = Trouble.UNREACHABLE,
    ) -> None:
        super().__init__(message)
        self.why = why
        self.retryable = retryable
        self.retry_after_seconds = retry_after_seconds


class ReportError(ScannerError):
    """A report would say something it must not, or cannot be read back as one."""

    exit_code = 10
