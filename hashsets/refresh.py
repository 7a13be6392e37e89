"""One refresh of one set: take the pages, stage them, compare, guard, activate. No SQL, no HTTP of its own.

Rules
- Until the guard has agreed nothing is in force; a refusal of any kind discards what was staged and leaves the old
  version serving. A kill leaves it too, and the next refresh discards.
- A dry run does all of it but the last step.
- Whoever puts a version in force brings the set's index with it, so that nobody waits for that later.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from hashsets.errors import HashsetsError, ListError, NoSuchSet, ShrinkRefused, UsageError
from hashsets.indexes import Indexes
from hashsets.sources.base import PAGE_ENTRIES, Source
from hashsets.store import Store, Tally
from hashsets.types import Delta, HashSet, Mode, Role, Rule, Version

# A provider withdraws single entries, seldom a tenth (`Bounds.shrink` of a set); small sets may halve.
MAX_SHRINK_ENTRIES = 100

# A feed's change may hold two records, one of them broken: that is counted. Over a hundred and a twentieth, somebody
# speaks another language than we think.
MOST_MISREAD = 100


@dataclass(frozen=True, slots=True)
class RefreshSummary:
    """What a refresh did, or with `dry_run` would do, in entries; what it did not use is counted in records."""

    hash_set: str
    version: int
    entries: int
    added: int
    changed: int
    withdrawn: int
    unchanged: int
    rejected: Mapping[str, int]
    first_line: Mapping[str, int]
    unmatchable: Mapping[str, int]
    filtered: Mapping[str, int]
    unknown_columns: int
    dry_run: bool
    unsaid: int = 0
    """Entries whose ref or classification may not leave in a report: they match under a random ref."""


def is_complete(hash_set: HashSet | None, *, add: bool, complete: bool) -> bool:
    """Whether a list is the whole set: said by the operator, except for the first one. Raises UsageError."""
    if add and complete:
        raise UsageError("--add and --complete exclude each other")
    if hash_set is not None and hash_set.version and not (add or complete):
        raise UsageError(
            "the hash set has entries already: say --add if the list adds to them, or --complete if it replaces them"
        )
    return not add


def refresh(
    store: Store,
    name: str,
    source: Source,
    *,
    day: str,
    allow_shrink: bool = False,
    dry_run: bool = False,
    progress: Callable[[int], None] = lambda records: None,
) -> RefreshSummary:
    """Bring a set up to its source. `day` is today's UTC date; `progress` hears how many records each page held.

    Raises ListError (ShrinkRefused), SourceError, StoreError, UsageError (NoSuchSet); the old version is then in force.
    """
    before = store.hash_set(name)
    try:
        complete, checkpoint = _stage(store, name, source, progress)
        tally = store.prepare(name, complete=complete)
        unsaid = store.staged(name).unsaid
        if not allow_shrink:
            _guard(before, tally)
        if dry_run:
            store.discard_staged(name)
            return replace(_summary(before, source, tally, dry_run=True), unsaid=unsaid)
        store.activate(name, complete=complete, checkpoint=checkpoint, day=day)
    except HashsetsError:
        _discard(store, name)
        raise
    Indexes(store).keep_up(before.uid)
    return replace(_summary(store.hash_set(name), source, tally, dry_run=False), unsaid=unsaid)


def import_list(
    store: Store,
    name: str,
    source: Source,
    *,
    day: str,
    role: Role = Role.ALERT,
    mode: Mode | None = None,
    rule: Rule | None = None,
    allow_shrink: bool = False,
    dry_run: bool = False,
    progress: Callable[[int], None] = lambda records: None,
) -> RefreshSummary:
    """`refresh` of a set that is created if there is none of that name, and not left behind empty on a refusal.

    Role, mode and rule are those of a set it creates; an existing set keeps its own. Without a mode a new set is in
    shadow until somebody approves it; a known-good set, of which nothing is ever reported, is active.
    """
    try:
        store.hash_set(name)
        created = False
    except NoSuchSet:
        first = Mode.ACTIVE if role is Role.KNOWN_GOOD else Mode.SHADOW
        store.create(name, role=role, mode=mode or first, rule=rule)
        created = True
    try:
        summary = refresh(store, name, source, day=day, allow_shrink=allow_shrink, dry_run=dry_run, progress=progress)
    except HashsetsError:
        if created:
            store.remove(name)
        raise
    if created and dry_run:
        store.remove(name)
    return summary


def roll_back(
    store: Store, name: str, to_version: int, *, day: str, progress: Callable[[int], None] = lambda entries: None
) -> Version:
    """A new version that lists again exactly what an earlier one listed; the present one where that is the same.

    The source's checkpoint stays: what was taken back is not asked for again. Raises UsageError where that version is
    not an earlier one, or its rows are no longer kept, StoreError; the old version is then in force.
    """
    before = store.hash_set(name)
    if not 0 < to_version < before.version:
        raise UsageError("a set goes back to one of its earlier versions: `hashward hashset history` shows them")
    if to_version < store.oldest_kept(before.uid):
        raise UsageError("that version is no longer kept: `hashward hashset history` marks those that are")
    checkpoint = store.checkpoint(name)
    try:
        store.discard_staged(name)
        entries = store.entries(before.uid, to_version)
        while page := tuple(itertools.islice(entries, PAGE_ENTRIES)):
            store.stage(name, Delta(added=page))
            progress(len(page))
        version = store.activate(name, complete=True, checkpoint=checkpoint, day=day, rollback_to=to_version)
    except HashsetsError:
        _discard(store, name)
        raise
    Indexes(store).keep_up(before.uid)
    return version


def _stage(store: Store, name: str, source: Source, progress: Callable[[int], None]) -> tuple[bool, bytes | None]:
    """Stage every page; whether the list is complete, and the source's new checkpoint."""
    store.discard_staged(name)
    complete: bool | None = None
    added = 0
    checkpoint = store.checkpoint(name)
    for page in source.pages(checkpoint):
        if complete not in (None, page.complete):
            raise ListError("the source called its pages both a full list and a change")
        complete = page.complete
        checkpoint = page.checkpoint if page.checkpoint is not None else checkpoint
        store.stage(name, page, fragments=source.fragments)
        added += page.listed
        progress(page.listed + len(page.removed))
    source.reading.refuse_misread(MOST_MISREAD)
    if complete and not added:
        raise ListError("the source gave an empty list: the old version is kept; remove the hash set if that is meant")
    return bool(complete), checkpoint


def _guard(before: HashSet, tally: Tally) -> None:
    """Refuse a mass withdrawal, as a wrong or cut list makes one. Entries replaced by others count as withdrawn."""
    most = before.bounds.shrink
    if tally.withdrawn > MAX_SHRINK_ENTRIES and tally.withdrawn > most * before.entries:
        raise ShrinkRefused(
            f"the list would withdraw {tally.withdrawn} of {before.entries} entries, more than {most:.0%}:"
            " check it, and say --allow-shrink if it is right"
        )


def _discard(store: Store, name: str) -> None:
    with contextlib.suppress(HashsetsError):  # the refusal is what the caller must hear; the next refresh discards
        store.discard_staged(name)


def _summary(hash_set: HashSet, source: Source, tally: Tally, *, dry_run: bool) -> RefreshSummary:
    reading = source.reading
    return RefreshSummary(
        hash_set.name,
        hash_set.version,
        hash_set.entries + (tally.added - tally.withdrawn if dry_run else 0),
        tally.added,
        tally.changed,
        tally.withdrawn,
        tally.unchanged,
        dict(reading.rejected),
        dict(reading.first_line),
        dict(reading.unmatchable),
        dict(reading.filtered),
        reading.unknown_columns,
        dry_run,
    )
