"""Snapshots: the join equals the oracle's, whatever is listed and asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hashsets import lookups
from hashsets.errors import MatchingError, NoSuchSet, UsageError
from hashsets.snapshots import NearHit, Snapshot, changes_since, current
from hashsets.store import Store
from hashsets.types import (
    Classification,
    Delta,
    Entry,
    EntryHit,
    FrameShares,
    Queries,
    Rule,
    Shape,
    Signal,
    entry_key,
)
from tests.hashsets.oracle import Asked, Meeting, meetings, queries_of

# Few seeds, so that values meet often; flips up to just past every radius in use.
SEEDS = {
    "pdq": [bytes([0x5A, 0x3C] * 16), bytes([0x0F, 0xF0] * 16), bytes(32), bytes([0xFF] * 32)],
    "phash": [bytes([0x5A] * 8), bytes(8)],
    "md5": [bytes(range(16)), bytes.fromhex("d41d8cd98f00b204e9800998ecf8427e"), bytes([1] * 15 + [0])],
    "sha256": [bytes(range(32)), bytes([7] * 32)],
}


@st.composite
def values(draw: st.DrawFn) -> tuple[str, bytes]:
    """A hash type and a value near one of its seeds."""
    name = draw(st.sampled_from(sorted(SEEDS)))
    value = int.from_bytes(draw(st.sampled_from(SEEDS[name])))
    size = len(SEEDS[name][0])
    if name in ("pdq", "phash"):
        first = draw(st.integers(0, 8 * size - 1))
        for bit in range(draw(st.sampled_from([0, 0, 2, 4, 5, 8, 9, 20, 31, 32, 33]))):
            value ^= 1 << (first + bit) % (8 * size)
    return name, value.to_bytes(size)


QUALITIES = st.sampled_from([0, 30, 49, 50, 70, 100])
RULES = st.builds(
    Rule,
    radius_bits=st.fixed_dictionaries(
        {}, optional={"pdq": st.sampled_from([0, 4, 8, 31, 40]), "phash": st.sampled_from([0, 4, 8, 20])}
    ),
    quality_floor=st.dictionaries(st.just("pdq"), QUALITIES, max_size=1),
    frame_shares=st.builds(
        FrameShares, query=st.sampled_from([0.0, 0.5, 0.8, 1.0]), listed=st.sampled_from([0.0, 0.5, 2 / 3, 1.0])
    ),
)


@st.composite
def entries(draw: st.DrawFn) -> tuple[Entry, ...]:
    """Some entries with keys of their own; one value at most once each."""
    made = []
    for number in range(draw(st.integers(1, 5))):
        chosen = draw(st.lists(values(), min_size=1, max_size=5, unique=True))
        quality = draw(st.one_of(st.none(), QUALITIES))
        signals = tuple(Signal(name, value, quality=quality if name == "pdq" else None) for name, value in chosen)
        made.append(Entry(b"k%d" % number, signals, draw(st.sampled_from(Shape))))
    return tuple(made)


ASKED = st.lists(
    st.builds(
        lambda owner, typed, quality, is_frame, reading: Asked(owner, *typed, quality, is_frame, reading),
        st.integers(1, 3),
        values(),
        QUALITIES,
        st.booleans(),
        st.integers(1, 2),
    ),
    max_size=12,
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(st.tuples(RULES, entries()), min_size=1, max_size=3), ASKED)
def test_match_equals_comparing_everything_with_everything(
    tmp_path: Path, listed: list[tuple[Rule, tuple[Entry, ...]]], rows: list[Asked]
) -> None:
    """Over any sets, rules, entries and queries, frames included."""
    with Store.open(tmp_path / "home") as store:
        for known in store.hash_sets():
            store.remove(known.name)
        stored = []
        for number, (rule, page) in enumerate(listed):
            created = store.create(f"set {number}", rule=rule)
            store.stage(created.name, Delta(page))
            store.activate(created.name, complete=True, checkpoint=None, day="2026-01-01")
            stored.append((created, page))
        hits = current(store).match(queries_of(rows))

    found = [
        Meeting(hit.owner, hit.set_uid, hit.entry_key, hit.hash_type, hit.distance, hit.exact_types) for hit in hits
    ]
    assert meetings(stored, rows) == found


# -- single behaviours ------------------------------------------------------------------------------------------------

DAY = "2026-01-01"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    with Store.open(tmp_path / "home") as opened:
        yield opened


def md5(number: int) -> Entry:
    """An entry of one md5."""
    signal = Signal("md5", number.to_bytes(16))
    return Entry(entry_key(signal), (signal,))


def put(store: Store, name: str, *added: Entry, removed: tuple[bytes, ...] = (), complete: bool = False) -> None:
    """One delta, in force."""
    store.stage(name, Delta(added, removed))
    store.activate(name, complete=complete, checkpoint=None, day=DAY)


def asked(*numbers: int) -> list[Queries]:
    """A query row a number; the number is the owner too."""
    return queries_of(Asked(number, "md5", number.to_bytes(16)) for number in numbers)


def owners(snapshot: Snapshot, *numbers: int) -> list[int]:
    """Which of these numbers are listed."""
    return [hit.owner for hit in snapshot.match(asked(*numbers))]


def test_a_hit_tells_the_entry_as_the_set_lists_it(store: Store) -> None:
    """Ref, classifications and the version that first listed it, as of the snapshot's version."""
    marks = (Classification("s", "a"),)
    store.create("a")
    put(store, "a", md5(9))
    put(store, "a", Entry(b"ref\0r", md5(1).signals, ref="r", classifications=marks))
    snapshot = current(store)
    put(store, "a", Entry(b"ref\0r", md5(1).signals, ref="r"))
    put(store, "a", removed=(b"ref\0r",))
    uid = store.hash_set("a").uid

    expected = EntryHit(1, uid, b"ref\0r", "r", marks, 2, "md5", 0, frozenset({"md5"}), 2)
    assert [expected] == snapshot.match(asked(1))
    assert {uid: 2} == dict(snapshot.versions)
    assert [] == current(store).match(asked(1))


