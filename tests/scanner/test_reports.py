"""Report bodies, sealing, events and their schema."""

from __future__ import annotations

import dataclasses
import json
import random
from collections import Counter
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashsets.types import Classification, EntryHit
from scanner.errors import ReportError
from scanner.reports import (
    Batch,
    Cause,
    Kind,
    Proximity,
    Report,
    ReportBody,
    ReportedMedia,
    anonymise,
    anonymise_withdrawal,
    canonical_json,
    encode_cloudevents_batch,
    encode_event,
    encode_jsonl,
    parse_body,
    parse_event,
    report_schema,
    seal,
    system_random,
)
from scanner.types import MediaKind, Trigger

ID = "01234567-89ab-4def-8123-456789abcdef"


def hit(**changes: Any) -> EntryHit:
    plain = EntryHit(
        owner=77,
        set_uid=b"\x55" * 16,
        entry_key=b"key",
        ref="ref-1",
        classifications=(Classification("scheme", "b"), Classification("scheme", "a")),
        first_version=3,
        hash_type="pdq",
        distance=12,
        exact_types=frozenset(),
    )
    return dataclasses.replace(plain, **changes)


def body(media: MediaKind = MediaKind.IMAGE, day: str = "2025-01-31", **changes: Any) -> ReportBody:
    return anonymise(hit(**changes), hash_set="partner list", media=media, trigger=Trigger.SCAN, day=day)


def withdrawal(cause: Cause = Cause.ENTRY) -> ReportBody:
    return anonymise_withdrawal(Report(ID, body()), cause=cause, trigger=Trigger.RESCAN, day="2025-02-01")


# -- the boundary ---------------------------------------------------------------


def test_a_match_says_what_the_list_says_and_how_it_was_met() -> None:
    """Everything in a body comes from the entry, the set's name, the media kind, the trigger and the day."""
    expected = ReportBody(
        kind=Kind.MATCH,
        withdraws=None,
        cause=None,
        hash_set="partner list",
        listed_version=3,
        ref="ref-1",
        classifications=(Classification("scheme", "a"), Classification("scheme", "b")),
        hash_type="pdq",
        proximity=Proximity.NEAR,
        media=ReportedMedia.IMAGE,
        trigger=Trigger.SCAN,
        day="2025-01-31",
    )

    assert expected == body()


@pytest.mark.parametrize("hash_type", ["md5", "sha1", "sha256"])
def test_equal_digests_are_exact(hash_type: str) -> None:
    """Agreement in a cryptographic type proves equal bytes."""
    assert Proximity.EXACT is body(hash_type=hash_type, distance=0).proximity


@pytest.mark.parametrize("hash_type", ["pdq", "phash", "dhash", "ahash", "whash"])
def test_a_likeness_is_near_even_at_distance_0(hash_type: str) -> None:
    """Perceptual types never prove equal bytes, and the distance shows nowhere."""
    assert Proximity.NEAR is body(hash_type=hash_type, distance=0).proximity
    assert body(hash_type=hash_type, distance=0) == body(hash_type=hash_type, distance=4)


@pytest.mark.parametrize(
    ("media", "said"), [("image", "image"), ("animation", "image"), ("video", "video"), ("other", "other")]
)
def test_media_kinds_are_said_as_image_video_or_other(media: str, said: str) -> None:
    """An animation is reported as an image."""
    assert said == body(MediaKind(media)).media.value


