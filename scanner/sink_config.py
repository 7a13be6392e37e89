"""What a [[sink]] of the configuration may say together, and who may be told what of one hash set.

Knows no file and no environment: `scanner.config` reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scanner.counts import DEFAULT_K, CountRule, Period
from scanner.errors import ConfigError
from scanner.loopback import is_private
from scanner.settings import SinkForm, SinkKind


@dataclass(frozen=True, slots=True)
class SinkConfig:
    """One place where reports or counts go. `path` is set for jsonl sinks, `url` for http sinks.

    `k` and `period` are of form counts; without a period it is the shortest that is expected to hold k.
    """

    name: str
    kind: SinkKind
    path: Path | None = None
    url: str | None = None
    token_file: Path | None = None
    ca_file: Path | None = None
    hash_sets: frozenset[str] = frozenset()
    timeout_seconds: float = 60.0
    use_environment_proxies: bool = False
    allow_plain_http: bool = False
    form: SinkForm = SinkForm.REPORTS
    k: int = DEFAULT_K
    period: Period | None = None

    @property
    def counts(self) -> CountRule | None:
        """How it is told in counts; None: it is told reports."""
        return CountRule(self.k, self.period) if self.form is SinkForm.COUNTS else None


_ONLY_HTTP = {"url", "token_file", "ca_file", "timeout_seconds", "use_environment_proxies", "allow_plain_http"}
_ONLY_COUNTS = {"k", "period"}


def checked_sink(values: dict[str, Any], reports: Path) -> SinkConfig:
    """The sink that settings, each read by its own kind, make together. Raises ConfigError."""
    for required in ("name", "kind"):
        if required not in values:
            raise ConfigError(f"sink.{required} is missing from a [[sink]]")
    kind, form = values["kind"], values.get("form", SinkForm.REPORTS)
    foreign = values.keys() & (_ONLY_HTTP if kind is SinkKind.JSONL else {"path"})
    if foreign:
        raise ConfigError(f"sink.{min(foreign)} means nothing for a sink of kind {kind.value}")
    if form is not SinkForm.COUNTS and values.keys() & _ONLY_COUNTS:
        raise ConfigError(f"sink.{min(values.keys() & _ONLY_COUNTS)} means something only for a sink of form counts")
    if kind is SinkKind.JSONL:
        values.setdefault("path", reports)
    elif "url" not in values:
        raise ConfigError("sink.url is missing from a sink of kind http")
    sink = SinkConfig(**values)
    if sink.url is not None and not sink.allow_plain_http and not is_private(sink.url):
        raise ConfigError("sink.url is neither https nor on this host; set allow_plain_http if the way there is safe")
    return sink


def checked_sinks(sinks: Sequence[SinkConfig]) -> tuple[SinkConfig, ...]:
    """All sinks together. Raises ConfigError.

    What is told of one set under two rules could be subtracted, one from the other: so each set has one.
    """
    if len({sink.name for sink in sinks}) < len(sinks):
        raise ConfigError("two sinks have one name")
    rules: dict[str, CountRule] = {}
    for sink in sinks:
        for hash_set in sink.hash_sets if sink.counts is not None else ():
            assert sink.counts is not None
            if rules.setdefault(hash_set, sink.counts) != sink.counts:
                raise ConfigError("two sinks of form counts name one hash set with different k or period")
    return tuple(sinks)
