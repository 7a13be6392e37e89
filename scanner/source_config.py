"""What a [[source]] of the configuration may say together: which settings mean something for which kind.

Knows no file but the one that holds a secret, and no environment: `scanner.config` reads that.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hashsets.sources.ncmec import ENVIRONMENTS
from hashsets.types import Bounds, Role
from scanner.errors import ConfigError
from scanner.settings import SourceKind


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """Where one hash set comes from. Which fields are set depends on `kind`."""

    hash_set: str
    kind: SourceKind
    role: Role = Role.ALERT
    path: Path | None = None
    url: str | None = None
    environment: str | None = None
    members: tuple[str, ...] = ()
    group: str | None = None
    root_file: Path | None = None
    hash_type: str | None = None
    categories: tuple[str, ...] = ()
    complete: bool = True
    username: str | None = None
    secret_file: Path | None = None
    secret_env: str | None = None
    secret_credential: str | None = None
    ca_file: Path | None = None
    every_minutes: float = 60.0
    stale_days: float = 7.0
    max_mb: int = 4096
    allow_plain_http: bool = False
    hold_matches: int | None = None
    hold_share: float | None = None
    hold_growth: float | None = None
    refuse_shrink: float | None = None

    def bounds(self, before: Bounds) -> Bounds:
        """The bounds of the set: as said here, else as they are."""
        return Bounds(
            before.matches if self.hold_matches is None else self.hold_matches,
            before.share if self.hold_share is None else self.hold_share,
            before.growth if self.hold_growth is None else self.hold_growth,
            before.shrink if self.refuse_shrink is None else self.refuse_shrink,
        )


_LOOK_LIKE_SECRETS = {"password", "secret", "token", "key", "keys", "api_key", "access_token"}
_SECRETS = {"secret_file", "secret_env", "secret_credential"}
_WEB = {"url", "ca_file", "max_mb", "allow_plain_http"}
_LIST = {"hash_type", "categories", "complete"}
_BOUNDS = {"hold_matches", "hold_share", "hold_growth", "refuse_shrink"}
_ALWAYS = {"hash_set", "kind", "role", "every_minutes", "stale_days"} | _BOUNDS
# The most often that NCMEC's documentation names.
_NCMEC_MINUTES = 10.0
_MEANS: dict[SourceKind, set[str]] = {
    SourceKind.FILE: _LIST | {"path"},
    SourceKind.HTTP: _LIST | _WEB | _SECRETS | {"username"},
    SourceKind.NCMEC: _WEB | _SECRETS | {"environment", "members", "username"},
    SourceKind.STOPNCII: _WEB | _SECRETS,
    SourceKind.THREATEXCHANGE: _WEB | _SECRETS | {"group"},
    SourceKind.TCAP: _WEB | _SECRETS | {"username"},
    SourceKind.BUNDLE: _WEB | _SECRETS | {"username", "path", "root_file"},
}
_NEEDS: dict[SourceKind, set[str]] = {
    SourceKind.FILE: {"path"},
    SourceKind.HTTP: {"url"},
    SourceKind.NCMEC: {"environment", "username"},
    SourceKind.STOPNCII: set(),
    SourceKind.THREATEXCHANGE: {"group"},
    SourceKind.TCAP: {"username"},
    SourceKind.BUNDLE: {"root_file"},
}
_NEED_SECRET = frozenset({SourceKind.NCMEC, SourceKind.STOPNCII, SourceKind.THREATEXCHANGE, SourceKind.TCAP})


def refuse_look_ups(tables: list[Any]) -> None:
    """Refuse what somebody may take for a source and is none, and secrets as settings. Raises ConfigError."""
    if any(isinstance(table, dict) and _LOOK_LIKE_SECRETS & table.keys() for table in tables):
        raise ConfigError(
            "a secret never stands in the configuration: put it in a file that only you can read, and name that as"
            " source.secret_file"
        )
    if any(isinstance(table, dict) and str(table.get("kind")).startswith("arachnid") for table in tables):
        raise ConfigError(
            "Arachnid Shield answers questions about single hashes and gives no list, so it cannot be a source; what"
            " is asked there would leave this machine"
        )


def checked_source(values: dict[str, Any]) -> SourceConfig:
    """The source that a table's values say. Raises ConfigError."""
    for required in ("hash_set", "kind"):
        if required not in values:
            raise ConfigError(f"source.{required} is missing from a [[source]]")
    kind: SourceKind = values["kind"]
    foreign = values.keys() - _ALWAYS - _MEANS[kind]
    if foreign:
        raise ConfigError(f"source.{min(foreign)} means nothing for a source of kind {kind.value}")
    missing = _NEEDS[kind] - values.keys()
    if missing:
        raise ConfigError(f"source.{min(missing)} is missing from a source of kind {kind.value}")
    secrets = len(_SECRETS & values.keys())
    if secrets > 1 or (secrets == 0 and (kind in _NEED_SECRET or "username" in values)):
        raise ConfigError(f"a source of kind {kind.value} needs one of source.{', source.'.join(sorted(_SECRETS))}")
    if kind is SourceKind.NCMEC and values["environment"] not in ENVIRONMENTS:
        raise ConfigError(f"source.environment must be one of {', '.join(ENVIRONMENTS)}")
    if kind is SourceKind.NCMEC and "url" not in values and 0 < values.get("every_minutes", 60.0) < _NCMEC_MINUTES:
        raise ConfigError(f"source.every_minutes is at least {_NCMEC_MINUTES:g} for NCMEC's own servers, or 0")
    if kind is SourceKind.BUNDLE and ("path" in values) == ("url" in values):
        raise ConfigError("a source of kind bundle needs one of source.path, source.url")
    if kind is SourceKind.FILE:
        values.setdefault("stale_days", 0.0)  # a local list changes when its owner changes it
    return SourceConfig(**values)
