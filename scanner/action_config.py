"""What [actions] of the configuration may say together: one target on this machine, or none.

Knows no file and no environment. Nothing told to the target may leave the host: it holds refs, paths and digests.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scanner.errors import ConfigError
from scanner.loopback import stays_here
from scanner.types import Verb


@dataclass(frozen=True, slots=True)
class ActionsConfig:
    """The operator's own system: at most one of `command`, `socket` and `url`; without one nothing is told."""

    command: tuple[str, ...] = ()
    socket: Path | None = None
    url: str | None = None
    token_file: Path | None = None
    exact: Verb | None = Verb.RESTRICT
    near: Verb | None = Verb.REVIEW
    hash_sets: frozenset[str] = frozenset()
    timeout_seconds: float = 30.0

    @property
    def configured(self) -> bool:
        """Whether there is anybody to tell."""
        return bool(self.command or self.socket or self.url)


def checked_actions(**values: Any) -> ActionsConfig:
    """The actions that a table's values say. Raises ConfigError."""
    targets = [name for name in ("command", "socket", "url") if values.get(name)]
    if len(targets) > 1:
        raise ConfigError(f"actions.{targets[0]} and actions.{targets[1]} name two targets; one is told")
    if "url" in values and not stays_here(values["url"]):
        raise ConfigError("actions.url must be http on a loopback address: what is told never leaves this host")
    if "token_file" in values and "url" not in values:
        raise ConfigError("actions.token_file means nothing without actions.url")
    return ActionsConfig(**values)
