"""The store: what is visible at each version, however sets are changed."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hashsets.errors import ListError, NoSuchSet, SetExists, StoreError, UsageError
from hashsets.store import Store
from hashsets.types import (
    Classification,
    Delta,
    Entry,
    FrameShares,
    Mode,
    Role,
    Rule,
    Shape,
    Signal,
    Version,
    entry_key,
    entry_key_of_ref,
)

DAY = "2026-01-01"


def md5(number: int, *, quality: int | None = None) -> Signal:
    """An md5 signal told by a small number."""
    return Signal("md5", number.to_bytes(16), quality=quality)


def bare(number: int) -> Entry:
    """An entry whose source gives it no key."""
    return Entry(entry_key(md5(number)), (md5(number),))


def named(ref: str, *numbers: int, shape: Shape = Shape.ITEM, marks: tuple[Classification, ...] = ()) -> Entry:
    """An entry with a ref of its own and several signals."""
    return Entry(entry_key_of_ref(ref), tuple(md5(number) for number in numbers), shape, ref, marks)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    with Store.open(tmp_path / "home") as opened:
        yield opened


def put(store: Store, name: str, *pages: Delta, complete: bool = False, fragments: bool = False) -> Version:
    """Stage pages and put them in force."""
    for page in pages:
        store.stage(name, page, fragments=fragments)
    return store.activate(name, complete=complete, checkpoint=None, day=DAY)


def listed(store: Store, name: str, version: int | None = None) -> dict[bytes, set[bytes]]:
    """Values by key, as listed at a version."""
    found = list(store.entries(store.hash_set(name).uid, version))
    assert len({entry.key for entry in found}) == len(found)
    return {entry.key: {signal.value for signal in entry.signals} for entry in found}


# -- the model --------------------------------------------------------------------------------------------------------

KEYS = [entry_key(md5(0)), entry_key(md5(1)), *(entry_key_of_ref(f"r{number}") for number in range(4))]
MARKS = [(), (Classification("s", "a"),), (Classification("s", "a"), Classification("s", "b"))]


@dataclass(frozen=True)
class Listing:
    """What the model says of one key."""

    signals: frozenset[tuple[bytes, int | None]]
    shape: Shape
    marks: tuple[Classification, ...]


@st.composite
def listings(draw: st.DrawFn) -> Entry:
    """An entry under one of few keys; the keys made of a value keep it or gain others."""
    key = draw(st.sampled_from(KEYS))
    numbers = set(draw(st.lists(st.integers(0, 5), min_size=1, max_size=3)))
    if key.startswith(b"md5"):
        numbers = {int.from_bytes(key[4:])} | (numbers if draw(st.booleans()) else set())
    signals = tuple(md5(number, quality=draw(st.sampled_from([None, 60, 90]))) for number in sorted(numbers))
    ref = key[4:].decode() if key.startswith(b"ref") else None
    return Entry(key, signals, draw(st.sampled_from(Shape)), ref, draw(st.sampled_from(MARKS)))


PAGES = st.lists(
    st.builds(
        lambda added, removed: Delta(tuple(added), tuple(removed)),
        st.lists(listings(), max_size=4),
        st.lists(st.sampled_from(KEYS), max_size=2),
    ),
    max_size=3,
)


def _next_state(
    state: dict[bytes, Listing], pages: list[Delta], *, complete: bool, fragments: bool
) -> dict[bytes, Listing]:
    said: dict[bytes, Listing | None] = {}
    for page in pages:
        said.update(dict.fromkeys(page.removed, None))
        for entry in page.added:
            earlier = said.get(entry.key)
            new = Listing(
                frozenset((signal.value, signal.quality) for signal in entry.signals),
                entry.shape,
                entry.classifications,
            )
            said[entry.key] = _united(earlier, new) if fragments and earlier is not None else new
    kept = {} if complete else state
    return {key: listing for key, listing in {**kept, **said}.items() if listing is not None}


def _united(earlier: Listing, new: Listing) -> Listing:
    known = {value for value, _ in earlier.signals}
    signals = earlier.signals | {signal for signal in new.signals if signal[0] not in known}
    shape = Shape.FRAMES if Shape.FRAMES in (earlier.shape, new.shape) else Shape.ITEM
    return Listing(signals, shape, tuple(sorted({*earlier.marks, *new.marks})))


def _seen(store: Store, uid: bytes, version: int) -> dict[bytes, Listing]:
    return {
        entry.key: Listing(
            frozenset((signal.value, signal.quality) for signal in entry.signals), entry.shape, entry.classifications
        )
        for entry in store.entries(uid, version)
    }


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(PAGES, st.booleans(), st.booleans(), st.booleans()), max_size=6))
def test_every_version_shows_what_was_listed_then(
    tmp_path: Path, deltas: list[tuple[list[Delta], bool, bool, bool]]
) -> None:
    """After any deltas, re-listings, withdrawals, complete lists, fragments and discarded refreshes."""
    with Store.open(tmp_path / "home") as store:
        name = f"set {os.urandom(4).hex()}"
        uid = store.create(name).uid
        states: list[dict[bytes, Listing]] = [{}]
        refs: dict[bytes, str | None] = {}
        for pages, complete, fragments, discarded in deltas:
            for page in pages:
                store.stage(name, page, fragments=fragments)
            if discarded:
                store.prepare(name, complete=complete)
                store.discard_staged(name)
                continue
            after = _next_state(states[-1], pages, complete=complete, fragments=fragments)
            version = store.activate(name, complete=complete, checkpoint=None, day=DAY)
            _check_counts(version, states[-1], after, len(states))
            if after != states[-1]:
                states.append(after)
            for entry in store.entries(uid):
                assert refs.setdefault(entry.key, entry.ref) == entry.ref

        assert store.verify(name) == []
        assert store.hash_set(name).entries == len(states[-1])
        for version_number, state in enumerate(states):
            assert state == _seen(store, uid, version_number)
            assert _column_rows(store, uid, version_number) == sum(len(item.signals) for item in state.values())
        _check_changes(store, uid, states)
        _check_purge(store, uid, states)


def _check_counts(version: Version, before: dict[bytes, Listing], after: dict[bytes, Listing], number: int) -> None:
    changed = sum(before[key] != after[key] for key in before.keys() & after.keys())
    counts = (len(after.keys() - before.keys()), changed, len(before.keys() - after.keys()))
    assert counts == (version.added, version.changed, version.withdrawn)
    assert version.version == (number if after != before else number - 1)


def _column_rows(store: Store, uid: bytes, version: int) -> int:
    return sum(len(columns) for columns in store.columns(uid, version).values())


def _check_changes(store: Store, uid: bytes, states: list[dict[bytes, Listing]]) -> None:
    """What differs between two versions is always among the changed keys, and nothing that never differed is."""
    for to_version in range(len(states)):
        for from_version in range(to_version):
            keys = set(store.changed_keys(uid, from_version, to_version))
            between = states[from_version : to_version + 1]
            ever = {
                key
                for older, newer in pairwise(between)
                for key in older.keys() | newer.keys()
                if _matchable(older.get(key)) != _matchable(newer.get(key))
            }
            assert ever == keys


def _matchable(listing: Listing | None) -> object:
    return None if listing is None else (listing.signals, listing.shape)


def _check_purge(store: Store, uid: bytes, states: list[dict[bytes, Listing]]) -> None:
    """A purge at the middle leaves later versions as they were, and takes whole entries with it."""
    middle = len(states) // 2
    store.purge_withdrawn(uid, middle)
    for version in range(middle, len(states)):
        assert states[version] == _seen(store, uid, version)
    store.purge_withdrawn(uid, len(states))
    rows = store.read()
    with rows as connection:
        set_id = connection.execute("SELECT id FROM hash_set WHERE uid = ?", (uid,)).fetchone()[0]
        kept = connection.execute("SELECT COUNT(*) FROM entry WHERE set_id = ?", (set_id,)).fetchone()[0]
    assert len(states[-1]) == kept


# -- single behaviours ------------------------------------------------------------------------------------------------


def test_a_refresh_without_a_change_keeps_version_and_catalogue_and_moves_the_checkpoint(store: Store) -> None:
    """Otherwise every poll of a silent feed would make every content be compared again."""
    store.create("a")
    put(store, "a", Delta((bare(1), named("r", 2))))
    catalogue = store.catalogue()
    store.stage("a", Delta((named("r", 2), bare(1))))
    version = store.activate("a", complete=True, checkpoint=b"later", day="2026-02-02")

    assert (1, 0, 0, 0) == (version.version, version.added, version.changed, version.withdrawn)
    assert catalogue == store.catalogue()
    assert b"later" == store.checkpoint("a")
    assert "2026-02-02" == store.refreshed_day("a")
    assert 1 == len(store.history("a"))


def test_history_tells_every_version(store: Store) -> None:
    """With its day, counts and checkpoint."""
    store.create("a")
    store.stage("a", Delta((bare(1), bare(2))))
    store.activate("a", complete=True, checkpoint=b"1", day="2026-01-01")
    store.stage("a", Delta((bare(2), bare(3))))
    store.activate("a", complete=True, checkpoint=b"2", day="2026-01-02")

    expected = [Version(1, "2026-01-01", 2, 0, 0, True, b"1"), Version(2, "2026-01-02", 1, 0, 1, True, b"2")]
    assert expected == store.history("a")


def test_a_drawn_ref_is_random_and_kept_on_re_listing(store: Store) -> None:
    """A ref derived from the value would tell the value; a new one would be another report's subject."""
    uid = store.create("a").uid
    put(store, "a", Delta((bare(1),)))
    first = next(store.entries(uid)).ref
    put(store, "a", Delta(removed=(bare(1).key,)))
    put(store, "a", Delta((bare(1),)))
    again = next(store.entries(uid))
    other = store.create("b").uid
    put(store, "b", Delta((bare(1),)))

    assert again.ref == first
    assert first is not None
    assert 32 == len(first)
    assert next(store.entries(other)).ref != first
    assert 1 == store.details(uid, 3, store.changed_ids(uid, 0, 3)).popitem()[1].first_version


