"""How a home stands, as gauges: sets, sources, files, matches, reports, sinks, duties. Reads only.

What costs a walk over the ledger is read again only after a while: a scrape every few seconds must not keep a store of
ten million files busy.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hashsets.types import HashSet
from scanner.api import Scanner
from scanner.errors import Trouble
from scanner.ledger import coverage, tallies
from scanner.ledger.contents import top_seq
from scanner.ledger.coverage import Met
from scanner.ledger.tallies import Outcomes
from scanner.metrics import Reading
from scanner.schedules import SourceState, state_of

_TROUBLES = frozenset(trouble.value for trouble in Trouble)
SLOW_EVERY_S = 60.0
SLOW_SHARE = 20  # what took a second is read again after twenty at the soonest


class Gauges:
    """The readings of one home; `duties` tells how the daemon's duties stand, where this process is the daemon."""

    def __init__(self, scanner: Scanner) -> None:
        self._scanner = scanner
        self._outcomes: Outcomes | None = None
        self._again_at = 0.0
        self.duties: Mapping[str, Mapping[str, Any]] = {}

    def __call__(self) -> list[Reading]:
        """Everything, as it stands."""
        return [*self._sets(), *self._sources(), *self._files(), *self._said(), *self._duties()]

    def _sets(self) -> Iterator[Reading]:
        sets = self._scanner.store.hash_sets()
        yield _reading("hash_set_entries", "Entries in force.", "hash_set", ((s.name, s.entries) for s in sets))
        yield _reading("hash_set_version", "The version in force.", "hash_set", ((s.name, s.version) for s in sets))
        yield _reading("hash_set_enabled", "1 where it is compared.", "hash_set", ((s.name, s.enabled) for s in sets))
        held = [(s.name, self._scanner.ledger.probation.held(s) is not None) for s in sets]
        yield _reading("hash_set_held", "1 where its version is held: nothing new of it leaves.", "hash_set", held)
        behind = [(s.name, self._behind(s)) for s in sets]
        yield _reading("hash_set_contents_behind", "Contents still to be compared with it.", "hash_set", behind)

    def _behind(self, each: HashSet) -> int:
        db = self._scanner.ledger.db
        return coverage.count_behind(db, each.uid, Met(each.rule_revision, each.version), top_seq(db))

    def _sources(self) -> Iterator[Reading]:
        now, store = self._scanner.clock.now_ns(), self._scanner.store
        standings = [(each, store.standings.of(each.hash_set)) for each in self._scanner.config.sources]
        states = {each.hash_set: state_of(each, standing, now) for each, standing in standings}
        one_hot = [((name, state.value), float(states[name] is state)) for name in states for state in SourceState]
        yield Reading("source_state", "1 for the state it is in.", ("hash_set", "state"), tuple(one_hot))
        answered = [(c.hash_set, (now - s.succeeded_ns) / 1e9) for c, s in standings if s.succeeded_ns is not None]
        yield _reading("source_answered_seconds_ago", "Since it last told all it had to tell.", "hash_set", answered)
        changed = [(c.hash_set, (now - s.changed_ns) / 1e9) for c, s in standings if s.changed_ns is not None]
        yield _reading("source_news_seconds_ago", "Since it last had anything new.", "hash_set", changed)
        failures = [(c.hash_set, s.failures) for c, s in standings]
        yield _reading("source_failures", "Attempts that failed since it last answered.", "hash_set", failures)

    def _files(self) -> Iterator[Reading]:
        if time.monotonic() >= self._again_at:
            began = time.monotonic()
            self._outcomes = tallies.outcomes(self._scanner.ledger.db)
            took = time.monotonic() - began
            self._again_at = began + max(SLOW_EVERY_S, SLOW_SHARE * took)
        assert self._outcomes is not None
        found = self._outcomes
        yield Reading("assets", "Files and uploads held.", (), (((), found.assets),))
        yield Reading("contents", "Distinct contents held.", (), (((), found.contents),))
        yield Reading("owed", "Assets that are owed a look.", (), (((), found.owed),))
        counted = {"matched": found.matched, "clear": found.clear, "not_media": found.not_media}
        counted |= {"partial": found.partial.total(), "unscannable": found.unscannable.total()}
        yield _reading("outcomes", "Assets by how they stand.", "outcome", counted.items())
        looked = (("partial", found.partial), ("unscannable", found.unscannable))
        why = [((kind, reason), count) for kind, counts in looked for reason, count in sorted(counts.items())]
        yield Reading("not_looked_whole", "Assets that could not be looked at whole.", ("looked", "reason"), tuple(why))

    def _said(self) -> Iterator[Reading]:
        ledger = self._scanner.ledger
        yield _reading("matches", "Matches by state.", "state", tallies.match_states(ledger.db).items())
        yield _reading("reports", "Reports and batches.", "state", tallies.said(ledger.db).items())
        troubles = ledger.sealing.troubles()
        owed = [(each.name, troubles.get(each.name, (0, None))[0]) for each in self._scanner.config.sinks]
        yield _reading("sink_owed_batches", "Batches a sink has not taken yet.", "sink", owed)
        failing = [((name, why), 1.0) for name, (_, why) in sorted(troubles.items()) if why in _TROUBLES]
        yield Reading("sink_trouble", "1 for what hinders a sink.", ("sink", "trouble"), tuple(failing))

    def _duties(self) -> Iterator[Reading]:
        failures = [(name, each["failures"]) for name, each in self.duties.items()]
        yield _reading("duty_failures", "Times a duty of the daemon failed since it last succeeded.", "duty", failures)
        done = [(name, each["succeeded_ns"] / 1e9) for name, each in self.duties.items() if each["succeeded_ns"]]
        yield _reading("duty_succeeded_timestamp_seconds", "When a duty last succeeded.", "duty", done)


def _reading(name: str, meaning: str, label: str, values: Iterable[tuple[str, float]]) -> Reading:
    return Reading(name, meaning, (label,), tuple(((of,), float(value)) for of, value in values))
