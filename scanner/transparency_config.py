"""What [requests] and [transparency] of the configuration may say. Knows no file and no table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from scanner.errors import ConfigError

USUAL_K = 10  # practice of statistical offices lies between 3 and 10; no figure is law for these reports
_REGION = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _-]{0,31}")


def is_region(text: str) -> bool:
    """Whether a text may be the label of a region."""
    return _REGION.fullmatch(text) is not None


class Every(StrEnum):
    """How long the period of a report is."""

    QUARTER = "quarter"
    YEAR = "year"


@dataclass(frozen=True, slots=True)
class RequestsConfig:
    """How requests of authorities are checked.

    `home` are the countries whose process binds the operator directly, `bilateral` those whose orders may come directly
    by an executive agreement (CLOUD Act), as ISO 3166-1 codes. `civil` says whether civil matters are answered at all.
    """

    home: tuple[str, ...] = ()
    bilateral: tuple[str, ...] = ()
    civil: bool = False
    notice_days: int = 31


@dataclass(frozen=True, slots=True)
class TransparencyConfig:
    """What a transparency report says that no ledger knows, its period, and from what count on a count is shown."""

    every: Every = Every.QUARTER
    skip_empty: bool = False
    suppress_below: int = USUAL_K
    operator: str = ""
    services: tuple[str, ...] = ()
    ground: str = ""
    transfers: str = ""
    organisations: tuple[str, ...] = ()
    purposes: tuple[tuple[str, str], ...] = ()
    safeguards: tuple[str, ...] = ()
    contact: str = ""

    def purpose(self, set_name: str) -> str:
        """What a list is for, as the operator says."""
        return dict(self.purposes).get(set_name, "")


def checked_transparency(**values: Any) -> TransparencyConfig:
    """The table as a whole. Raises ConfigError."""
    made = []
    for text in values.pop("purposes", ()):
        name, sign, purpose = text.partition("=")
        if not sign or not name.strip() or not purpose.strip():
            raise ConfigError('transparency.purposes must be texts such as "name of the set=what it is for"')
        made.append((name.strip(), purpose.strip()))
    return TransparencyConfig(**values, purposes=tuple(made))