def base64_of(value: bytes) -> str:
    """In base64, unpadded."""
    return base64.b64encode(value).decode().rstrip("=")


@pytest.mark.parametrize("write", [bytes.hex, lambda value: f"id:{value.hex().upper()}", base64_of])
def test_a_ref_that_repeats_a_value_is_not_kept(store: Store, write: Callable[[bytes], str]) -> None:
    """Lists that name entries by their hash are common; a report must not say the hash of what it is about."""
    entry = bare(1)
    value = entry.signals[0].value
    store.create("a")
    put(store, "a", Delta((replace(entry, ref=write(value)),)))
    (listed,) = store.entries(store.hash_set("a").uid)

    assert listed.ref is not None
    assert 32 == len(listed.ref)
    assert value.hex() not in listed.ref


def test_a_purged_entry_is_a_new_one_when_listed_again(store: Store) -> None:
    """With its rows go its ref and its first version."""
    uid = store.create("a").uid
    put(store, "a", Delta((bare(1), bare(2))))
    first = {entry.key: entry.ref for entry in store.entries(uid)}
    put(store, "a", Delta(removed=(bare(1).key,)))

    assert 1 == store.purge_withdrawn(uid, 2)
    put(store, "a", Delta((bare(1),)))
    again = {entry.key: entry.ref for entry in store.entries(uid)}
    assert again[bare(1).key] != first[bare(1).key]
    assert again[bare(2).key] == first[bare(2).key]
    with pytest.raises(UsageError):
        store.changed_ids(uid, 1, 3)
    assert [bare(1).key] == list(store.changed_keys(uid, 2, 3))