def test_enabled_sets_are_seen_unless_sets_are_named(store: Store) -> None:
    """A switched-off set makes no new match; naming it is how its old ones are compared again."""
    for number, name in enumerate("abc"):
        store.create(name)
        put(store, name, md5(number))
    off = store.set_enabled("b", False)
    snapshot = current(store)

    assert [0, 2] == owners(snapshot, 0, 1, 2)
    assert [1] == owners(current(store, uids=[off.uid, b"no such set"]), 0, 1, 2)
    assert [] == owners(current(store, uids=[]), 0, 1, 2)
    assert store.catalogue() == snapshot.catalogue
    assert 1 == snapshot.rule_revisions[store.hash_set("a").uid]
    assert store.hash_set("a") == snapshot.hash_sets[store.hash_set("a").uid]
    assert 2 == len(snapshot)


def test_hits_are_sorted_by_owner_set_and_key(store: Store) -> None:
    """Whatever the order of queries and of listing; two sets that list one value give two hits."""
    for name in "ab":
        store.create(name)
        put(store, name, md5(3), md5(1), Entry(b"k", (*md5(1).signals, *md5(3).signals)))
    hits = current(store).match(asked(3, 1, 2))
    order = [(hit.owner, hit.set_uid, hit.entry_key) for hit in hits]

    assert sorted(order) == order
    assert 8 == len(order)


def test_nothing_asked_or_nothing_listed_is_nothing_found(store: Store) -> None:
    """No query, empty arrays, no set, an empty set, a type that no set lists."""
    assert [] == current(store).match(asked(1))
    store.create("a")
    assert [] == current(store).match(asked(1))
    put(store, "a", md5(1))
    nothing = np.empty(0, np.uint8)
    empty = Queries("md5", np.empty((0, 16), np.uint8), np.empty(0, np.int64), nothing, nothing)
    assert [] == current(store).match([])
    assert [] == current(store).match([empty])
    assert [] == current(store).match(queries_of([Asked(1, "sha256", bytes(32))]))
    assert [] == current(store).near("pdq", np.zeros((1, 32), np.uint8), 31)


def test_a_set_that_lists_only_what_says_nothing_matches_nothing(store: Store) -> None:
    """The degenerate values of the list itself are dropped, and the index may be empty then."""
    store.create("a")
    put(store, "a", Entry(b"flat", (Signal("pdq", bytes(32)), Signal("phash", bytes(8)))))
    flat = [Asked(1, "pdq", bytes(32)), Asked(1, "pdq", b"\x01" + bytes(31)), Asked(1, "phash", bytes(8))]

    assert [] == current(store).match(queries_of(flat))
    assert 0 == len(current(store))