@pytest.mark.parametrize(
    "changes",
    [
        {"ref": ""},
        {"ref": "two\nlines"},
        {"ref": "x" * 257},
        {"ref": "\udcff"},
        {"ref": b"bytes"},
        {"ref": None},
        {"first_version": 0},
        {"first_version": -1},
        {"first_version": 2**53},
        {"first_version": True},
        {"first_version": 1.5},
        {"hash_type": "unheard_of"},
        {"hash_type": "PDQ"},
        {"hash_type": "image_pdq"},
        {"hash_type": "sha256", "distance": 1},
        {"classifications": (Classification("", "x"),)},
        {"classifications": (Classification("s", "x" * 129),)},
        {"classifications": (Classification("s", "a\tb"),)},
        {"classifications": tuple(Classification("s", str(i)) for i in range(65))},
        {"day": "2025-01-31T10:00:00Z"},
        {"day": "2025-02-30"},
        {"day": "20250131"},
        {"day": "2025-W05-5"},
        {"day": "\u0662\u0660\u0662\u0665-01-31"},
    ],
)
def test_what_is_not_of_its_closed_type_goes_nowhere(changes: dict[str, Any]) -> None:
    """A field that could carry more than it may is refused, by name and without its value."""
    with pytest.raises(ReportError) as caught:
        body(**changes)

    assert "x" * 100 not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "match"},
        {"kind": Kind.WITHDRAWAL},
        {"withdraws": ID},
        {"cause": Cause.ENTRY},
        {"hash_set": ""},
        {"hash_set": "x" * 65},
        {"hash_type": "../../etc"},
        {"proximity": Proximity.EXACT},
        {"proximity": "near"},
        {"media": MediaKind.ANIMATION},
        {"trigger": "scan"},
        {"day": "now"},
        {"classifications": (Classification("b", "b"), Classification("a", "a"))},
        {"classifications": (Classification("a", "a"), Classification("a", "a"))},
    ],
)
def test_a_body_cannot_be_made_wrong_by_any_way(changes: dict[str, Any]) -> None:
    """The checks stand in the body itself, so no later code can build one that says more."""
    with pytest.raises(ReportError):
        dataclasses.replace(body(), **changes)


@pytest.mark.parametrize("cause", list(Cause))
def test_a_withdrawal_repeats_the_report_and_adds_its_id_and_cause(cause: Cause) -> None:
    """A withdrawal says which report, why, and on which day."""
    taken_back = withdrawal(cause)

    assert (Kind.WITHDRAWAL, ID, cause, "2025-02-01") == (
        taken_back.kind,
        taken_back.withdraws,
        taken_back.cause,
        taken_back.day,
    )
    same = {"kind": Kind.MATCH, "withdraws": None, "cause": None, "day": "2025-01-31", "trigger": Trigger.SCAN}
    assert body() == dataclasses.replace(taken_back, **same)  # type: ignore[arg-type]


def test_a_withdrawal_cannot_be_withdrawn() -> None:
    """Only match reports are taken back."""
    with pytest.raises(ReportError):
        anonymise_withdrawal(Report(ID, withdrawal()), cause=Cause.SET, trigger=Trigger.RESCAN, day="2025-02-01")


# -- writing and reading back ---------------------------------------------------------------

_PRINTABLE = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=30).filter(str.isprintable)
_CLASSIFICATIONS = st.lists(st.builds(Classification, _PRINTABLE, _PRINTABLE), max_size=3).map(tuple)
_HITS = st.builds(
    hit,
    ref=_PRINTABLE,
    classifications=_CLASSIFICATIONS,
    first_version=st.integers(1, 9),
    hash_type=st.sampled_from(["pdq", "phash"]),
    distance=st.integers(0, 31),
    owner=st.integers(0, 10**9),
)
_BODIES = st.builds(
    anonymise,
    _HITS,
    hash_set=_PRINTABLE,
    media=st.sampled_from(MediaKind),
    trigger=st.sampled_from(Trigger),
    day=st.dates().map(str),
)


@given(_BODIES)
def test_a_body_reads_back_as_itself(made: ReportBody) -> None:
    """Canonical JSON holds all of a body and nothing else."""
    assert made == parse_body(canonical_json(made))