def test_a_purge_never_reaches_a_version_that_is_not_in_force(store: Store) -> None:
    """Signals marked by a refresh under way are still listed."""
    uid = store.create("a").uid
    put(store, "a", Delta((bare(1),)))
    store.stage("a", Delta(removed=(bare(1).key,)))
    store.prepare("a", complete=False)
    store.purge_withdrawn(uid, 99)

    assert [bare(1).key] == list(listed(store, "a"))


def test_a_new_classification_is_a_change_that_no_match_need_hear_of(store: Store) -> None:
    """The version rises, the entry reads otherwise from then on, and its signals are not compared again."""
    uid = store.create("a").uid
    put(store, "a", Delta((named("r", 1, marks=MARKS[1]),)))
    put(store, "a", Delta((named("r", 1, marks=MARKS[2]),)))

    assert MARKS[1] == next(store.entries(uid, 1)).classifications
    assert MARKS[2] == next(store.entries(uid, 2)).classifications
    assert [] == list(store.changed_keys(uid, 1, 2))


def test_every_change_of_force_raises_the_catalogue_and_nothing_else_does(store: Store) -> None:
    """Other processes and clients look at this one number."""
    seen = [store.catalogue()]

    def bumped() -> bool:
        seen.append(store.catalogue())
        return seen[-1] == seen[-2] + 1

    store.create("a")
    assert bumped()
    store.stage("a", Delta((bare(1),)))
    store.prepare("a", complete=False)
    assert not bumped()
    store.activate("a", complete=False, checkpoint=None, day=DAY)
    assert bumped()
    store.set_enabled("a", False)
    assert bumped()
    store.set_enabled("a", False)
    assert not bumped()
    store.set_mode("a", Mode.SHADOW)
    assert bumped()
    store.set_role("a", Role.CANARY)
    assert bumped()
    store.set_rule("a", Rule(radius_bits={"pdq": 20}))
    assert bumped()
    store.set_rule("a", Rule(radius_bits={"pdq": 20}))
    assert not bumped()
    store.remove("a")
    assert bumped()


