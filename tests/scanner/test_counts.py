"""Counts in place of reports: what is said, what is not, and that nothing can be subtracted."""

from __future__ import annotations

import dataclasses
import json
import random
from collections import Counter
from datetime import date, timedelta
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashsets.types import Classification
from scanner.counts import (
    REST,
    Cell,
    CountBody,
    CountRule,
    Period,
    Span,
    cell_json,
    counts_schema,
    encode_count,
    identified,
    parse_cell,
    parse_count,
    published,
)
from scanner.errors import ReportError
from scanner.report_fields import Kind, ReportedMedia
from scanner.reports import Batch, encode_event, encode_jsonl, parse_event

MAY_SAY = {
    "hash_set",
    "period",
    "first_day",
    "last_day",
    "k",
    "kind",
    "listed_version",
    "classifications",
    "hash_type",
    "media",
    "count",
}
MARKS = (Classification("scheme", "a"),)
CELL = Cell(Kind.MATCH, 1, MARKS, "pdq", ReportedMedia.IMAGE)
CELLS = st.builds(
    Cell,
    st.sampled_from(list(Kind)),
    st.integers(1, 3),
    st.sampled_from([(), MARKS]),
    st.sampled_from(["pdq", "sha256"]),
    st.sampled_from(list(ReportedMedia)),
)


def span(k: int = 10) -> Span:
    return Span(Period.WEEK, date(2026, 11, 16), date(2026, 11, 22), k)


def count_event(cells: dict[Cell, int], k: int = 10) -> list[dict[str, Any]]:
    made = identified(published("set", span(k), cells), random.Random(1))
    return [json.loads(encode_count(each, "urn:x")) for each in made]


def test_a_count_says_what_the_schema_lists_and_nothing_else() -> None:
    """Body, event and shipped schema hold the same closed list, for a cell and for the rest alike."""
    schema = counts_schema()
    several = count_event({CELL: 12, dataclasses.replace(CELL, listed_version=2): 5, REST: 6})

    assert {field.name for field in dataclasses.fields(CountBody)} == MAY_SAY
    assert schema["$defs"]["body"]["properties"].keys() == MAY_SAY == set(schema["$defs"]["body"]["required"])
    assert 2 == len(several)
    for event in several:
        assert event["data"].keys() == MAY_SAY
        jsonschema.validate(event, schema, format_checker=jsonschema.FormatChecker())


@settings(max_examples=50)
@given(cells=st.dictionaries(CELLS, st.integers(1, 30), max_size=8), k=st.integers(2, 20))
def test_nothing_under_k_is_said_and_nothing_can_be_subtracted(cells: dict[Cell, int], k: int) -> None:
    """Every cell of k or more is said as it is; all others are one number of k or more, or no number."""
    said = {
        Cell(body.kind, body.listed_version, body.classifications, body.hash_type, body.media): body.count
        for body in published("set", span(k), cells)
    }
    small = [count for count in cells.values() if count < k]
    rest = said.pop(REST, None)

    assert said == {cell: count for cell, count in cells.items() if count >= k}
    assert rest == (sum(small) if sum(small) >= k else None)
    assert rest is None or len(small) > 1


@pytest.mark.parametrize(
    "change",
    [
        {"count": 9},
        {"count": 0},
        {"count": True},
        {"k": 1},
        {"first_day": "2026-11-23"},
        {"last_day": "2026-11-31"},
        {"hash_set": ""},
        {"hash_set": "two\nlines"},
        {"kind": None},
        {"listed_version": 0},
        {"hash_type": "/etc"},
        {"media": "image/jpeg"},
        {"period": "hour"},
    ],
    ids=str,
)
def test_a_count_that_may_not_be_is_refused(change: dict[str, Any]) -> None:
    """A body under k, or with a field that is not of its closed type, cannot be made; the error repeats no value."""
    (body,) = published("set", span(), {CELL: 12})
    with pytest.raises(ReportError) as caught:
        dataclasses.replace(body, **change)

    assert "two" not in str(caught.value)


@settings(max_examples=30)
@given(cells=st.dictionaries(CELLS, st.integers(2, 30), max_size=5))
def test_what_is_written_is_read_back(cells: dict[Cell, int]) -> None:
    """Events and stored cells survive a round trip; a batch holds counts as it holds reports."""
    counts = identified(published("set", span(2), cells), random.Random(1))
    batch = Batch("01234567-89ab-4def-8123-456789abcdef", counts, "urn:x")

    assert list(counts) == [parse_event(line) for line in encode_jsonl(batch)]
    assert list(counts) == [parse_count(encode_event(each)) for each in counts]
    assert list(cells) == [parse_cell(cell_json(cell)) for cell in cells]


@pytest.mark.parametrize("broken", [b"{}", b"[]", b"\xff", b'{"type":"org.hashward.counts"}'], ids=str)
def test_what_is_no_count_is_not_read(broken: bytes) -> None:
    """A damaged row is an error, not a count."""
    with pytest.raises(ReportError):
        parse_count(broken)


@given(day=st.dates(date(2020, 1, 1), date(2030, 1, 1)), daily=st.floats(0, 30), k=st.integers(2, 50))
def test_the_period_is_the_shortest_that_is_expected_to_hold_k(day: date, daily: float, k: int) -> None:
    """Day, week or month, by how many days of it are left; the longest where none is expected to."""
    period = CountRule(k).period_from(day, daily)
    ends = {Period.DAY: day + timedelta(days=1)}
    ends[Period.WEEK] = next(d for n in range(1, 8) if (d := day + timedelta(days=n)).weekday() == 0)
    ends[Period.MONTH] = next(d for n in range(1, 32) if (d := day + timedelta(days=n)).day == 1)
    enough = [each for each in Period if daily * (ends[each] - day).days >= k]

    assert period == (enough[0] if enough else Period.MONTH)
    assert ends == {each: each.end(day) for each in Period}
    assert Period.WEEK is CountRule(k, Period.WEEK).period_from(day, daily)


def test_the_sum_of_all_that_is_said_tells_nothing_of_a_small_cell() -> None:
    """Two worlds that differ in how small cells share their sum are told alike."""
    one, other = (CELL, dataclasses.replace(CELL, listed_version=2))
    worlds = [Counter({one: 4, other: 8}), Counter({one: 8, other: 4})]

    assert published("set", span(), worlds[0]) == published("set", span(), worlds[1])