@given(_BODIES, st.sampled_from(Cause))
def test_events_fit_the_shipped_schema_and_read_back(made: ReportBody, cause: Cause) -> None:
    """Matches and withdrawals are valid CloudEvents of our schema, on one line each."""
    match = Report(ID, made)
    taken_back = Report(ID, anonymise_withdrawal(match, cause=cause, trigger=Trigger.RESCAN, day="2025-02-01"))
    schema = report_schema()

    for report in (match, taken_back):
        event = encode_event(report)
        assert b"\n" not in event
        jsonschema.validate(json.loads(event), schema)
        assert report == parse_event(event)


def test_the_schema_is_itself_valid() -> None:
    """The shipped file is JSON Schema 2020-12."""
    jsonschema.Draft202012Validator.check_schema(report_schema())


def test_an_event_is_written_in_one_way() -> None:
    """Golden bytes: sorted keys, no spaces, no time, the type by kind."""
    made = dataclasses.replace(body(), classifications=(Classification("é", "1"),))

    assert (
        '{"data":{"cause":null,"classifications":[{"code":"1","scheme":"é"}],"day":"2025-01-31",'
        '"hash_set":"partner list","hash_type":"pdq","kind":"match","listed_version":3,"media":"image",'
        '"proximity":"near","ref":"ref-1","trigger":"scan","withdraws":null},"datacontenttype":"application/json",'
        f'"dataschema":"urn:hashward:report:1#body","id":"{ID}","source":"urn:hashward","specversion":"1.0",'
        '"type":"org.hashward.match"}'
    ).encode() == encode_event(Report(ID, made))


@pytest.mark.parametrize("name", ["path", "time", "sha256", "distance", "size", "owner"])
def test_the_schema_and_the_reader_refuse_any_other_field(name: str) -> None:
    """A field that is not on the closed list is no report, in the event or in its data."""
    for inside in (True, False):
        event = json.loads(encode_event(Report(ID, body())))
        (event["data"] if inside else event)[name] = "x"
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(event, report_schema())
        with pytest.raises(ReportError):
            parse_event(json.dumps(event).encode())


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("kind", "withdrawal"),
        ("kind", "hit"),
        ("withdraws", ID),
        ("cause", "entry"),
        ("listed_version", 0),
        ("listed_version", "1"),
        ("ref", ""),
        ("ref", "x" * 257),
        ("classifications", [{"scheme": "a"}]),
        ("classifications", [{"scheme": "a", "code": "b", "note": "c"}]),
        ("classifications", "none"),
        ("hash_type", "PDQ"),
        ("proximity", "7"),
        ("media", "animation"),
        ("trigger", "manual"),
        ("day", "2025-01-31T12:00"),
    ],
)
def test_the_schema_and_the_reader_agree_on_what_is_wrong(where: str, value: object) -> None:
    """What the schema refuses, reading back refuses, and the other way round."""
    event = json.loads(encode_event(Report(ID, body())))
    event["data"][where] = value

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(event, report_schema())
    with pytest.raises(ReportError):
        parse_event(json.dumps(event).encode())


