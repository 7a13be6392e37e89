"""Snapshots: the join equals the oracle's, whatever is listed and asked."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hashsets.snapshots import current
from hashsets.store import Store
from hashsets.types import Delta, Entry, FrameShares, Rule, Shape, Signal
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
        lambda owner, typed, quality, is_frame: Asked(owner, *typed, quality, is_frame),
        st.integers(1, 3),
        values(),
        QUALITIES,
        st.booleans(),
    ),
    max_size=12,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(RULES, entries()), min_size=1, max_size=3), ASKED)
def test_match_equals_comparing_everything_with_everything(
    tmp_path: Path, listed: list[tuple[Rule, tuple[Entry, ...]]], asked: list[Asked]
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
        hits = current(store).match(queries_of(asked))

    found = [
        Meeting(hit.owner, hit.set_uid, hit.entry_key, hit.hash_type, hit.distance, hit.exact_types) for hit in hits
    ]
    assert meetings(stored, asked) == found