def test_rule_and_role_make_a_new_rule_revision(store: Store) -> None:
    """Coverage must know; the switch and the mode touch no pair."""
    revisions = [store.create("a").rule_revision]
    revisions.append(store.set_rule("a", Rule(frame_shares=FrameShares(0.5, 0.1))).rule_revision)
    revisions.append(store.set_rule("a", Rule(frame_shares=FrameShares(0.5, 0.1))).rule_revision)
    revisions.append(store.set_role("a", Role.KNOWN_GOOD).rule_revision)
    revisions.append(store.set_mode("a", Mode.SHADOW).rule_revision)
    changed = store.set_enabled("a", False)
    revisions.append(changed.rule_revision)

    assert [1, 2, 2, 3, 3, 3] == revisions
    assert Rule(frame_shares=FrameShares(0.5, 0.1)) == changed.rule
    assert (Role.KNOWN_GOOD, Mode.SHADOW, False) == (changed.role, changed.mode, changed.enabled)


@pytest.mark.parametrize(
    "rule",
    [
        Rule(radius_bits={"pdq": 128}),
        Rule(radius_bits={"pdq": -1}),
        Rule(radius_bits={"phash": 32}),
        Rule(radius_bits={"md5": 0}),
        Rule(radius_bits={"PDQ": 3}),
        Rule(radius_bits={"nothing": 3}),
        Rule(quality_floor={"phash": 50}),
        Rule(quality_floor={"pdq": 101}),
        Rule(frame_shares=FrameShares(1.1, 0)),
        Rule(frame_shares=FrameShares(0.5, -0.1)),
    ],
)
def test_a_rule_that_no_matcher_could_follow_is_refused(store: Store, rule: Rule) -> None:
    """At creation and later, changing nothing."""
    created = store.create("a")
    with pytest.raises(UsageError):
        store.create("b", rule=rule)
    with pytest.raises(UsageError):
        store.set_rule("a", rule)

    assert [created] == store.hash_sets()


@pytest.mark.parametrize("name", ["", " ", "a ", "x" * 65, "two\nlines", "nul\0", "\x1b[2J"])
def test_a_name_that_cannot_be_told_apart_is_refused(store: Store, name: str) -> None:
    """Names are typed, printed and compared by eye."""
    with pytest.raises(UsageError):
        store.create(name)


def test_sets_are_found_by_name_and_uid_and_names_are_taken_once(store: Store) -> None:
    """A second set of a name, and an unknown one, have errors of their own."""
    created = store.create("a")

    assert created == store.hash_set("a") == store.hash_set_by_uid(created.uid)
    with pytest.raises(SetExists):
        store.create("a")
    with pytest.raises(NoSuchSet):
        store.hash_set("b")
    with pytest.raises(NoSuchSet):
        store.stage("b", Delta((bare(1),)))


def test_removing_a_set_takes_its_rows_and_leaves_its_uid(store: Store) -> None:
    """Also in the middle of a refresh; other sets keep theirs, and the name is free again."""
    gone, kept = store.create("a"), store.create("b")
    put(store, "a", Delta((bare(1), named("r", 1, 2))))
    put(store, "b", Delta((bare(1),)))
    put(store, "a", Delta(removed=(bare(1).key,)))
    store.stage("a", Delta((bare(3),)))
    store.prepare("a", complete=False)
    store.remove("a")
    again = store.create("a")

    assert [gone.uid] == store.removed()
    assert again.uid != gone.uid
    assert {} == listed(store, "a")
    assert [bare(1).key] == list(listed(store, "b"))
    with store.read() as connection:
        for table in ("entry", "signal", "change", "version", "staged"):
            sets = {row[0] for row in connection.execute(f"SELECT DISTINCT set_id FROM {table}")}
            assert sets <= {2}
    assert kept.uid == store.hash_set("b").uid