@pytest.mark.parametrize("agreeing", [1, 2])
def test_entries_purged_or_removed_since_are_no_hits_any_more(store: Store, agreeing: int) -> None:
    """An old snapshot never fails, and never tells another entry's details."""
    kept, gone = store.create("a"), store.create("b", rule=Rule(agreeing=agreeing))
    for name in "ab":
        put(store, name, md5(1), md5(2))
    snapshot = current(store)
    put(store, "a", removed=(md5(1).key,))
    store.purge_withdrawn(kept.uid, 2)
    store.remove("b")
    put(store, "a", md5(5), md5(6))

    assert [(2, kept.uid)] == [(hit.owner, hit.set_uid) for hit in snapshot.match(asked(1, 2))]
    assert gone.uid in snapshot.versions


def test_changes_tell_the_keys_and_what_is_left_of_them(store: Store) -> None:
    """New, re-listed, changed and withdrawn entries; entries that stayed are neither told nor matched."""
    uid = store.create("a").uid
    put(store, "a", md5(1), md5(2), Entry(b"k", (*md5(3).signals, *md5(4).signals)))
    put(store, "a", md5(7), Entry(b"k", (*md5(4).signals, *md5(5).signals)), removed=(md5(2).key,))
    put(store, "a", md5(2), removed=(md5(1).key,))
    first, both = changes_since(store, uid, 1, 2), changes_since(store, uid, 1, 3)

    assert {md5(2).key, md5(7).key, b"k"} == first.keys.keys()
    assert [4, 5, 7] == owners(first.snapshot, *range(1, 8))
    assert {md5(1).key, md5(2).key, md5(7).key, b"k"} == both.keys.keys()
    assert [2, 4, 5, 7] == owners(both.snapshot, *range(1, 8))
    assert {uid: 2} == dict(first.snapshot.versions)
    assert {} == changes_since(store, uid, 3, 3).keys
    assert {md5(1).key, md5(2).key, md5(7).key, b"k"} == changes_since(store, uid, 0, 3).keys.keys()
    for wrong in ((2, 1), (-1, 2), (1, 4)):
        with pytest.raises(UsageError):
            changes_since(store, uid, *wrong)
    with pytest.raises(NoSuchSet):
        changes_since(store, b"no such uid", 0, 0)


@pytest.mark.parametrize("shape", Shape)
def test_a_value_of_low_quality_matches_on_neither_side(store: Store, shape: Shape) -> None:
    """Under 50 by default, or under the set's own floor; a value whose quality is not told is good."""
    value = bytes([0x5A, 0x3C] * 16)

    def matches(listed: int | None, asked_quality: int) -> bool:
        put(store, "a", Entry(b"k", (Signal("pdq", value, quality=listed),), shape), complete=True)
        return bool(current(store).match(queries_of([Asked(1, "pdq", value, asked_quality, is_frame=True)])))

    store.create("a")
    assert [True, False, False, True] == [matches(*pair) for pair in ((50, 50), (50, 49), (49, 50), (None, 50))]
    store.set_rule("a", Rule(quality_floor={"pdq": 60}))
    assert [True, False, False, True] == [matches(*pair) for pair in ((60, 60), (60, 59), (59, 60), (None, 60))]
    store.set_rule("a", Rule(quality_floor={"pdq": 0}))
    assert matches(0, 0)


def test_the_best_evidence_of_an_entry_is_told(store: Store) -> None:
    """Exact before near at distance 0, the longer digest before the shorter, then the smaller distance."""
    value, near = bytes([0x5A, 0x3C] * 16), bytes([0x5B, 0x3C]) + bytes([0x5A, 0x3C] * 15)
    sha256, phash = bytes(range(32)), bytes([0x5A] * 8)
    signals = (Signal("pdq", value), Signal("phash", phash), *md5(1).signals, Signal("sha256", sha256))
    store.create("a")
    put(store, "a", Entry(b"k", signals))
    rows = [
        Asked(1, "pdq", near, 90), Asked(1, "phash", phash), Asked(1, "pdq", value, 90),
        Asked(1, "md5", md5(1).signals[0].value), Asked(1, "sha256", sha256),
    ]  # fmt: skip
    told = []
    for count in range(1, 6):
        (hit,) = current(store).match(queries_of(rows[:count]))
        told.append((hit.hash_type, hit.distance, sorted(hit.exact_types)))

    assert [
        ("pdq", 1, []),
        ("phash", 0, []),
        ("pdq", 0, []),
        ("md5", 0, ["md5"]),
        ("sha256", 0, ["md5", "sha256"]),
    ] == told