@pytest.mark.parametrize("text", [b"", b"null", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"data":NaN}', b"1" * 10_000])
def test_what_is_no_report_reads_back_as_an_error_of_ours(text: bytes) -> None:
    """Nothing stored or received can make reading fail in another way."""
    for read in (parse_body, parse_event):
        with pytest.raises(ReportError):
            read(text)


# -- sealing ---------------------------------------------------------------


@given(st.lists(_BODIES, max_size=8), st.randoms(use_true_random=False), st.integers())
def test_a_sealed_batch_does_not_depend_on_the_order_of_its_bodies(
    bodies: list[ReportBody], order: random.Random, seed: int
) -> None:
    """Any permutation with a like random source gives the same bytes; each report knows its input."""
    shuffled = bodies[:]
    order.shuffle(shuffled)

    one, two = seal(bodies, random.Random(seed)), seal(shuffled, random.Random(seed))

    assert encode_cloudevents_batch(one.batch()) == encode_cloudevents_batch(two.batch())
    assert one.batch_id == two.batch_id
    assert all(bodies[sealed.input_index] == sealed.report.body for sealed in one.reports)
    assert list(range(len(bodies))) == sorted(sealed.input_index for sealed in one.reports)


def test_ids_are_random_version_4_uuids_and_never_repeat() -> None:
    """Equal bodies get different ids, another sealing others again."""
    bodies = [body()] * 50

    first, second = seal(bodies, system_random()), seal(bodies, system_random())

    ids = [sealed.report.id for sealing in (first, second) for sealed in sealing.reports]
    assert 100 == len({*ids})
    assert 102 == len({*ids, first.batch_id, second.batch_id})
    assert all("4" == one[14] and one[19] in "89ab" for one in ids)


def test_every_order_of_reports_is_equally_likely() -> None:
    """The place of a report says nothing of what it reports: over many seeds each of the 6 orders comes as often."""
    bodies = [body(ref=ref) for ref in "abc"]

    orders = Counter(
        tuple(sealed.input_index for sealed in seal(bodies, random.Random(seed)).reports) for seed in range(3000)
    )

    assert 6 == len(orders)
    assert all(400 < count < 600 for count in orders.values())


def test_the_encodings_hold_the_same_events() -> None:
    """JSON Lines and the CloudEvents batch differ in framing only."""
    batch = seal([body(ref=str(i)) for i in range(5)], random.Random(1)).batch("urn:example")

    lines = b"".join(encode_jsonl(batch)).splitlines()

    assert [json.loads(line) for line in lines] == json.loads(encode_cloudevents_batch(batch))
    assert {"urn:example"} == {json.loads(line)["source"] for line in lines}
    assert [report.id for report in batch.reports] == [parse_event(line).id for line in lines]


@pytest.mark.parametrize("source", ["", "two words", "x" * 257, "line\nend", "nul\x00"])
def test_a_source_that_is_no_constant_name_is_refused(source: str) -> None:
    """The source of events is one printable word."""
    with pytest.raises(ReportError):
        seal([body()], random.Random(1)).batch(source)


def made_batch() -> Batch:
    bodies = [dataclasses.replace(body(ref=str(i)), hash_set=name) for name in ("a", "b", "c") for i in range(4)]
    return seal(bodies, random.Random(5)).batch()


def test_a_sink_gets_the_part_about_its_sets_in_the_same_order() -> None:
    """The parts for different sets are disjoint or differ in their ids; nothing is left when no set is named."""
    batch = made_batch()

    part = batch.for_sets(frozenset({"a", "b"}))

    assert part is not None
    assert tuple(report for report in batch.reports if report.body.hash_set != "c") == part.reports
    assert None is batch.for_sets(frozenset())
    assert batch is batch.for_sets(frozenset({"a", "b", "c", "d"}))


def test_an_id_of_a_part_stands_for_its_content() -> None:
    """One selection gives one id, another selection another, so receivers never mistake one for the other."""
    batch = made_batch()
    chosen = [frozenset(names) for names in ("a", "b", "c", "ab", "ac", "bc", "abc", "abz", "az")]

    parts = [part for names in chosen if (part := batch.for_sets(names)) is not None]

    by_id: dict[str, set[tuple[Report, ...]]] = {}
    for part in [*parts, *batch.parts(5), *batch.parts(6), *batch.parts(100)]:
        by_id.setdefault(part.batch_id, set()).add(part.reports)
    assert all(1 == len(contents) for contents in by_id.values())
    assert 7 + 3 + 2 == len(by_id)
    assert batch.reports == tuple(report for part in batch.parts(5) for report in part.reports)


@pytest.mark.parametrize("batch_id", ["", "1", ID.upper(), ID + "\n", "01234567-89ab-1def-8123-456789abcdef"])
def test_ids_that_are_not_random_uuids_are_refused(batch_id: str) -> None:
    """Neither a report nor a batch goes by a number, a name or a time-based id."""
    with pytest.raises(ReportError):
        Batch(batch_id, ())
    with pytest.raises(ReportError):
        Report(batch_id, body())