def test_a_set_that_never_listed_anything_is_not_remembered(store: Store) -> None:
    """It cannot have matches."""
    store.create("a")
    store.remove("a")

    assert [] == store.removed()


def test_an_entry_that_cannot_be_compared_or_reported_is_refused(store: Store) -> None:
    """Formats count these; the store is the last to look."""
    store.create("a")
    long_ref = "r" * 257
    broken = [
        Entry(b"k", ()),
        Entry(b"k", (Signal("md5", b"short"),)),
        Entry(b"k", (Signal("sha512", bytes(64)),)),
        Entry(b"k", (md5(1),), ref=long_ref),
        Entry(b"k", (md5(1),), ref="bad\nref"),
        Entry(b"k" * 70_000, (md5(1),)),
        Entry(b"k", (md5(1),), classifications=(Classification("", "x"),)),
        Entry(b"k", (md5(1),), classifications=(Classification("s", "\x00"),)),
        Entry(b"k", (md5(1),), classifications=tuple(Classification("s", str(n)) for n in range(65))),
    ]
    for entry in broken:
        with pytest.raises(ListError):
            store.stage("a", Delta((entry,)))
    put(store, "a", Delta((bare(1),)))

    assert [bare(1).key] == list(listed(store, "a"))


def test_a_second_refresh_of_a_set_takes_over_and_the_first_is_told(tmp_path: Path) -> None:
    """Two processes refreshing one set must not mix their pages."""
    with Store.open(tmp_path / "home") as first, Store.open(tmp_path / "home") as second:
        first.create("a")
        first.stage("a", Delta((bare(1),)))
        second.stage("a", Delta((bare(2),)))
        with pytest.raises(StoreError):
            first.stage("a", Delta((bare(3),)))
        second.activate("a", complete=False, checkpoint=None, day=DAY)

        assert [bare(2).key] == list(listed(first, "a"))


def test_a_prepared_refresh_takes_no_more_pages_and_changes_no_kind(store: Store) -> None:
    """What was compared is what comes in force."""
    store.create("a")
    store.stage("a", Delta((bare(1),)))
    tally = store.prepare("a", complete=False)

    assert (1, 0, 0, 0) == (tally.added, tally.changed, tally.withdrawn, tally.unchanged)
    assert store.staged("a").tally is tally
    with pytest.raises(UsageError):
        store.stage("a", Delta((bare(2),)))
    with pytest.raises(UsageError):
        store.activate("a", complete=True, checkpoint=None, day=DAY)


def test_columns_hold_every_signal_in_force(store: Store) -> None:
    """Types apart, with shape and quality; only asked entries when asked by id."""
    uid = store.create("a").uid
    pdq = tuple(Signal("pdq", bytes([n]) * 32, quality=q, frame=n) for n, q in ((1, 80), (2, None)))
    put(store, "a", Delta((bare(7), Entry(b"film", pdq, Shape.FRAMES, "film"))))
    columns = store.columns(uid)

    assert {"md5", "pdq"} == set(columns)
    assert [bytes(15) + b"\x07"] == [bytes(value) for value in columns["md5"].values]
    assert [(b"\x01" * 32, 80), (b"\x02" * 32, 100)] == sorted(
        zip(map(bytes, columns["pdq"].values), columns["pdq"].quality.tolist(), strict=True)
    )
    assert columns["pdq"].frames.all()
    assert not columns["md5"].frames.any()
    only = store.columns(uid, ids=columns["md5"].entry_ids.tolist())
    assert ["md5"] == list(only)
    assert (columns["md5"].entry_ids == only["md5"].entry_ids).all()
    assert np.uint8 == columns["pdq"].quality.dtype
    assert {} == store.columns(uid, version=0)


def test_verify_tells_rows_that_contradict_each_other(store: Store) -> None:
    """A count that is off, and a signal without its entry."""
    store.create("a")
    put(store, "a", Delta((bare(1), bare(2))))
    assert [] == store.verify("a")
    with store._database.write() as connection:
        connection.execute("DELETE FROM entry WHERE id = 1")
    with store._database.write() as connection:
        connection.execute("UPDATE hash_set SET entries = 5")

    problems = store.verify("a")
    assert ["1 signals have no entry", "2 entries are in force where 5 were counted"] == problems