def test_near_finds_by_radius_alone(store: Store) -> None:
    """Whatever the set's own radius; an entry of several values by its nearest."""
    store.create("a", rule=Rule(radius_bits={"pdq": 0}))
    base = bytes([0x5A, 0x3C] * 16)
    near = bytes([0x5B]) + base[1:]
    put(store, "a", Entry(b"k", (Signal("pdq", base), Signal("pdq", near)), ref="r"))
    further = np.frombuffer(bytes([0x5B ^ 6]) + base[1:], np.uint8).reshape(1, 32)
    uid = store.hash_set("a").uid

    assert [NearHit(0, uid, b"k", "r", 2)] == current(store).near("PDQ", further, 31)
    assert [] == current(store).near("pdq", further, 1)
    with pytest.raises(MatchingError):
        current(store).near("pdq", further, -1)
    with pytest.raises(MatchingError):
        current(store).near("pdq", further[:, :31], 3)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda q: Queries("md4", q.values, q.owners, q.quality, q.readings),
        lambda q: Queries("MD5", q.values, q.owners, q.quality, q.readings),
        lambda q: Queries("md5", q.values[:, :15], q.owners, q.quality, q.readings),
        lambda q: Queries("md5", q.values[:1], q.owners, q.quality, q.readings),
        lambda q: Queries("md5", q.values.astype(np.int8), q.owners, q.quality, q.readings),
        lambda q: Queries("md5", q.values, q.owners.astype(np.int32), q.quality, q.readings),
        lambda q: Queries("md5", q.values, q.owners, q.quality[:1], q.readings),
        lambda q: Queries("md5", q.values, q.owners, q.quality, q.is_frame),
    ],
)
def test_queries_that_are_not_aligned_are_refused(store: Store, wrong: Callable[[Queries], Queries]) -> None:
    """Before anything is compared, whether or not the type is listed."""
    (good,) = asked(1, 2)
    with pytest.raises(MatchingError):
        current(store).match([wrong(good)])


