"""Coverage against a plain model: one entry a content."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashsets.sqlite import Database
from scanner.ledger import coverage
from scanner.ledger.coverage import NOTHING, Interval, Met
from scanner.ledger.ledger import FILE_NAME
from scanner.ledger.migrations import MIGRATIONS

SET, OTHER = b"s" * 16, b"t" * 16
METS = [NOTHING, Met(1, 1), Met(1, 2), Met(2, 2)]
TOP = 14


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A ledger's tables."""
    home: Path = tmp_path_factory.mktemp("home")
    with Database.open(home / FILE_NAME, MIGRATIONS) as db:
        yield db


ASSIGNMENTS = st.lists(
    st.tuples(st.integers(1, TOP), st.integers(0, 5), st.sampled_from(METS)).map(
        lambda drawn: Interval(drawn[0], min(TOP, drawn[0] + drawn[1]), drawn[2])
    ),
    max_size=12,
)


@given(assigned=ASSIGNMENTS, asked=st.tuples(st.integers(1, TOP), st.integers(0, TOP), st.sampled_from(METS)))
def test_any_assignments_leave_a_partition_that_says_what_a_model_says(
    db: Database, assigned: list[Interval], asked: tuple[int, int, Met]
) -> None:
    """No overlap, no gap, neighbours differ; and every question is answered as the model answers it."""
    model: dict[int, Met] = {}
    with db.write(durable=False):
        coverage.forget(db, SET)
        coverage.assign(db, OTHER, 1, TOP, Met(9, 9))
        for interval in assigned:
            coverage.assign(db, SET, interval.seq_lo, interval.seq_hi, interval.met)
            for seq in range(1, interval.seq_hi + 1):
                model.setdefault(seq, NOTHING)
            model.update(dict.fromkeys(range(interval.seq_lo, interval.seq_hi + 1), interval.met))
    stretches = coverage.intervals(db, SET)
    lo, more, met = asked
    hi = min(TOP, lo + more)

    assert model == {seq: s.met for s in stretches for seq in range(s.seq_lo, s.seq_hi + 1)}
    assert all(a.seq_hi + 1 == b.seq_lo and a.met != b.met for a, b in pairwise(stretches))
    assert [model.get(seq, NOTHING) for seq in range(1, TOP + 2)] == [
        coverage.at(db, SET, seq) for seq in range(1, TOP + 2)
    ]
    assert coverage.all_at(db, SET, lo, hi, met) == all(model.get(s, NOTHING) == met for s in range(lo, hi + 1))
    if met != NOTHING:  # no set stands there: its rule revision counts from 1
        behind = [seq for seq in range(1, TOP + 1) if model.get(seq, NOTHING) != met]
        first = coverage.first_behind(db, SET, met, TOP)
        assert (behind[0] if behind else None) == (None if first is None else first.seq_lo)
        assert first is None or all(
            model.get(seq, NOTHING) == first.met != met for seq in range(first.seq_lo, first.seq_hi + 1)
        )
    assert coverage.least_version(db, SET) == min((m.version for m in model.values()), default=0)
    assert [Interval(1, TOP, Met(9, 9))] == coverage.intervals(db, OTHER)


def test_a_set_whose_contents_all_stand_at_nothing_but_one_beyond_is_behind_for_all(db: Database) -> None:
    """Contents a set has no row for have met nothing: they are its last stretch."""
    with db.write(durable=False):
        coverage.forget(db, SET)
        coverage.assign(db, SET, 1, 3, Met(1, 1))

    assert Interval(4, 9, NOTHING) == coverage.first_behind(db, SET, Met(1, 1), 9)
    assert coverage.first_behind(db, SET, Met(1, 1), 3) is None


def test_forgetting_a_set_leaves_the_others(db: Database) -> None:
    """What was met of another set stays met."""
    with db.write(durable=False):
        coverage.assign(db, SET, 1, 2, Met(1, 1))
        coverage.assign(db, OTHER, 1, TOP, Met(9, 9))
        coverage.forget(db, SET)

    assert [OTHER] == coverage.sets(db)