def test_blocks_of_queries_give_what_one_block_gives(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """More queries and hits than are looked up at once, frames of one owner across the border."""
    monkeypatch.setattr(lookups, "BLOCK_QUERIES", 1_000)
    monkeypatch.setattr(lookups, "MOST_HITS", 300)
    store.create("a", rule=Rule(frame_shares=FrameShares(query=1.0, listed=1.0)))
    generator = np.random.default_rng(3)
    values = generator.integers(0, 256, (4_050, 32), np.uint8)
    frames = tuple(Signal("pdq", bytes(value)) for value in values)
    put(store, "a", Entry(b"film", frames, Shape.FRAMES), Entry(b"still", (Signal("pdq", bytes(values[-1])),)))
    count = len(values)
    film = Queries("pdq", values, np.full(count, 5, np.int64), np.full(count, 90, np.uint8), np.ones(count, np.uint8))
    cut = Queries("pdq", values[1:], film.owners[1:], film.quality[1:], film.readings[1:])

    assert [b"film", b"still"] == [hit.entry_key for hit in current(store).match([film])]
    assert [b"still"] == [hit.entry_key for hit in current(store).match([cut])]


def test_one_reading_of_a_film_is_enough(store: Store) -> None:
    """Frames as turned, or of another stream, do not count against the stream that was listed."""
    values = np.random.default_rng(3).integers(0, 256, (30, 32), dtype=np.uint8)
    store.create("a")
    put(store, "a", Entry(b"film", tuple(Signal("pdq", bytes(value)) for value in values[:10]), Shape.FRAMES))
    film = [Asked(1, "pdq", bytes(value), 90, is_frame=True, reading=1) for value in values[:10]]
    turned = [Asked(1, "pdq", bytes(value), 90, is_frame=True, reading=2) for value in values[10:20]]
    mixed = [Asked(2, "pdq", bytes(value), 90, is_frame=True, reading=1) for value in values[5:20]]
    found = current(store).match(queries_of([*turned, *film, *mixed]))

    assert [1] == [hit.owner for hit in found]


def test_a_still_video_counts_each_frame_once_wherever_it_comes_again(store: Store) -> None:
    """Frames that repeat, next to each other or later, and entries that list the same frame, change no share."""
    generator = np.random.default_rng(4)
    values = generator.integers(0, 256, (5, 32), np.uint8)
    listed = tuple(Signal("pdq", bytes(value)) for value in values[:3])
    put_rule = Rule(frame_shares=FrameShares(query=0.75, listed=1.0))
    store.create("a", rule=put_rule)
    put(store, "a", Entry(b"one", listed, Shape.FRAMES), Entry(b"two", listed, Shape.FRAMES))

    def keys(*frames: int) -> list[bytes]:
        rows = [Asked(1, "pdq", bytes(values[frame]), 90, is_frame=True) for frame in frames]
        return [hit.entry_key for hit in current(store).match(queries_of(rows))]

    assert [b"one", b"two"] == keys(0, 0, 0, 1, 1, 2, 0, 3, 3, 3, 3, 3)
    assert [] == keys(0, 0, 0, 1, 1, 0, 0, 1)
    assert [] == keys(0, 3, 1, 4, 2, 0, 1, 2, 2, 0)


@pytest.mark.parametrize("shape", Shape)
def test_a_value_that_comes_again_counts_with_the_best_it_came_with(store: Store, shape: Shape) -> None:
    """Whichever comes first: as a frame or not, of good quality or not; rows of another owner say nothing of it."""
    value = bytes([0x5A, 0x3C] * 16)
    store.create("a")
    put(store, "a", Entry(b"k", (Signal("pdq", value),), shape))
    good, poor, still = (
        Asked(1, "pdq", value, 90, is_frame=True),
        Asked(1, "pdq", value, 30, is_frame=True),
        Asked(1, "pdq", value, 90),
    )
    for rows in ([poor, good], [good, poor], [still, good], [good, still], [still, poor, good]):
        assert [1] == [hit.owner for hit in current(store).match(queries_of(rows))]
    other = Asked(2, "pdq", value, 90, is_frame=True)

    assert [2] == [hit.owner for hit in current(store).match(queries_of([poor, other]))]
    assert [1, 2] == [hit.owner for hit in current(store).match(queries_of([good, other]))]
    expected = [] if shape is Shape.FRAMES else [1]
    assert expected == [hit.owner for hit in current(store).match(queries_of([still, poor]))]


def test_an_edit_is_undone_only_for_sets_that_ask(store: Store) -> None:
    """A reading that undoes an edit meets the sets whose rule names it, and no other; the content itself meets all."""
    seed = SEEDS["pdq"][0]
    for name, edits in (("plain", ()), ("asks", ("trimmed",)), ("other", ("uncropped",))):
        store.create(name)
        put(store, name, Entry(name.encode(), (Signal("pdq", seed),)))
        store.set_rule(name, Rule(edits=frozenset(edits)))
    snapshot = current(store)
    row = np.frombuffer(seed, np.uint8).reshape(1, 32)
    as_it_is = Queries("pdq", row, np.array([1]), np.array([100], np.uint8), np.zeros(1, np.uint8))
    trimmed = replace(as_it_is, edit="trimmed", owners=as_it_is.owners + 1)
    found = [(hit.owner, hit.entry_key) for hit in snapshot.match([as_it_is, trimmed])]

    assert {"trimmed", "uncropped"} == snapshot.edits
    assert [(1, b"asks"), (1, b"other"), (1, b"plain"), (2, b"asks")] == sorted(found)
    assert Rule(edits=frozenset({"trimmed"})) == store.hash_set("asks").rule


def test_an_unknown_edit_is_refused(store: Store) -> None:
    """A rule names only edits that can be undone."""
    store.create("set")
    with pytest.raises(UsageError):
        store.set_rule("set", Rule(edits=frozenset({"blurred"})))
